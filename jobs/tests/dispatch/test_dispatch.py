"""One execution from queued to settled: start, execute, record; and manual runs."""

import threading
from datetime import date, timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone
from werkzeug import Response

from cronsched.lib.errors import TooManyRequests
from jobs import dispatch
from jobs.dispatch import blocking_requests, manual
from jobs.executors.webhook import WebhookRequest
from jobs.history import daily_counts
from jobs.models import DailyCount, Job, JobExecution, Overlap, Status, TriggerType
from jobs.schedule.scheduled_job import Overrides, ScheduledJob
from jobs.tests.factories import NOON, make_execution, make_job
from jobs.tests.scheduler.helpers import (
    MINUTE,
    OTHER_SENDER,
    SENDER,
    claim,
    failure,
    make_due_job,
    only_row,
    record,
    start,
    success,
)
from notifications.models import Notification

pytestmark = [pytest.mark.database, pytest.mark.django_db]

SECOND = timedelta(seconds=1)


def make_queued(job=None, **fields):
    defaults = {"status": Status.QUEUED, "trigger_type": TriggerType.SCHEDULED, "scheduled_for": NOON}
    return make_execution(job or make_job(), **defaults | fields)


# --- Start -----------------------------------------------------------------------------------------------------------


def test_a_queued_row_is_started_once():
    execution = make_queued()
    (prepared,) = start(execution, now=NOON + SECOND)
    assert start(execution, sender=OTHER_SENDER) == []
    execution.refresh_from_db()
    assert (execution.status, execution.sender, execution.started_at) == ("running", SENDER, NOON + SECOND)
    assert prepared.execution_id == execution.pk


def test_a_row_is_sent_by_the_definition_as_it_is_when_it_starts():
    job = make_job(target_url="https://old.example.com/")
    execution = make_queued(job, target=job.target_url)
    Job.objects.filter(pk=job.pk).update(target_url="https://new.example.com/")
    (prepared,) = start(execution)
    execution.refresh_from_db()
    assert prepared.request.url == execution.target == execution.request_snapshot["url"] == "https://new.example.com/"


def test_a_row_is_not_started_before_its_time():
    execution = make_queued(not_before=NOON + SECOND)
    assert start(execution, now=NOON) == []
    assert len(start(execution, now=NOON + SECOND)) == 1


def test_a_scheduled_run_of_a_paused_job_is_skipped_and_a_manual_run_is_not():
    job = make_job(is_active=False)
    scheduled = make_queued(job)
    manual = make_queued(job, trigger_type=TriggerType.MANUAL, scheduled_for=None)
    assert [prepared.execution_id for prepared in start(scheduled, manual)] == [manual.pk]
    scheduled.refresh_from_db()
    assert (scheduled.status, scheduled.completed_at) == ("skipped", NOON)
    assert "paused" in scheduled.reason
    assert DailyCount.objects.get(job_key=job.pk).status == "skipped"


def test_a_retry_of_a_paused_job_ends_as_the_failure_it_was():
    execution = make_queued(make_job(is_active=False), attempt=2, error_message="Webhook returned status 500")
    start(execution)
    execution.refresh_from_db()
    assert (execution.status, execution.error_message) == ("failed", "Webhook returned status 500")


def test_the_last_run_of_the_end_date_is_sent_after_the_job_ended():
    # The fire time is 23:59 in Tokyo on the end date; at 15:00 UTC the next day has begun there.
    fire_time = NOON.replace(hour=14, minute=59)
    job = make_job(is_active=False, end_date=date(2026, 1, 15))
    execution = make_queued(job, scheduled_for=fire_time)
    assert len(start(execution, now=fire_time + MINUTE)) == 1


def test_runs_of_a_queueing_job_go_one_by_one_in_the_order_of_their_fire_times():
    job = make_job(overlap=Overlap.QUEUE)
    later, first = make_queued(job, scheduled_for=NOON + MINUTE), make_queued(job)
    assert [item.execution_id for item in start(later, first)] == [first.pk]
    assert start(later) == []
    record(start(first) or [prepared_for(first)], success(), at=NOON)
    assert [item.execution_id for item in start(later)] == [later.pk]


def test_a_retry_that_waits_keeps_its_place_in_the_queue():
    job = make_job(overlap=Overlap.QUEUE)
    make_queued(job, attempt=2, not_before=NOON + MINUTE)
    assert start(make_queued(job, scheduled_for=NOON + MINUTE)) == []


def test_a_manual_run_bypasses_the_queue():
    job = make_job(overlap=Overlap.QUEUE)
    make_queued(job)
    assert len(start(make_queued(job, trigger_type=TriggerType.MANUAL, scheduled_for=None))) == 1


def test_a_row_that_cannot_be_prepared_is_failed_and_counted():
    execution = make_queued()
    dispatch.fail_unsent(execution.pk, "TypeError: no\x00", now=NOON)
    execution.refresh_from_db()
    assert (execution.status, execution.error_message) == ("failed", "Request failed: TypeError: no")
    assert DailyCount.objects.filter(status="failed", count=1).count() == 2


def prepared_for(execution):
    """Return the request of a row that is running already."""
    job = ScheduledJob.read(Job.objects.filter(pk=execution.job_id))[0]
    return dispatch.prepare(execution.pk, job, fire_time=execution.scheduled_for, attempt=execution.attempt)


# --- Execute ---------------------------------------------------------------------------------------------------------


def test_a_bug_in_an_executor_is_a_failed_run_and_no_exception(caplog):
    prepared = prepared_for(make_queued())
    unreadable: Any = None
    outcome = dispatch.execute(prepared._replace(request=WebhookRequest(url=unreadable)))
    assert (outcome.status, outcome.error_message) == ("failed", "Request failed: internal error")
    assert str(prepared.execution_id) in caplog.text


# --- Record ----------------------------------------------------------------------------------------------------------


def test_an_outcome_is_written_with_its_notice_and_its_count():
    job = make_due_job()
    prepared = claim().prepared
    assert record(prepared, success(response_status=200, output="ok"), at=NOON + 2 * SECOND) == 1
    row = only_row()
    assert (row.status, row.response_status, row.output, row.duration_seconds) == ("success", 200, "ok", 2.0)
    assert (row.completed_at, row.deadline_at) == (NOON + 2 * SECOND, None)
    assert Notification.objects.get().title == "Job Completed"
    count = DailyCount.objects.get(job_key=job.pk)
    assert (count.status, count.count, count.timed, count.seconds) == ("success", 1, 1, 2.0)


def test_nul_of_a_target_is_stripped():
    make_due_job()
    record(claim().prepared, failure(output="a\x00b", error_message="c\x00d"), at=NOON)
    assert (only_row().output, only_row().error_message) == ("ab", "cd")


def test_only_the_sender_may_say_what_became_of_a_row():
    make_due_job()
    prepared = claim().prepared
    assert record(prepared, success(), at=NOON, sender=OTHER_SENDER) == 0
    assert only_row().status == "running"
    assert not Notification.objects.exists()


def test_a_late_answer_cannot_overwrite_a_newer_truth():
    make_due_job()
    prepared = claim().prepared
    record(prepared, success(), at=NOON)
    assert record(prepared, failure(), at=NOON + MINUTE) == 0
    assert only_row().status == "success"


def test_an_unknown_outcome_is_corrected_by_its_sender_in_row_and_counts():
    job = make_due_job()
    prepared = claim().prepared
    JobExecution.objects.update(status=Status.UNKNOWN, reason="lost", completed_at=NOON)
    daily_counts.add(daily_counts.of(JobExecution.objects.all()))
    assert record(prepared, success(), at=NOON + MINUTE, sender=OTHER_SENDER) == 0
    assert record(prepared, success(), at=NOON + MINUTE) == 1
    assert (only_row().status, only_row().reason) == ("success", None)
    assert dict(DailyCount.objects.filter(job_key=job.pk).values_list("status", "count")) == {
        "success": 1,
        "unknown": 0,
    }


def test_a_deleted_job_takes_its_outcome_with_it():
    job = make_due_job()
    prepared = claim().prepared
    job.delete()
    assert record(prepared, success(), at=NOON) == 0


def test_failures_in_a_row_are_counted_and_forgotten_after_a_success():
    job = make_due_job()
    for minute in range(3):
        record(claim(NOON + minute * MINUTE).prepared, failure(), at=NOON + minute * MINUTE)
    job.refresh_from_db()
    assert job.consecutive_failures == 3
    record(claim(NOON + 3 * MINUTE).prepared, success(), at=NOON + 3 * MINUTE)
    job.refresh_from_db()
    assert job.consecutive_failures == 0


def test_a_batch_is_written_with_a_number_of_statements_that_does_not_grow(django_assert_max_num_queries):
    for _ in range(60):
        make_due_job()
    prepared = claim().prepared
    with django_assert_max_num_queries(27):
        assert record(prepared, failure(), at=NOON) == 60


def test_plain_successes_take_few_statements_and_one_savepoint(django_assert_max_num_queries):
    for _ in range(60):
        make_due_job()
    prepared = claim().prepared
    with django_assert_max_num_queries(13) as asked:
        assert record(prepared, success(), at=NOON) == 60
    savepoints = [query["sql"] for query in asked if query["sql"].startswith("SAVEPOINT")]
    # That of the notices, and the one by which a test makes a transaction.
    assert len(savepoints) <= 2


# --- Attempts --------------------------------------------------------------------------------------------------------


def test_without_attempts_nothing_is_sent_again():
    make_due_job()
    record(claim().prepared, failure(retryable=True), at=NOON)
    assert only_row().status == "failed"


def test_a_retry_waits_longer_each_time_and_keeps_the_same_id():
    job = make_due_job(max_attempts=3, backoff_seconds=30)
    (prepared,) = claim().prepared
    record([prepared], failure(retryable=True), at=NOON + SECOND)
    row = only_row()
    assert (row.status, row.attempt, row.completed_at, row.duration_seconds) == ("queued", 2, None, None)
    first_wait = (row.not_before - NOON - SECOND).total_seconds()
    assert 30 <= first_wait <= 37.5
    (again,) = start(row, now=row.not_before)
    assert again.request.run.execution_id == prepared.request.run.execution_id
    assert again.request.run.attempt == 2
    record([again], failure(retryable=True), at=row.not_before)
    second = only_row()
    assert 60 <= (second.not_before - row.not_before).total_seconds() <= 75
    assert [item["attempt"] for item in second.earlier_attempts] == [1, 2]
    assert not Notification.objects.exists()
    job.refresh_from_db()
    assert job.consecutive_failures == 0


def test_the_last_attempt_settles_the_row_and_the_first_request_stays_its_start():
    make_due_job(max_attempts=2)
    record(claim().prepared, failure(retryable=True), at=NOON)
    prepared = start(only_row(), now=NOON + MINUTE)
    record(prepared, failure(retryable=True), at=NOON + 2 * MINUTE)
    row = only_row()
    assert (row.status, row.attempt, row.started_at, len(row.earlier_attempts)) == ("failed", 2, NOON, 1)
    assert row.earlier_attempts[0]["error_message"] == "Webhook returned status 500"
    assert Notification.objects.get().title == "Job Failed"


def test_an_outcome_that_cannot_get_better_is_not_tried_again():
    make_due_job(max_attempts=5)
    record(claim().prepared, failure(retryable=False), at=NOON)
    assert only_row().status == "failed"


def test_a_retry_after_of_the_target_is_obeyed():
    make_due_job(max_attempts=2, backoff_seconds=1)
    record(claim().prepared, failure(retryable=True, retry_after=timedelta(minutes=7)), at=NOON)
    assert only_row().not_before == NOON + timedelta(minutes=7)


def test_a_run_is_not_tried_again_a_day_later():
    make_due_job(max_attempts=20)
    record(claim().prepared, failure(retryable=True, retry_after=timedelta(hours=24)), at=NOON + SECOND)
    assert only_row().status == "failed"


def test_what_was_called_unknown_is_corrected_but_not_tried_again():
    make_due_job(max_attempts=5)
    prepared = claim().prepared
    JobExecution.objects.update(status=Status.UNKNOWN)
    record(prepared, failure(retryable=True), at=NOON)
    assert only_row().status == "failed"


# --- By hand ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def hook(httpserver):
    httpserver.expect_request("/hook").respond_with_data("thanks")
    return httpserver.url_for("/hook")


def join_manual_runs():
    for thread in threading.enumerate():
        if thread.name == "manual run":
            thread.join(30)


def test_a_manual_run_is_settled_when_it_returns(hook):
    job = make_job(target_url=hook, is_active=False)
    execution = dispatch.run_manually(job, overrides=None, now=timezone.now())
    assert (execution.status, execution.trigger_type, execution.output) == ("success", "manual", "thanks")
    assert execution.scheduled_for is None
    assert Notification.objects.get().related_execution_id == execution.pk


def test_overrides_hold_for_one_run_and_no_token_is_stored(httpserver, hook):
    job = make_job(target_url="https://unused.example.com/", metadata={"stored": True})
    overrides = Overrides(metadata={"sent": 1}, target_url=hook, github_token="ghp_secret")
    execution = dispatch.run_manually(job, overrides=overrides, now=timezone.now())
    assert httpserver.log[0][0].json == {"sent": 1}
    assert execution.target == hook
    assert execution.overrides == {"metadata": {"sent": 1}, "target_url": hook}
    assert "ghp_secret" not in repr(overrides) + str(execution.request_snapshot)
    job.refresh_from_db()
    assert job.metadata == {"stored": True}


def test_a_run_that_is_queued_as_manual_is_sent_by_the_leader(hook):
    job = make_job(target_url="https://unused.example.com/")
    execution = dispatch.queue_run(job, overrides=Overrides(target_url=hook), now=NOON)
    assert (execution.status, execution.trigger_type) == ("queued", "manual")
    (prepared,) = start(execution)
    assert prepared.request.url == hook


def many_wait(monkeypatch, settings):
    monkeypatch.setattr(blocking_requests, "slots", threading.BoundedSemaphore(1))
    blocking_requests.slots.acquire()
    monkeypatch.setattr(blocking_requests, "BRIEF_SECONDS", 0.2)


def patience_is_short(monkeypatch, settings):
    settings.MANUAL_RUN_WAIT_SECONDS = 0.2


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("circumstance", [patience_is_short, many_wait])
def test_after_the_bounded_wait_the_run_goes_on_and_records_itself(httpserver, monkeypatch, settings, circumstance):
    circumstance(monkeypatch, settings)
    answer = threading.Event()

    def slow(request):
        answer.wait(30)
        return Response("late")

    httpserver.expect_request("/slow").respond_with_handler(slow)
    job = make_job(target_url=httpserver.url_for("/slow"))
    execution = dispatch.run_manually(job, overrides=None, now=timezone.now())
    assert execution.status == "running"
    answer.set()
    join_manual_runs()
    execution.refresh_from_db()
    assert (execution.status, execution.output) == ("success", "late")


@pytest.fixture
def refusals(monkeypatch):
    """The database's answers to the first attempts to write an outcome, the soonest last."""
    refusals: list[OperationalError] = []
    write = dispatch.record_each

    def write_unless_refused(*args, **kwargs):
        if refusals:
            raise refusals.pop()
        return write(*args, **kwargs)

    monkeypatch.setattr(manual, "record_each", write_unless_refused)
    monkeypatch.setattr(manual, "RETRY_SECONDS", 0.01)
    return refusals


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("number", [1, 3])
def test_the_outcome_of_a_manual_run_outlives_a_database_that_refuses_it(hook, refusals, number):
    refusals += number * [OperationalError(1205, "Lock wait timeout exceeded")]
    execution = dispatch.run_manually(make_job(target_url=hook), overrides=None, now=timezone.now())
    # The caller that waits gets the row as it is; the run goes on to write it.
    assert execution.status in {"running", "success"}
    join_manual_runs()
    execution.refresh_from_db()
    assert (execution.status, execution.output) == ("success", "thanks")


@pytest.mark.django_db(transaction=True)
def test_the_outcome_of_a_manual_run_is_given_up_some_time(hook, refusals, monkeypatch, caplog):
    monkeypatch.setattr(manual, "KEEP_SECONDS", 0.0)
    refusals += 2 * [OperationalError("the database is away")]
    execution = dispatch.run_manually(make_job(target_url=hook), overrides=None, now=timezone.now())
    join_manual_runs()
    execution.refresh_from_db()
    assert execution.status == "running"
    assert f"Gave up the outcome of execution {execution.pk}" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_a_deadlock_costs_whoever_waits_nothing(hook, refusals):
    refusals.append(OperationalError(1213, "Deadlock found when trying to get lock"))
    execution = dispatch.run_manually(make_job(target_url=hook), overrides=None, now=timezone.now())
    assert execution.status == "success"


@pytest.mark.django_db(transaction=True)
def test_a_manual_run_that_met_others_in_a_deadlock_leaves_all_the_same(hook, monkeypatch):
    refusals = [OperationalError(1213, "Deadlock found when trying to get lock")]
    take = dispatch.acquire_dispatch_slots

    def take_unless_refused(*args, **kwargs):
        if refusals:
            raise refusals.pop()
        return take(*args, **kwargs)

    monkeypatch.setattr(manual, "acquire_dispatch_slots", take_unless_refused)
    execution = dispatch.run_manually(make_job(target_url=hook), overrides=None, now=timezone.now())
    assert execution.status == "success"


def test_a_manual_run_ends_by_the_clock_it_started_by(hook):
    """Its caller's clock is the database's, which this host's need not agree with."""
    now = timezone.now() - timedelta(hours=1)
    execution = dispatch.run_manually(make_job(target_url=hook), overrides=None, now=now)
    assert execution.started_at == now
    assert 0 <= execution.duration_seconds < 60


@pytest.fixture
def one_slot(monkeypatch):
    """Let one manual run be out at a time."""
    slot = threading.BoundedSemaphore(1)
    monkeypatch.setattr(manual, "_slots", slot)
    return slot


@pytest.mark.parametrize("token", [None, "ghp_of_this_run"])
def test_a_manual_run_that_finds_no_thread_is_queued_or_refused(hook, one_slot, monkeypatch, token):
    """And leaves its slot to the next, which finds one."""
    begin, refusals = threading.Thread.start, [RuntimeError("can't start new thread")]

    def begin_unless_refused(thread):
        if thread.name == "manual run" and refusals:
            raise refusals.pop()
        begin(thread)

    monkeypatch.setattr(threading.Thread, "start", begin_unless_refused)
    job, overrides = make_job(target_url=hook), Overrides(github_token=token)
    if token:
        with pytest.raises(TooManyRequests):
            dispatch.run_manually(job, overrides=overrides, now=timezone.now())
        assert not JobExecution.objects.exists()
    else:
        assert dispatch.run_manually(job, overrides=overrides, now=timezone.now()).status == "queued"
    assert dispatch.run_manually(job, overrides=overrides, now=timezone.now()).status == "success"


def test_more_manual_runs_than_a_process_holds_are_queued_for_the_leader(hook, one_slot):
    assert one_slot.acquire()
    execution = dispatch.run_manually(make_job(target_url=hook), overrides=None, now=timezone.now())
    assert execution.status == "queued"
