"""Repairs `next_fire_at` over the whole table: set if and only if the job is to run."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, Max, OuterRef, QuerySet

from cronsched.lib.clock import uptime
from cronsched.lib.db import batches
from cronsched.lib.db.outages import is_outage, piecewise
from jobs import cron
from jobs.end_dates.expiry import pause_expired
from jobs.history import retention
from jobs.models import Job, JobExecution, Status
from jobs.schedule.due import advance_schedules
from jobs.schedule.reschedule import next_fire
from jobs.schedule.scheduled_job import ScheduledJob
from jobs.scheduler.claim import UNREADABLE, can_be_rescheduled, quarantine

logger = logging.getLogger(__name__)

BATCH = 500
CLAIM_MARGIN = timedelta(seconds=5)


class Summary(NamedTuple):
    """What a reconcile found and repaired, in the contract's words (section 14)."""

    db_jobs_total: int
    db_jobs_active: int
    scheduled_now: int
    scheduled_added: int
    scheduled_removed: int
    expired_auto_paused: int
    orphaned_removed: int
    invalid_cron: int


class Reconciler:
    """Repairs `next_fire_at` of every job: it is set if and only if the job is to run.

    Remembers when each expression fires next, so that a check of 100,000 jobs is one grouped query and almost no
    arithmetic.
    """

    def __init__(self) -> None:
        # When it was computed, and the first fire time after that. If now is before the former, the clock was set back,
        # and earlier fire times may come.
        self._next_fire: dict[tuple[str, str], tuple[datetime, datetime | None]] = {}

    def reconcile(self, *, now: datetime, chores: int) -> Summary:
        """Repair the whole table. `chores` is the number of the leader's own entries, which the contract counts too."""
        clock = _carried_on(now)
        removed = Job.objects.filter(is_active=False).exclude(next_fire_at=None).update(next_fire_at=None)
        expired = pause_expired(now=now).jobs
        orphaned = _remove_orphans()
        moved = self._repair_or_quarantine(clock)
        added = _schedule_missing(clock())
        return Summary(
            db_jobs_total=Job.objects.count(),
            db_jobs_active=Job.objects.active().count(),
            scheduled_now=Job.objects.scheduled().count() + chores,
            scheduled_added=moved + added,
            scheduled_removed=removed,
            expired_auto_paused=expired,
            orphaned_removed=orphaned,
            invalid_cron=Job.objects.unschedulable().count(),
        )

    def _repair_or_quarantine(self, clock: Callable[[], datetime]) -> int:
        try:
            return self._repair_broken_and_stale(clock)
        except Exception as error:
            if is_outage(error):
                raise
        # The statement is about all jobs at once, so it does not say which of them is unreadable.
        _quarantine_unreadable()
        return self._repair_broken_and_stale(clock)

    def _repair_broken_and_stale(self, clock: Callable[[], datetime]) -> int:
        """Reschedule jobs that are due later than they should be, and unschedule those that cannot be computed.

        Returns how many were rescheduled; the next step stores the reasons of the others.
        """
        scheduled = Job.objects.scheduled().order_by()
        groups = scheduled.values_list("cron_expression", "timezone").annotate(Max("next_fire_at"))
        moved = 0
        known: dict[tuple[str, str], tuple[datetime, datetime | None]] = {}
        for expression, zone_name, latest in list(groups):
            key = expression, zone_name or settings.SCHEDULER_TIMEZONE
            known[key] = self._remembered(key, clock())
            if _is_wrong(latest, known[key][1], clock()):
                moved += self._repair(scheduled.filter(cron_expression=expression, timezone=zone_name), key, clock)
        self._next_fire = known
        return moved

    def _repair(self, group: QuerySet[Job], key: tuple[str, str], clock: Callable[[], datetime]) -> int:
        """Check a group again with its rows locked. Returns how many jobs got another fire time.

        Locking can take longer than the time to the next minute. A job that was resumed or claimed meanwhile must not
        be set back to a past fire time.
        """
        with transaction.atomic():
            held = list(batches.locked(group).values_list("id", "next_fire_at"))
            expected, now = self._expected(key, clock()), clock()
            wrong = [job for job, due_at in held if due_at is not None and _is_wrong(due_at, expected, now)]
            for start in range(0, len(wrong), BATCH):
                Job.objects.filter(pk__in=wrong[start : start + BATCH]).update(next_fire_at=expected)
        return len(wrong) if expected is not None else 0

    def _expected(self, key: tuple[str, str], now: datetime) -> datetime | None:
        return self._remembered(key, now)[1]

    def _remembered(self, key: tuple[str, str], now: datetime) -> tuple[datetime, datetime | None]:
        known = self._next_fire.get(key)
        if known is not None and known[1] is not None and known[0] <= now < known[1]:
            return known
        try:
            return now, cron.next_fire_time(*key, after=now)
        except (cron.CronError, cron.ZoneError):
            return now, None


def _carried_on(now: datetime) -> Callable[[], datetime]:
    """Return a clock that starts at `now`."""
    began = uptime()
    return lambda: now + timedelta(seconds=uptime() - began)


def _is_wrong(due_at: datetime, expected: datetime | None, now: datetime) -> bool:
    """Whether a job is due later than it should be, or cannot be computed at all.

    Near a fire time False: the job may be claimed, and get its next fire time, at the same moment.
    """
    return expected is None or (due_at > expected and expected - now > CLAIM_MARGIN)


def _quarantine_unreadable() -> None:
    def read(ids: Sequence[UUID]) -> None:
        ScheduledJob.read(Job.objects.filter(pk__in=ids))

    scheduled = Job.objects.scheduled().order_by("id")
    ids = list(scheduled.values_list("pk", flat=True)[:BATCH])
    while ids:
        piecewise(ids, read, quarantine)
        ids = list(scheduled.filter(pk__gt=ids[-1]).values_list("pk", flat=True)[:BATCH])


def _schedule_missing(now: datetime) -> int:
    """Set `next_fire_at` of active jobs that have none, or mark them with the reason; return how many were set."""

    def refused(job_id: UUID, error: Exception) -> int:
        quarantine(job_id, error)
        return 0

    added = 0
    missing = Job.objects.active().filter(next_fire_at=None).order_by("id")
    ids = list(missing.values_list("pk", flat=True)[:BATCH])
    while ids:
        added += sum(piecewise(ids, partial(_schedule, now=now), refused))
        ids = list(missing.filter(pk__gt=ids[-1]).values_list("pk", flat=True)[:BATCH])
    return added


def _schedule(ids: Sequence[UUID], *, now: datetime) -> int:
    """Set `next_fire_at` of those of `ids` that still have none, or store why not; return how many were set."""
    added, moves = 0, []
    with transaction.atomic():
        missing = Job.objects.active().filter(pk__in=ids, next_fire_at=None).order_by("id")
        for job in batches.locked(missing.only("id", "is_active", *_SCHEDULE_FIELDS)):
            if job.schedule_error.startswith(UNREADABLE) and not can_be_rescheduled(job.pk, now=now):
                # Each time it is due it would make the batch of the others fail.
                continue
            next_fire_at, error = next_fire(job, now)
            if next_fire_at is not None or error != job.schedule_error:
                moves.append((job.pk, next_fire_at, error))
            if error and error != job.schedule_error:
                logger.error("Job %s cannot be scheduled: %s", job.pk, error)
            added += next_fire_at is not None
        advance_schedules(moves)
    return added


_SCHEDULE_FIELDS = ("cron_expression", "timezone", "schedule_error")


def _remove_orphans() -> int:
    """Remove queued rows whose job is gone; only a database without foreign keys has any."""
    queued = JobExecution.objects.filter(status=Status.QUEUED)
    orphans = queued.filter(~Exists(Job.objects.filter(pk=OuterRef("job_id"))))
    ids = list(orphans.values_list("pk", flat=True)[:BATCH])
    return retention.delete(ids) if ids else 0
