"""Rows that another process names to this one, as a message names them; and what their leader looks at again."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from jobs.models import ExecutionType, JobExecution, Overlap, Status, TriggerType
from jobs.scheduler.backends.celery import CeleryBackend
from jobs.targets.limits import Wanted
from jobs.tests.factories import NOON, break_in_database, make_execution, make_job
from jobs.tests.scheduler.helpers import MINUTE, WAIT, Bench, make_due_job, statuses

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


def make_queued(url: str, **fields: Any) -> JobExecution:
    job = make_job(target_url=url, overlap=fields.pop("overlap", Overlap.ALLOW))
    scheduled = {"trigger_type": TriggerType.SCHEDULED, "scheduled_for": NOON, "started_at": NOON, "queued_at": NOON}
    return make_execution(job, **{"status": Status.QUEUED, "target": url, **scheduled, **fields})


def test_what_is_offered_leaves_while_there_are_places_and_the_rest_waits(sink, behaviour):
    behaviour.hold.set()
    bench = Bench(limit=4)
    ids = [make_queued(sink.url(f"/{number}")).pk for number in range(6)]
    assert not bench.backend.offer(ids)
    assert bench.backend.pool.in_flight == JobExecution.objects.filter(status=Status.RUNNING).count() > 0
    assert JobExecution.objects.filter(status=Status.QUEUED).exists()
    behaviour.answer.set()
    while bench.limiter.free < 4 or JobExecution.objects.filter(status=Status.QUEUED).exists():
        assert bench.pool.wait_for_all(timeout=WAIT)
        bench.backend.offer(ids)
    bench.close()
    assert behaviour.paths == {f"/{number}": 1 for number in range(6)}


def test_what_is_offered_is_read_once_however_much_it_is(sink):
    bench = Bench()
    few, many = ([make_queued(sink.url("/")).pk for _ in range(number)] for number in (2, 60))
    numbers = []
    for ids in (few, many):
        with CaptureQueriesContext(
            connection,
        ) as asked:
            assert bench.backend.offer(ids)
        numbers.append(sum(query["sql"].lstrip("(").upper().startswith(("SELECT", "WITH")) for query in asked))
    bench.close()
    assert numbers[0] == numbers[1] == 1


def test_of_a_batch_that_is_taken_apart_each_takes_one_place(sink, behaviour):
    rows = [make_queued(sink.url(f"/{number}")) for number in range(4)]
    break_in_database(rows[0], "overrides", "'{\"nonsense\": 1}'")
    bench = Bench()
    assert bench.backend.offer([row.pk for row in rows])
    bench.close()
    assert bench.limiter.free == bench.limiter.limit
    assert statuses() == ["failed", "running", "running", "running"]
    assert len(behaviour.paths) == 3


def test_results_wait_for_company_while_more_is_being_taken():
    backend = Bench().backend
    with backend.taking_more():
        with backend.taking_more():
            assert backend.is_busy
        assert backend.is_busy
    assert not backend.is_busy


def test_the_leader_reads_again_only_what_its_claims_have_not_just_published():
    now = NOON + MINUTE
    published, late = make_queued("https://a.example/", queued_at=now), make_queued("https://a.example/")
    retry = make_queued("https://a.example/", queued_at=now, not_before=now)
    behind = make_queued("https://a.example/", queued_at=now, overlap=Overlap.QUEUE)
    manual = make_queued("https://a.example/", queued_at=now, trigger_type=TriggerType.MANUAL, scheduled_for=None)
    workers = CeleryBackend(lambda message: None)
    found = set(workers.not_just_offered(now).values_list("id", flat=True))
    assert found == {late.pk, retry.pk, behind.pk, manual.pk}
    assert published.pk in set(workers.not_just_offered(now + timedelta(seconds=3)).values_list("id", flat=True))


def test_while_the_leader_sends_itself_it_reads_all_that_waits():
    row = make_queued("https://a.example/", queued_at=NOON)
    workers = CeleryBackend(lambda message: None)
    # No sender has a heartbeat.
    workers.look(NOON)
    assert list(workers.left_to_leader().values_list("id", flat=True)) == [row.pk]
    assert not workers.not_just_offered(NOON).exists()
    workers.drain(timeout=WAIT)


def test_a_dispatch_that_found_no_place_is_the_leaders_at_once_whatever_waits_for_workers():
    now = NOON + MINUTE
    webhook = make_queued("https://a.example/")
    dispatch = make_queued("o/r/w.yml", queued_at=now, execution_type=ExecutionType.GITHUB_ACTIONS)
    workers = CeleryBackend(lambda message: None)
    assert list(workers.left_to_leader().values_list("id", flat=True)) == [dispatch.pk]
    assert list(workers.not_just_offered(now).values_list("id", flat=True)) == [webhook.pk]


def test_a_dispatch_without_a_place_is_not_published_with_what_workers_send(monkeypatch):
    hook = make_due_job(target_url="https://a.example/")
    github = {"github_owner": "acme", "github_repo": "shop", "github_workflow_name": "ci.yml", "target_url": None}
    workflow = make_due_job(**github)
    bench = Bench()
    bench.limiter.take(workflow.pk, Wanted("somebody", "elsewhere"))
    bench.limiter.limit = 1
    published: list[UUID] = []
    workers = CeleryBackend(lambda message: None)
    monkeypatch.setattr(workers, "offer", lambda ids: published.extend(ids))
    bench.producer.workers = workers
    with bench.backend.admission() as admission:
        claimed = bench.producer._claim_batch(10, admission)
    rows = dict(JobExecution.objects.values_list("job_id", "id"))
    assert (published, claimed.queued) == ([rows[hook.pk]], [rows[workflow.pk]])
