"""The weekly task: pauses what has ended and warns of what ends soon (contract, section 15)."""

import logging
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction

from cronsched.lib.db.outages import piecewise
from jobs.definitions import validation
from jobs.end_dates.expiry import pause_expired
from jobs.models import Job
from jobs.notices import events
from notifications.services import notify

logger = logging.getLogger(__name__)

ENDING_SOON = timedelta(days=30)


def maintain_end_dates(*, now: datetime) -> dict[str, Any]:
    """Pause what has ended and warn of what ends within 30 days: the weekly task (contract, section 15)."""
    paused = pause_expired(now=now, with_team=True)
    today = validation.local_date(now)
    ending = Job.objects.active().filter(end_date__gte=today, end_date__lte=today + ENDING_SOON)
    ids = list(ending.order_by("end_date", "name").values_list("pk", flat=True))
    created = piecewise(ids, partial(_warn_of_end, today=today, now=now), _left_unwarned)
    return {
        "ran_at": now.astimezone(UTC).isoformat(),
        "paused_expired_jobs": paused.jobs,
        "ending_soon_jobs": len(ids),
        "notifications_created": paused.notices + sum(created),
    }


def _warn_of_end(ids: Sequence[UUID], *, today: date, now: datetime) -> int:
    jobs = Job.objects.filter(pk__in=ids).select_related("category", "pic_team").order_by("end_date", "name")
    with transaction.atomic():
        return notify([events.ending_soon(job, (job.end_date - today).days, now=now) for job in jobs], now=now)


def _left_unwarned(job_id: UUID, error: Exception) -> int:
    logger.error("The notice that job %s ends soon cannot be stored", job_id, exc_info=error)
    return 0
