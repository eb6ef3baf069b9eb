"""Manual runs: the same three steps for a person who waits, in the web process, with or without a scheduler."""

import logging
import math
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from uuid import UUID, uuid4

from django.conf import settings
from django.db import connection, transaction

from cronsched.lib import failpoints
from cronsched.lib.clock import uptime
from cronsched.lib.db import batches
from cronsched.lib.db.deadlocks import retried
from cronsched.lib.db.outages import KEEP_SECONDS, RETRY_SECONDS, UNREACHABLE, first_line
from cronsched.lib.draining import on_drain
from cronsched.lib.errors import TooManyRequests
from cronsched.lib.ids import uuid7
from jobs.dispatch import blocking_requests
from jobs.dispatch.attempt import Prepared, Result, execute, prepare
from jobs.dispatch.journal import Journal
from jobs.dispatch.record import record_each
from jobs.dispatch.start import acquire_dispatch_slots, running_row
from jobs.github import rate_limits
from jobs.models import Job, JobExecution, Status, TriggerType
from jobs.schedule.due import NewExecution, insert_executions
from jobs.schedule.scheduled_job import Overrides, ScheduledJob
from jobs.targets.limits import Wanted, limiter, origin_of

logger = logging.getLogger(__name__)

# Manual runs that are out at the same time in one web process.
IN_FLIGHT = 64

_slots = threading.BoundedSemaphore(IN_FLIGHT)


class _Sender:
    """What the manual runs of a process share: their token, its journal, and how many of them are not over."""

    def __init__(self) -> None:
        self.token = uuid4()
        self.journal = Journal(self.token)
        self._changed = threading.Condition()
        self._running = 0

    def begin(self) -> None:
        with self._changed:
            self._running += 1

    def end(self) -> None:
        with self._changed:
            self._running -= 1
            self._changed.notify_all()

    def drain(self, seconds: float) -> None:
        """Wait until all are over and written. What is not then stands in the journal, for a scheduler of this host."""
        with self._changed:
            if not self._changed.wait_for(lambda: not self._running, seconds):
                logger.warning("%d manual runs are not over at the end", self._running)
        self.journal.close()


@lru_cache(maxsize=1)
def _sender() -> _Sender:
    return _Sender()


@on_drain
def drain(seconds: float) -> None:
    """Let the manual runs of this process finish for so many seconds."""
    if _sender.cache_info().currsize:
        _sender().drain(seconds)


def run_manually(job: Job, *, overrides: Overrides | None, now: datetime) -> JobExecution:
    """Run `job` in this process and return its execution: final, or as it is when the bounded wait ends.

    Works without a scheduler. After the wait the run goes on and is recorded by its own thread. Where this process
    has too many such runs out, no place in flight for its owner or host, no thread for one more, or its turn at GitHub
    is too far away, the run is queued for the leader instead; one with a token of its own waits here for its turn,
    because the token is stored nowhere.

    Raises `Job.DoesNotExist` for a job that is gone meanwhile, `TooManyRequests` where the run can neither leave nor be
    queued.
    """
    if not blocking_requests.slots.acquire(blocking=False):
        brief = min(blocking_requests.BRIEF_SECONDS, settings.MANUAL_RUN_WAIT_SECONDS)
        return _run(job, overrides, now=now, patience=brief)
    try:
        return _run(job, overrides, now=now, patience=settings.MANUAL_RUN_WAIT_SECONDS)
    finally:
        blocking_requests.slots.release()


def _run(job: Job, overrides: Overrides | None, *, now: datetime, patience: float) -> JobExecution:
    has_token = overrides is not None and overrides.github_token is not None
    has_slot = _slots.acquire(timeout=patience if has_token else 0)
    run = _ManualRun(job.pk, overrides, now=now, give_back_slot=_slots.release)
    if not (has_slot and run.starts() and run.has_place(job, within=patience / 2)):
        if has_token:
            raise TooManyRequests(
                "Too many runs are out at the moment. Try again.", retry_after=blocking_requests.BUSY_SECONDS
            )
        return queue_run(job, overrides=overrides, now=now)
    began = uptime()
    try:
        turn = rate_limits.patiently(run.insert, now=now, patience=timedelta(seconds=patience / 2))
    except BaseException:
        run.go(has_row=False)
        raise
    run.go(has_row=turn is None)
    if turn is not None:
        if has_token:
            seconds = math.ceil((turn - now).total_seconds())
            raise TooManyRequests(
                "GitHub takes no more dispatches with this token now. Try again.", retry_after=seconds
            )
        return queue_run(job, overrides=overrides, now=now, not_before=turn)
    run.wait(patience - (uptime() - began))
    return JobExecution.objects.get(pk=run.execution_id)


def queue_run(
    job: Job,
    *,
    overrides: Overrides | None = None,
    now: datetime,
    not_before: datetime | None = None,
) -> JobExecution:
    """Record a manual run of `job` as queued, for the leader to send. Raises `Job.DoesNotExist`."""
    with transaction.atomic():
        facts = _held_facts(job.pk)
        definition = facts.overridden(overrides) if overrides else facts
        row = NewExecution(
            uuid7(),
            facts.id,
            Status.QUEUED.value,
            definition.execution_type,
            definition.target,
            None,
            not_before=not_before,
            overrides=overrides.stored() if overrides else None,
        )
        insert_executions([row], trigger=TriggerType.MANUAL, now=now)
    return JobExecution.objects.get(pk=row.id)


def _held_facts(job_id: UUID) -> ScheduledJob:
    """Return the definition, held until the transaction ends: an edit or a deletion comes before the run or after."""
    found = ScheduledJob.read(batches.locked(Job.objects.filter(pk=job_id), skip=False))
    if not found:
        raise Job.DoesNotExist
    return found[0]


class _ManualRun:
    """One manual run. Its outcome is recorded by the caller while it waits, else by the thread.

    Where the database refuses it to the caller, the thread goes on trying. `now` is the time at which the run is made,
    by the clock that all its times are to be of.
    """

    def __init__(
        self, job_id: UUID, overrides: Overrides | None, *, now: datetime, give_back_slot: Callable[[], None]
    ) -> None:
        self.execution_id = uuid7()
        self._job_id = job_id
        self._overrides = overrides
        self._sender = _sender()
        self._made = now, uptime()
        self._give_back_slot = give_back_slot
        self._prepared: Prepared | None = None
        self._result: Result | None = None
        self._has_row = False
        self._decided = threading.Event()
        self._arrived = threading.Event()
        self._caller_left = threading.Event()
        self._is_recorded = False

    def starts(self) -> bool:
        """Start the thread, which takes over the slot; give that back where the system has no thread left.

        Call it before the row is written: otherwise a row could be `running` without a thread that runs it.
        """
        self._sender.begin()
        try:
            threading.Thread(target=self._run, name="manual run", daemon=True).start()
        except RuntimeError as error:
            self._sender.end()
            self._give_back_slot()
            logger.warning("A manual run found no thread: %s", error)
            return False
        return True

    def has_place(self, job: Job, *, within: float) -> bool:
        """Take a place in flight; where there is none in so many seconds, let the thread end."""
        definition = ScheduledJob(**{name: getattr(job, name) for name in ScheduledJob._fields})
        target = definition.overridden(self._overrides).target if self._overrides else definition.target
        wanted = Wanted(definition.owner, origin_of(target))
        if limiter().take_within(within, self.execution_id, wanted):
            return True
        self.go(has_row=False)
        return False

    def go(self, *, has_row: bool) -> None:
        """Let the thread call out, or end where there is no row that may leave."""
        self._has_row = has_row
        self._decided.set()

    @retried
    def insert(self, now: datetime) -> datetime | None:
        """Write the row, after which the run may leave; or return when its turn will be, where that is not now.

        What is sent is put together here, by the definition as it is when the row is written.
        """
        stored = self._overrides.stored() if self._overrides else None
        with transaction.atomic(durable=True):
            facts = _held_facts(self._job_id)
            prepared = prepare(self.execution_id, facts, fire_time=None, overrides=self._overrides)
            leaving, turns = acquire_dispatch_slots([prepared], now=now)
            for self._prepared in leaving:
                has_token = self._overrides is not None and self._overrides.github_token is not None
                self._sender.journal.taken([self.execution_id], lone=has_token)
                row = running_row(self._prepared, sender=self._sender.token, now=now, overrides=stored)
                insert_executions([row], trigger=TriggerType.MANUAL, now=now)
        return turns.get(self.execution_id)

    def _run(self) -> None:
        try:
            self._decided.wait()
            if self._has_row:
                self._execute()
        finally:
            connection.close()
            limiter().leave([self.execution_id])
            self._give_back_slot()
            self._sender.end()

    def _execute(self) -> None:
        """Call out, and record what the caller has not."""
        assert self._prepared
        journal = self._sender.journal
        journal.sent([self.execution_id])
        failpoints.reach("before-send")
        outcome = execute(self._prepared)
        failpoints.reach("after-send")
        result = Result(self._prepared, outcome, self._now())
        journal.answered(result)
        journal.flush()
        limiter().leave([self.execution_id])
        self._result = result
        self._arrived.set()
        self._caller_left.wait()
        if not self._is_recorded:
            self._record_in_the_end(result)

    def wait(self, seconds: float) -> None:
        """Wait for the outcome and record it; after `seconds`, or if it is refused, leave that to the thread."""
        try:
            self._arrived.wait(seconds)
            if self._result is not None:
                self._record(self._result)
                self._is_recorded = True
        except UNREACHABLE as error:
            connection.close_if_unusable_or_obsolete()
            self._warn(error)
        finally:
            self._caller_left.set()

    def _record_in_the_end(self, result: Result) -> None:
        began, pause = uptime(), threading.Event()
        while True:
            try:
                self._record(result)
                return
            except UNREACHABLE as error:
                connection.close()
                if uptime() - began >= KEEP_SECONDS:
                    logger.error("Gave up the outcome of execution %s: %s", self.execution_id, first_line(error))
                    return
                self._warn(error)
            pause.wait(RETRY_SECONDS)

    @retried
    def _record(self, result: Result) -> None:
        record_each([result], sender=self._sender.token, now=result.completed_at)
        self._sender.journal.settled([self.execution_id])

    def _warn(self, error: Exception) -> None:
        logger.warning("The outcome of execution %s waits for the database: %s", self.execution_id, first_line(error))

    def _now(self) -> datetime:
        now, at = self._made
        return now + timedelta(seconds=uptime() - at)
