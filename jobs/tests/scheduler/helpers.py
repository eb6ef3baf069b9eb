"""A scheduler's steps, one at a time, with the clock in the test's hand."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from jobs import dispatch
from jobs.dispatch import Prepared, Result
from jobs.executors.base import Outcome
from jobs.models import Job, JobExecution, Status
from jobs.scheduler.claim import BATCH, Claimed, claim_due
from jobs.tests.factories import NOON, make_job

SENDER = UUID("5e0de200-0000-4000-8000-000000000001")
OTHER_SENDER = UUID("5e0de200-0000-4000-8000-000000000002")
MINUTE = timedelta(minutes=1)


def make_due_job(**fields: Any) -> Job:
    """Make a job that fires every minute and whose run of noon is due."""
    return make_job(**{"cron_expression": "* * * * *", "timezone": "UTC", "next_fire_at": NOON, **fields})


def claim(now: datetime = NOON, *, room: int = BATCH, limit: int = BATCH, sender: UUID = SENDER) -> Any:
    """Claim with `room` for that many requests."""
    admitted: list[UUID] = []

    def admit(execution_id: UUID, target: str | None) -> bool:
        admitted.append(execution_id)
        return len(admitted) <= room

    return claim_due(now=now, limit=limit, admit=admit, sender=sender)


def success(**fields: Any) -> Outcome:
    return Outcome(
        **{"status": "success", "execution_type": "webhook", "target": "https://hooks.example.com/"} | fields
    )


def failure(**fields: Any) -> Outcome:
    defaults = {"status": "failed", "response_status": 500, "error_message": "Webhook returned status 500"}
    return success(**defaults | fields)


def claim_among(ids: Sequence[UUID]) -> Claimed:
    """Claim these jobs, as a part of a batch that is taken apart."""
    return claim_due(now=NOON, limit=500, admit=lambda *_: True, sender=SENDER, among=ids)


def record(prepared: Iterable[Prepared], outcome: Outcome, *, at: datetime, sender: UUID = SENDER) -> int:
    results = [Result(item, outcome, at) for item in prepared]
    return dispatch.record(results, sender=sender, now=at)


def start(*executions: JobExecution, now: datetime = NOON, sender: UUID = SENDER) -> Any:
    return dispatch.start([execution.pk for execution in executions], sender=sender, now=now)


def rows(job: Job | None = None) -> list[tuple[str, str]]:
    """Return status and fire time of the executions, oldest first."""
    found = JobExecution.objects.order_by("scheduled_for", "queued_at", "id")
    if job is not None:
        found = found.filter(job=job)
    return [(row.status, f"{row.scheduled_for:%H:%M}" if row.scheduled_for else "manual") for row in found]


def only_row() -> Any:
    return JobExecution.objects.get()


def statuses() -> list[str]:
    return sorted(JobExecution.objects.values_list("status", flat=True))


RUNNING, QUEUED = Status.RUNNING.value, Status.QUEUED.value
