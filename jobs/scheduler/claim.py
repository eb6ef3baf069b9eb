"""One claim: due rows become executions and the jobs move on, in one transaction.

Executions with a place in flight are inserted as `running`, which costs one statement less than a row that waits; the
others are inserted as `queued`. Nothing is sent before the commit.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import NamedTuple, Self
from uuid import UUID

from django.db import transaction

from cronsched.lib.db import batches
from cronsched.lib.db.batches import IdIn
from cronsched.lib.db.outages import piecewise
from cronsched.lib.ids import uuid7
from jobs.dispatch import Prepared, acquire_dispatch_slots, planned_row, prepare, running_row
from jobs.executors.base import storable
from jobs.models import CatchUp, Job, Overlap
from jobs.schedule.due import ERROR_LENGTH, DueBatch, PlannedRun, advance_schedules, plan_due_jobs, queued_row, write
from jobs.schedule.scheduled_job import ScheduledJob

logger = logging.getLogger(__name__)

BATCH = 500
UNREADABLE = "The job's row could not be read or written."


class Claimed(NamedTuple):
    """The result of a claim: the number of jobs, requests that may be sent, executions that wait for a place.

    `expired` are jobs whose end date has passed, `invalid` counts those that cannot be scheduled.
    """

    jobs: int
    prepared: list[Prepared]
    queued: list[UUID]
    expired: list[UUID]
    invalid: int

    def plus(self, other: Self) -> "Claimed":
        return Claimed(
            self.jobs + other.jobs,
            self.prepared + other.prepared,
            self.queued + other.queued,
            self.expired + other.expired,
            self.invalid + other.invalid,
        )


NOTHING = Claimed(0, [], [], [], 0)

# Takes a place for an execution of a job; False where it has to wait.
Admit = Callable[[UUID, ScheduledJob], bool]
# Called with the executions that are about to be committed as running.
Taking = Callable[[list[UUID]], None]


def claim_due(
    *,
    now: datetime,
    limit: int,
    admit: Admit,
    sender: UUID,
    taking: Taking = lambda ids: None,
    among: Sequence[UUID] | None = None,
) -> Claimed:
    """Claim up to `limit` due jobs, oldest first; with `among`, only of these.

    Fewer than `limit` means that nothing more is due, or that another process has locked the rest. Rows that `admit`
    accepts are committed as `running` for `sender`; the caller sends them.
    """
    due = Job.objects.due(now) if among is None else Job.objects.due(now).filter(IdIn("id", among))
    with transaction.atomic(durable=True):
        facts = ScheduledJob.read(batches.locked(due)[:limit])
        return _claim(facts, now=now, admit=admit, sender=sender, taking=taking)


def claim_piecewise(claim: Callable[[Sequence[UUID]], Claimed], *, now: datetime, limit: int) -> Claimed:
    """Have `claim` claim due jobs in ever smaller parts; a job that fails alone is put in quarantine with the reason.

    For the pass after a batch failed: a row that cannot be read or written must not stall the others.
    """

    def refused(job_id: UUID, error: Exception) -> Claimed:
        quarantine(job_id, error)
        return NOTHING._replace(jobs=1, invalid=1)

    ids = list(Job.objects.due(now).values_list("id", flat=True)[:limit])
    return reduce(Claimed.plus, piecewise(ids, claim, refused), NOTHING)


def quarantine(job_id: UUID, error: Exception) -> None:
    """Take a job that fails alone off the schedule and store the reason. The same reason is logged once."""
    reason = storable(f"{UNREADABLE} ({type(error).__name__}: {error})", ERROR_LENGTH)
    job = Job.objects.filter(id=job_id).exclude(next_fire_at=None, schedule_error=reason)
    if job.update(next_fire_at=None, schedule_error=reason):
        logger.error("Job %s cannot be claimed", job_id, exc_info=error)


def can_be_rescheduled(job_id: UUID, *, now: datetime) -> bool:
    """Whether a job in quarantine could be claimed now. The claim is tried and rolled back."""

    def claim(ids: Sequence[UUID]) -> bool:
        with transaction.atomic():
            jobs = ScheduledJob.read(Job.objects.filter(id__in=ids))
            batch = plan_due_jobs((job._replace(next_fire_at=now) for job in jobs), now=now)
            batch.runs = [PlannedRun(job, now, None, can_start=True) for job in jobs]
            _carry_out(batch, now=now, admit=lambda *_: True, sender=uuid7(), taking=lambda ids: None)
            transaction.set_rollback(True)
        return True

    return all(piecewise([job_id], claim, lambda *_: False))


def warm_up() -> None:
    """Do what a claim does with one job, without the database.

    The first claim takes as long as about a hundred later ones, because zones are read from the disk and caches are
    filled. A process does that before anything is due.
    """
    now = datetime.now(UTC)
    minute = now.replace(second=0, microsecond=0)
    job = ScheduledJob(
        id=uuid7(),
        cron_expression="* * * * *",
        timezone=None,
        next_fire_at=minute,
        end_date=now.date() + timedelta(days=2),
        catch_up=CatchUp.LATEST,
        misfire_grace_seconds=3600,
        name="Rehearsal",
        is_active=True,
        overlap=Overlap.ALLOW,
        spread_seconds=0,
        target_url="https://example.com/",
        github_owner=None,
        github_repo=None,
        github_workflow_name=None,
        metadata={},
        timeout_seconds=30,
        max_attempts=1,
        backoff_seconds=0,
        request_options={},
        encrypted_secrets=None,
    )
    for run in plan_due_jobs([job], now=now).runs:
        running_row(prepare(uuid7(), job, fire_time=run.fire_time), sender=uuid7(), now=now)


def _claim(due: Sequence[ScheduledJob], *, now: datetime, admit: Admit, sender: UUID, taking: Taking) -> Claimed:
    return _carry_out(plan_due_jobs(due, now=now), now=now, admit=admit, sender=sender, taking=taking)


def _carry_out(batch: DueBatch, *, now: datetime, admit: Admit, sender: UUID, taking: Taking) -> Claimed:
    prepared, runs, queued = [], [], []
    for run in batch.runs:
        execution_id = uuid7()
        if run.can_start and admit(execution_id, run.job):
            prepared.append(prepare(execution_id, run.job, fire_time=run.fire_time))
        else:
            # By the id that was asked about.
            runs.append(queued_row(run)._replace(id=execution_id))
            if run.can_start:
                queued.append(execution_id)
    leaving, turns = acquire_dispatch_slots(prepared, now=now)
    taking([item.execution_id for item in leaving])
    runs += [running_row(item, sender=sender, now=now) for item in leaving]
    runs += [planned_row(item, turns[item.execution_id]) for item in prepared if item.execution_id in turns]
    written = write(batch, runs, now=now)
    advance_schedules(batch.moves)
    for job, reason in batch.broken:
        logger.error("Job %s (%s) cannot be scheduled: %s", job.id, job.name, reason)
    return Claimed(
        len(batch.moves),
        [request for request in leaving if request.execution_id in written],
        queued,
        [job.id for job in batch.expired],
        len(batch.broken),
    )
