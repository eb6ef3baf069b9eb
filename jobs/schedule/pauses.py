"""Pauses: who paused a job, why and until when, and which of the runs it kept back are made up for."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from accounts.models import User
from audit import origin
from cronsched.lib.errors import DomainError
from cronsched.lib.ids import known_id
from cronsched.lib.input import payload, ranges
from jobs import cron
from jobs.calendar import end_of, end_zone
from jobs.models import Job, JobPause, OnResume
from jobs.schedule import due
from jobs.schedule.plan import Plan
from jobs.schedule.scheduled_job import ScheduledJob

# Runs that one resume may make up for. More of them would be a burst.
MAX_MADE_UP = 1000
TOO_MANY = f'More than {MAX_MADE_UP} runs were kept back. Resume with "last" or "skip".'
MAX_REASON = 500
REASON_TOO_LONG = f"reason must be at most {MAX_REASON} characters."
SYSTEM = "scheduler"


class Terms(NamedTuple):
    """Why a job is paused, when it resumes by itself (None: never) and what it then makes up for."""

    reason: str = ""
    until: datetime | None = None
    on_resume: str = OnResume.SKIP
    batch_id: UUID | None = None


def begin(jobs: Iterable[Job], terms: Terms, *, by: User | None, now: datetime) -> None:
    """Insert the pauses of `jobs`, in the transaction that pauses them. `by` None: the scheduler."""
    JobPause.objects.bulk_create(
        JobPause(
            job=job,
            began_at=now,
            by=by,
            by_name=name_of(by),
            reason=terms.reason or origin.current().reason,
            until=terms.until,
            on_resume=terms.on_resume,
            batch_id=terms.batch_id,
        )
        for job in jobs
    )


def end(job: Job, *, by: User | None, now: datetime) -> JobPause | None:
    """End the job's pause and return it; None where no pause is on record."""
    pause = current(job)
    JobPause.objects.filter(job=job, ended_at=None).update(ended_at=now, ended_by_name=name_of(by))
    return pause


def name_of(by: User | None) -> str:
    """Return the name of an account that pauses or resumes; without an account, of the command or the scheduler."""
    return by.username if by else origin.current().command or SYSTEM


def current(job: Job) -> JobPause | None:
    """Return the pause the job is in, if it is on record."""
    return JobPause.objects.filter(job=job, ended_at=None).order_by("-began_at", "-id").first()


def kept_back(job: Job, pause: JobPause, *, now: datetime) -> int:
    """Count the runs that a pause has kept back so far. Raises CronError and ZoneError."""
    last = min(now, end_of(job.end_date, end_zone()))
    if last <= pause.began_at:
        return 0
    return cron.count_fire_times(job.cron_expression, job.zone_name, after=pause.began_at, until=last)


def make_up(job: Job, pause: JobPause | None, missed: str, *, now: datetime) -> int:
    """Queue the runs that the pause kept back: none, the last or all. Return how many rows were written.

    Call it in the transaction that resumes the job. A fire time that has a row already is left alone, and the job's
    rule about overlaps holds. Raises `DomainError` where all would be too many.
    """
    if pause is None or missed == OnResume.SKIP:
        return 0
    facts = ScheduledJob.read(Job.objects.filter(pk=job.pk))[0]
    times = _kept_back(facts, missed, after=pause.began_at, until=now)
    batch = due.plan_runs(facts, Plan(tuple(times), (), facts.next_fire_at, expired=False), now=now)
    return len(due.write(batch, [due.queued_row(run) for run in batch.runs], now=now))


def _kept_back(job: ScheduledJob, missed: str, *, after: datetime, until: datetime) -> list[datetime]:
    last = min(until, end_of(job.end_date, end_zone()))
    expression, zone = job.cron_expression, job.zone_name
    if missed == OnResume.LAST:
        moment = cron.previous_fire_time(expression, zone, at=last)
        return [moment] if moment is not None and moment > after else []
    times = list(cron.fire_times_between(expression, zone, after=after, until=last, limit=MAX_MADE_UP + 1))
    if len(times) > MAX_MADE_UP:
        raise DomainError("Invalid missed", TOO_MANY, field="missed")
    return times


# --- What is sent and shown ------------------------------------------------------------------------------------------


def read_choice(value: Any, field: str, default: str) -> str:
    """Return what to make of missed runs. Raises `DomainError` naming `field`."""
    if value is None or value == "":
        return default
    if not isinstance(value, str) or value not in OnResume.values:
        raise DomainError(f"Invalid {field}", f"{field} must be one of: {', '.join(OnResume.values)}.", field=field)
    return value


def read_batch(value: Any) -> UUID | None:
    """Return the id of a bulk act. Raises `DomainError`."""
    if value is None:
        return None
    batch_id = known_id(value) if isinstance(value, str) else None
    if batch_id is None:
        raise DomainError("Invalid batch_id", "batch_id must be the id that a bulk pause returned.", field="batch_id")
    return batch_id


def read_reason(sent: Mapping[str, Any]) -> str:
    """Return the reason in a body, blank for none. Raises `DomainError`."""
    reason = payload.text(sent, "reason") or ""
    if len(reason) > MAX_REASON:
        raise DomainError("Invalid reason", REASON_TOO_LONG, field="reason")
    return reason


def read_terms(sent: Mapping[str, Any]) -> Terms:
    """Return the terms of a pause in a body. Raises `DomainError`."""
    on_resume = read_choice(sent.get("on_resume"), "on_resume", OnResume.SKIP)
    text = payload.text(sent, "until")
    until = None if text is None else ranges.read_instant(text, "until")
    return Terms(read_reason(sent), until, on_resume)
