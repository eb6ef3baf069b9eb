"""One claim: due jobs become executions, and the jobs move on."""

import logging
from datetime import date, timedelta

import pytest
from django.db import DataError, connection

from jobs.models import CatchUp, DailyCount, Job, JobExecution, Overlap, Status
from jobs.scheduler.claim import NOTHING, UNREADABLE, claim_due, claim_piecewise
from jobs.tests.factories import NOON, break_in_database, make_execution, make_job
from jobs.tests.scheduler.helpers import (
    MINUTE,
    SENDER,
    claim,
    claim_among,
    make_due_job,
    only_row,
    record,
    rows,
    success,
)
from notifications.models import Notification

pytestmark = [pytest.mark.database, pytest.mark.django_db]


def test_what_finds_room_is_running_and_may_be_sent():
    job = make_due_job(metadata={"a": 1}, timeout_seconds=60)
    (prepared,) = claim(NOON + timedelta(seconds=1)).prepared
    row = only_row()
    assert (row.pk, row.status, row.sender) == (prepared.execution_id, "running", SENDER)
    assert (row.scheduled_for, row.started_at, row.execution_type, row.target) == (
        NOON,
        NOON + timedelta(seconds=1),
        "webhook",
        job.target_url,
    )
    assert row.deadline_at == NOON + timedelta(seconds=66)
    assert row.request_snapshot["url"] == job.target_url
    assert prepared.request.metadata == {"a": 1}
    assert prepared.request.run.fire_time == NOON


def test_what_finds_no_room_is_queued():
    make_due_job()
    assert claim(room=0).prepared == []
    row = only_row()
    assert (row.status, row.sender, row.deadline_at, row.lateness_seconds) == ("queued", None, None, None)


def test_the_job_moves_on_and_is_not_due_again():
    job = make_due_job()
    claim()
    job.refresh_from_db()
    assert job.next_fire_at == NOON + MINUTE
    assert claim().jobs == 0


def test_jobs_that_are_not_due_inactive_or_broken_stay():
    make_job(next_fire_at=NOON + MINUTE)
    make_job(is_active=False)
    make_job(schedule_error="broken")
    assert claim() == NOTHING


def test_batches_take_the_oldest_first():
    late, early = make_due_job(), make_due_job(next_fire_at=NOON - MINUTE)
    assert claim(limit=1).prepared[0].job.id == early.pk
    assert claim(limit=1).prepared[0].job.id == late.pk


def test_a_batch_costs_the_same_number_of_statements_whatever_its_size(django_assert_max_num_queries):
    for _ in range(40):
        make_due_job()
    # Savepoint and release stand for the transaction; read, insert, move on.
    with django_assert_max_num_queries(5):
        assert len(claim().prepared) == 40


def test_a_fire_time_that_has_its_row_gets_no_second_one():
    job = make_due_job()
    make_execution(job, scheduled_for=NOON)
    assert claim().prepared == []
    assert JobExecution.objects.count() == 1


def test_missed_fire_times_are_recorded_counted_and_announced_once():
    job = make_due_job(next_fire_at=NOON - 3 * MINUTE)
    claim()
    assert rows(job) == [("missed", "11:57"), ("missed", "11:58"), ("missed", "11:59"), ("running", "12:00")]
    assert DailyCount.objects.get(job_key=job.pk, status="missed").count == 3
    notice = Notification.objects.get()
    assert notice.title == "Job Missed"
    assert notice.related_execution == JobExecution.objects.get(scheduled_for=NOON - MINUTE)
    missed = JobExecution.objects.filter(status=Status.MISSED)
    assert all(row.completed_at == NOON and row.reason for row in missed)


def test_many_misses_are_one_row_that_says_from_when_and_how_many():
    make_due_job(next_fire_at=NOON - timedelta(hours=2), catch_up=CatchUp.NONE, misfire_grace_seconds=0)
    claim(NOON + timedelta(seconds=30))
    row = only_row()
    assert (row.status, row.scheduled_for) == ("missed", NOON)
    assert (row.missed_from, row.missed_count) == (NOON - timedelta(hours=2), 121)


def test_a_skipped_fire_time_says_why():
    job = make_due_job(overlap=Overlap.SKIP)
    make_execution(job, status=Status.RUNNING)
    assert claim().prepared == []
    row = JobExecution.objects.get(scheduled_for=NOON)
    assert (row.status, row.reason) == ("skipped", "An earlier execution of the job was still going.")
    assert not Notification.objects.exists()


def test_a_queueing_job_runs_at_once_only_where_nothing_is_before_it():
    free, busy = make_due_job(overlap=Overlap.QUEUE), make_due_job(overlap=Overlap.QUEUE)
    make_execution(busy, status=Status.RUNNING)
    assert [prepared.job.id for prepared in claim().prepared] == [free.pk]
    assert ("queued", "12:00") in rows(busy)


def test_all_catch_up_runs_of_a_skipping_job_but_the_first_overlap_it():
    make_due_job(overlap=Overlap.SKIP, catch_up=CatchUp.ALL, next_fire_at=NOON - 2 * MINUTE)
    claim()
    assert rows() == [("running", "11:58"), ("skipped", "11:59"), ("skipped", "12:00")]


def test_a_spread_job_waits_for_its_place_and_keeps_its_fire_time():
    make_due_job(spread_seconds=600)
    assert claim().prepared == []
    row = only_row()
    assert (row.status, row.scheduled_for) == ("queued", NOON)
    assert NOON < row.not_before < NOON + timedelta(minutes=10)


def test_the_first_fire_time_after_the_end_date_only_pauses():
    job = make_due_job(end_date=date(2026, 1, 14))
    claimed = claim()
    assert (claimed.expired, claimed.prepared) == ([job.pk], [])
    assert not JobExecution.objects.exists()
    job.refresh_from_db()
    assert job.next_fire_at is None


@pytest.mark.parametrize("broken", [{"cron_expression": "61 * * * *"}, {"timezone": "Atlantis/Capital"}])
def test_a_job_that_cannot_be_computed_is_marked_and_the_others_run(broken, caplog):
    bad, good = make_due_job(**broken), make_due_job()
    claimed = claim()
    assert ([prepared.job.id for prepared in claimed.prepared], claimed.invalid) == ([good.pk], 1)
    bad.refresh_from_db()
    assert bad.next_fire_at is None
    assert bad.schedule_error
    assert str(bad.pk) in caplog.text


def test_a_row_nobody_can_read_is_marked_and_the_others_run(caplog):
    jobs = [make_due_job() for _ in range(9)]
    bad = jobs[4]
    # No door of ours lets a list in where an object belongs.
    Job.objects.filter(pk=bad.pk).update(metadata=["not", "an", "object"], github_owner="a", github_repo="b")
    Job.objects.filter(pk=bad.pk).update(github_workflow_name="c")
    with pytest.raises(AttributeError):
        claim()
    with caplog.at_level(logging.CRITICAL):
        claimed = claim_piecewise(claim_among, now=NOON, limit=500)
    assert (len(claimed.prepared), claimed.jobs, claimed.invalid) == (8, 9, 1)
    bad.refresh_from_db()
    assert bad.next_fire_at is None
    assert "could not be read or written" in bad.schedule_error


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the others look at what they store")
@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("target_url", "x'00ff'"),
        ("name", "CAST(x'ff41' AS TEXT)"),
        ("metadata", "x'00ff'"),
        ("metadata", "'{broken'"),
        ("end_date", "'never'"),
    ],
)
def test_a_value_of_another_kind_keeps_no_other_job_back(column, value):
    bad, good = make_due_job(), make_due_job()
    break_in_database(bad, column, value)
    with pytest.raises((DataError, ValueError)):
        claim()
    claimed = claim_piecewise(claim_among, now=NOON, limit=500)
    assert ([prepared.job.id for prepared in claimed.prepared], claimed.invalid) == ([good.pk], 1)
    assert list(Job.objects.exclude(schedule_error="").values_list("pk", flat=True)) == [bad.pk]


def test_the_reason_is_kept_in_a_form_the_database_takes(monkeypatch, caplog):
    job = make_due_job()

    def fail(*_, **__):
        raise ValueError("\x00 \udcff " + 1000 * "x")

    monkeypatch.setattr("jobs.scheduler.claim.plan_due_jobs", fail)
    # What is logged is kept by the tests' runner, which cannot pass such a character on.
    with caplog.at_level(logging.CRITICAL):
        claim_piecewise(claim_among, now=NOON, limit=500)
    job.refresh_from_db()
    assert job.schedule_error.startswith(f"{UNREADABLE} (ValueError:  ? xxx")


def test_lateness_is_what_the_claim_took():
    make_due_job()
    claimed = claim(NOON + timedelta(seconds=1.5))
    record(claimed.prepared, success(), at=NOON + timedelta(seconds=2))
    assert only_row().lateness_seconds == 1.5


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer, who waits")
def test_a_job_that_somebody_holds_is_left_for_the_next_pass(held_job):
    free = make_due_job()
    assert [prepared.job.id for prepared in claim().prepared] == [free.pk]
    assert claim_due(now=NOON, limit=10, admit=lambda *_: True, sender=SENDER).jobs == 0
