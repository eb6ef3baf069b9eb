"""Chores of the leader that mend and tidy. Each is one bounded pass that says what it did."""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, Max, OuterRef, Q, QuerySet

from cronsched.lib import batches
from cronsched.lib.clock import uptime
from cronsched.lib.errors import NotFound
from cronsched.lib.outages import is_outage, piecewise
from jobs import counters, cron, definition, history, messages, schedule, services, tracking
from jobs.facts import JobFacts
from jobs.models import DailyCount, Job, JobExecution, Status
from jobs.scheduler.claim import UNREADABLE, is_mended, take_off
from notifications.services import notify

logger = logging.getLogger(__name__)

BATCH = 500
# How long after its deadline a running row is left to its sender.
SWEEP_MARGIN = timedelta(seconds=30)
# A running row without a deadline was written by hand.
NO_DEADLINE = timedelta(hours=2)
SENDER_GONE = "The sender died or lost the database while the request was out."
CLAIM_MARGIN = timedelta(seconds=5)
ENDING_SOON = timedelta(days=30)

# Says whether this process may go on; asked between two portions.
MayAct = Callable[[], bool]


# --- Runs whose sender is gone ---------------------------------------------------------------------------------------


def sweep(*, now: datetime, may_act: MayAct) -> int:
    """Call runs unknown that should have ended long ago, and alert; return how many.

    Their sender may still correct it, and of a dispatch GitHub may tell more: its run is looked for.
    """
    total = 0
    while may_act():
        swept = _sweep_batch(now)
        total += swept
        if swept < BATCH:
            break
    return total


def _sweep_batch(now: datetime) -> int:
    def refused(execution_id: UUID, error: Exception) -> int:
        logger.error("Nobody can be told that execution %s is unknown", execution_id, exc_info=error)
        return sum(piecewise([execution_id], partial(_sweep_silently, now=now), _left_running))

    ids = list(_overdue(now).order_by("id").values_list("pk", flat=True)[:BATCH])
    return sum(piecewise(ids, partial(_sweep, now=now), refused))


def _overdue(now: datetime) -> QuerySet[JobExecution]:
    is_late = Q(deadline_at__lt=now - SWEEP_MARGIN) | Q(deadline_at=None, started_at__lt=now - NO_DEADLINE)
    return JobExecution.objects.filter(is_late, status=Status.RUNNING)


def _sweep(ids: Sequence[UUID], *, now: datetime) -> int:
    with transaction.atomic():
        rows = _overdue(now).filter(pk__in=ids).select_related("job").order_by("id")
        executions = list(batches.locked(rows))
        for execution in executions:
            execution.status, execution.reason, execution.completed_at = Status.UNKNOWN, SENDER_GONE, now
        _call_unknown([execution.pk for execution in executions], now=now)
        tracking.seek(executions, now=now)
        jobs = Job.objects.select_related("category", "pic_team").in_bulk({row.job_id for row in executions})
        notify([messages.unknown(jobs[row.job_id], row, now=now) for row in executions], now=now)
    return len(executions)


def _sweep_silently(ids: Sequence[UUID], *, now: datetime) -> int:
    """Call runs unknown without a word about them, where their job cannot be read: the row says it all the same."""
    with transaction.atomic():
        held = list(batches.locked(_overdue(now).filter(pk__in=ids)).values_list("pk", flat=True))
        _call_unknown(held, now=now)
    return len(held)


def _call_unknown(ids: Sequence[UUID], *, now: datetime) -> None:
    running = JobExecution.objects.filter(pk__in=ids, status=Status.RUNNING)
    running.update(status=Status.UNKNOWN, reason=SENDER_GONE, completed_at=now)
    counters.add(counters.of(JobExecution.objects.filter(pk__in=ids)))


def _left_running(execution_id: UUID, error: Exception) -> int:
    logger.error("Execution %s cannot be called unknown", execution_id, exc_info=error)
    return 0


# --- Reconcile -------------------------------------------------------------------------------------------------------


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
    """Makes `next_fire_at` true again for every job, whoever broke it: set if and only if the job is to run.

    It remembers when each expression fires next, so that a look at a hundred thousand jobs is one grouped query and
    next to no arithmetic.
    """

    def __init__(self) -> None:
        self._next_fire: dict[tuple[str, str], datetime | None] = {}

    def reconcile(self, *, now: datetime, chores: int) -> Summary:
        """Repair the whole table. `chores` are the scheduler's own entries, which the contract counts too."""
        clock = _carried_on(now)
        removed = Job.objects.filter(is_active=False).exclude(next_fire_at=None).update(next_fire_at=None)
        expired = pause_expired(now=now)
        orphaned = _remove_orphans()
        moved = self._repair_or_take_off(clock)
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

    def _repair_or_take_off(self, clock: Callable[[], datetime]) -> int:
        try:
            return self._repair_broken_and_stale(clock)
        except Exception as error:
            if is_outage(error):
                raise
        # It asks for all jobs at once, and so cannot say which of them it is.
        _take_unreadable_off()
        return self._repair_broken_and_stale(clock)

    def _repair_broken_and_stale(self, clock: Callable[[], datetime]) -> int:
        """Move jobs that are due later than they should be, and take those off that cannot be computed.

        Returns how many were moved; the next step says of the others why.
        """
        scheduled = Job.objects.scheduled().order_by()
        groups = scheduled.values_list("cron_expression", "timezone").annotate(Max("next_fire_at"))
        moved = 0
        known: dict[tuple[str, str], datetime | None] = {}
        for expression, zone_name, latest in list(groups):
            key = expression, zone_name or settings.SCHEDULER_TIMEZONE
            known[key] = self._expected(key, clock())
            if _is_wrong(latest, known[key], clock()):
                moved += self._repair(scheduled.filter(cron_expression=expression, timezone=zone_name), key, clock)
        self._next_fire = known
        return moved

    def _repair(self, group: QuerySet[Job], key: tuple[str, str], clock: Callable[[], datetime]) -> int:
        """Judge a group again with its rows held. Returns how many jobs got another fire time.

        Getting hold of them can take longer than the time to the next minute. A job that was resumed or claimed
        meanwhile must not be set back to a fire time that is over.
        """
        with transaction.atomic():
            held = list(batches.locked(group).values_list("id", "next_fire_at"))
            expected, now = self._expected(key, clock()), clock()
            wrong = [job for job, due_at in held if due_at is not None and _is_wrong(due_at, expected, now)]
            for start in range(0, len(wrong), BATCH):
                Job.objects.filter(pk__in=wrong[start : start + BATCH]).update(next_fire_at=expected)
        return len(wrong) if expected is not None else 0

    def _expected(self, key: tuple[str, str], now: datetime) -> datetime | None:
        known = self._next_fire.get(key)
        if known is not None and known > now:
            return known
        try:
            return cron.next_fire_time(*key, after=now)
        except (cron.CronError, cron.ZoneError):
            return None


def _carried_on(now: datetime) -> Callable[[], datetime]:
    """Return a clock that shows `now` and goes on from there."""
    began = uptime()
    return lambda: now + timedelta(seconds=uptime() - began)


def _is_wrong(due_at: datetime, expected: datetime | None, now: datetime) -> bool:
    """Whether a job is due later than it should be, or cannot be computed at all.

    Near a fire time nobody can tell: the job may be claimed, and moved on, at this very moment.
    """
    return expected is None or (due_at > expected and expected - now > CLAIM_MARGIN)


def _take_unreadable_off() -> None:
    def read(ids: Sequence[UUID]) -> None:
        JobFacts.read(Job.objects.filter(pk__in=ids))

    scheduled = Job.objects.scheduled().order_by("id")
    ids = list(scheduled.values_list("pk", flat=True)[:BATCH])
    while ids:
        piecewise(ids, read, take_off)
        ids = list(scheduled.filter(pk__gt=ids[-1]).values_list("pk", flat=True)[:BATCH])


def _schedule_missing(now: datetime) -> int:
    """Set `next_fire_at` of active jobs that have none, or mark them with the reason; return how many were set."""

    def refused(job_id: UUID, error: Exception) -> int:
        take_off(job_id, error)
        return 0

    added = 0
    missing = Job.objects.active().filter(next_fire_at=None).order_by("id")
    ids = list(missing.values_list("pk", flat=True)[:BATCH])
    while ids:
        added += sum(piecewise(ids, partial(_schedule, now=now), refused))
        ids = list(missing.filter(pk__gt=ids[-1]).values_list("pk", flat=True)[:BATCH])
    return added


def _schedule(ids: Sequence[UUID], *, now: datetime) -> int:
    """Set `next_fire_at` of those of `ids` that have none still, or mark them; return how many were set."""
    added, moves = 0, []
    with transaction.atomic():
        missing = Job.objects.active().filter(pk__in=ids, next_fire_at=None).order_by("id")
        for job in batches.locked(missing.only("id", "is_active", *_SCHEDULE_FIELDS)):
            if job.schedule_error.startswith(UNREADABLE) and not is_mended(job.pk, now=now):
                # Each time it falls due it would cost the others their batch.
                continue
            next_fire_at, error = schedule.next_fire(job, now)
            if next_fire_at is not None or error != job.schedule_error:
                moves.append((job.pk, next_fire_at, error))
            if error and error != job.schedule_error:
                logger.error("Job %s cannot be scheduled: %s", job.pk, error)
            added += next_fire_at is not None
        schedule.move_on(moves)
    return added


_SCHEDULE_FIELDS = ("cron_expression", "timezone", "schedule_error")


def _remove_orphans() -> int:
    """Remove queued rows whose job is gone; only a database without foreign keys has any."""
    queued = JobExecution.objects.filter(status=Status.QUEUED)
    orphans = queued.filter(~Exists(Job.objects.filter(pk=OuterRef("job_id"))))
    ids = list(orphans.values_list("pk", flat=True)[:BATCH])
    return history.delete(ids) if ids else 0


# --- End dates -------------------------------------------------------------------------------------------------------


def pause_expired(*, now: datetime, with_team: bool = False) -> int:
    """Pause active jobs whose end date has passed, each with its notice; return how many."""
    expired = Job.objects.active().filter(end_date__lt=definition.local_date(now))
    # In the order of the index, or a database may walk over all jobs in the order of its own.
    ids = list(expired.order_by("end_date").values_list("pk", flat=True))
    return sum(pause_ended(job_id, now=now, with_team=with_team) for job_id in ids)


def pause_ended(job_id: UUID, *, now: datetime, with_team: bool = False) -> bool:
    """Pause a job whose end date has passed. One that cannot be paused keeps nobody from going on."""
    try:
        return services.auto_pause(job_id, now=now, with_team=with_team)
    except NotFound:
        # Somebody deleted it meanwhile.
        return False
    except Exception as error:
        if is_outage(error):
            raise
        logger.exception("Job %s has ended and cannot be paused", job_id)
        return False


def maintain_end_dates(*, now: datetime) -> dict[str, Any]:
    """Pause what has ended and warn of what ends within 30 days: the weekly task (contract, section 15)."""
    paused = pause_expired(now=now, with_team=True)
    today = definition.local_date(now)
    ending = Job.objects.active().filter(end_date__gte=today, end_date__lte=today + ENDING_SOON)
    ids = list(ending.order_by("end_date", "name").values_list("pk", flat=True))
    created = piecewise(ids, partial(_warn_of_end, today=today, now=now), _left_unwarned)
    return {
        "ran_at": now.astimezone(UTC).isoformat(),
        "paused_expired_jobs": paused,
        "ending_soon_jobs": len(ids),
        "notifications_created": sum(created),
    }


def _warn_of_end(ids: Sequence[UUID], *, today: date, now: datetime) -> int:
    jobs = Job.objects.filter(pk__in=ids).select_related("category", "pic_team").order_by("end_date", "name")
    with transaction.atomic():
        return notify([messages.ending_soon(job, (job.end_date - today).days, now=now) for job in jobs], now=now)


def _left_unwarned(job_id: UUID, error: Exception) -> int:
    logger.error("Nobody can be told that job %s ends soon", job_id, exc_info=error)
    return 0


# --- History ---------------------------------------------------------------------------------------------------------


def prune_history(*, now: datetime, may_act: MayAct) -> int:
    """Delete settled executions that are older than the retention; return how many."""
    if not settings.EXECUTION_RETENTION_DAYS:
        return 0
    settled = JobExecution.objects.exclude(status__in=(Status.QUEUED, Status.RUNNING))
    old = settled.filter(started_at__lt=now - timedelta(days=settings.EXECUTION_RETENTION_DAYS))
    total = 0
    while may_act():
        ids = list(old.order_by("started_at", "id").values_list("pk", flat=True)[:BATCH])
        total += history.delete(ids) if ids else 0
        if len(ids) < BATCH:
            break
    DailyCount.objects.filter(count=0, timed=0).delete()
    return total


def recount_yesterday(*, now: datetime) -> int:
    """Repair yesterday's counts, should somebody have changed the history by hand; return how many were wrong."""
    wrong = counters.recount(now.astimezone(UTC).date() - timedelta(days=1))
    if wrong:
        logger.warning("%d of yesterday's counts did not match the history and were repaired", wrong)
    return wrong
