"""Counters for monitors: how many executions have ended since the service began. They only grow.

The daily counts fall when old history is removed or an outcome is corrected. A monitor takes a counter that falls for
one that began anew, and would draw a peak of the whole history. These rows are written in the transaction that settles
an execution, by one statement for a batch, and read as they are: reading costs the same however long the history is.

An execution that was called unknown and got its true outcome later counts under both.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from itertools import groupby
from typing import NamedTuple, Protocol

from django.db import connection

from cronsched.lib.db import batches
from cronsched.lib.db.batches import Column, Kind
from jobs.models import ExecutionTotal, Status, TotalSeries

# Upper bounds in seconds; what is beyond the last one falls into `BEYOND`.
LATENESS_BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
DURATION_BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
BEYOND = "+Inf"

_KEY = (
    Column("series", Kind.TEXT),
    Column("status", Kind.TEXT),
    Column("trigger_type", Kind.TEXT),
    Column("execution_type", Kind.TEXT),
    Column("bucket", Kind.TEXT),
)
_AMOUNTS = (Column("count", Kind.INTEGER), Column("seconds", Kind.REAL))

_Key = tuple[str, str, str, str, str]


class _Ended(Protocol):
    @property
    def status(self) -> str: ...
    @property
    def trigger_type(self) -> str: ...
    @property
    def execution_type(self) -> str | None: ...
    @property
    def duration_seconds(self) -> float | None: ...
    @property
    def lateness_seconds(self) -> float | None: ...


class Ended(NamedTuple):
    """How many executions of one kind have ended."""

    status: str
    trigger_type: str
    execution_type: str
    number: int


class Histogram(NamedTuple):
    """How many fell into each bucket, by its upper bound as Prometheus writes it, and their sum in seconds."""

    buckets: Mapping[str, int]
    seconds: float

    def cumulative(self) -> list[tuple[str, int]]:
        """Return how many are no greater than each bound, the largest bound last."""
        total, found = 0, []
        for bound in sorted(self.buckets, key=float):
            total += self.buckets[bound]
            found.append((bound, total))
        return found


def count(rows: Iterable[_Ended]) -> None:
    """Add executions that ended. Call it in the transaction that settles them."""
    ended: Counter[tuple[str, str, str]] = Counter()
    durations: list[float] = []
    latenesses: list[float] = []
    for row in rows:
        ended[row.status, row.trigger_type, row.execution_type or ""] += 1
        if row.duration_seconds is not None:
            durations.append(row.duration_seconds)
        # Of one whose outcome is unknown it is counted when the outcome is known.
        if row.status != Status.UNKNOWN and (late := row.lateness_seconds) is not None:
            latenesses.append(max(0.0, late))
    amounts: dict[_Key, tuple[int, float]] = {
        (TotalSeries.ENDED, *kind, ""): (number, 0.0) for kind, number in ended.items()
    }
    amounts |= _buckets(TotalSeries.DURATION, durations, DURATION_BOUNDS)
    amounts |= _buckets(TotalSeries.LATENESS, latenesses, LATENESS_BOUNDS)
    if amounts:
        # Sorted, so that two transactions never deadlock.
        rows_of = [(*map(str, key), *amounts[key]) for key in sorted(amounts)]
        batches.add(connection, ExecutionTotal._meta.db_table, _KEY, _AMOUNTS, rows_of)


def _buckets(series: str, seconds: list[float], bounds: tuple[float, ...]) -> dict[_Key, tuple[int, float]]:
    """Return how many fall into each bucket, and their sum."""
    found: dict[_Key, tuple[int, float]] = {}
    for place, fallen in groupby(sorted(seconds), partial(bisect_left, bounds)):
        values = list(fallen)
        bound = bound_text(bounds[place]) if place < len(bounds) else BEYOND
        found[series, "", "", "", bound] = (len(values), sum(values))
    return found


def bound_text(bound: float) -> str:
    return f"{bound:g}"


def ended() -> list[Ended]:
    """Return how many executions of each kind have ended."""
    rows = ExecutionTotal.objects.filter(series=TotalSeries.ENDED).order_by()
    return [Ended._make(row) for row in rows.values_list("status", "trigger_type", "execution_type", "count")]


def histogram(series: TotalSeries, bounds: tuple[float, ...]) -> Histogram:
    """Return the histogram of a series; every bound is in it."""
    buckets = {bound_text(bound): 0 for bound in bounds} | {BEYOND: 0}
    seconds = 0.0
    rows = ExecutionTotal.objects.filter(series=series).order_by()
    for bucket, number, part in rows.values_list("bucket", "count", "seconds"):
        # A bound that an earlier release had stays what it was.
        buckets[bucket] = buckets.get(bucket, 0) + number
        seconds += part
    return Histogram(buckets, seconds)
