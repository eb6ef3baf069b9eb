"""Reading the history: which executions, how many of each kind, one page of them.

The history is the one table that grows without end, so no query here may get slower with its length: a page is found
in an index alone and only its own rows are read; whole days are summed up from the daily counts
(`jobs.history.daily_counts`), and row by row only what is open or cut off by a period that begins or ends within a day.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import lru_cache
from heapq import merge
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Count, DateField, DateTimeField, Func, Q, QuerySet, Sum, UUIDField, Value

from cronsched.lib.db.prepared import Param, PreparedQuery
from cronsched.lib.input.ranges import DateRange
from jobs.history.daily_counts import ALL_JOBS
from jobs.models import (
    NEVER_SENT_STATUSES,
    OPEN_STATUSES,
    DailyCount,
    ExecutionQuerySet,
    Job,
    JobCount,
    JobExecution,
    Status,
)

EVER = DateRange()
# What a list shows. The rest of a row may be large, and a whole job would be read for its name.
LISTED_FIELDS = (
    "job_id",
    "status",
    "trigger_type",
    "execution_type",
    "target",
    "scheduled_for",
    "queued_at",
    "started_at",
    "completed_at",
    "duration_seconds",
    "response_status",
    "error_message",
    "output",
    "reason",
    "attempt",
    "details",
    "missed_from",
    "missed_count",
    "not_before",
    "job__name",
    "job__github_repo",
    *(f"run__{name}" for name in ("run_id", "url", "status", "conclusion", "attempt", "failed_job", "failed_step")),
    *(f"run__{name}" for name in ("tracking", "checked_at", "concluded_at")),
)

# The parameters of a prepared query. Each kind of selection is compiled once and kept; there are more places than kinds
# in use at one time.
KINDS = 256
# So many jobs are looked up one by one for a page of all of them, with a query each.
MERGED = 1
JOB: Any = Param("job", UUIDField())
FIRST_DAY: Any = Param("first_day", DateField())
LAST_DAY: Any = Param("last_day", DateField())


def _instant(name: str) -> Any:
    return Param(name, DateTimeField())


@dataclass(frozen=True)
class Selection:
    """Which executions are meant. None is no condition; an empty set matches nothing."""

    jobs: frozenset[UUID] | None = None
    statuses: frozenset[str] | None = None
    trigger_types: frozenset[str] | None = None
    execution_types: frozenset[str] | None = None
    period: DateRange = EVER
    # Part of the job's name, ignoring case: for so many jobs that their ids would make the statement too long.
    job_name: str = ""

    def rows(self) -> ExecutionQuerySet:
        return self.rows_of_any_time().filter(**self.period.conditions("started_at"))

    def rows_of_any_time(self) -> ExecutionQuerySet:
        rows = JobExecution.objects.filter(**self._conditions())
        if self._job is not None:
            rows = rows.filter(job=self._job)
        elif self.jobs is not None:
            rows = rows.filter(job__in=sorted(self.jobs))
        if self.job_name:
            # Many jobs: those found in the order of time are enough for a page soon.
            rows = rows.alias(any_job=Unindexed("job_id", output_field=UUIDField()))
            rows = rows.filter(Q(any_job__in=_named(self.job_name)))
        return rows

    def counts(self, days: Mapping[str, date]) -> QuerySet[Any]:
        """Return the counts of what is meant: of `days`, or of any time where there are none."""
        if self.job_name and not days:
            return JobCount.objects.filter(job_key__in=_named(self.job_name), **self._conditions())
        keys = _named(self.job_name) if self.job_name else sorted(self.jobs or {ALL_JOBS})
        return DailyCount.objects.filter(job_key__in=keys, **days, **self._conditions())

    def still_open(self) -> "Selection":
        """Return what of it has not ended.

        One condition for the status: of two, SQLite may look for rows by the one that many of them meet.
        """
        asked = frozenset(Status) if self.statuses is None else self.statuses
        return replace(self, statuses=asked & frozenset(OPEN_STATUSES))

    def kind(self) -> "Selection":
        """Return the selection with places instead of its job and period."""
        period = DateRange(self.period.start and _instant("start"), self.period.end and _instant("end"))
        return replace(self, jobs=frozenset({JOB}) if self._job is not None else self.jobs, period=period)

    def given(self) -> dict[str, Any]:
        """Return what belongs in the places of `kind`."""
        return {"job": self._job, "start": self.period.start, "end": self.period.end}

    @property
    def _job(self) -> UUID | None:
        """The selected job where it is exactly one, else None."""
        return next(iter(self.jobs)) if self.jobs and len(self.jobs) == 1 else None

    @property
    def is_nothing(self) -> bool:
        return any(not values for values in self._sets() if values is not None)

    def _sets(self) -> tuple[frozenset[Any] | None, ...]:
        return (self.jobs, self.statuses, self.trigger_types, self.execution_types)

    def _conditions(self) -> dict[str, list[str]]:
        wanted = {
            "status__in": self.statuses,
            "trigger_type__in": self.trigger_types,
            "execution_type__in": self.execution_types,
        }
        return {lookup: sorted(values) for lookup, values in wanted.items() if values is not None}


class Unindexed(Func):
    """A column that SQLite must not look up in an index: it would sort all rows of many jobs for one page."""

    template = "%(expressions)s"
    arity = 1

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return self.as_sql(compiler, connection, template="+%(expressions)s", **extra)


def _named(text: str) -> QuerySet[Job, UUID]:
    return Job.objects.filter(name__icontains=text).order_by().values_list("pk", flat=True)


def by_job_name(selection: Selection, text: str) -> Selection:
    """Narrow `selection` to jobs with `text` in their name, ignoring case. Blank text does not narrow it.

    Jobs are few beside their history, so they are found first: one by one where they are few themselves, and all where
    every job is meant.
    """
    if not text:
        return selection
    named, total = frozenset(_named(text)), Job.objects.count()
    if selection.jobs is not None:
        return replace(selection, jobs=selection.jobs & named)
    if len(named) <= MERGED:
        return replace(selection, jobs=named)
    return selection if len(named) == total else replace(selection, job_name=text)


@dataclass(frozen=True)
class StatusSum:
    """Executions of one status: how many, how many of them took a known time, and how much in all."""

    count: int = 0
    timed: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Totals:
    """The sums of a selection. Rates leave out executions that were never sent or whose outcome is unknown."""

    by_status: Mapping[str, StatusSum] = field(default_factory=dict)

    def count(self, *statuses: str) -> int:
        return sum(self.by_status.get(status, StatusSum()).count for status in statuses)

    @property
    def running(self) -> int:
        return self.count(*OPEN_STATUSES)

    @property
    def runs(self) -> int:
        return self.running + self.count(Status.SUCCESS, Status.FAILED)

    @property
    def success_rate(self) -> float:
        """Successes in per cent of all runs, 0 without any."""
        return self.count(Status.SUCCESS) / self.runs * 100 if self.runs else 0.0

    def average_seconds(self, *statuses: str) -> float | None:
        """Return the mean duration of the executions of `statuses`, None where none has one."""
        sums = [self.by_status.get(status, StatusSum()) for status in statuses]
        timed = sum(one.timed for one in sums)
        return sum(one.seconds for one in sums) / timed if timed else None


def totals(selection: Selection) -> Totals:
    """Add up what `selection` means, in one statement, so that no row is seen before and after it settles."""
    if selection.is_nothing:
        return Totals()
    cuts = cut(selection.period)
    sums = _all_sums(selection.kind(), cuts.kind())
    found: dict[str, StatusSum] = {}
    for sign, status, *amounts in sums.all(**selection.given(), **cuts.given()):
        number, timed, seconds = (amount or 0 for amount in amounts)
        so_far = found.get(status, StatusSum())
        found[status] = StatusSum(
            so_far.count + sign * int(number),
            so_far.timed + sign * int(timed),
            so_far.seconds + sign * float(seconds),
        )
    return Totals(found)


def count(selection: Selection) -> int:
    return totals(selection).count(*Status.values)


class Span(NamedTuple):
    """Executions to be counted row by row, and whether they are added or subtracted."""

    start: datetime
    end: datetime
    sign: int


@dataclass(frozen=True)
class Cut:
    """A period cut at midnights (UTC): days from `first` to `last`, None for no bound, and what sticks out."""

    first: date | None
    last: date | None
    spans: tuple[Span, ...]
    has_days: bool

    def kind(self) -> "Cut":
        """Return the cut with places instead of its days and instants."""
        spans = (Span(_instant(f"start{n}"), _instant(f"end{n}"), span.sign) for n, span in enumerate(self.spans))
        return Cut(self.first and FIRST_DAY, self.last and LAST_DAY, tuple(spans), self.has_days)

    def given(self) -> dict[str, Any]:
        """Return what belongs in the places of `kind`."""
        starts = {f"start{n}": span.start for n, span in enumerate(self.spans)}
        ends = {f"end{n}": span.end for n, span in enumerate(self.spans)}
        return {"first_day": self.first, "last_day": self.last, **starts, **ends}


HALF_A_DAY = timedelta(hours=12)


def cut(period: DateRange) -> Cut:
    """Cut `period` at the midnights nearest to its bounds, so that at most half a day sticks out, or is too much."""
    start, end = period.start, period.end
    if start and end and end - start <= HALF_A_DAY:
        # Shorter than what would have to be put right at both ends.
        return Cut(None, None, (Span(start, end, 1),), has_days=False)
    first, last = start and _nearest_midnight(start), end and _nearest_midnight(end)
    spans = []
    if start and first and start != first:
        spans.append(Span(start, first, 1) if start < first else Span(first, start, -1))
    if end and last and end != last:
        spans.append(Span(last, end, 1) if last < end else Span(end, last, -1))
    has_days = not (first and last) or first < last
    return Cut(first and first.date(), last and (last - timedelta(days=1)).date(), tuple(spans), has_days)


def _nearest_midnight(moment: datetime) -> datetime:
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if moment - midnight <= HALF_A_DAY or midnight.date() == date.max:
        return midnight
    return midnight + timedelta(days=1)


Sums = QuerySet[Any, tuple[int, str, int, int | None, float | None]]


@lru_cache(KINDS)
def _all_sums(selection: Selection, cuts: Cut) -> PreparedQuery[Any]:
    """Return the statement that adds up one kind of selection."""

    def union() -> Sums:
        first, *others = _parts(selection, cuts)
        return first.union(*others, all=True)

    return PreparedQuery(union)


def _parts(selection: Selection, cuts: Cut) -> list[Sums]:
    """Return the queries whose sums together are what `selection` means."""
    parts = []
    still_open = selection.still_open()
    if not still_open.is_nothing:
        parts.append(_sums(still_open.rows(), 1))
    if cuts.has_days:
        days = {}
        if cuts.first:
            days["day__gte"] = cuts.first
        if cuts.last:
            days["day__lte"] = cuts.last
        counts = selection.counts(days).order_by().values_list(Value(1), "status")
        parts.append(counts.annotate(Sum("count"), Sum("timed"), Sum("seconds")))
    settled = selection.rows_of_any_time().exclude(status__in=OPEN_STATUSES)
    parts += [
        _sums(settled.filter(started_at__gte=span.start, started_at__lt=span.end), span.sign) for span in cuts.spans
    ]
    return parts


def _sums(rows: ExecutionQuerySet, sign: int) -> Sums:
    return (
        rows.order_by()
        .values_list(Value(sign), "status")
        .annotate(Count("id"), Count("duration_seconds"), Sum("duration_seconds"))
    )


def page(selection: Selection, *, offset: int, limit: int, oldest_first: bool = False) -> list[JobExecution]:
    """Return `limit` executions after the first `offset`, newest first unless asked otherwise.

    They hold what a list shows of them and of their jobs; anything else costs a query each.
    """
    # The keys first, from an index alone: skipping whole rows would read them all.
    keys = [] if selection.is_nothing else _keys(selection, offset=offset, limit=limit, oldest_first=oldest_first)
    if not keys:
        return []
    found = _listed(len(keys)).all(**{f"key{n}": key for n, key in enumerate(keys)})
    rows = {row.pk: row for row in found}
    # A row may have been deleted in between.
    return [rows[key] for key in keys if key in rows]


@lru_cache(KINDS)
def _listed(number: int) -> PreparedQuery[JobExecution]:
    """Return the statement that reads `number` executions by their keys."""
    keys: list[Any] = [Param(f"key{n}", UUIDField()) for n in range(number)]
    return PreparedQuery(
        lambda: JobExecution.objects.select_related("job", "run").only(*LISTED_FIELDS).filter(pk__in=keys)
    )


def _keys(selection: Selection, *, offset: int, limit: int, oldest_first: bool) -> list[UUID]:
    end = offset + limit
    kind, given = selection.kind(), selection.given()
    if selection.jobs is not None and len(selection.jobs) > 1:
        # Each job has an order of its own in the index; one look for all of them would sort their whole histories.
        of_one = _ordered(replace(kind, jobs=frozenset({JOB})), oldest_first)
        lists = [of_one.slice(0, end, **{**given, "job": job}) for job in selection.jobs]
        return [key for _, key in islice(merge(*lists, reverse=not oldest_first), offset, end)]
    if selection.jobs is not None or not selection.statuses or len(selection.statuses) == 1:
        return [key for _, key in _ordered(kind, oldest_first).slice(offset, end, **given)]
    # The index is in order for each status only. Where all that are asked for are rare, a look for them together
    # would go through the whole history.
    lists = [
        _ordered(replace(kind, statuses=frozenset({status})), oldest_first).slice(0, end, **given)
        for status in selection.statuses
    ]
    return [key for _, key in islice(merge(*lists, reverse=not oldest_first), offset, end)]


@lru_cache(KINDS)
def _ordered(selection: Selection, oldest_first: bool) -> PreparedQuery[tuple[datetime, UUID]]:
    """Return the statement that reads time and key of one kind of selection."""
    order = ("started_at", "id") if oldest_first else ("-started_at", "-id")
    return PreparedQuery(lambda: selection.rows().order_by(*order).values_list("started_at", "id"))


_LATEST = PreparedQuery(
    lambda: (
        JobExecution.objects.filter(job=JOB)
        .select_related("run")
        .exclude(status__in=NEVER_SENT_STATUSES)
        .newest_first()
    )
)


def latest_of(job: Job) -> JobExecution | None:
    """Return the newest execution of `job` that was sent."""
    return next(iter(_LATEST.slice(0, 1, job=job.pk)), None)
