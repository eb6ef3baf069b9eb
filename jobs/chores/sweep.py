"""Marks runs `unknown` whose sender is gone."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet

from cronsched.lib.chores import MayAct
from cronsched.lib.db import batches
from cronsched.lib.db.outages import piecewise
from jobs.dispatch.unknown import call_unknown, write_unknown
from jobs.models import SENDER_DEAD_AFTER, JobExecution, Sender, Status

logger = logging.getLogger(__name__)

BATCH = 500
# How long after its deadline a running row is left to its sender.
SWEEP_MARGIN = timedelta(seconds=30)
# The deadline of a running row that has none: one that was written into the database directly.
NO_DEADLINE = timedelta(hours=2)
SENDER_GONE = "The sender died or lost the database; whether the request was sent is unknown."


def sweep(*, now: datetime, may_act: MayAct) -> int:
    """Mark runs `unknown` whose deadline is over, and alert; return how many.

    Their sender may still correct it, and the run of a dispatch is looked up at GitHub.
    """
    total = _sweep_all(_overdue(now), now=now, may_act=may_act)
    if total:
        logger.warning("%d runs have an unknown outcome: their sender died or lost the database", total)
    return total


def sweep_dead_senders(*, now: datetime, may_act: MayAct) -> int:
    """Mark what senders without a heartbeat have left running `unknown`, and delete their rows; return how many runs.

    A sender that comes back inserts its row again, and may still record its outcomes.
    """
    total = 0
    for dead in Sender.objects.filter(seen_at__lt=now - SENDER_DEAD_AFTER):
        running = JobExecution.objects.filter(status=Status.RUNNING, sender=dead.token)
        swept = _sweep_all(running, now=now, may_act=may_act)
        if not may_act():
            break
        Sender.objects.filter(pk=dead.pk, seen_at=dead.seen_at).delete()
        logger.warning("Sender %s (%s on %s) is gone: %d of its runs are unknown", dead.pk, dead.kind, dead.host, swept)
        total += swept
    return total


def _sweep_all(running: QuerySet[JobExecution], *, now: datetime, may_act: MayAct) -> int:
    total = 0
    while may_act():
        swept = _sweep_batch(running, now)
        total += swept
        if swept < BATCH:
            break
    return total


def _sweep_batch(running: QuerySet[JobExecution], now: datetime) -> int:
    def refused(execution_id: UUID, error: Exception) -> int:
        logger.error("The notice that execution %s is unknown cannot be stored", execution_id, exc_info=error)
        return sum(piecewise([execution_id], partial(_sweep_silently, running, now=now), _left_running))

    ids = list(running.order_by("id").values_list("pk", flat=True)[:BATCH])
    return sum(piecewise(ids, partial(_sweep, running, now=now), refused))


def _overdue(now: datetime) -> QuerySet[JobExecution]:
    is_late = Q(deadline_at__lt=now - SWEEP_MARGIN) | Q(deadline_at=None, started_at__lt=now - NO_DEADLINE)
    return JobExecution.objects.filter(is_late, status=Status.RUNNING)


def _sweep(running: QuerySet[JobExecution], ids: Sequence[UUID], *, now: datetime) -> int:
    return call_unknown(running.filter(pk__in=ids), reason=SENDER_GONE, now=now)


def _sweep_silently(running: QuerySet[JobExecution], ids: Sequence[UUID], *, now: datetime) -> int:
    """Mark runs `unknown` without a notice, where their job cannot be read: the row still says it."""
    with transaction.atomic():
        held = list(batches.locked(running.filter(pk__in=ids)).values_list("pk", flat=True))
        write_unknown(held, reason=SENDER_GONE, now=now)
    return len(held)


def _left_running(execution_id: UUID, error: Exception) -> int:
    logger.error("Execution %s cannot be marked unknown", execution_id, exc_info=error)
    return 0
