"""Reads the input of a forecast: active jobs grouped by when they fire, and the limits of this installation."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Sum

from cronsched.lib.db import batches
from cronsched.lib.db.batches import IdIn
from jobs.calendar import end_of, end_zone
from jobs.github.client import Repository
from jobs.github.configured import github, has_github_credential
from jobs.history.forecast import Limits, Load
from jobs.models import DailyCount, JobQuerySet

# How far back durations are read.
RECENT = timedelta(days=7)
COLUMNS = ("id", "cron_expression", "timezone", "end_date", "github_owner", "github_repo", "github_workflow_name")


def limits() -> Limits:
    """Return the limits of this installation. Two dispatches have a gap between them, which is a limit, too."""
    per_minute, gap = settings.GITHUB_DISPATCHES_PER_MINUTE, settings.GITHUB_DISPATCH_GAP_MS
    if gap:
        per_minute = min(per_minute, 60_000 // gap)
    return Limits(per_minute, settings.GITHUB_DISPATCHES_PER_HOUR, settings.MAX_IN_FLIGHT)


def read_loads(jobs: JobQuerySet, *, end: datetime, now: datetime) -> list[Load]:
    """Return the active and computable ones of `jobs`, grouped by when they fire."""
    rows = batches.read(jobs.filter(is_active=True, schedule_error="").order_by().values_list(*COLUMNS))
    seconds = _durations([row[0] for row in rows], now)
    groups: defaultdict[tuple[str, str, datetime | None], list[tuple[Any, ...]]] = defaultdict(list)
    zone = end_zone()
    ends = {day: end_of(day, zone) for day in {row[3] for row in rows}}
    for row in rows:
        ends_at = ends[row[3]]
        groups[row[1], row[2] or settings.SCHEDULER_TIMEZONE, ends_at if ends_at < end else None].append(row)
    return [
        Load(*key, len(members), sum(seconds(row[0]) for row in members), _dispatches(members))
        for key, members in groups.items()
    ]


def _dispatches(rows: Iterable[tuple[Any, ...]]) -> Mapping[str, int]:
    """Count the jobs that dispatch workflows, by the credential that GitHub counts them against."""
    repositories = Counter((owner, repo) for *_, owner, repo, workflow in rows if owner and repo and workflow)
    counted: Counter[str] = Counter()
    for (owner, repo), number in repositories.items():
        counted[github().bucket(Repository(owner, repo)) if has_github_credential() else ""] += number
    return counted


class _Durations:
    """How long a run of a job takes, as its latest have; of a job without any as those of the others."""

    def __init__(self, known: Mapping[UUID, tuple[int, float]]) -> None:
        self._known = {key: seconds / timed for key, (timed, seconds) in known.items() if timed}
        total = sum(timed for timed, _ in known.values())
        self._usual = sum(seconds for _, seconds in known.values()) / total if total else 0.0

    def __call__(self, job_id: UUID) -> float:
        return self._known.get(job_id, self._usual)


def _durations(ids: Sequence[UUID], now: datetime) -> _Durations:
    if not ids:
        return _Durations({})
    counts = DailyCount.objects.filter(IdIn("job_key", ids), day__gte=(now - RECENT).date(), timed__gt=0).order_by()
    found = batches.read(counts.values_list("job_key").annotate(of=Sum("timed"), took=Sum("seconds")))
    return _Durations({key: (int(timed), float(took)) for key, timed, took in found})
