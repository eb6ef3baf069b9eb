"""Pauses jobs whose end date has passed."""

import logging
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from cronsched.lib.db.outages import is_outage
from cronsched.lib.errors import NotFound
from jobs import services
from jobs.definitions import validation
from jobs.models import Job

logger = logging.getLogger(__name__)


class Paused(NamedTuple):
    """How many jobs were paused, and how many notices were sent about it."""

    jobs: int
    notices: int


def pause_expired(*, now: datetime, with_team: bool = False) -> Paused:
    """Pause active jobs whose end date has passed, each with its notices."""
    expired = Job.objects.active().filter(end_date__lt=validation.local_date(now))
    # In the order of the index, or a database may walk over all jobs in the order of its own.
    ids = list(expired.order_by("end_date").values_list("pk", flat=True))
    notices = [pause_ended(job_id, now=now, with_team=with_team) for job_id in ids]
    told = [number for number in notices if number is not None]
    return Paused(len(told), sum(told))


def pause_ended(job_id: UUID, *, now: datetime, with_team: bool = False) -> int | None:
    """Pause a job whose end date has passed and return the number of notices, None where it is not paused.

    One that cannot be paused keeps no other from being paused.
    """
    try:
        return services.auto_pause(job_id, now=now, with_team=with_team)
    except NotFound:
        # It was deleted meanwhile.
        return None
    except Exception as error:
        if is_outage(error):
            raise
        logger.exception("Job %s has ended and cannot be paused", job_id)
        return None
