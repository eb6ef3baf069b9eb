"""What was written down while the clock ran ahead is brought back when it is set right.

Fire times are repaired by reconcile. What remains are the instants until which something waits or is allowed to last:
written by a clock that was two hours ahead, they would keep it waiting for two hours.
"""

import logging
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import F, QuerySet

from jobs.models import JobExecution, RateLimitBucket, Status
from notifications.models import Delivery, DeliveryStatus

logger = logging.getLogger(__name__)

# A clock that is kept in time by small steps is not what this is about.
STEP = timedelta(seconds=2)


class Sample(NamedTuple):
    """What the database's clock said, and the uptime at that moment."""

    now: datetime
    uptime: float

    def step_to(self, later: "Sample") -> timedelta:
        """Return by how much the clock was set between the two; negative where it was set back."""
        return later.now - self.now - timedelta(seconds=later.uptime - self.uptime)


def bring_back(*, by: timedelta, now: datetime) -> int:
    """Move what waits for a moment that only the clock of before named, `by` being how far it was set back.

    Returns how many rows were moved. What waits for longer than that for reasons of its own comes early by as much.
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
