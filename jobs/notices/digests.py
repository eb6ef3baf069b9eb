"""The daily digest and the weekly report: how the jobs of one account did, its own and those of its teams.

A period ends at a midnight of the scheduler's zone. Each account gets one mail for a period, however many leaders there
were and however often the chore ran: the mail is queued together with its unique key.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from itertools import takewhile
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction
from django.db.models import Avg, Case, Count, F, Q, QuerySet, Sum, Value, When
from django.db.models.functions import Coalesce

from accounts.models import NotificationPreferences, User
from cronsched.lib.db import batches
from cronsched.lib.db.outages import one_by_one
from jobs.definitions import validation
from jobs.models import GOOD_CONCLUSIONS, NEVER_SENT_STATUSES, Job, JobExecution, Status, Tracking
from jobs.notices.events import job_url
from notifications.message import NOBODY, Mail, Message
from notifications.models import Level
from notifications.pages import unsubscribe_link
from notifications.services import mail_is_configured, not_yet_sent, notify
from taxonomy.models import PicTeam

logger = logging.getLogger(__name__)

LINES = 25
ERROR_LENGTH = 200
# A job got slower when its successful runs took so much longer on average than in the periods before.
SLOWER_BY: Final = 1.5
SLOWER_BY_SECONDS: Final = 1.0
# With fewer runs on either side the difference may be chance.
ENOUGH_RUNS = 3
COMPARED_PERIODS = 4
# What became of an execution: of a run that ended badly at GitHub, that its dispatch was accepted is not the point.
RUN_FAILED = Q(status=Status.SUCCESS, run__tracking=Tracking.CONCLUDED) & ~Q(run__conclusion__in=GOOD_CONCLUSIONS)
OUTCOME = Case(When(RUN_FAILED, then=Value(Status.FAILED.value)), default=F("status"))
# Many misses of one outage are one row that says how many they are.
NUMBER = Sum(Coalesce("missed_count", 1))


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the two mails. `preference` is the flag of the accounts that want it."""

    preference: str
    title: str
    days: int
    ending_within: int
    # Whether it is also sent when nothing happened.
    when_quiet: bool


DAILY = Kind("daily_digest", "Daily digest", days=1, ending_within=14, when_quiet=False)
WEEKLY = Kind("weekly_report", "Weekly report", days=7, ending_within=30, when_quiet=True)


@dataclass(frozen=True, slots=True)
class Period:
    """Local days from `first` to `last`, and the instants they begin and end at."""

    first: date
    last: date
    start: datetime
    end: datetime

    @property
    def text(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first} to {self.last}"


def period(kind: Kind, *, now: datetime) -> Period:
    """Return the last period that is over: yesterday, or the last week from Monday to Sunday."""
    end = validation.local_date(now)
    if kind.days == 7:
        end -= timedelta(days=end.weekday())
    first = end - timedelta(days=kind.days)
    return Period(first, end - timedelta(days=1), _midnight(first), _midnight(end))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=ZoneInfo(settings.SCHEDULER_TIMEZONE)).astimezone(UTC)


def send(kind: Kind, *, now: datetime, may_act: Callable[[], bool] = lambda: True) -> int:
    """Queue the mails of the last period that were not queued yet; return how many."""
    if not mail_is_configured():
        return 0
    over = period(kind, now=now)
    teams = _teams_by_address()
    wanting = NotificationPreferences.objects.filter(**{kind.preference: True}, user__is_active=True)
    users = (preferences.user for preferences in wanting.select_related("user").order_by("user"))

    def failed(user: User, error: Exception) -> None:
        logger.error("The %s of %s could not be queued", kind.title.lower(), user.username, exc_info=error)

    act = partial(_send_to, kind=kind, over=over, teams=teams, now=now)
    return sum(one_by_one(takewhile(lambda _: may_act(), users), act, failed))


def _send_to(user: User, kind: Kind, over: Period, teams: Mapping[str, Sequence[UUID]], now: datetime) -> int:
    empty = _message(user, kind, over, {})
    if not not_yet_sent([empty]):
        return 0
    jobs = Job.objects.filter(Q(created_by=user) | Q(pic_team__in=teams.get(user.email.lower(), ())))
    content = compose(list(jobs.order_by("name")), kind, over, now=now)
    if content is None:
        return 0
    with transaction.atomic():
        # One process at a time, or two would both say that they queued it.
        held = list(batches.locked(NotificationPreferences.objects.filter(user=user), skip=False).values_list("pk"))
        if not held or not not_yet_sent([empty]):
            return 0
        notify([_message(user, kind, over, content)], now=now)
    return 1


def _teams_by_address() -> dict[str, list[UUID]]:
    teams: dict[str, list[UUID]] = {}
    for team_id, addresses in PicTeam.objects.values_list("pk", "emails"):
        for address in addresses:
            # What was written into the database directly.
            teams.setdefault(str(address).lower(), []).append(team_id)
    return teams


def _message(user: User, kind: Kind, over: Period, content: dict[str, Any]) -> Message:
    totals = content.get("totals", {})
    headline = f"{kind.title} {over.text}: {totals.get('failed')} of {totals.get('ran')} runs failed"
    context = {
        **content,
        "title": kind.title,
        "period": over.text,
        "unsubscribe_url": unsubscribe_link(user, kind.preference),
    }
    return Message(
        kind.preference,
        kind.title,
        headline,
        Level.INFO,
        audience=NOBODY,
        mail=Mail("digest", headline, (user.email,), context, kind.preference, accounts_only=True),
        dedup_key=f"digest/{kind.preference}/{over.first}/{user.pk}",
    )


# --- What it says ----------------------------------------------------------------------------------------------------


def compose(jobs: Sequence[Job], kind: Kind, over: Period, *, now: datetime) -> dict[str, Any] | None:
    """Return what the mail says about `jobs`, None where there is nothing to say."""
    lines = _lines(jobs, over)
    ending = _ending(jobs, within=kind.ending_within, now=now)
    if not jobs or not (kind.when_quiet or lines or ending):
        return None
    slower = _slower(jobs, over)
    return {
        "totals": {
            name: sum(line[name] for line in lines) for name in ("ran", "failed", "missed", "unknown", "skipped")
        },
        "jobs": lines[:LINES],
        "more_jobs": max(0, len(lines) - LINES),
        "slower": slower[:LINES],
        "ending": ending[:LINES],
        "more_ending": max(0, len(ending) - LINES),
    }


def _lines(jobs: Sequence[Job], over: Period) -> list[dict[str, Any]]:
    """Return one line for each job that was due or ran, those with the most failures first."""
    executions = JobExecution.objects.filter(job__in=jobs, started_at__gte=over.start, started_at__lt=over.end)
    ended = executions.annotate(outcome=OUTCOME).order_by()
    counts: dict[UUID, dict[str, int]] = {}
    for job_id, status, number in ended.values_list("job", "outcome").annotate(number=NUMBER):
        counts.setdefault(job_id, {})[status] = int(number)
    errors = _last_errors(executions)
    lines = [_line(job, counts[job.pk], errors.get(job.pk, "")) for job in jobs if job.pk in counts]
    return sorted(lines, key=lambda line: (-line["failed"] - line["unknown"], -line["missed"], line["name"]))


def _line(job: Job, counts: Mapping[str, int], error: str) -> dict[str, Any]:
    return {
        "name": job.name,
        "url": job_url(job),
        "ran": sum(number for status, number in counts.items() if status not in NEVER_SENT_STATUSES),
        "succeeded": counts.get(Status.SUCCESS, 0),
        "failed": counts.get(Status.FAILED, 0),
        "missed": counts.get(Status.MISSED, 0),
        "unknown": counts.get(Status.UNKNOWN, 0),
        "skipped": counts.get(Status.SKIPPED, 0),
        # On one line, as the mail's text has one line for it.
        "error": " ".join(error.split())[:ERROR_LENGTH],
    }


def _last_errors(executions: QuerySet[JobExecution]) -> dict[UUID, str]:
    """Return the error of each job's last failure, of the jobs that failed lately."""
    failed = executions.filter(Q(status=Status.FAILED) | RUN_FAILED).order_by("-started_at", "-id")
    errors: dict[UUID, str] = {}
    for execution in failed.select_related("run")[: LINES * 20]:
        errors.setdefault(execution.job_id, _error(execution))
    return errors


def _error(execution: JobExecution) -> str:
    run = execution.github_run
    if run is None or execution.status == Status.FAILED:
        return execution.error_message or ""
    where = " / ".join(filter(None, (run.failed_job, run.failed_step)))
    return f"The GitHub run ended with {run.conclusion or run.status}{f' at {where}' if where else ''}."


def _slower(jobs: Sequence[Job], over: Period) -> list[dict[str, Any]]:
    before_start = over.start - COMPARED_PERIODS * (over.end - over.start)
    now_took = dict(_durations(jobs, over.start, over.end))
    before = dict(_durations(jobs, before_start, over.start))
    found = [
        {"name": job.name, "url": job_url(job), "before": f"{before[job.pk]:.1f}s", "now": f"{now_took[job.pk]:.1f}s"}
        for job in jobs
        if job.pk in now_took and job.pk in before and _is_slower(now_took[job.pk], before[job.pk])
    ]
    return sorted(found, key=lambda line: line["name"])


def _durations(jobs: Sequence[Job], start: datetime, end: datetime) -> Iterator[tuple[UUID, float]]:
    runs = JobExecution.objects.filter(job__in=jobs, status=Status.SUCCESS, started_at__gte=start, started_at__lt=end)
    averages = runs.order_by().values("job").annotate(took=Avg("duration_seconds"), runs=Count("duration_seconds"))
    yield from averages.filter(runs__gte=ENOUGH_RUNS).values_list("job", "took")


def _is_slower(now_took: float, before: float) -> bool:
    return now_took >= before * SLOWER_BY and now_took - before >= SLOWER_BY_SECONDS


def _ending(jobs: Sequence[Job], *, within: int, now: datetime) -> list[dict[str, Any]]:
    today = validation.local_date(now)
    soon = [job for job in jobs if job.is_active and 0 <= (job.end_date - today).days <= within]
    return [
        {"name": job.name, "url": job_url(job), "end_date": str(job.end_date), "days": (job.end_date - today).days}
        for job in sorted(soon, key=lambda job: (job.end_date, job.name))
    ]
