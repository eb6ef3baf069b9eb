"""Keep the daily counts of settled executions equal to the history, and answer from them.

A row counts on the day (UTC) it started, from the moment it is settled: in the same transaction, so that one is
never seen without the other. What settles, corrects or deletes a row calls `add`; open rows are counted when asked for.
Each row counts twice, for its job and for all jobs, because a sum over a hundred thousand jobs is a scan too; and once
more for its job whatever the day (`JobCount`), because so are the days of many jobs.
"""

# Names of tables and columns are our own; whatever comes from outside is a parameter.
# ruff: noqa: S608

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple, Self
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Max, Min, Model, QuerySet, Sum

from cronsched.lib.db import batches
from cronsched.lib.db.batches import Column, Kind
from jobs.history import totals as execution_totals
from jobs.models import OPEN_STATUSES, DailyCount, Job, JobCount, JobExecution

ALL_JOBS = UUID(int=0)

KEY = (
    Column("job_key", Kind.UUID),
    Column("day", Kind.DAY),
    Column("status", Kind.TEXT),
    Column("trigger_type", Kind.TEXT),
    Column("execution_type", Kind.TEXT),
)
AMOUNTS = (Column("count", Kind.INTEGER), Column("timed", Kind.INTEGER), Column("seconds", Kind.REAL))

KEY_OF_JOB = tuple(column for column in KEY if column.name != "day")
# So many jobs are recounted by one statement.
PORTION = 1000

Key = tuple[UUID, date, str, str, str]
KeyOfJob = tuple[UUID, str, str, str]


class Counted(NamedTuple):
    """A settled row, as far as it is counted. `sign` is -1 for one that is not there (any more)."""

    job_id: UUID
    started_at: datetime
    status: str
    trigger_type: str
    execution_type: str | None
    duration_seconds: float | None
    sign: int = 1
    lateness_seconds: float | None = None


class Total(NamedTuple):
    """Settled executions of one kind."""

    status: str
    trigger_type: str
    execution_type: str
    number: int
    timed: int
    seconds: float


class Amount(NamedTuple):
    """How many rows, how many of them took a known time, and how long together. May be negative."""

    number: int = 0
    timed: int = 0
    seconds: float = 0.0

    @property
    def is_worth_storing(self) -> bool:
        """Whether it is more than what adding up fractions in another order makes."""
        return bool(self.number or self.timed) or abs(self.seconds) > 0.001

    def plus(self, other: Self) -> "Amount":
        return Amount(self.number + other.number, self.timed + other.timed, self.seconds + other.seconds)


def totals(job_id: UUID | None = None, *, first_day: date | None = None, last_day: date | None = None) -> list[Total]:
    """Return the settled executions of a job, or of all jobs, that started on the days given (UTC, both included).

    Costs as many rows as there are days and kinds, whatever the length of the history.
    """
    rows = DailyCount.objects.filter(job_key=job_id or ALL_JOBS)
    if first_day is not None:
        rows = rows.filter(day__gte=first_day)
    if last_day is not None:
        rows = rows.filter(day__lte=last_day)
    kinds = rows.order_by().values_list("status", "trigger_type", "execution_type")
    sums = kinds.annotate(Sum("count"), Sum("timed"), Sum("seconds"))
    return [Total(*row) for row in sums if row[3]]


def add(rows: Iterable[Counted]) -> None:
    """Count `rows`. Call it in the transaction that settles, corrects (once -1, once 1) or deletes them."""
    rows = list(rows)
    amounts: dict[Key, Amount] = {}
    for row in rows:
        duration = row.duration_seconds
        amount = Amount(row.sign, 0 if duration is None else row.sign, row.sign * (duration or 0.0))
        kind = row.started_at.astimezone(UTC).date(), row.status, row.trigger_type, row.execution_type or ""
        for job_key in (ALL_JOBS, row.job_id):
            key = (job_key, *kind)
            known = amounts.get(key)
            amounts[key] = amount if known is None else known.plus(amount)
    _store(amounts)
    _store_of_jobs(_of_any_day(amounts))
    execution_totals.count(row for row in rows if row.sign > 0)


def of(executions: QuerySet[JobExecution], *, sign: int = 1) -> list[Counted]:
    """Return what counts of the settled ones of `executions`."""
    settled = executions.exclude(status__in=OPEN_STATUSES).order_by()
    fields = ("job_id", "started_at", "status", "trigger_type", "execution_type", "duration_seconds")
    return [Counted._make((*row, sign, None)) for row in settled.values_list(*fields)]


def bounded(executions: QuerySet[Any], **kind: str) -> QuerySet[Any]:
    """Return those of `executions` that are of a kind: a trigger or what was called.

    No index knows kinds. Where there are few of one, or none, all of the history would be looked at for a page: the
    days on which it occurs narrow that. What is open is in no count.
    """
    rows = executions.filter(**kind)
    days = DailyCount.objects.filter(job_key=ALL_JOBS, count__gt=0, **kind).aggregate(first=Min("day"), last=Max("day"))
    oldest = JobExecution.objects.open().filter(**kind).aggregate(at=Min("started_at"))["at"]
    if days["first"] is None:
        return rows.filter(started_at__gte=oldest) if oldest else rows.none()
    first = _midnight(days["first"])
    rows = rows.filter(started_at__gte=min(first, oldest) if oldest else first)
    return rows if oldest else rows.filter(started_at__lt=_midnight(days["last"]) + timedelta(days=1))


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def forget(job_id: UUID) -> None:
    """Take a job that is being deleted out of the counts, with whatever is left of its history."""
    own = DailyCount.objects.filter(job_key=job_id)
    amounts = {
        (ALL_JOBS, *row[:4]): Amount(-row[4], -row[5], -row[6])
        for row in own.values_list(*[column.name for column in (*KEY[1:], *AMOUNTS)])
    }
    _store(amounts)
    own.delete()
    JobCount.objects.filter(job_key=job_id).delete()


def recount(day: date) -> int:
    """Make the counts of one past `day` (UTC) equal to the history; return how many were wrong.

    Repairs the counts after changes of the history in the database. Concurrent recording is not disturbed: the
    differences come from one statement, which sees history and counts at the same instant, and are added like any other
    amount.
    """
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    span = [batches.stored(connection, moment) for moment in (start, start + timedelta(days=1))]
    parameters = 2 * [*span, *OPEN_STATUSES] + [batches.stored(connection, day)]
    with transaction.atomic():
        wrong = {(key[0], day, *key[1:]): amount for key, amount in _differences(_OF_A_DAY, parameters).items()}
        _store(wrong)
    return len(wrong)


def recount_jobs() -> int:
    """Make the counts of the jobs equal to the sums of their daily counts; return how many were wrong."""
    # In the order of the database: MariaDB's of UUIDs is its own.
    ids = list(Job.objects.order_by("pk").values_list("pk", flat=True))
    portions = (ids[place : place + PORTION] for place in range(0, len(ids), PORTION))
    return sum(_recount_jobs(portion[0], portion[-1]) for portion in portions)


def _recount_jobs(first: UUID, last: UUID) -> int:
    bounds = [batches.stored(connection, job_id) for job_id in (first, last)]
    with transaction.atomic():
        wrong = _differences(_OF_JOBS, 2 * bounds)
        _store_of_jobs(wrong)
    return len(wrong)


def _differences(sql: str, parameters: Sequence[Any]) -> dict[KeyOfJob, Amount]:
    """Return what has to be added to each count."""
    differences: defaultdict[KeyOfJob, Amount] = defaultdict(Amount)
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        for job_key, status, trigger_type, execution_type, count, timed, seconds in cursor:
            key = (UUID(str(job_key)) if job_key else ALL_JOBS, status, trigger_type, execution_type)
            # The sums over all jobs come without a job and their counts with the nil one; here the two meet.
            differences[key] = differences[key].plus(Amount(int(count), int(timed), float(seconds)))
    return {key: amount for key, amount in differences.items() if amount.is_worth_storing}


_KIND = "status, trigger_type, COALESCE(execution_type, '') AS execution_type"
_SUMS = "COUNT(*) AS count, COUNT(duration_seconds) AS timed, COALESCE(SUM(duration_seconds), 0) AS seconds"
_SETTLED = "FROM job_executions WHERE started_at >= %s AND started_at < %s AND status NOT IN (%s, %s)"
_COUNTED = "job_key, status, trigger_type, execution_type"
_ADDED = "count, timed, seconds"
_LESS = "-count, -timed, -seconds"


def _difference_of(*sides: str) -> str:
    """Return the statement that adds up `sides` and leaves out what comes to nothing."""
    # MariaDB takes the names of the columns from the first side.
    return f"""
        SELECT {_COUNTED}, SUM(count), SUM(timed), SUM(seconds) FROM ({" UNION ALL ".join(sides)}) sides
        GROUP BY {_COUNTED}
        HAVING SUM(count) <> 0 OR SUM(timed) <> 0 OR ABS(SUM(seconds)) > 0.001
    """


_OF_A_DAY = _difference_of(
    f"SELECT job_id AS job_key, {_KIND}, {_SUMS} {_SETTLED} GROUP BY 1, 2, 3, 4",
    f"SELECT NULL AS job_key, {_KIND}, {_SUMS} {_SETTLED} GROUP BY 2, 3, 4",
    f"SELECT {_COUNTED}, {_LESS} FROM job_execution_days WHERE day = %s",
)
_OF_JOBS = _difference_of(
    f"SELECT {_COUNTED}, {_ADDED} FROM job_execution_days WHERE job_key BETWEEN %s AND %s",
    f"SELECT {_COUNTED}, {_LESS} FROM job_execution_counts WHERE job_key BETWEEN %s AND %s",
)


def _of_any_day(amounts: Mapping[Key, Amount]) -> dict[KeyOfJob, Amount]:
    """Return what `amounts` are for each job."""
    found: dict[KeyOfJob, Amount] = {}
    for of_day, amount in amounts.items():
        key = (of_day[0], *of_day[2:])
        if key[0] != ALL_JOBS:
            found[key] = found[key].plus(amount) if key in found else amount
    return found


def _store(amounts: Mapping[Key, Amount]) -> None:
    _add(DailyCount, KEY, amounts)


def _store_of_jobs(amounts: Mapping[KeyOfJob, Amount]) -> None:
    _add(JobCount, KEY_OF_JOB, amounts)


def _add(model: type[Model], columns: Sequence[Column], amounts: Mapping[Any, Amount]) -> None:
    # Sorted, so that two transactions never deadlock.
    keys = sorted(amounts, key=lambda key: (key[0].int, *key[1:]))
    rows = [(*key, *amounts[key]) for key in keys if any(amounts[key])]
    if rows:
        batches.add(connection, model._meta.db_table, columns, AMOUNTS, rows)
