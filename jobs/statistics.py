"""Reading the history: which executions, how many of each kind, one page of them.

The history is the one table that grows without end, so nothing here may cost more the more of it there is: a page is
found in an index alone and only its own rows are read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from django.db.models import Count, Sum
from django.db.models.functions import Lower

from cronsched.lib.ranges import DateRange
from jobs.models import NEVER_SENT_STATUSES, OPEN_STATUSES, ExecutionQuerySet, Job, JobExecution, Status

EVER = DateRange()
# Large, and shown nowhere in a list.
UNLISTED_FIELDS = ("request_snapshot", "overrides", "earlier_attempts")


@dataclass(frozen=True)
class Selection:
    """Which executions are meant. None is no condition; an empty set matches nothing."""

    jobs: frozenset[UUID] | None = None
    statuses: frozenset[str] | None = None
    trigger_types: frozenset[str] | None = None
    execution_types: frozenset[str] | None = None
    period: DateRange = EVER
    # Part of the name of the job, in any case.
    job_name: str = ""

    def rows(self) -> ExecutionQuerySet:
        rows = JobExecution.objects.filter(**self.period.conditions("started_at"))
        conditions = {
            "job__in": self.jobs,
            "status__in": self.statuses,
            "trigger_type__in": self.trigger_types,
            "execution_type__in": self.execution_types,
        }
        for lookup, values in conditions.items():
            if values is not None:
                rows = rows.filter(**{lookup: sorted(values)})
        if self.job_name:
            named = Job.objects.annotate(key=Lower("name")).filter(key__contains=self.job_name.lower())
            rows = rows.filter(job__in=named)
        return rows


@dataclass(frozen=True)
class Tally:
    """Executions of one status: how many, how many of them took a known time, and how much in all."""

    count: int = 0
    timed: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Totals:
    """What a selection comes to. What never became a run, or is not known, is counted apart from all rates."""

    by_status: Mapping[str, Tally] = field(default_factory=dict)

    def count(self, *statuses: str) -> int:
        return sum(self.by_status.get(status, Tally()).count for status in statuses)

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
        tallies = [self.by_status.get(status, Tally()) for status in statuses]
        timed = sum(tally.timed for tally in tallies)
        return sum(tally.seconds for tally in tallies) / timed if timed else None


def totals(selection: Selection) -> Totals:
    groups = (
        selection.rows()
        .order_by()
        .values_list("status")
        .annotate(Count("id"), Count("duration_seconds"), Sum("duration_seconds"))
    )
    return Totals({status: Tally(count, timed, seconds or 0.0) for status, count, timed, seconds in groups})


def count(selection: Selection) -> int:
    return selection.rows().count()


def page(selection: Selection, *, offset: int, limit: int, oldest_first: bool = False) -> list[JobExecution]:
    """Return `limit` executions after the first `offset`, with their jobs, newest first unless asked otherwise."""
    order = ("started_at", "id") if oldest_first else ("-started_at", "-id")
    # The keys first, from the index alone: skipping whole rows would read them all.
    keys = list(selection.rows().order_by(*order).values_list("id", flat=True)[offset : offset + limit])
    rows = JobExecution.objects.defer(*UNLISTED_FIELDS).select_related("job").in_bulk(keys)
    # A row may have been deleted in between.
    return [rows[key] for key in keys if key in rows]


def latest_of(job: Job) -> JobExecution | None:
    """Return the newest execution of `job` that left the house."""
    return job.executions.exclude(status__in=NEVER_SENT_STATUSES).newest_first().first()
