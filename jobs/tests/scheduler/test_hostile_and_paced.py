"""Figures that hold in every run of the suite, with the pace turned up: hostile targets, and a herd at GitHub."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from time import monotonic
from typing import Any

import pytest

from cronsched.lib.clock import DatabaseClock
from cronsched.lib.tests.servers import OK, Visit, answering, target
from jobs.models import GitHubRun, Job, JobExecution
from jobs.tests.conftest import WORKFLOW
from jobs.tests.factories import make_job
from jobs.tests.scheduler.helpers import WAIT, Bench

pytestmark = [pytest.mark.slow, pytest.mark.database, pytest.mark.django_db(transaction=True)]

HOSTILE = 200
# More than the first claim of a pass takes.
HERD = 150


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench(clock=DatabaseClock())
    yield bench
    bench.close()


HERD_IS_DUE = datetime.now(UTC).replace(second=0, microsecond=0)


def make_due(**fields: Any) -> Job:
    # Once a day, and all of one herd due at once: a minute that begins meanwhile brings no second run.
    due = HERD_IS_DUE
    return make_job(cron_expression=f"{due.minute} {due.hour} * * *", timezone="UTC", next_fire_at=due, **fields)


def test_a_good_job_leaves_in_time_beside_hostile_ones(bench):
    def drip(visit: Visit) -> None:
        visit.read_request()
        visit.drip(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000, every=0.1)

    with target(drip) as hostile, target(answering(OK)) as good:
        for number in range(HOSTILE):
            make_due(target_url=hostile.url(f"/{number}"), timeout_seconds=3)
        make_due(target_url=good.url())
        began = monotonic()
        bench.producer.run_pass(lambda: True)
        while not good.requests and monotonic() - began < WAIT:
            bench.pool.wait_for_all(timeout=0.01)
        late = monotonic() - began
        assert bench.pool.wait_for_all(timeout=WAIT)
        took = monotonic() - began
    bench.record()
    assert late < 2
    # The deadline ended those that would have dripped for minutes.
    assert took < 10
    failed = JobExecution.objects.filter(status="failed", error_message__contains="timed out")
    assert (failed.count(), JobExecution.objects.filter(status="success").count()) == (HOSTILE, 1)


def test_a_herd_at_github_keeps_the_pace_and_loses_nobody(bench, github_fake, settings):
    settings.GITHUB_DISPATCH_GAP_MS = 10
    settings.GITHUB_DISPATCHES_PER_MINUTE = settings.GITHUB_DISPATCHES_PER_HOUR = 10_000
    repository = github_fake.add_repository("acme", "shop")
    for number in range(HERD):
        repository.add_workflow(f"deploy-{number}.yml")
        make_due(**{**WORKFLOW, "github_workflow_name": f"deploy-{number}.yml"})
    ends_at = monotonic() + WAIT
    while len(github_fake.dispatches) < HERD and monotonic() < ends_at:
        bench.producer.run_pass(lambda: True)
    assert bench.pool.wait_for_all(timeout=WAIT)
    bench.record()
    dispatched = [workflow for _, _, _, workflow, _ in github_fake.dispatches]
    assert len(dispatched) == len(set(dispatched)) == HERD
    rows = list(JobExecution.objects.order_by("started_at"))
    assert {row.status for row in rows} == {"success"}
    gaps = [later.started_at - earlier.started_at for earlier, later in pairwise(rows)]
    assert min(gaps) >= timedelta(milliseconds=9)
    # All were due at once; each shows when its turn was planned and when it really left.
    assert len({row.scheduled_for for row in rows}) == 1
    planned = [row for row in rows if row.not_before is not None]
    assert len(planned) >= HERD - 5
    assert all(row.scheduled_for < row.not_before <= row.started_at for row in planned)
    assert GitHubRun.objects.filter(run_id__isnull=False).count() == HERD
