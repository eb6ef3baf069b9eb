"""Which failures are followed by another attempt, what is kept of each, and when a job pauses itself."""

from datetime import date, timedelta

import pytest

from jobs import dispatch
from jobs.definitions import request_options
from jobs.dispatch import Result
from jobs.executors.base import Failure, Outcome
from jobs.history.reasons import PAUSED
from jobs.models import Job, JobExecution, Overlap, RateLimitBucket
from jobs.services import auto_pause, pause_job, resume_job
from jobs.tests.conftest import WORKFLOW
from jobs.tests.factories import NOON
from jobs.tests.scheduler.helpers import MINUTE, SENDER, claim, failure, make_due_job, only_row, record, start, success
from notifications.models import Notification

pytestmark = [pytest.mark.database, pytest.mark.django_db]

SECOND = timedelta(seconds=1)

UNREACHED = failure(response_status=None, failure=Failure.NO_ANSWER, retryable=True, request_sent=False)
TIMED_OUT = failure(response_status=None, failure=Failure.NO_ANSWER, retryable=True, request_sent=True)
SERVER_ERROR = failure(response_status=503, failure=Failure.BAD_ANSWER, retryable=True, request_sent=True)
REFUSED = failure(response_status=404, failure=Failure.BAD_ANSWER, request_sent=True)
INVALID = failure(response_status=None, failure=Failure.INVALID)


def make_retrying_job(**fields):
    return make_due_job(**{"max_attempts": 3, "backoff_seconds": 60, **fields})


@pytest.mark.parametrize(
    "retry_on, outcome, again",
    [
        (None, UNREACHED, True),
        (None, TIMED_OUT, True),
        (None, SERVER_ERROR, True),
        (None, REFUSED, False),
        (None, INVALID, False),
        ("unsent", UNREACHED, True),
        ("unsent", TIMED_OUT, False),
        ("unsent", SERVER_ERROR, False),
        ("any", TIMED_OUT, True),
        ("any", REFUSED, True),
        # It can never go better.
        ("any", INVALID, False),
        ("any", success(), False),
    ],
)
def test_the_job_chooses_which_failures_are_tried_again(retry_on, outcome, again):
    make_retrying_job(request_options={"retry_on": retry_on} if retry_on else {})
    record(claim().prepared, outcome, at=NOON + SECOND)
    assert (only_row().status == "queued") is again


@pytest.mark.parametrize("outcome", [UNREACHED, TIMED_OUT, SERVER_ERROR])
def test_without_attempts_nothing_is_sent_twice(outcome):
    make_due_job(request_options={"retry_on": "any"})
    record(claim().prepared, outcome, at=NOON + SECOND)
    assert only_row().status == "failed"


def test_each_attempt_is_kept_with_what_became_of_it():
    make_retrying_job()
    record(claim().prepared, SERVER_ERROR, at=NOON + SECOND)
    second_at = only_row().not_before
    assert NOON + 61 * SECOND <= second_at <= NOON + 76 * SECOND
    record(start(only_row(), now=second_at), TIMED_OUT, at=second_at + SECOND)
    third_at = only_row().not_before
    record(start(only_row(), now=third_at), success(), at=third_at + SECOND)
    row = only_row()
    assert (row.status, row.attempt, row.started_at, row.not_before) == ("success", 3, NOON, third_at)
    assert [(past["attempt"], past["response_status"]) for past in row.earlier_attempts] == [(1, 503), (2, None)]


ASKED = failure(response_status=429, failure=Failure.BAD_ANSWER, retryable=True, retry_after=timedelta(seconds=300))


@pytest.mark.parametrize(
    ("fields", "outcome", "reason"),
    [
        ({}, SERVER_ERROR, None),
        ({"max_attempts": 2}, success(), None),
        ({"max_attempts": 2}, REFUSED, "Not tried again: this failure is not temporary (retry_on is temporary)."),
        (
            {"max_attempts": 2, "request_options": {"retry_on": "unsent"}},
            TIMED_OUT,
            "Not tried again: the request may have reached the target (retry_on is unsent).",
        ),
        (
            {"max_attempts": 2, "request_options": {"retry_on": "any"}},
            INVALID,
            "Not tried again: no further attempt could succeed.",
        ),
        (
            {"max_attempts": 3, "request_options": {"retry_max_age_seconds": 60}},
            ASKED,
            "Not tried again: the target asked to wait 300 s; the next attempt would begin 301 s after the first,"
            " and retry_max_age_seconds allows 60 s.",
        ),
    ],
)
def test_a_decision_not_to_try_again_has_its_reason(fields, outcome, reason):
    make_due_job(**fields)
    record(claim().prepared, outcome, at=NOON + SECOND)
    assert only_row().status in {"failed", "success"}
    assert only_row().reason == reason


def test_the_last_of_several_attempts_says_that_it_was():
    make_retrying_job(max_attempts=2)
    record(claim().prepared, SERVER_ERROR, at=NOON + SECOND)
    assert only_row().reason is None
    second_at = only_row().not_before
    record(start(only_row(), now=second_at), SERVER_ERROR, at=second_at + SECOND)
    assert (only_row().status, only_row().reason) == ("failed", "All 2 attempts failed.")


def test_a_job_that_was_paused_meanwhile_and_an_outcome_that_came_late_say_so():
    job = make_retrying_job()
    paused = claim().prepared
    Job.objects.filter(pk=job.pk).update(is_active=False, next_fire_at=None, updated_at=NOON)
    record(paused, SERVER_ERROR, at=NOON + SECOND)
    assert only_row().reason == "Not tried again: the job was paused meanwhile."
    JobExecution.objects.all().delete()
    make_retrying_job()
    late = claim().prepared
    JobExecution.objects.update(status="unknown")
    record(late, SERVER_ERROR, at=NOON + SECOND)
    assert only_row().reason == "Not tried again: the outcome came after it had been called unknown."


def test_a_target_that_asks_for_more_time_gets_it():
    make_retrying_job()
    record(claim().prepared, failure(retryable=True, retry_after=timedelta(minutes=30)), at=NOON)
    assert only_row().not_before == NOON + timedelta(minutes=30)


@pytest.mark.parametrize("seconds, again", [(None, True), (3600, True), (1799, False)])
def test_an_attempt_too_long_after_the_first_is_none_of_the_same_run(seconds, again):
    make_retrying_job(request_options={"retry_max_age_seconds": seconds} if seconds else {})
    record(claim().prepared, failure(retryable=True, retry_after=timedelta(minutes=30)), at=NOON)
    assert (only_row().status == "queued") is again


def test_an_outcome_that_is_written_already_says_nothing_about_the_next_attempt():
    make_retrying_job()
    prepared = claim().prepared
    # The commit went through and its answer was lost, so the outcome is brought again later.
    assert record(prepared, SERVER_ERROR, at=NOON + SECOND) == 1
    second_at = only_row().not_before
    assert record(prepared, SERVER_ERROR, at=NOON + SECOND) == 0
    (second,) = start(only_row(), now=second_at)
    assert record(prepared, SERVER_ERROR, at=NOON + SECOND) == 0
    assert (only_row().status, only_row().attempt) == ("running", 2)
    assert record([second], success(), at=second_at + SECOND) == 1
    assert len(only_row().earlier_attempts) == 1


# The end of the date in Tokyo, where the scheduler's dates are.
MIDNIGHT = NOON + timedelta(hours=3)


@pytest.mark.parametrize("fails_at", [MIDNIGHT - MINUTE, MIDNIGHT + MINUTE])
def test_a_run_whose_job_a_person_paused_is_not_tried_again(fails_at, admin):
    due_at = MIDNIGHT - 2 * MINUTE
    job = make_retrying_job(next_fire_at=due_at, end_date=date(2026, 1, 15))
    prepared = claim(due_at).prepared
    pause_job(job.pk, by=admin, now=due_at + SECOND)
    Job.objects.update(updated_at=due_at + SECOND)
    record(prepared, SERVER_ERROR, at=fails_at)
    assert (only_row().status, only_row().response_status) == ("failed", 503)


def test_a_run_whose_job_came_to_its_end_is_tried_again():
    job = make_retrying_job(next_fire_at=MIDNIGHT - MINUTE, end_date=date(2026, 1, 15))
    prepared = claim(MIDNIGHT - MINUTE).prepared
    assert auto_pause(job.pk, now=MIDNIGHT) is not None
    record(prepared, SERVER_ERROR, at=MIDNIGHT + SECOND)
    assert len(start(only_row(), now=MIDNIGHT + 5 * MINUTE)) == 1


def test_a_failure_before_the_end_date_that_is_recorded_after_it_is_tried_again():
    job = make_retrying_job(next_fire_at=MIDNIGHT - MINUTE, end_date=date(2026, 1, 15))
    results = [Result(prepared, SERVER_ERROR, MIDNIGHT - SECOND) for prepared in claim(MIDNIGHT - MINUTE).prepared]
    assert auto_pause(job.pk, now=MIDNIGHT) is not None
    dispatch.record(results, sender=SENDER, now=MIDNIGHT + SECOND)
    assert only_row().status == "queued"


def test_a_manual_run_of_a_paused_job_is_tried_again():
    job = make_retrying_job(is_active=False, next_fire_at=None)
    prepared = start(dispatch.queue_run(job, now=NOON))
    record(prepared, SERVER_ERROR, at=NOON + SECOND)
    assert (only_row().status, only_row().attempt) == ("queued", 2)


# --- Pausing what keeps failing --------------------------------------------------------------------------------------


def fail_once(at, **fields) -> None:
    record(claim(at).prepared, failure(**fields), at=at + SECOND)


def test_a_job_pauses_itself_after_its_number_of_failures_in_a_row(alice):
    job = make_due_job(pause_after_failures=3, created_by=alice)
    for minute in range(3):
        assert Job.objects.get().is_active
        fail_once(NOON + minute * MINUTE)
    job.refresh_from_db()
    assert (job.is_active, job.next_fire_at, job.consecutive_failures) == (False, None, 3)
    notice = Notification.objects.get(title="Job paused (too many failures)")
    assert notice.message == f'Job "{job.name}" failed 3 times in a row and was paused.'


def test_a_success_in_between_starts_the_count_anew():
    make_due_job(pause_after_failures=2)
    fail_once(NOON)
    record(claim(NOON + MINUTE).prepared, success(), at=NOON + MINUTE)
    fail_once(NOON + 2 * MINUTE)
    assert Job.objects.get().is_active


@pytest.mark.parametrize("never", [None, 0])
def test_a_job_that_does_not_ask_for_it_is_never_paused(never):
    make_due_job(pause_after_failures=never)
    for minute in range(5):
        fail_once(NOON + minute * MINUTE)
    job = Job.objects.get()
    assert (job.is_active, job.consecutive_failures) == (True, 5)


def test_attempts_of_one_run_are_one_failure():
    make_retrying_job(pause_after_failures=1)
    record(claim().prepared, SERVER_ERROR, at=NOON + SECOND)
    assert Job.objects.get().is_active


def test_what_waits_of_a_job_that_pauses_itself_is_settled():
    make_due_job(pause_after_failures=1, overlap=Overlap.QUEUE)
    first = claim().prepared
    claim(NOON + MINUTE)
    record(first, failure(), at=NOON + MINUTE + SECOND)
    waiting = JobExecution.objects.get(scheduled_for=NOON + MINUTE)
    assert (waiting.status, waiting.reason) == ("skipped", PAUSED)


def test_a_job_that_was_resumed_may_fail_as_often_again(admin):
    job = make_due_job(pause_after_failures=2)
    fail_once(NOON)
    fail_once(NOON + MINUTE)
    resume_job(job.pk, by=admin, now=NOON + 2 * MINUTE)
    assert Job.objects.get().consecutive_failures == 0
    fail_once(NOON + 3 * MINUTE)
    assert Job.objects.get().is_active


# --- Turned away by GitHub -------------------------------------------------------------------------------------------

TURNED_AWAY = Outcome(
    "failed",
    "github_actions",
    "acme/shop/deploy.yml",
    response_status=403,
    error_message="GitHub Actions dispatch failed. Status: 403, Response: rate limit",
    failure=Failure.RATE_LIMITED,
    retryable=True,
    retry_after=timedelta(seconds=90),
    request_sent=True,
)


@pytest.fixture
def workflow(settings):
    settings.GITHUB_TOKEN = "ghp_of_the_server"
    return make_due_job(**WORKFLOW)


def test_a_dispatch_that_was_turned_away_waits_and_is_no_further_attempt(workflow):
    record(claim().prepared, TURNED_AWAY, at=NOON + SECOND)
    row = only_row()
    # A single attempt is all that the job asked for; GitHub did nothing, so this is still the first.
    assert (row.status, row.attempt, row.not_before) == ("queued", 1, NOON + 91 * SECOND)
    assert RateLimitBucket.objects.get().blocked_until == NOON + 91 * SECOND
    assert not Notification.objects.exists()
    (prepared,) = start(row, now=NOON + 91 * SECOND)
    record([prepared], TURNED_AWAY, at=NOON + 92 * SECOND)
    (past,) = only_row().earlier_attempts
    assert (past["attempt"], past["times"], past["response_status"]) == (1, 2, 403)


def test_a_refusal_that_is_written_already_says_nothing_about_the_next_try(workflow):
    prepared = claim().prepared
    record(prepared, TURNED_AWAY, at=NOON + SECOND)
    again = start(only_row(), now=NOON + 91 * SECOND)
    assert record(prepared, TURNED_AWAY, at=NOON + SECOND) == 0
    assert only_row().status == "running"
    record(again, TURNED_AWAY, at=NOON + 92 * SECOND)
    assert only_row().earlier_attempts[0]["times"] == 2


def test_others_of_the_same_credential_wait_as_well(workflow):
    record(claim().prepared, TURNED_AWAY, at=NOON + SECOND)
    other = make_due_job(**WORKFLOW, next_fire_at=NOON + MINUTE)
    assert claim(NOON + MINUTE).prepared == []
    assert JobExecution.objects.get(job=other).not_before >= NOON + 91 * SECOND


def test_a_dispatch_that_is_turned_away_for_too_long_has_failed(workflow):
    Job.objects.update(request_options={"retry_max_age_seconds": 60})
    record(claim().prepared, TURNED_AWAY, at=NOON + SECOND)
    assert (only_row().status, only_row().response_status) == ("failed", 403)


def test_the_age_of_a_dispatch_counts_from_the_first_time_it_was_turned_away(workflow):
    Job.objects.update(request_options={"retry_max_age_seconds": 240})
    prepared, now = claim().prepared, NOON
    for _ in range(2):
        record(prepared, TURNED_AWAY, at=now + SECOND)
        now = only_row().not_before
        prepared = start(only_row(), now=now)
        assert only_row().started_at == NOON
    record(prepared, TURNED_AWAY, at=now + SECOND)
    assert (only_row().status, only_row().earlier_attempts[0]["times"]) == ("failed", 2)


def test_one_that_was_turned_away_and_then_paused_never_ran(workflow, admin):
    record(claim().prepared, TURNED_AWAY, at=NOON + SECOND)
    Job.objects.update(is_active=False, next_fire_at=None)
    start(only_row(), now=NOON + 2 * MINUTE)
    assert only_row().status == "skipped"


def test_a_webhook_that_says_429_uses_up_an_attempt():
    make_due_job()
    outcome = failure(response_status=429, failure=Failure.BAD_ANSWER, retryable=True, retry_after=SECOND)
    record(claim().prepared, outcome, at=NOON)
    assert only_row().status == "failed"


def test_dispatches_of_a_herd_are_claimed_at_once_and_leave_one_by_one(settings):
    settings.GITHUB_TOKEN = "ghp_of_the_server"
    for _ in range(5):
        make_due_job(**WORKFLOW)
    claimed = claim()
    assert len(claimed.prepared) == 1
    waiting = JobExecution.objects.filter(status="queued").order_by("not_before")
    assert [(row.not_before - NOON).total_seconds() for row in waiting] == [1, 2, 3, 4]
    assert start(*waiting, now=NOON + SECOND / 2) == []
    assert len(start(*waiting, now=NOON + SECOND)) == 1
    # The plan stands beside the time it really left.
    sent = JobExecution.objects.get(status="running", not_before=NOON + SECOND)
    assert (sent.planned_at, sent.started_at, sent.sender) == (NOON + SECOND, NOON + SECOND, SENDER)


def test_jobs_without_a_credential_wait_for_nobody(settings):
    settings.GITHUB_TOKEN = ""
    for _ in range(3):
        make_due_job(**WORKFLOW)
    assert len(claim().prepared) == 3
    assert not RateLimitBucket.objects.exists()


def test_options_that_are_not_chosen_are_not_stored():
    assert request_options.trimmed(request_options.DEFAULTS) == {}
    assert request_options.retry_max_age({}) == timedelta(days=1)


def test_a_job_whose_secrets_cannot_be_read_fails_before_anything_is_sent():
    make_due_job(request_options={"signing_secrets": 1}, encrypted_secrets="gAAAAA-not-ours")
    (prepared,) = claim().prepared
    outcome = dispatch.execute(prepared)
    assert (outcome.status, outcome.request_sent) == ("failed", False)
    assert "secrets cannot be decrypted" in (outcome.error_message or "")
    assert record([prepared], outcome, at=NOON) == 1
    assert (only_row().execution_type, only_row().target) == ("webhook", "https://hooks.example.com/")
