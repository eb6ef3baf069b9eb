"""How late scheduled executions were sent lately."""

from datetime import datetime, timedelta
from typing import NamedTuple

from jobs.admin.texts import seconds
from jobs.models import NEVER_SENT_STATUSES, JobExecution, Status, TriggerType

LATELY = timedelta(hours=24)
# So many executions at most.
MEASURED = 2000


class Lateness(NamedTuple):
    """By how much half of `number` executions were late at most, and by how much 99 of 100."""

    p50: str
    p99: str
    number: int


def measured(now: datetime) -> Lateness | None:
    """Return the lateness of the latest scheduled executions, None where there were none."""
    sent = JobExecution.objects.filter(trigger_type=TriggerType.SCHEDULED, started_at__gte=now - LATELY)
    sent = sent.exclude(status__in=(*NEVER_SENT_STATUSES, Status.QUEUED)).exclude(scheduled_for=None).newest_first()
    pairs = sent.values_list("scheduled_for", "started_at")[:MEASURED]
    late = sorted((started - due).total_seconds() for due, started in pairs if due)
    if not late:
        return None
    p50, p99 = late[len(late) // 2], late[min(len(late) - 1, len(late) * 99 // 100)]
    return Lateness(seconds(p50) or "", seconds(p99) or "", len(late))
