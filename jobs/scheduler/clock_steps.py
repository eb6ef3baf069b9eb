"""Corrects stored instants after a clock that ran ahead is set back.

Fire times are repaired by reconcile. The others are instants until which a row waits or may last: written by a clock
that was two hours ahead, they would make it wait two hours longer.
"""

import logging
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import F, QuerySet

from jobs.models import JobExecution, RateLimitBucket, Status
from notifications.models import Delivery, DeliveryStatus

logger = logging.getLogger(__name__)

# Smaller steps are how a clock is kept in time, and need no correction.
STEP = timedelta(seconds=2)


class Sample(NamedTuple):
    """What the database's clock said, and the uptime at that moment."""

    now: datetime
    uptime: float

    def step_to(self, later: "Sample") -> timedelta:
        """Return by how much the clock was set between the two; negative where it was set back."""
        return later.now - self.now - timedelta(seconds=later.uptime - self.uptime)


def bring_back(*, by: timedelta, now: datetime) -> int:
    """Move instants of the future back by `by`, the amount by which the clock was set back.

    Returns how many rows were changed. A row that waits longer than `by` for other reasons becomes due early by `by`.
    """
    beyond = now + by - STEP
    executions = JobExecution.objects
    moved = 0
    with transaction.atomic():
        moved += _move(executions.filter(status=Status.QUEUED), "not_before", beyond, by)
        moved += _move(executions.filter(status=Status.RUNNING), "deadline_at", beyond, by)
        moved += _move(Delivery.objects.filter(status=DeliveryStatus.WAITING), "not_before", beyond, by)
        moved += _move(Delivery.objects.filter(status=DeliveryStatus.SENDING), "claimed_until", beyond, by)
        moved += RateLimitBucket.objects.filter(blocked_until__gt=beyond).update(blocked_until=None)
        for bucket in RateLimitBucket.objects.select_for_update():
            past = [slot for slot in bucket.sent if slot <= now.timestamp() + STEP.total_seconds()]
            if len(past) < len(bucket.sent):
                bucket.sent = past
                bucket.save(update_fields=["sent"])
                moved += 1
    return moved


def _move(rows: QuerySet[Any], column: str, beyond: datetime, by: timedelta) -> int:
    return rows.filter(**{f"{column}__gt": beyond}).update(**{column: F(column) - by})
