"""Pauses jobs whose end date has passed."""

import logging
from datetime import datetime
from uuid import UUID

from cronsched.lib.db.outages import is_outage
from cronsched.lib.errors import NotFound
from jobs import services
from jobs.definitions import validation
from jobs.models import Job

logger = logging.getLogger(__name__)


def pause_expired(*, now: datetime, with_team: bool = False) -> int:
    """Pause active jobs whose end date has passed, each with its notice; return how many."""
    expired = Job.objects.active().filter(end_date__lt=validation.local_date(now))
    # In the order of the index, or a database may walk over all jobs in the order of its own.
    ids = list(expired.order_by("end_date").values_list("pk", flat=True))
    return sum(pause_ended(job_id, now=now, with_team=with_team) for job_id in ids)


def pause_ended(job_id: UUID, *, now: datetime, with_team: bool = False) -> bool:
    """Pause a job whose end date has passed. One that cannot be paused keeps no other from being paused."""
    try:
        return services.auto_pause(job_id, now=now, with_team=with_team)
    except NotFound:
        # It was deleted meanwhile.
        return False
    except Exception as error:
        if is_outage(error):
            raise
        logger.exception("Job %s has ended and cannot be paused", job_id)
        return False
