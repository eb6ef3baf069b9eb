"""The lease row as other processes use it: to read who leads and since when, and to ask for a reconcile.

The scheduler runs in another process, possibly on another host: the web knows of it only what the row says.
"""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import F

from cronsched.lib.clock import database_now, uptime
from cronsched.lib.db.prepared import PreparedQuery
from cronsched.lib.errors import Conflict
from jobs.models import LEASE_TTL, SchedulerLease

TTL = LEASE_TTL
# How long a request waits for the leader's answer.
RESYNC_WAIT_SECONDS = 10.0
RESYNC_LOOK_SECONDS = 0.1
NO_SCHEDULER = "Scheduler is not running as leader in this process."


class SchedulerStatus(NamedTuple):
    """The scheduler as the database knows it. `running` means that a process leads and renewed in time."""

    running: bool
    leader: str
    leading_since: datetime | None
    scheduled_jobs: int
    last_reconcile_at: datetime | None
    last_reconcile: dict[str, Any]
    renewed_at: datetime | None = None
    # Celery's workers should send for it, and cannot.
    sends_alone: bool = False


class NoScheduler(Conflict):
    """No process leads, or the leader did not answer in time."""

    def __init__(self) -> None:
        super().__init__("Conflict", NO_SCHEDULER, detail=NO_SCHEDULER)


_LEASE = PreparedQuery(SchedulerLease.objects.all)
NOT_RUNNING = SchedulerStatus(False, "", None, 0, None, {})


def read_status(*, now: datetime) -> SchedulerStatus:
    """Return what the leader published. `now` is by the database's clock, as the renewals are."""
    lease = _LEASE.first()
    if lease is None:
        return NOT_RUNNING
    fresh = lease.renewed_at is not None and abs(now - lease.renewed_at) < TTL
    return SchedulerStatus(
        running=bool(lease.holder) and fresh,
        leader=lease.holder,
        leading_since=lease.leading_since,
        scheduled_jobs=lease.scheduled_jobs,
        last_reconcile_at=lease.last_reconcile_at,
        last_reconcile=lease.last_reconcile,
        renewed_at=lease.renewed_at,
        sends_alone=lease.sends_alone and fresh,
    )


def ask_for_reconcile() -> None:
    """Ask the leader for a reconcile, which follows within a second or two."""
    SchedulerLease.objects.update(resync_requested=F("resync_requested") + 1)


def resync(*, wait: Callable[[float], object] = time.sleep) -> SchedulerStatus:
    """Ask the leader for a reconcile and return the status after one that began later than this call.

    Raises `NoScheduler` where no process leads or no answer comes within ten seconds.
    """
    if not read_status(now=database_now()).running:
        raise NoScheduler
    ask_for_reconcile()
    asked = SchedulerLease.objects.values_list("resync_requested", flat=True).first()
    if asked is None:
        raise NoScheduler
    give_up_at = uptime() + RESYNC_WAIT_SECONDS
    while uptime() < give_up_at:
        if SchedulerLease.objects.filter(resync_answered__gte=asked).exists():
            return read_status(now=database_now())
        wait(RESYNC_LOOK_SECONDS)
    raise NoScheduler
