"""A scheduler's steps, one at a time, with the clock in the test's hand."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from cronsched.lib.clock import DatabaseClock
from jobs import dispatch
from jobs.dispatch import Prepared, Result
from jobs.executors.base import Outcome
from jobs.models import Job, JobExecution, Status
from jobs.schedule.scheduled_job import ScheduledJob
from jobs.scheduler.backends.local import LocalBackend
from jobs.scheduler.claim import BATCH, Claimed, claim_due
from jobs.scheduler.producer import Producer
from jobs.scheduler.write_lock import write_lock
from jobs.targets.limits import HostLimiter
from jobs.tests.factories import NOON, make_job

SENDER = UUID("5e0de200-0000-4000-8000-000000000001")
OTHER_SENDER = UUID("5e0de200-0000-4000-8000-000000000002")
MINUTE = timedelta(minutes=1)
WAIT = 60.0


def make_due_job(**fields: Any) -> Job:
    """Make a job that fires every minute and whose run of noon is due."""
    return make_job(**{"cron_expression": "* * * * *", "timezone": "UTC", "next_fire_at": NOON, **fields})


def claim(now: datetime = NOON, *, room: int = BATCH, limit: int = BATCH, sender: UUID = SENDER) -> Any:
    """Claim with `room` for that many requests."""
    admitted: list[UUID] = []

    def admit(execution_id: UUID, job: ScheduledJob) -> bool:
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


class Clock(DatabaseClock):
    """A clock in the test's hand."""

    def __init__(self, at: datetime = NOON) -> None:
        super().__init__()
        self.at = at

    def now(self) -> datetime:
        return self.at

    def sample(self) -> datetime:
        return self.at


class Bench:
    """A producer with all that it needs; results are written when the test says so."""

    def __init__(self, *, limit: int = 1000, per_origin: int = 0, clock: DatabaseClock | None = None) -> None:
        self.clock: Any = clock or Clock()
        self.limiter = HostLimiter(limit, per_origin=per_origin)
        self.backend = LocalBackend(write_lock(), limiter=self.limiter, clock=self.clock)
        self.pool = self.backend.pool
        self.producer = Producer(self.backend)

    @property
    def results(self) -> list[Result]:
        return [result for _, result in self.backend.recorder._results]

    def run_pass(self, may_act: Callable[[], bool] = lambda: True) -> None:
        """Run a pass and wait for what it sent."""
        self.producer.run_pass(may_act)
        assert self.pool.wait_for_all(timeout=WAIT)

    def record(self) -> None:
        """Write the results there are."""
        for _ in range(len(results := self.results)):
            self.backend.recorder._results.popleft()
        if results:
            dispatch.record(results, sender=self.backend.token, now=self.clock.now())
            self.backend.journal.settled(result.prepared.execution_id for result in results)

    def close(self) -> None:
        assert self.pool.wait_for_all(timeout=WAIT)
        self.backend.journal.close()
