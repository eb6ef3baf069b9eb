"""The counters of the first page. Each is a link, and its figure the number of rows behind it."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple
from urllib.parse import urlencode

from django.db.models import Count, Q
from django.http import HttpRequest
from django.urls import reverse

from accounts.console import account
from jobs.admin.executions.filters import IN_PROGRESS, LATELY, WENT_WRONG
from jobs.admin.jobs.filters import STATES, list_of
from jobs.history import outcomes
from jobs.history.outcomes import Outcome
from jobs.models import Job, JobExecution

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
    figure = JobExecution.objects.filter(outcomes.still_open()).count()
    yield Counter("Not ended yet", figure, "queued or running", executions_of(outcome=IN_PROGRESS))
    shown = {
        WENT_WRONG: ("Went wrong", outcomes.TROUBLE, "danger"),
        Outcome.MISSED: ("Missed", (Outcome.MISSED,), "warning"),
        Outcome.SUCCESS: ("Succeeded", (Outcome.SUCCESS,), ""),
    }
    lately = JobExecution.objects.filter(started_at__gte=now - LATELY[PERIOD])
    found = lately.aggregate(
        **{str(key): Count("pk", filter=outcomes.where(kinds)) for key, (_, kinds, _) in shown.items()}
    )
    for key, (title, _, colour) in shown.items():
        figure = found[str(key)]
        link = executions_of(outcome=key, within=PERIOD)
        yield Counter(title, figure, "in 24 hours", link, colour if figure else "")


def executions_of(**params: str) -> str:
    """Return the address of the list of executions narrowed by `params`."""
    return f"{reverse('admin:jobs_jobexecution_changelist')}?{urlencode(params)}"


def _own(request: HttpRequest) -> Counter:
    figure = Job.objects.filter(Q(created_by=account(request))).count()
    return Counter("Mine", figure, "jobs that I own", list_of(owner="me"))
