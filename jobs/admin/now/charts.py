"""The charts of the first page: executions by how they ended, per hour and per day."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from django.db.models import Count, Sum
from django.db.models.functions import TruncDate, TruncHour
from django.utils import timezone

from jobs.history import outcomes
from jobs.history.daily_counts import ALL_JOBS
from jobs.history.outcomes import Outcome
from jobs.models import DailyCount, ExecutionType, JobExecution, Status

HOURS, DAYS = 24, 30
COLOURS = {"Succeeded": "#15803d", "Went wrong": "#b91c1c", "Missed or skipped": "#b45309"}


class Chart(NamedTuple):
    title: str
    data: str
    options: str
    summary: str


def per_hour(now: datetime) -> Chart:
    """Count the last 24 hours by how their executions ended, GitHub runs included."""
    # Hours of UTC: MariaDB knows other zones only after their tables were loaded.
    first = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS - 1)
    hours = [first + timedelta(hours=number) for number in range(HOURS)]
    rows = JobExecution.objects.filter(started_at__gte=first).annotate(hour=TruncHour("started_at", tzinfo=UTC))
    groups = {
        "Succeeded": (Outcome.SUCCESS,),
        "Went wrong": (Outcome.FAILED, Outcome.RUN_FAILED, Outcome.UNKNOWN),
        "Missed or skipped": (Outcome.MISSED, Outcome.SKIPPED),
    }
    counted = {
        title: _by(rows.filter(outcomes.where(kinds)).order_by().values_list("hour").annotate(Count("pk")))
        for title, kinds in groups.items()
    }
    labels = [f"{timezone.localtime(hour):%H:%M}" for hour in hours]
    return _chart("Last 24 hours, per hour", labels, {t: [c.get(h, 0) for h in hours] for t, c in counted.items()})


def per_day(now: datetime) -> Chart:
    """Count the last 30 days (UTC) by what became of their executions, from the daily counts."""
    today = now.date()
    days = [today - timedelta(days=number) for number in range(DAYS - 1, -1, -1)]
    found: Counter[tuple[str, date]] = Counter()
    rows = DailyCount.objects.filter(job_key=ALL_JOBS, day__gte=days[0]).order_by()
    kinds = set()
    for day, status, kind, number in rows.values_list("day", "status", "execution_type").annotate(Sum("count")):
        found[_group(status), day] += number
        kinds.add(kind)
    if ExecutionType.GITHUB_ACTIONS in kinds:
        _move_failed_runs(found, now - timedelta(days=DAYS), days[0])
    counted = {title: [found[title, day] for day in days] for title in COLOURS}
    return _chart("Last 30 days, per day (UTC)", [f"{day:%m-%d}" for day in days], counted)


def _move_failed_runs(found: Counter[tuple[str, date]], since: datetime, first: date) -> None:
    """Take the dispatches whose GitHub run failed from the successes."""
    runs = JobExecution.objects.filter(
        outcomes.where([Outcome.RUN_FAILED]), started_at__gte=since, status=Status.SUCCESS
    )
    by_day = runs.annotate(day=TruncDate("started_at", tzinfo=UTC)).order_by().values_list("day")
    for day, number in by_day.annotate(Count("pk")):
        if day >= first:
            found["Succeeded", day] -= number
            found["Went wrong", day] += number


def _group(status: str) -> str:
    if status == Status.SUCCESS:
        return "Succeeded"
    return "Missed or skipped" if status in (Status.MISSED, Status.SKIPPED) else "Went wrong"


def _by(rows: Iterable[tuple[datetime, int]]) -> Mapping[datetime, int]:
    return dict(rows)


def _chart(title: str, labels: Sequence[str], counted: Mapping[str, Sequence[int]]) -> Chart:
    sets = [
        {"label": name, "data": list(numbers), "backgroundColor": COLOURS[name], "stack": "all"}
        for name, numbers in counted.items()
    ]
    options = {"scales": {"x": {"stacked": True}, "y": {"stacked": True, "beginAtZero": True}}}
    told = ", ".join(f"{name.lower()} {sum(numbers)}" for name, numbers in counted.items())
    return Chart(
        title, json.dumps({"labels": list(labels), "datasets": sets}), json.dumps(options), f"{title}: {told}."
    )
