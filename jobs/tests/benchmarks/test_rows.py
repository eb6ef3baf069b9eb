"""How many rows a second are claimed and recorded on the database of DATABASE_URL, without sending anything.

BENCH_ROWS  how many, default 5000
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from queue import Queue
from statistics import median
from uuid import UUID, uuid4

import pytest
from django.db import connection

from jobs.dispatch import Prepared, Result, record_each
from jobs.dispatch.journal import Journal
from jobs.scheduler.backends.local import Admission
from jobs.scheduler.claim import claim_due
from jobs.scheduler.write_lock import WriteLock, write_lock
from jobs.targets.limits import limiter
from jobs.tests.benchmarks.contenders import empty_tables, insert_jobs
from jobs.tests.benchmarks.report import Figures, at_least, size
from jobs.tests.benchmarks.test_stages import answered

pytestmark = [pytest.mark.benchmark, pytest.mark.django_db(transaction=True)]

(ROWS,) = size("BENCH_ROWS", "5000")
ROUNDS = 5
BATCH = 250
PER_SECOND = 5_000
URL = "http://127.0.0.1:9/now"

Batch = list[Prepared]


def test_claiming_and_recording(settings) -> None:
    settings.WEBHOOK_ALLOW_PRIVATE_NETWORKS = True
    vendor = connection.vendor
    title = f"{ROWS:,} rows on {vendor} in batches of {BATCH}, the median of {ROUNDS} rounds"
    figures = Figures(f"rows-{vendor}", title, ("what", "rows a second", "bar", ""))
    claims, records, both = zip(*(one_round() for _ in range(ROUNDS)), strict=True)
    rate = ROWS / median(both)
    figures.add("claim alone", f"{ROWS / median(claims):,.0f}", "", "")
    figures.add("record alone", f"{ROWS / median(records):,.0f}", "", "")
    figures.add("claim and record, a thread for each", f"{rate:,.0f}", f"{PER_SECOND:,}", at_least(rate, PER_SECOND))
    figures.publish()


def one_round() -> tuple[float, float, float]:
    """Return the seconds that claiming took, that recording took, and that both took at the same time."""
    sender, lock = uuid4(), write_lock()
    make_due()
    began = time.perf_counter()
    batches = list(claimed(sender, lock))
    claimed_at = time.perf_counter()
    record(batches, sender, lock)
    recorded_at = time.perf_counter()
    make_due()
    both_began_at = time.perf_counter()
    at_the_same_time(sender, lock)
    return claimed_at - began, recorded_at - claimed_at, time.perf_counter() - both_began_at


def make_due() -> None:
    empty_tables()
    insert_jobs([URL] * ROWS, due_at=datetime.now(UTC).replace(second=0, microsecond=0))


def claimed(sender: UUID, lock: WriteLock) -> Iterator[Batch]:
    """Claim all that is due, batch by batch; what another transaction holds is left for later."""
    journal, number = Journal(sender), 0
    while number < ROWS:
        places = Admission(limiter())
        with lock:
            claim = claim_due(
                now=datetime.now(UTC), limit=BATCH, admit=places.admit_job, sender=sender, taking=journal.taken
            )
        places.give_back()
        number += len(claim.prepared)
        yield claim.prepared
    journal.close()


def record(batches: Iterable[Sequence[Prepared]], sender: UUID, lock: WriteLock) -> None:
    for batch in batches:
        results = [Result(item, answered(item), datetime.now(UTC)) for item in batch]
        with lock:
            assert record_each(results, sender=sender, now=datetime.now(UTC)) == len(batch)


def at_the_same_time(sender: UUID, lock: WriteLock) -> None:
    """Claim in one thread and record in another what it has claimed."""
    ready: Queue[Batch | None] = Queue()

    def record_what_comes() -> None:
        try:
            record(iter(ready.get, None), sender, lock)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        recording = pool.submit(record_what_comes)
        try:
            for batch in claimed(sender, lock):
                ready.put(batch)
        finally:
            ready.put(None)
        recording.result()
