"""From a dispatch to the end of the run it started: what is kept, looked at, told and counted."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from cronsched.lib.ids import uuid7
from jobs import dispatch
from jobs.chores.sweep import SENDER_GONE, sweep
from jobs.dispatch import Result, executors
from jobs.executors.base import Outcome
from jobs.github import RunState, tracking
from jobs.github.events import RunEvent
from jobs.github.tracking import polling, search
from jobs.github.tracking.begin import FOLLOW_FOR
from jobs.github.tracking.poll import poll_run
from jobs.history import daily_counts, retention
from jobs.models import GitHubRun, Job, JobExecution, Overlap, RateLimitBucket, Status, Tracking, TriggerType
from jobs.schedule.due import insert_executions, open_executions
from jobs.schedule.scheduled_job import Overrides, ScheduledJob
from jobs.tests.conftest import WORKFLOW
from jobs.tests.factories import NOON, make_execution, make_job
from jobs.tests.github.fake import FakeRepository
from jobs.tests.scheduler.helpers import SENDER, claim, make_due_job
from notifications.models import Delivery, Notification

pytestmark = [pytest.mark.database, pytest.mark.django_db]

MINUTE = timedelta(minutes=1)


@pytest.fixture
def job(shop) -> Job:
    return make_job(name="Deploy", **WORKFLOW)


def run_job(job: Job, **overrides) -> JobExecution:
    now = datetime.now(UTC)
    return dispatch.run_manually(job, overrides=Overrides(**overrides) if overrides else None, now=now)


def poll(after: timedelta = MINUTE) -> int:
    """Follow runs as the leader would do so much later."""
    return tracking.follow(now=datetime.now(UTC) + after)


def told() -> list[tuple[str, str]]:
    """Return title and text of the notices, oldest first."""
    return list(Notification.objects.order_by("created_at", "id").values_list("title", "message"))


def event(run: GitHubRun, status: str = "completed", conclusion: str | None = "success", *, attempt: int = 1) -> int:
    state = RunState(run.run_id or 0, status, conclusion, attempt, "https://github.com/acme/shop/actions", "", None)
    return tracking.handle_workflow_run_event(RunEvent(status, "Acme/Shop", state), now=datetime.now(UTC))


# --- Following -------------------------------------------------------------------------------------------------------


def test_a_run_is_followed_from_its_dispatch_to_its_failure(job, shop):
    execution = run_job(job)
    run = execution.run
    assert (execution.status, run.run_id, run.tracking) == ("success", shop.runs[0].id, Tracking.FOLLOWED)
    assert run.url == f"https://github.com/acme/shop/actions/runs/{run.run_id}"

    poll()
    run.refresh_from_db()
    assert (run.status, run.conclusion, run.polls, run.tracking) == ("queued", "", 1, Tracking.FOLLOWED)

    shop.runs[0].finish("failure", job="build", step="Run tests")
    poll(2 * MINUTE)
    run.refresh_from_db()
    assert (run.status, run.conclusion, run.tracking) == ("completed", "failure", Tracking.CONCLUDED)
    assert (run.failed_job, run.failed_step, run.next_poll_at) == ("build", "Run tests", None)
    assert run.concluded_at is not None
    execution.refresh_from_db()
    job.refresh_from_db()
    # The dispatch was accepted, and stays so.
    assert (execution.status, job.consecutive_failures) == ("success", 1)
    assert told() == [
        ("Job Completed", 'Job "Deploy" completed successfully.'),
        ("GitHub Run Concluded", 'Job "Deploy": the GitHub run ended with failure at build / Run tests.'),
    ]


def test_an_end_is_told_once(job, shop):
    run_job(job)
    shop.runs[0].finish("failure")
    assert [poll(), poll(2 * MINUTE)] == [1, 0]
    assert event(GitHubRun.objects.get(), conclusion="failure") == 1
    assert poll(3 * MINUTE) == 0
    assert len(told()) == 2


@pytest.mark.parametrize("conclusion", ["success", "neutral", "skipped"])
def test_a_run_that_ends_well_ends_the_failures_in_a_row(job, shop, conclusion):
    Job.objects.update(consecutive_failures=3)
    run_job(job)
    job.refresh_from_db()
    # That GitHub accepted the dispatch decides nothing.
    assert job.consecutive_failures == 3
    shop.runs[0].finish(conclusion)
    poll()
    job.refresh_from_db()
    assert job.consecutive_failures == 0
    assert Notification.objects.get(title="GitHub Run Concluded").type == "success"


@pytest.mark.parametrize("status, conclusion", [("waiting", None), ("completed", "action_required")])
def test_a_run_that_waits_for_an_approval_is_followed_on(job, shop, status, conclusion):
    run_job(job)
    shop.runs[0].status, shop.runs[0].conclusion = status, conclusion
    poll()
    run = GitHubRun.objects.get()
    assert (run.tracking, run.status) == (Tracking.FOLLOWED, status)


def test_mails_and_alarms_wait_for_the_end(job, shop, settings):
    settings.EMAIL_HOST, settings.DEFAULT_FROM_EMAIL = "127.0.0.1", "cron@example.com"
    Job.objects.update(enable_email_notifications=True, notification_emails=["ops@example.com"], notify_on_success=True)
    run_job(job)
    assert not Delivery.objects.exists()
    shop.runs[0].finish("failure")
    poll()
    delivery = Delivery.objects.get()
    assert (delivery.kind, delivery.recipient) == ("job_failure", "ops@example.com")
    assert delivery.payload["run"]["failed_step"] == "build / Run tests"
    assert delivery.payload["execution"]["error"] == "The GitHub run ended with failure at build / Run tests."


def test_looks_grow_apart_and_are_not_repeated_before_their_time(job, shop):
    run_job(job)
    assert poll(timedelta()) == 0
    waits = []
    now = datetime.now(UTC)
    for _ in range(6):
        run = GitHubRun.objects.get()
        waits.append((run.next_poll_at - now).total_seconds())
        now = run.next_poll_at
        assert tracking.follow(now=now) == 1
    for wait, least in zip(waits, [5, 10, 20, 30, 60, 60], strict=True):
        assert least - 1 <= wait <= least * 1.2


def test_an_unchanged_run_costs_no_quota(job, shop, github_fake):
    run_job(job)
    poll()
    github_fake.remaining = 10
    poll(2 * MINUTE)
    assert github_fake.remaining == 10


def test_a_look_that_was_begun_by_a_leader_who_died_is_taken_by_the_next(job, shop):
    run_job(job)
    now = datetime.now(UTC) + MINUTE
    assert len(polling._take(now)) == 1
    assert polling._take(now) == []
    assert len(polling._take(now + polling.HOLD)) == 1


def test_a_github_that_cannot_be_reached_changes_nothing(job, shop, github_fake):
    run_job(job)
    github_fake.drop_next()
    assert poll() == 1
    run = GitHubRun.objects.get()
    assert (run.tracking, run.status, run.polls) == (Tracking.FOLLOWED, "", 1)
    shop.runs[0].finish()
    poll(2 * MINUTE)
    run.refresh_from_db()
    assert run.conclusion == "success"


def test_where_it_failed_is_left_out_if_github_does_not_say(job, shop, github_fake):
    run_job(job)
    shop.runs[0].finish("failure")
    real = github_fake._answer

    def no_jobs(request):
        if request.path.endswith("/jobs"):
            github_fake._swallow_after += 1
        return real(request)

    github_fake._answer = no_jobs
    poll()
    assert told()[-1][1] == 'Job "Deploy": the GitHub run ended with failure.'


def test_a_rate_limit_delays_the_next_look_and_blocks_the_bucket(job, shop, github_fake):
    run_job(job)
    github_fake.refuse_next(403, "secondary rate limit", {"Retry-After": "600"})
    now = datetime.now(UTC) + MINUTE
    tracking.follow(now=now)
    run = GitHubRun.objects.get()
    assert run.next_poll_at >= now + timedelta(seconds=600)
    assert RateLimitBucket.objects.get().blocked_until == now + timedelta(seconds=600)
    GitHubRun.objects.update(next_poll_at=now)
    calls = len(github_fake.calls)
    tracking.follow(now=now + MINUTE)
    assert len(github_fake.calls) == calls
    run.refresh_from_db()
    assert run.next_poll_at == now + timedelta(seconds=600)


def test_a_run_that_vanished_is_lost_and_somebody_is_told(job, shop):
    run_job(job)
    poll()
    shop.runs.clear()
    poll(2 * MINUTE)
    run = GitHubRun.objects.get()
    assert (run.tracking, run.next_poll_at) == (Tracking.LOST, None)
    assert told()[-1] == (
        "GitHub Run Lost",
        'Job "Deploy": how the GitHub run ended is not known: GitHub does not show it any more.',
    )


def test_a_run_that_github_does_not_show_yet_is_not_lost(job, shop):
    run_job(job)
    started = shop.runs.pop()
    for minute in range(1, 5):
        poll(minute * MINUTE)
    assert GitHubRun.objects.get().tracking == Tracking.FOLLOWED
    shop.runs.append(started)
    started.finish()
    poll(6 * MINUTE)
    assert GitHubRun.objects.get().conclusion == "success"


def test_a_run_is_given_up_after_some_days(job, shop):
    run_job(job)
    poll(FOLLOW_FOR + MINUTE)
    assert GitHubRun.objects.get().tracking == Tracking.GIVEN_UP
    assert told()[-1][0] == "GitHub Run Lost"


# --- Whether ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "setting, own, followed", [(True, None, True), (False, None, False), (False, True, True), (True, False, False)]
)
def test_a_job_says_for_itself_whether_its_runs_are_followed(job, shop, settings, setting, own, followed):
    settings.TRACK_GITHUB_RUNS = setting
    Job.objects.update(track_run=own, consecutive_failures=1)
    run = run_job(job).run
    # What GitHub said is kept either way.
    assert run.run_id == shop.runs[0].id
    assert run.tracking == (Tracking.FOLLOWED if followed else Tracking.NOT_FOLLOWED)
    job.refresh_from_db()
    # Without tracking the dispatch is the outcome.
    assert job.consecutive_failures == (1 if followed else 0)


def test_a_run_with_a_token_of_its_own_is_not_looked_at(job, shop, github_fake, settings):
    settings.GITHUB_TOKEN = ""
    run = run_job(job, github_token=github_fake.token).run
    assert run.tracking == Tracking.NOT_FOLLOWED
    assert github_fake.token not in str(RateLimitBucket.objects.values_list("name"))


def test_a_webhook_starts_no_run(httpserver):
    httpserver.expect_request("/hook").respond_with_data("ok")
    execution = run_job(make_job(target_url=httpserver.url_for("/hook")))
    assert execution.github_run is None
    assert not GitHubRun.objects.exists()


# --- Servers that do not say which run it is --------------------------------------------------------------------------


def test_a_run_that_was_not_named_is_found_and_told_only_if_it_fails(job, shop, github_fake):
    github_fake.enterprise = True
    run = run_job(job).run
    assert (run.run_id, run.tracking, run.decides) == (None, Tracking.FOLLOWED, False)
    # The dispatch has been taken for the outcome.
    poll()
    run.refresh_from_db()
    assert run.run_id == shop.runs[0].id
    shop.runs[0].finish("failure")
    poll(2 * MINUTE)
    job.refresh_from_db()
    assert job.consecutive_failures == 1
    assert [title for title, _ in told()] == ["Job Completed", "GitHub Run Concluded"]


def test_runs_that_cannot_be_told_apart_are_not_guessed(job, shop, github_fake):
    github_fake.enterprise = True
    run_job(job)
    run_job(job)
    for minute in range(1, 8):
        poll(minute * MINUTE)
    assert set(GitHubRun.objects.values_list("run_id", "tracking")) == {(None, Tracking.LOST)}
    assert {title for title, _ in told()} == {"Job Completed"}


# --- Being told ------------------------------------------------------------------------------------------------------


def test_an_event_concludes_a_success_at_once(job, shop):
    run_job(job)
    assert event(GitHubRun.objects.get()) == 1
    assert GitHubRun.objects.get().tracking == Tracking.CONCLUDED
    assert told()[-1][0] == "GitHub Run Concluded"


def test_an_event_about_a_failure_lets_the_leader_ask_where(job, shop):
    run_job(job)
    poll()
    shop.runs[0].finish("failure")
    event(GitHubRun.objects.get(), conclusion="failure")
    run = GitHubRun.objects.get()
    assert (run.conclusion, run.tracking) == ("failure", Tracking.FOLLOWED)
    assert len(told()) == 1
    assert poll(timedelta(seconds=1)) == 1
    assert "build / Run tests" in told()[-1][1]


def test_events_that_come_late_or_twice_change_nothing(job, shop):
    run_job(job)
    run = GitHubRun.objects.get()
    event(run)
    event(run)
    event(run, "in_progress", None)
    assert GitHubRun.objects.get().conclusion == "success"
    assert len(told()) == 2


def test_a_run_that_is_run_again_is_followed_again(job, shop):
    run_job(job)
    shop.runs[0].finish("failure")
    poll()
    shop.runs[0].rerun()
    event(GitHubRun.objects.get(), "queued", None, attempt=2)
    run = GitHubRun.objects.get()
    assert (run.tracking, run.attempt, run.conclusion, run.failed_step) == (Tracking.FOLLOWED, 2, "", "")
    shop.runs[0].finish("success")
    poll(2 * MINUTE)
    job.refresh_from_db()
    assert job.consecutive_failures == 0
    assert told()[-1][1] == 'Job "Deploy": the GitHub run ended with success.'


def test_an_event_about_a_run_that_is_not_followed_is_kept_and_not_told(job, shop):
    Job.objects.update(track_run=False)
    run_job(job)
    event(GitHubRun.objects.get(), conclusion="failure")
    assert GitHubRun.objects.get().conclusion == "failure"
    assert len(told()) == 1


def test_an_event_about_a_run_of_another_repository_is_about_nobody(job, shop):
    run_job(job)
    run = GitHubRun.objects.get()
    GitHubRun.objects.update(repository="acme/other")
    assert event(run) == 0


# --- What is shown ---------------------------------------------------------------------------------------------------


def test_the_first_page_of_the_console_names_runs_that_failed(job, shop, client, admin):
    run_job(job)
    shop.runs[0].finish("failure")
    poll()
    client.force_login(admin)
    assert "failure / build / Run tests" in client.get("/admin/").content.decode()


def test_a_run_goes_with_its_execution(job, shop):
    execution = run_job(job)
    retention.delete([execution.pk])
    assert not GitHubRun.objects.exists()


# --- What depends on it ----------------------------------------------------------------------------------------------


def followed_execution(job: Job) -> JobExecution:
    execution = make_execution(job, execution_type="github_actions")
    GitHubRun.objects.create(
        execution=execution, repository="acme/shop", tracking=Tracking.FOLLOWED, created_at=NOON, next_poll_at=NOON
    )
    return execution


def test_a_followed_run_counts_as_going_on():
    job = make_job()
    followed_execution(job)
    make_execution(job, status=Status.RUNNING)
    assert open_executions([job.pk]) == {job.pk: 2}
    GitHubRun.objects.update(tracking=Tracking.CONCLUDED, next_poll_at=None)
    assert open_executions([job.pk]) == {job.pk: 1}


def test_a_job_that_skips_overlaps_skips_while_its_run_goes_on():
    job = make_due_job(overlap=Overlap.SKIP)
    followed_execution(job)
    claim()
    skipped = JobExecution.objects.get(scheduled_for=NOON)
    assert (skipped.status, skipped.reason) == ("skipped", "An earlier execution of the job was still going.")


def test_a_job_that_queues_starts_when_its_run_has_ended():
    job = make_due_job(overlap=Overlap.QUEUE)
    followed_execution(job)
    assert claim().prepared == []
    queued = JobExecution.objects.get(scheduled_for=NOON)
    start = lambda: dispatch.start([queued.pk], sender=uuid7(), now=NOON)  # noqa: E731
    assert start() == []
    GitHubRun.objects.update(tracking=Tracking.CONCLUDED, next_poll_at=None)
    assert len(start()) == 1


def test_a_run_that_fails_too_often_pauses_its_job(job, shop):
    Job.objects.update(pause_after_failures=1, next_fire_at=NOON)
    run_job(job)
    shop.runs[0].finish("failure")
    poll()
    job.refresh_from_db()
    assert (job.is_active, job.next_fire_at) == (False, None)


def test_a_run_found_after_silence_that_belongs_to_another_is_no_success(job, shop, github_fake):
    other = run_job(job)
    facts = ScheduledJob.read(Job.objects.all())[0]
    execution = make_execution(job, status=Status.RUNNING, sender=uuid7())
    prepared = dispatch.prepare(execution.pk, facts, fire_time=None)
    details = {"lookup": "run found", "run_id": other.run.run_id, "run_url": "x"}
    outcome = Outcome("success", "github_actions", "acme/shop/deploy.yml", request_sent=True, details=details)
    dispatch.record([Result(prepared, outcome, NOON)], sender=execution.sender, now=NOON)
    execution.refresh_from_db()
    assert execution.status == "failed"
    assert execution.error_message == (
        "Request failed: no answer, and the run that was found belongs to another execution"
    )


def answered(job: Job, run_id: int, **details: Any) -> Result:
    """Return that GitHub accepted a dispatch of `job` that is under way, with what it said of the run."""
    execution = make_execution(job, status=Status.RUNNING, sender=SENDER)
    prepared = dispatch.prepare(execution.pk, ScheduledJob.read(Job.objects.filter(pk=job.pk))[0], fire_time=None)
    details = {"run_id": run_id, "run_url": f"https://github.com/acme/shop/actions/runs/{run_id}", **details}
    return Result(prepared, Outcome("success", "github_actions", "acme/shop/deploy.yml", details=details), NOON)


def test_of_two_dispatches_that_found_the_same_run_one_has_it(job):
    results = [answered(job, 7, lookup="run found") for _ in range(2)]
    assert dispatch.record(results, sender=SENDER, now=NOON) == 2
    assert statuses() == {"success": 1, "failed": 1}
    assert GitHubRun.objects.get().execution.status == "success"


def test_a_named_run_that_another_execution_has_is_shown_and_not_followed(job, shop):
    other = run_job(job)
    results = [answered(job, other.run.run_id), answered(job, other.run.run_id + 1)]
    assert dispatch.record(results, sender=SENDER, now=NOON) == 2
    assert statuses() == {"success": 3}
    late, next_one = (GitHubRun.objects.get(pk=result.prepared.execution_id) for result in results)
    assert (late.run_id, late.tracking, late.decides, late.url) == (None, Tracking.NOT_FOLLOWED, False, other.run.url)
    assert (next_one.run_id, next_one.tracking) == (other.run.run_id + 1, Tracking.FOLLOWED)


def test_many_runs_of_a_repository_may_be_unknown(job):
    results = [answered(job, 7) for _ in range(3)]
    GitHubRun.objects.bulk_create(
        GitHubRun(execution_id=result.prepared.execution_id, repository="acme/shop", created_at=NOON)
        for result in results
    )
    assert GitHubRun.objects.filter(run_id=None).count() == 3


@pytest.mark.django_db(transaction=True)
def test_a_table_of_before_leaves_each_run_to_its_first_execution(job):
    rows = [
        GitHubRun(
            execution=make_execution(job),
            repository="acme/shop",
            run_id=run_id,
            tracking=Tracking.FOLLOWED,
            created_at=NOON + age * MINUTE,
            next_poll_at=NOON,
        )
        for run_id, age in ((7, 1), (7, 0), (8, 2), (None, 3), (None, 4))
    ]
    newest = MigrationExecutor(connection).loader.graph.leaf_nodes("jobs")
    MigrationExecutor(connection).migrate([("jobs", "0001_jobs")])
    try:
        GitHubRun.objects.bulk_create(rows)
    finally:
        # All the way: tests that follow need the tables as they are now.
        MigrationExecutor(connection).migrate(newest)
    for row in rows:
        row.refresh_from_db()
    assert [row.run_id for row in rows] == [None, 7, 8, None, None]
    assert [row.tracking for row in rows] == ["not_followed", *4 * ["followed"]]


# --- Dispatches whose sender died -------------------------------------------------------------------------------------


LEFT_BEFORE = timedelta(seconds=60)


def lose_sender(job: Job, shop: FakeRepository, *, arrived: bool = True, ago: timedelta = LEFT_BEFORE) -> JobExecution:
    """Dispatch `job` some time ago, by a sender that then died, and let the leader find that out."""
    now = datetime.now(UTC)
    left_at = now - ago
    facts = ScheduledJob.read(Job.objects.filter(pk=job.pk))[0]
    prepared = dispatch.prepare(uuid7(), facts, fire_time=None)
    row = dispatch.running_row(prepared, sender=uuid7(), now=left_at)
    insert_executions([row], trigger=TriggerType.MANUAL, now=left_at)
    if arrived:
        assert executors.run(prepared.request).succeeded
        shop.runs[-1].created_at = left_at + timedelta(seconds=1)
    sweep(now=now, may_act=lambda: True)
    return JobExecution.objects.get(pk=prepared.execution_id)


def look_until_the_end() -> None:
    """Look for a lost dispatch as often as the leader would. The clock stands: GitHub's does not go on with ours."""
    for _ in range(6):
        GitHubRun.objects.filter(tracking=Tracking.FOLLOWED).update(next_poll_at=datetime.now(UTC))
        poll(timedelta())


def statuses() -> dict[str, int]:
    return {total.status: total.number for total in daily_counts.totals()}


def test_a_dispatch_whose_sender_died_is_found_at_github_and_followed_to_its_end(job, shop):
    Job.objects.update(consecutive_failures=2)
    execution = lose_sender(job, shop)
    assert (execution.status, execution.run.run_id, execution.run.tracking) == ("unknown", None, Tracking.FOLLOWED)

    assert poll(timedelta()) == 1
    execution = JobExecution.objects.get()
    assert (execution.status, execution.reason, execution.duration_seconds) == ("success", None, None)
    assert execution.output == "Workflow triggered successfully on branch master"
    assert execution.details["run_id"] == execution.run.run_id == shop.runs[0].id
    assert execution.run.decides
    assert statuses() == {"success": 1}
    assert len(shop.runs) == 1

    shop.runs[0].finish("failure", job="build", step="Run tests")
    poll(timedelta())
    job.refresh_from_db()
    assert job.consecutive_failures == 3
    assert [title for title, _ in told()] == ["Job Outcome Unknown", "Job Completed", "GitHub Run Concluded"]


def test_where_runs_are_not_followed_a_lost_dispatch_is_found_all_the_same(job, shop):
    Job.objects.update(track_run=False, consecutive_failures=2)
    lose_sender(job, shop)
    poll(timedelta())
    execution = JobExecution.objects.get()
    assert (execution.status, execution.run.run_id) == ("success", shop.runs[0].id)
    assert (execution.run.tracking, execution.run.next_poll_at) == (Tracking.NOT_FOLLOWED, None)
    job.refresh_from_db()
    assert job.consecutive_failures == 0


def test_a_workflow_named_without_its_extension_is_found_by_its_file(shop):
    lose_sender(make_job(**WORKFLOW | {"github_workflow_name": "deploy"}), shop)
    poll(timedelta())
    assert JobExecution.objects.get().target == "acme/shop/deploy.yml"


def test_a_retried_dispatch_is_looked_for_at_the_time_of_its_last_attempt(job, shop):
    execution = lose_sender(job, shop)
    JobExecution.objects.update(started_at=execution.started_at - timedelta(hours=3), attempt=2)
    poll(timedelta())
    assert JobExecution.objects.get().status == "success"


def test_hours_later_the_run_of_a_lost_dispatch_is_found_among_hundreds(job, shop):
    lose_sender(job, shop, ago=timedelta(hours=5))
    first = shop.runs[0]
    for number in range(150):
        later = first.created_at + timedelta(hours=2, seconds=number)
        shop.runs.append(replace(first, id=first.id + 1 + number, created_at=later))
    poll(timedelta())
    assert JobExecution.objects.get().run.run_id == first.id


def test_a_lost_dispatch_that_never_arrived_stays_unknown_and_says_that_it_was_looked_up(job, shop):
    lose_sender(job, shop, arrived=False)
    look_until_the_end()
    execution = JobExecution.objects.get()
    assert (execution.status, execution.reason) == ("unknown", f"{SENDER_GONE} {search.NO_RUN}")
    assert execution.github_run is None
    assert statuses() == {"unknown": 1}
    assert [title for title, _ in told()] == ["Job Outcome Unknown"]


def test_a_run_that_belongs_to_another_execution_is_not_taken_by_a_lost_dispatch(job, shop):
    other = run_job(job)
    shop.runs[0].created_at -= LEFT_BEFORE
    lose_sender(job, shop, arrived=False)
    look_until_the_end()
    lost = JobExecution.objects.exclude(pk=other.pk).get()
    assert (lost.status, lost.reason) == ("unknown", f"{SENDER_GONE} {search.NO_RUN}")


def test_a_run_that_another_execution_takes_at_the_same_moment_is_left_to_it(job, shop, monkeypatch):
    other = run_job(job)
    shop.runs[0].created_at -= LEFT_BEFORE
    lose_sender(job, shop, arrived=False)
    # The other's row was not committed yet when this one looked.
    with monkeypatch.context() as moment:
        moment.setattr(search, "free", lambda run, candidates: list(candidates))
        poll(timedelta(seconds=1))
    lost = GitHubRun.objects.exclude(pk=other.pk).get()
    assert (lost.run_id, lost.execution.status, lost.tracking) == (None, "unknown", Tracking.FOLLOWED)
    look_until_the_end()
    assert statuses() == {"success": 1, "unknown": 1}


def test_of_two_lost_dispatches_neither_takes_the_one_run_there_is(job, shop):
    lose_sender(job, shop)
    lose_sender(job, shop, arrived=False)
    look_until_the_end()
    assert statuses() == {"unknown": 2}
    assert set(JobExecution.objects.values_list("reason", flat=True)) == {f"{SENDER_GONE} {search.NOT_CERTAIN}"}


def test_a_lost_dispatch_of_the_same_workflow_at_another_time_is_no_rival(job, shop):
    lose_sender(job, shop, arrived=False, ago=timedelta(minutes=10))
    found = lose_sender(job, shop)
    poll(timedelta(seconds=1))
    assert list(JobExecution.objects.filter(status="success")) == [found]


def test_while_github_does_not_answer_it_is_asked_again_but_not_for_ever(job, shop, github_fake):
    lose_sender(job, shop)
    github_fake.drop_next(times=30)
    minute = 0
    while GitHubRun.objects.exists():
        assert minute < 30
        poll(minute * MINUTE)
        minute += 1
    assert minute * MINUTE > search.LOOKUP_FOR
    execution = JobExecution.objects.get()
    assert (execution.status, execution.reason) == ("unknown", f"{SENDER_GONE} {search.NOT_ANSWERED}")


def test_a_rate_limit_while_looking_for_a_run_blocks_the_bucket(job, shop, github_fake):
    lose_sender(job, shop)
    github_fake.refuse_next(403, "secondary rate limit", {"Retry-After": "600"})
    poll(timedelta())
    assert GitHubRun.objects.get().next_poll_at - datetime.now(UTC) > timedelta(seconds=590)
    assert RateLimitBucket.objects.get().blocked_until is not None


def test_many_lost_dispatches_are_looked_for_one_after_the_other(job, shop):
    for _ in range(3):
        make_execution(
            job,
            status=Status.RUNNING,
            execution_type="github_actions",
            deadline_at=NOON,
            request_snapshot={"owner": "acme", "repo": "shop", "ref": "master", "timeout_seconds": 10},
        )
    now = NOON + MINUTE
    sweep(now=now, may_act=lambda: True)
    polls = sorted(GitHubRun.objects.values_list("next_poll_at", flat=True))
    assert polls == [now + number * search.LOOKUP_GAP for number in range(3)]


@pytest.mark.parametrize("snapshot", [None, {"url": "https://hooks.example.com/"}])
def test_what_was_no_dispatch_is_not_looked_for(job, shop, snapshot):
    for kind in ("webhook", "github_actions"):
        make_execution(job, status=Status.RUNNING, execution_type=kind, deadline_at=NOON, request_snapshot=snapshot)
    assert sweep(now=NOON + MINUTE, may_act=lambda: True) == 2
    assert not GitHubRun.objects.exists()


def test_without_a_credential_nothing_is_looked_for(job, shop, settings):
    credential, settings.GITHUB_TOKEN = settings.GITHUB_TOKEN, ""
    lose_sender(job, shop, arrived=False)
    settings.GITHUB_TOKEN = credential
    assert poll() == 0
    assert JobExecution.objects.get().reason == SENDER_GONE


@pytest.mark.parametrize(
    "outcome, run_id",
    [
        (Outcome("success", "github_actions", "acme/shop/deploy.yml", 200, details={"run_id": 7}), 7),
        (Outcome("failed", "github_actions", "acme/shop/deploy.yml", 422, error_message="No ref"), None),
    ],
)
def test_a_sender_that_speaks_after_all_is_believed(job, shop, outcome, run_id):
    execution = lose_sender(job, shop)
    now = datetime.now(UTC)
    taken = polling._take(now)
    facts = ScheduledJob.read(Job.objects.all())[0]
    prepared = dispatch.prepare(execution.pk, facts, fire_time=None)
    dispatch.record([Result(prepared, outcome, now)], sender=execution.sender, now=now)
    # The look that was under way meanwhile comes too late.
    for one in taken:
        polling._apply_result(one, poll_run(one, now), now)
    execution = JobExecution.objects.get()
    assert execution.status == outcome.status
    assert (execution.github_run and execution.github_run.run_id) == run_id
    assert statuses() == {outcome.status: 1}


def test_a_look_for_a_lost_dispatch_does_not_overwrite_a_newer_truth(job, shop):
    execution = lose_sender(job, shop)
    now = datetime.now(UTC)
    (one,) = polling._take(now)
    result = poll_run(one, now)
    JobExecution.objects.update(status=Status.FAILED, error_message="manual")
    polling._apply_result(one, result, now)
    execution.refresh_from_db()
    assert (execution.status, execution.error_message) == ("failed", "manual")
