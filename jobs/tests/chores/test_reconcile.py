"""What reconcile finds and repairs."""

from datetime import date, timedelta

import pytest
from django.db import connection

from accounts.tests.factories import make_user
from jobs import cron
from jobs.chores.reconcile import Reconciler
from jobs.models import Job, JobExecution, RateLimitBucket, Status
from jobs.scheduler.claim import claim_piecewise
from jobs.tests.factories import NOON, UNREADABLE, break_in_database, make_execution, make_job
from jobs.tests.scheduler.helpers import MINUTE, claim_among, make_due_job, only_row
from notifications.models import Notification

pytestmark = [pytest.mark.database, pytest.mark.django_db]

TODAY = date(2026, 1, 15)


def reconcile(now=NOON):
    return Reconciler().reconcile(now=now, chores=8)


def test_a_sound_table_needs_no_repair():
    make_due_job(next_fire_at=NOON + MINUTE)
    make_job(is_active=False)
    assert reconcile()._asdict() == {
        "db_jobs_total": 2,
        "db_jobs_active": 1,
        "scheduled_now": 9,
        "scheduled_added": 0,
        "scheduled_removed": 0,
        "expired_auto_paused": 0,
        "orphaned_removed": 0,
        "invalid_cron": 0,
    }


def test_a_job_without_its_fire_time_gets_it_back():
    job = make_due_job(next_fire_at=None)
    assert reconcile().scheduled_added == 1
    job.refresh_from_db()
    assert job.next_fire_at == NOON + MINUTE


def test_an_expression_changed_in_the_database_is_followed():
    sound, edited = (make_due_job(next_fire_at=NOON + timedelta(hours=8), cron_expression="0 20 * * *") for _ in "ab")
    Job.objects.filter(pk=edited.pk).update(cron_expression="0 * * * *")
    reconciler = Reconciler()
    assert reconciler.reconcile(now=NOON, chores=0).scheduled_added == 1
    edited.refresh_from_db()
    sound.refresh_from_db()
    assert (edited.next_fire_at, sound.next_fire_at) == (NOON + timedelta(hours=1), NOON + timedelta(hours=8))
    assert reconciler.reconcile(now=NOON, chores=0).scheduled_added == 0


@pytest.mark.parametrize("ahead", [timedelta(hours=2), timedelta(days=1)])
@pytest.mark.parametrize("expression", ["* * * * *", "5 * * * *"])
def test_what_was_remembered_while_the_clock_ran_ahead_is_forgotten(ahead, expression):
    job = make_due_job(next_fire_at=NOON, cron_expression=expression)
    reconciler = Reconciler()
    Job.objects.filter(pk=job.pk).update(
        next_fire_at=cron.next_fire_time(expression, job.zone_name, after=NOON + ahead)
    )
    assert reconciler.reconcile(now=NOON + ahead, chores=0).scheduled_added == 0
    assert reconciler.reconcile(now=NOON, chores=0).scheduled_added == 1
    job.refresh_from_db()
    assert job.next_fire_at == cron.next_fire_time(expression, job.zone_name, after=NOON)


@pytest.mark.parametrize("broken", [{"cron_expression": "every day"}, {"timezone": "Atlantis/Capital"}])
def test_a_job_broken_in_the_database_is_marked_and_mended_when_it_can_be_computed_again(broken):
    job = make_due_job(next_fire_at=NOON + MINUTE)
    Job.objects.filter(pk=job.pk).update(**broken)
    summary = reconcile()
    assert (summary.invalid_cron, summary.scheduled_now, summary.db_jobs_active) == (1, 8, 1)
    job.refresh_from_db()
    assert (job.next_fire_at, bool(job.schedule_error)) == (None, True)
    Job.objects.filter(pk=job.pk).update(cron_expression="* * * * *", timezone="UTC")
    assert reconcile().invalid_cron == 0
    job.refresh_from_db()
    assert (job.next_fire_at, job.schedule_error) == (NOON + MINUTE, "")


def test_a_job_that_could_not_be_claimed_stays_off_until_it_is_mended():
    job = make_due_job(github_owner="a", github_repo="b", github_workflow_name="c")
    Job.objects.filter(pk=job.pk).update(metadata=["not", "an", "object"])
    assert claim_piecewise(claim_among, now=NOON, limit=500).invalid == 1
    for _ in range(2):
        assert (reconcile().invalid_cron, reconcile().scheduled_added) == (1, 0)
    Job.objects.filter(pk=job.pk).update(metadata={})
    assert (reconcile().invalid_cron, reconcile().scheduled_now) == (0, 9)
    job.refresh_from_db()
    assert (job.next_fire_at, job.schedule_error) == (NOON + MINUTE, "")
    assert not JobExecution.objects.exists()
    assert not RateLimitBucket.objects.exclude(sent=[]).exists()


def test_a_job_that_is_due_right_now_is_left_to_the_claim():
    job = make_due_job()
    assert reconcile(NOON + timedelta(seconds=20)).scheduled_added == 0
    job.refresh_from_db()
    assert job.next_fire_at == NOON


def test_a_reconcile_that_was_held_up_sets_no_job_back_to_a_time_that_is_over(monkeypatch):
    resumed_just_after_noon = make_due_job(next_fire_at=NOON + MINUTE)
    # Ten seconds to noon it began; a lock in the database kept it until after noon.
    uptimes = iter([0.0] + [15.0] * 20)
    monkeypatch.setattr("jobs.chores.reconcile.uptime", lambda: next(uptimes))
    assert reconcile(NOON - timedelta(seconds=10)).scheduled_added == 0
    resumed_just_after_noon.refresh_from_db()
    assert resumed_just_after_noon.next_fire_at == NOON + MINUTE


def test_a_reconcile_that_has_to_wait_for_a_job_judges_it_by_the_time_after_that(monkeypatch):
    job = make_due_job(next_fire_at=NOON + MINUTE)
    uptimes = iter([0.0] * 3 + [15.0] * 20)
    monkeypatch.setattr("jobs.chores.reconcile.uptime", lambda: next(uptimes))
    assert reconcile(NOON - timedelta(seconds=10)).scheduled_added == 0
    job.refresh_from_db()
    assert job.next_fire_at == NOON + MINUTE


def test_an_expired_job_is_paused_with_its_notice_and_its_last_runs_are_kept():
    # The job ended on the 15th; it is the 16th in Tokyo.
    job = make_due_job(end_date=TODAY, next_fire_at=NOON.replace(hour=14, minute=59), created_by=make_user())
    now = NOON.replace(hour=15, minute=0, second=40)
    summary = reconcile(now)
    assert (summary.expired_auto_paused, summary.db_jobs_active) == (1, 0)
    job.refresh_from_db()
    assert (job.is_active, job.next_fire_at) == (False, None)
    assert only_row().status == "queued"
    assert Notification.objects.get().title == "Job auto-paused (end date passed)"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *UNREADABLE,
        *([("metadata", "'{broken'"), ("target_url", "x'00ff'")] if connection.vendor == "sqlite" else []),
        *([("end_date", "'0000-00-00'")] if connection.vendor == "mysql" else []),
    ],
)
def test_an_expired_job_that_cannot_be_paused_keeps_nothing_else_from_repair(column, value, caplog):
    bad = make_job(end_date=TODAY - timedelta(days=2), enable_email_notifications=True)
    expired, lost = make_job(end_date=TODAY - timedelta(days=1)), make_due_job(next_fire_at=None)
    break_in_database(bad, column, value)
    assert reconcile().expired_auto_paused == 1
    active = Job.objects.exclude(next_fire_at=None).values_list("pk", flat=True)
    assert lost.pk in active
    assert expired.pk not in active
    assert f"Job {bad.pk} has ended and cannot be paused" in caplog.text


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the others look at what they store")
@pytest.mark.parametrize("next_fire_at", [None, NOON + MINUTE])
@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("cron_expression", "x'00ff'"),
        ("cron_expression", "CAST(x'ff41' AS TEXT)"),
        ("timezone", "x'00ff'"),
        ("next_fire_at", "'2099'"),
    ],
)
def test_a_schedule_that_cannot_be_read_keeps_no_other_from_repair(column, value, next_fire_at, caplog):
    bad, lost = make_due_job(next_fire_at=next_fire_at), make_due_job(next_fire_at=None)
    stale = make_due_job(next_fire_at=NOON + timedelta(hours=1))
    break_in_database(bad, column, value)
    reconcile()
    assert set(Job.objects.filter(next_fire_at=NOON + MINUTE).exclude(pk=bad.pk).values_list("pk", flat=True)) == {
        lost.pk,
        stale.pk,
    }
    reconcile()
    caplog.clear()
    assert reconcile().scheduled_added == 0
    assert not caplog.text


def test_more_broken_jobs_than_a_batch_are_all_seen_to(monkeypatch):
    monkeypatch.setattr("jobs.chores.reconcile.BATCH", 2)
    for number in range(5):
        make_due_job(next_fire_at=None, cron_expression="* * * *" if number == 2 else "* * * * *")
    summary = reconcile()
    assert (summary.scheduled_added, summary.invalid_cron) == (4, 1)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="only a database without foreign keys has orphans")
@pytest.mark.django_db(transaction=True)
def test_queued_rows_without_a_job_are_removed():
    job = make_job()
    make_execution(job, status=Status.QUEUED)
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA foreign_keys = OFF")
        cursor.execute("DELETE FROM jobs")
        cursor.execute("PRAGMA foreign_keys = ON")
    assert reconcile().orphaned_removed == 1
    assert not JobExecution.objects.exists()


def test_a_hundred_jobs_of_few_expressions_cost_few_statements(django_assert_max_num_queries):
    for _ in range(100):
        make_due_job(next_fire_at=NOON + MINUTE)
    with django_assert_max_num_queries(14):
        reconcile()
