"""After a restore of an older database: what was due since its backup may have been sent, and is not sent again."""

from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import transaction

from audit.services import Entry, record
from cronsched.lib.db import batches
from cronsched.lib.errors import Conflict
from jobs.history.reasons import RESTORED
from jobs.models import LEASE_TTL, CatchUp, Job, JobExecution, SchedulerLease, Status
from jobs.schedule.due import DueBatch, NewExecution, advance_schedules, plan_due_jobs, settled_row, write
from jobs.schedule.reschedule import give_up
from jobs.schedule.scheduled_job import ScheduledJob

PORTION = 500
RUNNING = "A scheduler was running {seconds} s ago: stop all of them, wait {wait} s, and run the command again."


class Marked(NamedTuple):
    """How many jobs had fire times in the gap, how many these were, and how many runs waited in the backup."""

    jobs: int = 0
    fire_times: int = 0
    queued: int = 0


def mark(*, now: datetime, dry_run: bool = False) -> Marked:
    """Record every fire time up to `now` without a row as restored, and give up what was queued. Sends no notice.

    Raises `Conflict` while a scheduler is running: it would send at the same time.
    """
    _refuse_schedulers(now)
    jobs = fire_times = 0
    with transaction.atomic():
        while batch := _due(now):
            rows = [_restored(row) for row in batch.others]
            rows += [settled_row(run.job, Status.SKIPPED, run.fire_time, now, RESTORED) for run in batch.runs]
            batch.others, batch.missed = rows, []
            write(batch, [], now=now)
            advance_schedules(batch.moves)
            jobs += len(batch.moves)
            fire_times += sum(row.missed_count or 1 for row in rows)
        marked = Marked(jobs, fire_times, _give_up_queued(now))
        record(Entry("history.restored", "", "restored database", _changes(marked)), by=None, now=now)
        transaction.set_rollback(dry_run)
    return marked


def _refuse_schedulers(now: datetime) -> None:
    renewed_at = SchedulerLease.objects.values_list("renewed_at", flat=True).first()
    silent = now - renewed_at if renewed_at else LEASE_TTL
    if timedelta(0) <= silent < LEASE_TTL:
        seconds, wait = (int(span.total_seconds()) for span in (silent, LEASE_TTL))
        raise Conflict("Scheduler running", RUNNING.format(seconds=seconds, wait=wait))


def _due(now: datetime) -> DueBatch | None:
    """Plan a portion of the jobs that are due, as if none of them ran late; None where there are no more."""
    wanted = Job.objects.filter(is_active=True, next_fire_at__lte=now).order_by("id")[:PORTION]
    keys = list(wanted.values_list("pk", flat=True))
    found = ScheduledJob.read(batches.locked(Job.objects.filter(pk__in=keys), skip=False))
    late = [job._replace(catch_up=CatchUp.NONE.value, misfire_grace_seconds=0) for job in found]
    return plan_due_jobs(late, now=now) if late else None


def _restored(row: NewExecution) -> NewExecution:
    return row._replace(status=Status.SKIPPED.value, reason=RESTORED)


def _give_up_queued(now: datetime) -> int:
    number = 0
    while keys := list(JobExecution.objects.filter(status=Status.QUEUED).values_list("pk", flat=True)[:PORTION]):
        number += give_up(JobExecution.objects.filter(pk__in=keys, status=Status.QUEUED), reason=RESTORED, now=now)
    return number


def _changes(marked: Marked) -> dict[str, tuple[None, int]]:
    return {name: (None, number) for name, number in marked._asdict().items()}
