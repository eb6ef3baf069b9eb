"""An effect never costs an outcome: each is fed a row that the database refuses."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from importlib import import_module
from typing import Any

import pytest
from django.db import connection
from werkzeug import Response

from accounts.tests.factories import make_user
from cronsched.lib.db import batches
from jobs import dispatch
from jobs.chores.sweep import sweep
from jobs.dispatch import Result, record_each
from jobs.executors.base import Failure
from jobs.models import GitHubRun, Job, JobExecution, Status
from jobs.notices import events
from jobs.tests.factories import NOON, make_job
from jobs.tests.scheduler.helpers import MINUTE, SENDER, claim, failure, make_due_job, rows, start, success
from notifications.models import Delivery, Incident, Notification
from notifications.tests.conftest import use_mail_server
from notifications.tests.mail_server import free_port

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

SECOND = timedelta(seconds=1)
TOO_LONG = "a" * 250 + "@example.com"
HIGHEST = 2**31 - 1
MAILS = {"enable_email_notifications": True, "notification_emails": ["ops@example.com"]}


@pytest.fixture(autouse=True)
def outgoing_mail(settings: Any) -> None:
    use_mail_server(settings, free_port())


@pytest.fixture(autouse=True)
def admin(settings: Any) -> Any:
    return make_user(role="admin")


def lost(admin: Any) -> list[str]:
    return list(Notification.objects.filter(user=admin, event="effect_lost").values_list("message", flat=True))


def run_two(bad: Job, good: Job, outcome: Callable[[Any], Any]) -> None:
    """Fire both jobs, and record both outcomes in one batch."""
    prepared = [*claim().prepared, *start(*JobExecution.objects.filter(status=Status.QUEUED), now=NOON + MINUTE)]
    assert {item.job.id for item in prepared} == {bad.pk, good.pk}
    results = [Result(item, outcome(item), NOON + SECOND) for item in prepared]
    assert record_each(results, sender=SENDER, now=NOON + SECOND) == 2


def ended(job: Job) -> tuple[str, str | None]:
    row = JobExecution.objects.get(job=job)
    return row.status, row.error_message


FAILED = ("failed", "Webhook returned status 500")


def test_an_address_that_is_too_long_costs_its_mail_alone(admin, caplog):
    bad, good = make_due_job(**MAILS), make_due_job(**MAILS)
    Job.objects.filter(pk=bad.pk).update(notification_emails=["dev@example.com", TOO_LONG])
    run_two(bad, good, lambda _: failure())
    assert (ended(bad), ended(good)) == (FAILED, FAILED)
    assert sorted(Delivery.objects.values_list("related_job", "recipient")) == sorted(
        [(bad.pk, "dev@example.com"), (good.pk, "ops@example.com")]
    )
    assert Notification.objects.filter(event="run_failed").count() == 2
    (said,) = lost(admin)
    assert "recipient: 262 characters, at most 254" in said
    assert "could not be stored" in caplog.text


def test_addresses_that_are_no_texts_cost_the_mails_of_their_job_alone(admin):
    bad, good = make_due_job(**MAILS), make_due_job(**MAILS)
    Job.objects.filter(pk=bad.pk).update(notification_emails=[17, {"a": 1}])
    run_two(bad, good, lambda _: failure())
    assert (ended(bad), ended(good)) == (FAILED, FAILED)
    assert list(Delivery.objects.values_list("related_job", flat=True)) == [good.pk]
    assert len(lost(admin)) == 1


def test_an_incident_that_cannot_be_counted_costs_no_outcome_and_the_alert_goes_out(admin):
    bad, good = make_due_job(**MAILS), make_due_job(**MAILS)
    Incident.objects.create(job=bad, failing_since=NOON, last_failure_at=NOON, failures=HIGHEST)
    run_two(bad, good, lambda _: failure())
    assert (ended(bad), ended(good)) == (FAILED, FAILED)
    assert set(Incident.objects.values_list("job", "failures")) == {(bad.pk, HIGHEST), (good.pk, 1)}
    assert Delivery.objects.count() == 2
    assert "failures: " in lost(admin)[0]


def test_failures_that_cannot_be_counted_cost_no_outcome(admin):
    bad, good = make_due_job(), make_due_job()
    # SQLite counts on: it has no range of its own, and sums are made by the database.
    with connection.cursor() as cursor:
        key = batches.stored(connection, bad.pk)
        cursor.execute("UPDATE jobs SET consecutive_failures = %s WHERE id = %s", [HIGHEST, key])
    if connection.vendor == "mysql":
        Job.objects.filter(pk=bad.pk).update(consecutive_failures=2**32 - 1)
    run_two(bad, good, lambda _: failure())
    assert (ended(bad), ended(good)) == (FAILED, FAILED)
    assert Job.objects.get(pk=good.pk).consecutive_failures == 1
    assert Notification.objects.filter(event="run_failed").count() == 2
    assert len(lost(admin)) == (connection.vendor != "sqlite")


def test_a_notice_that_cannot_be_stored_costs_neither_the_outcome_nor_the_mail(admin, monkeypatch):
    bad, good = make_due_job(**MAILS), make_due_job(**MAILS)
    word = events.run_finished

    def too_long(job: Job, *arguments: Any, **named: Any) -> Any:
        message = word(job, *arguments, **named)
        return replace(message, title="x" * 256) if job.pk == bad.pk else message

    monkeypatch.setattr(events, "run_finished", too_long)
    run_two(bad, good, lambda _: failure())
    assert (ended(bad), ended(good)) == (FAILED, FAILED)
    assert list(Notification.objects.filter(event="run_failed").values_list("related_job", flat=True)) == [good.pk]
    assert Delivery.objects.count() == 2
    assert "title: 256 characters, at most 255" in lost(admin)[0]


@pytest.mark.parametrize(
    ("module", "step"), [("jobs.dispatch.record", "_read_jobs"), (events.__name__, "run_finished")]
)
def test_a_job_that_cannot_be_read_or_worded_is_told_of_plainly(admin, monkeypatch, module, step):
    bad, good = make_due_job(**MAILS), make_due_job(**MAILS)
    # By its name: the package shows the function of the same name.
    room = import_module(module)
    act = getattr(room, step)

    def unless_bad(subject: Any, *arguments: Any, **named: Any) -> Any:
        if bad.pk in (subject if isinstance(subject, list) else [subject.pk]):
            raise ValueError("no JSON")
        return act(subject, *arguments, **named)

    monkeypatch.setattr(room, step, unless_bad)
    run_two(bad, good, lambda _: failure())
    assert (ended(bad), ended(good)) == (FAILED, FAILED)
    assert Notification.objects.filter(event="run_failed").count() == 2
    assert list(Delivery.objects.values_list("related_job", flat=True)) == [good.pk]
    assert len(lost(admin)) == 1


@pytest.fixture
def dispatches(shop, settings) -> list[Job]:
    settings.TRACK_GITHUB_RUNS = True
    fields = {"target_url": None, "github_owner": "acme", "github_workflow_name": "deploy.yml"}
    return [make_due_job(github_repo=name, **fields) for name in ("bad", "good")]


def accepted(run_id: int) -> Any:
    return success(
        execution_type="github_actions",
        target="acme/x/deploy.yml",
        response_status=200,
        details={"run_id": run_id, "run_url": "https://github.example/"},
    )


def test_a_run_at_github_that_cannot_be_kept_costs_no_outcome(admin, dispatches):
    bad, good = dispatches
    run_two(bad, good, lambda item: accepted(2**63 if item.job.id == bad.pk else 7))
    assert {ended(bad)[0], ended(good)[0]} == {"success"}
    assert list(GitHubRun.objects.values_list("run_id", flat=True)) == [7]
    assert "The run at GitHub could not be stored: " in lost(admin)[0]


def test_a_run_whose_ownership_cannot_be_kept_costs_no_outcome(admin, dispatches):
    bad, good = dispatches

    def found(item: Any) -> Any:
        outcome = accepted(2**63 if item.job.id == bad.pk else 7)
        return replace(outcome, details={**outcome.details, "lookup": "run found"})

    run_two(bad, good, found)
    assert {ended(bad)[0], ended(good)[0]} == {"success"}
    assert list(GitHubRun.objects.values_list("run_id", flat=True)) == [7]
    assert any("Whose run it is at GitHub" in said for said in lost(admin))


def test_a_rate_limit_that_cannot_be_kept_costs_no_outcome(admin, dispatches, monkeypatch):
    bad, good = dispatches
    limited = failure(execution_type="github_actions", failure=Failure.RATE_LIMITED, error_message="429")
    Job.objects.update(request_options={"retry_max_age_seconds": 60})
    limited = replace(limited, retry_after=timedelta(hours=1))
    monkeypatch.setattr("jobs.dispatch.github._bucket", lambda request: "x" * 300)
    run_two(bad, good, lambda _: limited)
    assert {ended(bad)[0], ended(good)[0]} == {"failed"}
    assert any("GitHub's rate limit" in said for said in lost(admin))


# --- Fire times ------------------------------------------------------------------------------------------------------


def test_a_mail_about_misses_costs_no_fire_time(admin):
    late = NOON - timedelta(hours=3)
    bad, good = (make_due_job(next_fire_at=late, catch_up="none", **MAILS) for _ in range(2))
    Job.objects.filter(pk=bad.pk).update(notification_emails=[TOO_LONG])
    assert claim().jobs == 2
    for job in (bad, good):
        row = JobExecution.objects.get(job=job, status=Status.MISSED)
        assert row.missed_from == late
        job.refresh_from_db()
        assert (job.next_fire_at, job.schedule_error) == (NOON + MINUTE, "")
    assert list(Delivery.objects.values_list("related_job", flat=True)) == [good.pk]
    assert "recipient: 262 characters" in lost(admin)[0]


def test_misses_that_cannot_be_worded_cost_no_fire_time(admin, monkeypatch):
    late = NOON - timedelta(hours=3)
    bad, good = (make_due_job(next_fire_at=late, catch_up="none") for _ in range(2))
    word = events.missed

    def broken(job: Job, **named: Any) -> Any:
        if job.pk == bad.pk:
            raise TypeError("no")
        return word(job, **named)

    monkeypatch.setattr(events, "missed", broken)
    claim()
    assert {job_id for job_id, status in JobExecution.objects.values_list("job", "status") if status == "missed"} == {
        bad.pk,
        good.pk,
    }
    assert list(Notification.objects.filter(event="run_missed").values_list("related_job", flat=True)) == [good.pk]
    assert len(lost(admin)) == 1


def test_an_unknown_outcome_is_called_so_whatever_becomes_of_its_mail(admin):
    bad, good = make_due_job(**MAILS), make_due_job(**MAILS)
    claim()
    Job.objects.filter(pk=bad.pk).update(notification_emails=[TOO_LONG])
    assert sweep(now=NOON + timedelta(minutes=5), may_act=lambda: True) == 2
    assert set(JobExecution.objects.values_list("status", flat=True)) == {"unknown"}
    assert Notification.objects.filter(event="run_unknown").count() == 2
    assert list(Delivery.objects.values_list("related_job", flat=True)) == [good.pk]


# --- Manual runs, and what is said of them ---------------------------------------------------------------------------


def test_the_outcome_of_a_manual_run_is_kept_without_its_mail(admin, httpserver, settings):
    settings.WEBHOOK_ALLOW_PRIVATE_NETWORKS = True
    httpserver.expect_request("/").respond_with_response(Response("no", status=500))
    job = make_job(target_url=httpserver.url_for("/"), **MAILS)
    Job.objects.filter(pk=job.pk).update(notification_emails=[TOO_LONG])
    execution = dispatch.run_manually(job, overrides=None, now=NOON)
    assert (execution.status, execution.error_message) == FAILED
    assert len(lost(admin)) == 1


def test_a_loss_is_said_once_a_day_for_each_job(admin):
    job = make_due_job(**MAILS)
    Job.objects.filter(pk=job.pk).update(notification_emails=[TOO_LONG])
    for minute in range(3):
        now = NOON + minute * MINUTE
        (prepared,) = claim(now).prepared
        record_each([Result(prepared, failure(), now + SECOND)], sender=SENDER, now=now + SECOND)
    assert rows(job) == [("failed", f"12:0{minute}") for minute in range(3)]
    assert len(lost(admin)) == 1


def test_a_good_batch_pays_one_savepoint_for_each_effect(admin):
    """No row has one of its own: the number of statements does not grow with the batch."""
    taken = []
    for number in (2, 20):
        Job.objects.all().delete()
        for _ in range(number):
            make_due_job(end_date=date(2099, 12, 31), **MAILS)
        results = [Result(item, failure(), NOON + SECOND) for item in claim().prepared]
        statements: list[str] = []

        def count(execute: Any, sql: str, params: Any, many: bool, context: Any, seen: list[str] = statements) -> Any:
            seen.append(sql)
            return execute(sql, params, many, context)

        with connection.execute_wrapper(count):
            record_each(results, sender=SENDER, now=NOON + SECOND)
        taken.append(len(statements))
    assert taken[0] == taken[1]
