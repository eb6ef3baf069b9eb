"""Passes over a real database, a real pool and a real target."""

import threading
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from urllib.parse import urlsplit

import pytest
from django.db import OperationalError, ProgrammingError, connection

from cronsched.lib.tests.servers import OK, Target, Visit, target
from jobs import dispatch
from jobs.models import CatchUp, Job, JobExecution, Overlap, Status, TriggerType
from jobs.scheduler import claim as claiming
from jobs.scheduler import producer
from jobs.scheduler.backends import waiting
from jobs.tests.factories import NOON, break_in_database, make_execution, make_job
from jobs.tests.scheduler.helpers import MINUTE, WAIT, Bench, make_due_job, statuses

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


class Sink:
    """Answers everything and notes which paths were asked for, and how many at the same time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.going = self.most = 0
        self.delay = threading.Event()

    def __call__(self, visit: Visit) -> None:
        while visit.read_request():
            with self.lock:
                self.going += 1
                self.most = max(self.most, self.going)
            self.delay.wait(0.02)
            with self.lock:
                self.going -= 1
            visit.send(OK)


@pytest.fixture
def behaviour() -> Sink:
    return Sink()


@pytest.fixture
def sink(behaviour: Sink) -> Iterator[Target]:
    with target(behaviour) as running:
        yield running


def paths(sink: Target) -> Counter[str]:
    return Counter(urlsplit(request.split(b" ", 2)[1].decode()).path for request in sink.requests)


def make_due_jobs(sink: Target, number: int, **fields) -> list[Job]:
    return [make_due_job(target_url=sink.url(f"/{index}"), **fields) for index in range(number)]


def test_a_herd_wider_than_the_pool_is_sent_whole_and_once(sink):
    make_due_jobs(sink, 120)
    bench = Bench(limit=16)
    bench.run_pass()
    assert {result.outcome.error_message for result in bench.results} == {None}
    bench.record()
    assert paths(sink) == Counter({f"/{index}": 1 for index in range(120)})
    assert statuses() == ["success"] * 120


def batches_of(herd: int) -> list[int]:
    """What a pass claims of a herd that it has for itself, batch by batch."""
    batches: list[int] = []
    batch = producer.FIRST_BATCH
    while sum(batches) < herd:
        batches.append(min(batch, herd - sum(batches)))
        batch = producer.next_batch(batch, taken=sum(batches))
    return batches


def test_claims_begin_small_and_grow_where_the_herd_is_long():
    assert batches_of(500) == [50, 100, 200, 150]
    long = batches_of(5_000)
    assert long[:3] == [50, 100, 200]
    assert long[-2] == producer.LARGEST_BATCH == max(long)
    assert all(batch <= max(200, sum(long[:number]) // 4) for number, batch in enumerate(long)), (
        "what is left at the end is little beside the whole"
    )


def test_queued_rows_are_sent_whoever_made_them(sink):
    job = make_job(target_url=sink.url("/left-behind"))
    make_execution(job, status=Status.QUEUED, trigger_type=TriggerType.SCHEDULED, scheduled_for=NOON)
    make_execution(job, status=Status.QUEUED, not_before=NOON + MINUTE)
    bench = Bench()
    bench.run_pass()
    assert paths(sink) == {"/left-behind": 1}
    bench.clock.at = NOON + MINUTE
    bench.run_pass()
    assert paths(sink) == {"/left-behind": 2}


def test_a_host_gets_no_more_than_its_share_and_the_others_do_not_wait_for_it(sink, behaviour):
    with target(Sink()) as other:
        make_due_jobs(sink, 30)
        make_due_job(target_url=other.url("/other"))
        bench = Bench(per_origin=3)
        bench.run_pass()
        assert behaviour.most <= 3
        assert len(sink.requests) == 30
        assert paths(other) == {"/other": 1}


def test_places_are_given_back_when_a_claim_fails(sink):
    make_due_jobs(sink, 5)
    bench = Bench(per_origin=5)

    def away(execute, sql, params, many, context):
        if sql.startswith("UPDATE") and "schedule_error" in sql:
            raise OperationalError("gone")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(away), pytest.raises(OperationalError):
        bench.run_pass()
    assert not JobExecution.objects.exists()
    bench.run_pass()
    assert len(sink.requests) == 5


def test_a_poisoned_batch_sends_all_others(sink, caplog):
    jobs = make_due_jobs(sink, 6)
    Job.objects.filter(pk=jobs[2].pk).update(
        metadata=["not", "an", "object"], github_owner="a", github_repo="b", github_workflow_name="c"
    )
    bench = Bench(per_origin=6)
    bench.run_pass()
    assert sorted(paths(sink)) == ["/0", "/1", "/3", "/4", "/5"]
    jobs[2].refresh_from_db()
    assert jobs[2].schedule_error


def test_a_queued_row_that_cannot_be_prepared_is_failed_and_the_others_go(sink, caplog):
    good, bad = make_job(target_url=sink.url("/good")), make_job(target_url=sink.url("/bad"))
    for job in (good, bad):
        make_execution(job, status=Status.QUEUED)
    Job.objects.filter(pk=bad.pk).update(
        metadata=["not", "an", "object"], github_owner="a", github_repo="b", github_workflow_name="c"
    )
    Bench().run_pass()
    assert paths(sink) == {"/good": 1}
    assert "AttributeError" in str(JobExecution.objects.get(job=bad).error_message)


@pytest.mark.skipif(connection.vendor == "postgresql", reason="it looks at what it stores")
def test_a_queued_row_that_cannot_be_read_is_failed_and_the_others_go(sink, caplog):
    make_due_job(target_url=sink.url("/due"))
    make_execution(make_job(target_url=sink.url("/queued")), status=Status.QUEUED)
    bad = make_execution(make_job(target_url=sink.url("/bad")), status=Status.QUEUED)
    break_in_database(bad, "started_at", "''" if connection.vendor == "sqlite" else "'0000-00-00'")
    Bench().run_pass()
    assert paths(sink) == {"/due": 1, "/queued": 1}
    bad.refresh_from_db()
    assert bad.status == "failed"
    assert "Request failed: " in str(bad.error_message)


def test_an_error_that_one_row_causes_is_no_outage(sink, caplog, monkeypatch):
    bad, *_ = make_due_jobs(sink, 3)

    def refuse(execution_id, job, **keywords):
        if job.id == bad.pk:
            raise ProgrammingError("cannot adapt a value")
        return dispatch.prepare(execution_id, job, **keywords)

    monkeypatch.setattr("jobs.scheduler.claim.prepare", refuse)
    Bench().run_pass()
    assert paths(sink) == {"/1": 1, "/2": 1}


def test_an_ended_job_that_cannot_be_paused_keeps_no_other_from_it(caplog):
    ended = [make_due_job(end_date=date(2026, 1, 14), enable_email_notifications=True) for _ in range(3)]
    for job in ended:
        break_in_database(job, "notification_emails", "'5'")
    break_in_database(ended[1], "notification_emails", "'[]'")
    Bench().run_pass()
    assert [job.pk for job in ended if not Job.objects.only("is_active").get(pk=job.pk).is_active] == [ended[1].pk]


def test_what_was_claimed_in_parts_is_sent_although_the_database_goes_in_between(sink, caplog, monkeypatch):
    make_due_jobs(sink, 2)
    sizes: list[int] = []
    carry_out = claiming._claim

    def claim(due, **keywords):
        sizes.append(len(due))
        match sizes:
            case [2] | [2, 2]:
                raise ValueError("a row that poisons its batch")
            case [2, 2, 1, 1]:
                raise OperationalError("the database is away")
        return carry_out(due, **keywords)

    monkeypatch.setattr(claiming, "_claim", claim)
    bench = Bench()
    with pytest.raises(OperationalError):
        bench.run_pass()
    assert bench.pool.wait_for_all(timeout=WAIT)
    assert (len(sink.requests), statuses()) == (1, ["running"])


def test_runs_of_a_queueing_job_never_overlap(sink):
    make_due_job(
        target_url=sink.url("/one-by-one"),
        overlap=Overlap.QUEUE,
        catch_up=CatchUp.ALL,
        next_fire_at=NOON - 3 * MINUTE,
    )
    bench = Bench()
    for sent in range(1, 5):
        bench.run_pass()
        assert len(sink.requests) == sent
        bench.record()
    assert statuses() == ["success"] * 4


def test_rows_that_cannot_go_yet_do_not_keep_others_from_going(sink, monkeypatch):
    monkeypatch.setattr(waiting, "PAGE", 3)
    blocked = make_job(overlap=Overlap.QUEUE)
    make_execution(blocked, status=Status.RUNNING)
    for minute in range(10):
        fire_time = NOON - timedelta(minutes=20 - minute)
        make_execution(
            blocked,
            status=Status.QUEUED,
            trigger_type=TriggerType.SCHEDULED,
            scheduled_for=fire_time,
            started_at=fire_time,
        )
    make_execution(make_job(target_url=sink.url("/free")), status=Status.QUEUED)
    Bench().run_pass()
    assert paths(sink) == {"/free": 1}


def test_a_job_past_its_end_date_is_paused_when_its_fire_time_comes():
    job = make_due_job(end_date=date(2026, 1, 14))
    Bench().run_pass()
    job.refresh_from_db()
    assert (job.is_active, job.next_fire_at) == (False, None)
    assert not JobExecution.objects.exists()


def test_nothing_is_claimed_without_a_trusted_term(sink):
    make_due_jobs(sink, 1)
    Bench().run_pass(may_act=lambda: False)
    assert not sink.requests
    assert not JobExecution.objects.exists()


def test_a_pass_can_be_waited_for():
    bench = Bench()
    assert bench.producer.wait_for_end(timeout=0.01)
    assert not bench.backend.is_busy
