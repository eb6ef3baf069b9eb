"""Before a schedule moves, what was due is recorded."""

from datetime import date, timedelta

import pytest
from django.db import connection

from jobs.history.reasons import PAUSED
from jobs.models import CatchUp, DailyCount, ExecutionType, GitHubRun, JobExecution, Status, Tracking, TriggerType
from jobs.schedule.due import followed_executions, open_executions
from jobs.schedule.plan import MAX_RUNS
from jobs.schedule.reschedule import reschedule, reschedule_all
from jobs.tests.factories import NOON, make_execution, make_job
from jobs.tests.scheduler.helpers import MINUTE, make_due_job, only_row, rows, start
from notifications.models import Notification

pytestmark = [pytest.mark.database, pytest.mark.django_db]


def change(job, now=NOON, **fields):
    for name, value in fields.items():
        setattr(job, name, value)
    reschedule(job, now=now)
    job.save()
    return job


def test_a_new_job_is_due_at_its_next_fire_time_and_nothing_is_due_before():
    job = change(make_job(cron_expression="30 * * * *", timezone="UTC"))
    assert (job.next_fire_at, job.schedule_error) == (NOON + timedelta(minutes=30), "")
    assert not JobExecution.objects.exists()


def test_next_means_strictly_after_now():
    assert change(make_job(cron_expression="0 * * * *", timezone="UTC")).next_fire_at == NOON + timedelta(hours=1)


def test_a_paused_job_is_not_due():
    job = change(make_due_job(next_fire_at=NOON + MINUTE), is_active=False)
    assert job.next_fire_at is None


@pytest.mark.parametrize(
    "broken, reason",
    [({"cron_expression": "* * *"}, "exactly 5 fields"), ({"timezone": "Mars/Olympus"}, "Mars/Olympus")],
)
def test_a_job_that_cannot_be_computed_says_why(broken, reason):
    job = change(make_due_job(next_fire_at=NOON + MINUTE), **broken)
    assert job.next_fire_at is None
    assert reason in job.schedule_error


def test_an_edit_records_what_was_due_by_the_old_definition():
    job = make_due_job(next_fire_at=NOON - 2 * MINUTE)
    change(job, cron_expression="0 0 * * *", catch_up=CatchUp.NONE)
    assert rows() == [("missed", "11:58"), ("missed", "11:59"), ("queued", "12:00")]
    assert job.next_fire_at == NOON + timedelta(hours=12)
    assert Notification.objects.get().title == "Job Missed"


def test_a_run_that_was_due_at_an_edit_is_sent_by_the_new_definition():
    change(make_due_job(), target_url="https://new.example.com/")
    (prepared,) = start(only_row())
    assert prepared.request.url == "https://new.example.com/"


def test_a_pause_records_what_was_due_and_sends_none_of_it():
    job = make_due_job(next_fire_at=NOON - MINUTE)
    make_execution(job, status=Status.QUEUED, trigger_type=TriggerType.SCHEDULED, scheduled_for=NOON - 2 * MINUTE)
    change(job, is_active=False)
    assert rows() == [("skipped", "11:58"), ("missed", "11:59"), ("skipped", "12:00")]
    assert set(JobExecution.objects.filter(status=Status.SKIPPED).values_list("reason", flat=True)) == {PAUSED}
    counts = DailyCount.objects.filter(job_key=job.pk).values_list("status", "count")
    assert dict(counts) == {"skipped": 2, "missed": 1}


@pytest.mark.parametrize(
    "changed, status", [({"target_url": "https://new.example.com/"}, "queued"), ({"is_active": False}, "skipped")]
)
def test_a_change_records_more_than_one_portion_of_what_was_due(changed, status):
    due = 2 * MAX_RUNS + 50
    job = make_due_job(catch_up=CatchUp.ALL, misfire_grace_seconds=24 * 3600)
    now = NOON + (due - 1) * MINUTE
    change(job, now=now, **changed)
    moments = (
        JobExecution.objects.filter(status=status).order_by("scheduled_for").values_list("scheduled_for", flat=True)
    )
    assert list(moments) == [NOON + minute * MINUTE for minute in range(due)]
    assert job.next_fire_at == (now + MINUTE if job.is_active else None)


def test_a_change_after_the_end_date_records_what_was_due_up_to_it():
    ends_at = NOON + timedelta(hours=3)  # Midnight in Tokyo.
    job = make_due_job(end_date=date(2026, 1, 15), catch_up=CatchUp.ALL, misfire_grace_seconds=24 * 3600)
    change(job, now=NOON + timedelta(hours=5), target_url="https://new.example.com/")
    moments = JobExecution.objects.order_by("scheduled_for").values_list("scheduled_for", flat=True)
    assert (len(moments), moments.last()) == (180, ends_at - MINUTE)


def test_a_pause_leaves_manual_runs_and_runs_that_are_out_alone():
    job = make_due_job(next_fire_at=NOON + MINUTE)
    make_execution(job, status=Status.QUEUED)
    make_execution(job, status=Status.RUNNING, trigger_type=TriggerType.SCHEDULED)
    change(job, is_active=False)
    assert sorted(JobExecution.objects.values_list("status", flat=True)) == ["queued", "running"]


def test_the_end_date_keeps_what_was_due_before_it():
    job = make_due_job(end_date=date(2026, 1, 15))
    job.is_active = False
    reschedule(job, now=NOON, ended=True)
    assert rows() == [("queued", "12:00")]


def test_resuming_owes_nothing_of_the_time_at_rest():
    job = make_due_job(is_active=False, next_fire_at=None)
    change(job, now=NOON + timedelta(days=1), is_active=True)
    assert not JobExecution.objects.exists()
    assert job.next_fire_at == NOON + timedelta(days=1) + MINUTE


def test_an_edit_before_the_fire_time_owes_nothing():
    change(make_due_job(), now=NOON - timedelta(seconds=1), target_url="https://new.example.com/")
    assert not JobExecution.objects.exists()


def test_many_jobs_are_rescheduled_with_as_many_statements_as_one(django_assert_max_num_queries):
    jobs = [make_due_job() for _ in range(30)]
    with django_assert_max_num_queries(12):
        reschedule_all(jobs, now=NOON)
    assert JobExecution.objects.count() == 30


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the others know how many rows have a status")
def test_what_is_open_is_not_looked_for_in_the_whole_history_of_a_job(django_assert_num_queries):
    job_id = make_execution().job_id
    with django_assert_num_queries(2) as asked:
        open_executions([job_id])
    with connection.cursor() as cursor:
        plans = [cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}").fetchall() for query in asked.captured_queries]
    assert "executions_of_job_by_status (job_id=? AND status=?)" in str(plans[0])
    assert "github_runs_tracked (tracking=?)" in str(plans[1])


def test_runs_followed_at_github_are_open_executions_of_their_job():
    mine, other, settled = (make_execution(execution_type=ExecutionType.GITHUB_ACTIONS) for _ in range(3))
    for execution, tracking in ((mine, Tracking.FOLLOWED), (other, Tracking.FOLLOWED), (settled, Tracking.CONCLUDED)):
        GitHubRun.objects.create(execution=execution, repository="o/r", created_at=NOON, tracking=tracking)
    queued = make_execution(mine.job, status=Status.QUEUED)
    found = open_executions([mine.job_id, settled.job_id])
    assert found == {mine.job_id: 2}
    assert followed_executions({queued.job_id}) == [(mine.job_id, mine.id)]
