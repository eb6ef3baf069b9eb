"""Reads the input of a forecast: active jobs grouped by when they fire, and the limits of this installation."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db.models import Count, OuterRef, Subquery, Sum

from jobs.calendar import end_of, end_zone
from jobs.github.client import Repository
from jobs.github.configured import github, has_github_credential
from jobs.history.forecast import Limits, Load
from jobs.models import DailyCount, JobQuerySet

# How far back durations are read.
RECENT = timedelta(days=7)
COLUMNS = ("cron_expression", "timezone", "end_date", "github_owner", "github_repo", "github_workflow_name")


def limits() -> Limits:
    """Return the limits of this installation. Two dispatches have a gap between them, which is a limit, too."""
    per_minute, gap = settings.GITHUB_DISPATCHES_PER_MINUTE, settings.GITHUB_DISPATCH_GAP_MS
    if gap:
        per_minute = min(per_minute, 60_000 // gap)
    return Limits(per_minute, settings.GITHUB_DISPATCHES_PER_HOUR, settings.MAX_IN_FLIGHT)


def read_loads(jobs: JobQuerySet, *, end: datetime, now: datetime) -> list[Load]:
    """Return the active and computable ones of `jobs`, grouped by when they fire.

    A run takes as long as the job's latest have on average; of a job without any, as those of the others.
    """
    zone = end_zone()
    alike = list(_alike(jobs.filter(is_active=True, schedule_error=""), now))
    timed = sum(row.timed for row in alike)
    usual = sum(row.took or 0.0 for row in alike) / timed if timed else 0.0
    ends = {day: end_of(day, zone) for day in {row.end_date for row in alike}}
    groups: defaultdict[tuple[str, str, datetime | None], list[_Alike]] = defaultdict(list)
    for row in alike:
        ends_at = ends[row.end_date] if ends[row.end_date] < end else None
        groups[row.expression, row.zone_name or settings.SCHEDULER_TIMEZONE, ends_at].append(row)
    return [
        Load(*key, sum(row.jobs for row in rows), sum(row.seconds(usual) for row in rows), _dispatches(rows))
        for key, rows in groups.items()
    ]


class _Alike(NamedTuple):
    """Jobs with one schedule, end and workflow: how many, of how many it is known how long they take, and how long."""

    expression: str
    zone_name: str | None
    end_date: date
    owner: str | None
    repo: str | None
    workflow: str | None
    jobs: int
    timed: int
    took: float | None

    def seconds(self, usual: float) -> float:
        """Return how long a run of each takes together, where one takes `usual` seconds that is not known."""
        return (self.took or 0.0) + (self.jobs - self.timed) * usual


def _alike(jobs: JobQuerySet, now: datetime) -> Iterator[_Alike]:
    latest = DailyCount.objects.filter(job_key=OuterRef("pk"), day__gte=(now - RECENT).date(), timed__gt=0)
    mean = latest.order_by().values("job_key").annotate(mean=Sum("seconds") / Sum("timed")).values("mean")
    rows = jobs.order_by().annotate(mean=Subquery(mean)).values_list(*COLUMNS)
    return map(_Alike._make, rows.annotate(Count("pk"), Count("mean"), Sum("mean")))


def _dispatches(rows: Iterable[_Alike]) -> Mapping[str, int]:
    """Count the jobs that dispatch workflows, by the credential that GitHub counts them against."""
    counted: Counter[str] = Counter()
    for row in rows:
        if row.owner and row.repo and row.workflow:
            counted[_credential(row.owner, row.repo)] += row.jobs
    return counted


def _credential(owner: str, repo: str) -> str:
    return github().bucket(Repository(owner, repo)) if has_github_credential() else ""
