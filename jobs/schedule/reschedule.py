"""Set `next_fire_at` anew whenever a definition changes, and record first what was due by the old one."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from cronsched.lib.db import batches
from jobs import cron
from jobs.history import daily_counts
from jobs.history.daily_counts import Counted
from jobs.history.reasons import PAUSED
from jobs.models import Job, JobExecution, Status, TriggerType
from jobs.schedule.due import ERROR_LENGTH, plan_due_jobs, queued_row, write
from jobs.schedule.scheduled_job import ScheduledJob


def reschedule(job: Job, *, now: datetime, ended: bool = False) -> None:
    """Set `job.next_fire_at` and `job.schedule_error` from its definition, for the caller to save.

    Call it inside the transaction of every change, before `job.save()`: what was due by the stored definition until
    `now` is recorded first. A run that was due and not yet claimed stays queued and is sent by the new definition, or
    is recorded as skipped where the job is paused now; so are its other queued runs. With `ended` it is the end date
    that pauses the job, and queued runs stay: they were due while it was still to run.
    """
    reschedule_all([job], now=now, ended=ended)


def reschedule_all(jobs: Sequence[Job], *, now: datetime, ended: bool = False) -> None:
    """Do for many jobs what `reschedule` does for one, with a number of statements that does not grow with them."""
    with transaction.atomic():
        wanted = Job.objects.filter(pk__in=[job.pk for job in jobs])
        stored = ScheduledJob.read(batches.locked(wanted, skip=False))
        _record_due(stored, now)
        if stored and not ended:
            skip_queued([job.pk for job in jobs if not job.is_active], now)
    for job in jobs:
        job.next_fire_at, job.schedule_error = next_fire(job, now)


def next_fire(job: Job, now: datetime) -> tuple[datetime | None, str]:
    """Return the first fire time after `now` and, where there can be none, why: a blank reason for a job at rest."""
    if not job.is_active:
        return None, ""
    try:
        moment = cron.next_fire_time(job.cron_expression, job.zone_name, after=now)
    except (cron.CronError, cron.ZoneError) as error:
        return None, str(error)[:ERROR_LENGTH]
    return moment, ""


def _record_due(stored: Iterable[ScheduledJob], now: datetime) -> None:
    """Record all due fire times, portion after portion: the changed definition no longer tells them."""
    due = _due_now((job for job in stored if job.is_active), now)
    while due:
        batch = plan_due_jobs(due, now=now)
        write(batch, [queued_row(run) for run in batch.runs], now=now)
        due_at = {job_id: next_fire_at for job_id, next_fire_at, _ in batch.moves}
        due = _due_now((job._replace(next_fire_at=due_at[job.id]) for job in due), now)


def _due_now(jobs: Iterable[ScheduledJob], now: datetime) -> list[ScheduledJob]:
    return [job for job in jobs if job.next_fire_at is not None and job.next_fire_at <= now]


def skip_queued(job_ids: Sequence[UUID], now: datetime) -> int:
    """Give up the scheduled runs of paused jobs that have not been sent; return how many."""
    if not job_ids:
        return 0
    runs = JobExecution.objects.filter(job_id__in=job_ids, trigger_type=TriggerType.SCHEDULED)
    return give_up(runs.filter(status=Status.QUEUED), reason=PAUSED, now=now)


def give_up(queued: QuerySet[JobExecution], *, reason: str, now: datetime) -> int:
    """Settle `queued` rows that will not be sent (again); return how many. Call it inside a transaction.

    What never left is skipped. What waited for another attempt has failed, as its last attempt did.
    """
    fields = ("id", "attempt", "job_id", "started_at", "trigger_type", "execution_type")
    rows = list(batches.locked(queued.order_by("id"), skip=False).values_list(*fields))
    counted = []
    for status, is_meant in ((Status.SKIPPED, True), (Status.FAILED, False)):
        ended = [row for row in rows if (row[1] == 1) is is_meant]
        ids = [row[0] for row in ended]
        JobExecution.objects.filter(id__in=ids).update(status=status, reason=reason, completed_at=now, not_before=None)
        counted += [Counted(job, started, status, trigger, kind, None) for _, _, job, started, trigger, kind in ended]
    daily_counts.add(counted)
    return len(rows)
