"""The counters of the first page. Each is a link, and its figure the number of rows behind it."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from django.db.models import Count, Q
from django.http import HttpRequest
from django.urls import reverse

from accounts.console import account
from jobs.admin.executions.filters import IN_PROGRESS, LATELY, WENT_WRONG
from jobs.admin.jobs.filters import STATES, list_of
from jobs.history import outcomes
from jobs.history.outcomes import Outcome
from jobs.models import ExecutionQuerySet, Job, JobExecution

PERIOD = "24h"


class Counter(NamedTuple):
    """`colour` is blank where nothing needs attention."""

    title: str
    figure: int
    text: str
    link: str
    colour: str = ""


def counters(request: HttpRequest, now: datetime) -> list[Counter]:
    return [*_of_jobs(), *_of_executions(now), _own(request)]


def _of_jobs() -> Iterator[Counter]:
    shown = {
        "failing": ("Failing jobs", "active, latest run failed", "danger"),
        "unschedulable": ("Cannot be scheduled", "active, and never fire", "danger"),
        "ending": ("Ending in 30 days", "active, end date near", "warning"),
        "paused": ("Paused", "until they are resumed", "warning"),
        "active": ("Active", "jobs that fire", ""),
    }
    found = Job.objects.aggregate(**{key: Count("pk", filter=STATES[key][1]()) for key in shown})
    for key, (title, text, colour) in shown.items():
        yield Counter(title, found[key], text, list_of(state=key), colour if found[key] else "")


def _of_executions(now: datetime) -> Iterator[Counter]:
    lately = JobExecution.objects.filter(started_at__gte=now - LATELY[PERIOD])
    yield _executions("Not ended yet", "queued or running", JobExecution.objects.all(), IN_PROGRESS, outcomes.OPEN)
    within = {"within": PERIOD}
    yield _executions("Went wrong", "in 24 hours", lately, WENT_WRONG, outcomes.TROUBLE, "danger", **within)
    yield _executions("Missed", "in 24 hours", lately, Outcome.MISSED, (Outcome.MISSED,), "warning", **within)
    yield _executions("Succeeded", "in 24 hours", lately, Outcome.SUCCESS, (Outcome.SUCCESS,), **within)


def _executions(
    title: str, text: str, rows: ExecutionQuerySet, key: str, kinds: tuple[Outcome, ...], colour: str = "", **more: str
) -> Counter:
    figure = rows.filter(outcomes.where(kinds)).count()
    query = "&".join(f"{name}={value}" for name, value in {"outcome": key, **more}.items())
    link = f"{reverse('admin:jobs_jobexecution_changelist')}?{query}"
    return Counter(title, figure, text, link, colour if figure else "")


def _own(request: HttpRequest) -> Counter:
    figure = Job.objects.filter(Q(created_by=account(request))).count()
    return Counter("Mine", figure, "jobs that I own", list_of(owner="me"))
