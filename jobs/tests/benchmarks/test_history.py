"""A history that grows: what may not get slower with it, while pages are read and jobs are fired.

BENCH_HISTORY   how many executions it grows to, from 100,000; default 1000000. The bar is for 5000000.
"""

import statistics
import time
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.db.models import Min

from jobs.dispatch import Prepared, Result, record
from jobs.executors.base import Outcome
from jobs.models import Job
from jobs.scheduler.claim import BATCH, claim_due
from jobs.tests.benchmarks.calls import Web, paths
from jobs.tests.benchmarks.contenders import insert_jobs
from jobs.tests.benchmarks.history import fill
from jobs.tests.benchmarks.report import Figures, at_most, size

pytestmark = [pytest.mark.benchmark, pytest.mark.django_db(transaction=True)]

FEW = 100_000
MANY = size("BENCH_HISTORY", "1000000")[0]
RATIO = 2.0
# Statistics have a bar for whole days. Parts of days are added up row by row.
WITHOUT_BAR = frozenset({"statistics, last 24 hours"})
BATCHES = 15


def test_a_history_that_grows(jobs: list[Job], web: Web) -> None:
    figures = Figures(
        "history",
        f"Milliseconds (p50) with {FEW:,} and with {MANY:,} executions",
        ("what", f"{FEW:,}", f"{MANY:,}", "ratio", "bar", ""),
    )
    Job.objects.update(next_fire_at=None)
    minute = datetime.now(UTC).replace(second=0, microsecond=0)
    insert_jobs(["https://hooks.example.com/"] * BATCH, due_at=minute, names="Due")
    fill(jobs, FEW)
    few = measured(jobs, web)
    assert few.keys() >= WITHOUT_BAR
    fill(jobs, MANY - FEW, shift=0.37)
    many = measured(jobs, web)
    for name, before in few.items():
        ratio = many[name] / before
        bar = ("", "") if name in WITHOUT_BAR else (f"{RATIO:g}", at_most(ratio, RATIO))
        figures.add(name, f"{before:.2f}", f"{many[name]:.2f}", f"{ratio:.2f}", *bar)
    figures.publish()


def measured(jobs: list[Job], web: Web) -> dict[str, float]:
    calls = {name: web.milliseconds(path)[0] for name, (path, _) in paths(jobs[7]).items()}
    return calls | claim_and_record()


def claim_and_record() -> dict[str, float]:
    """Claim and record full batches. Each leaves the jobs due a day later, which is where the next one stands."""
    claims, records = [], []
    sender = uuid4()
    for _ in range(BATCHES):
        now = Job.objects.aggregate(Min("next_fire_at"))["next_fire_at__min"]
        began = time.perf_counter()
        claimed = claim_due(now=now, limit=BATCH, admit=lambda *_: True, sender=sender)
        claims.append(time.perf_counter() - began)
        assert len(claimed.prepared) == BATCH
        results = [answered(prepared, now) for prepared in claimed.prepared]
        began = time.perf_counter()
        assert record(results, sender=sender, now=now) == BATCH
        records.append(time.perf_counter() - began)
    return {
        f"claim of {BATCH} due jobs": statistics.median(claims) * 1000,
        f"record of {BATCH} results": statistics.median(records) * 1000,
    }


def answered(prepared: Prepared, now: datetime) -> Result:
    target = "https://hooks.example.com/"
    outcome = Outcome("success", "webhook", target, response_status=200, output="OK", request_sent=True)
    return Result(prepared, outcome, now + timedelta(seconds=1))
