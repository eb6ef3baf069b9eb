"""The backend that sends from this process: it takes rows for its token, sends and records them."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from threading import Lock
from typing import NamedTuple
from uuid import UUID, uuid4

from cronsched.lib import failpoints, log_context
from cronsched.lib.clock import DatabaseClock, uptime
from cronsched.lib.db.outages import piecewise
from jobs import dispatch
from jobs.dispatch import Prepared, Result
from jobs.dispatch.journal import Journal
from jobs.models import ExecutionQuerySet, JobExecution
from jobs.schedule.scheduled_job import ScheduledJob
from jobs.scheduler.backends import SendBackend
from jobs.scheduler.backends.waiting import Waiting, waiting_rows
from jobs.scheduler.pool import SendPool
from jobs.scheduler.recorder import Recorder
from jobs.scheduler.write_lock import WriteLock
from jobs.targets.limits import GITHUB, HostLimiter, Wanted, origin_of

logger = logging.getLogger(__name__)

BATCH = 500
# How many rows that others are to start are looked at, oldest first. More of a backlog need not be read over and over:
# what waits behind them comes into sight as they are started.
MOST_ELSEWHERE = 500
# What is left of the drain time for writing results down and closing.
CLOSING_SECONDS = 5.0


class Backlog(NamedTuple):
    """Why rows were left queued: no place was free, or their owner or origin has used its share.

    `until` is when the next row's time comes, if that is within the same second: a turn at GitHub does not wait for
    the next pass.
    """

    pool_full: bool
    host_limited: bool
    until: datetime | None

    def with_more(self, other: "Backlog") -> "Backlog":
        times = [until for until in (self.until, other.until) if until is not None]
        return Backlog(
            self.pool_full or other.pool_full, self.host_limited or other.host_limited, min(times, default=None)
        )


NOTHING_LEFT = Backlog(pool_full=False, host_limited=False, until=None)


# Whether a row is left to other processes.
Elsewhere = Callable[[Waiting, datetime], bool]
# Takes a place for an execution; False where it has to wait.
Admit = Callable[[UUID, Wanted], bool]


class Admission:
    """Places in flight, taken before a row is and given back where that comes to nothing."""

    def __init__(self, limiter: HostLimiter) -> None:
        self._limiter = limiter
        self._admitted: set[UUID] = set()

    @property
    def is_full(self) -> bool:
        return not self._limiter.free

    def admit(self, execution_id: UUID, wanted: Wanted) -> bool:
        if execution_id in self._admitted:
            # Asked for again, where a batch is taken apart.
            return True
        if not self._limiter.take(execution_id, wanted):
            return False
        self._admitted.add(execution_id)
        return True

    def admit_job(self, execution_id: UUID, job: ScheduledJob) -> bool:
        return self.admit(execution_id, Wanted(job.owner, GITHUB if job.is_github else origin_of(job.target_url)))

    def used_by(self, prepared: Iterable[Prepared]) -> None:
        """Leave their places to requests that are sent now; they are given back with the results."""
        self._admitted.difference_update(item.execution_id for item in prepared)

    def give_back(self) -> None:
        """Give back the places that were not used, so that the admission can start anew."""
        self._limiter.leave(self._admitted)
        self._admitted.clear()


class LocalBackend(SendBackend):
    """Sends in this process. Its writing threads share `lock`; `limiter` hands out places in flight."""

    def __init__(self, lock: WriteLock, *, limiter: HostLimiter, clock: DatabaseClock) -> None:
        self.token = uuid4()
        self.clock = clock
        self.lock = lock
        self.limiter = limiter
        self.journal = Journal(self.token)
        self.pool = SendPool(journal=self.journal, clock=self.clock.now, done=self._done)
        self.recorder = Recorder(
            sender=self.token,
            clock=self.clock.now,
            is_busy=lambda: self.is_busy,
            lock=lock,
            journal=self.journal,
        )
        # How many batches are being taken at the moment.
        self._taking = 0
        self._counting = Lock()

    @property
    def is_busy(self) -> bool:
        """Whether more results are about to come, so that writing can wait for them."""
        return bool(self._taking or self.pool.waiting)

    @contextmanager
    def taking_more(self) -> Iterator[None]:
        """Let results wait for company meanwhile: what is being taken is about to leave, and writing would delay it."""
        with self._counting:
            self._taking += 1
        try:
            yield
        finally:
            with self._counting:
                self._taking -= 1

    def start(self) -> None:
        """Start the recorder. Call it before anything is sent."""
        log_context.set_sender(str(self.token))
        self.recorder.start()

    @contextmanager
    def admission(self) -> Iterator[Admission]:
        """Let rows be taken while there are places for them."""
        admission = Admission(self.limiter)
        try:
            yield admission
        finally:
            admission.give_back()

    def send(self, prepared: Sequence[Prepared], admission: Admission) -> None:
        """Send what is committed as running for this process's token."""
        admission.used_by(prepared)
        self.pool.send(prepared)

    def offer(self, execution_ids: Sequence[UUID]) -> bool:
        """Start those of these queued rows that there are places for, and send them; False where some found none.

        They are looked at once, under the lock in which they are started: others have looked before.
        """
        found_places = True
        with self.taking_more(), self.admission() as admission:

            def admit(execution_id: UUID, wanted: Wanted) -> bool:
                nonlocal found_places
                admitted = admission.admit(execution_id, wanted)
                found_places = found_places and admitted
                return admitted

            self._start(execution_ids, admission, self.clock.now(), admit)
        return found_places

    def start_waiting(self) -> Backlog:
        """Start queued rows while there are places; return what was left behind, and for which reason."""
        return self.start_from(JobExecution.objects.all())

    def drain(self, *, timeout: float) -> None:
        """Wait at most `timeout` seconds for requests in flight and their records.

        What is still open then is in the journal, which the next process of this host replays.
        """
        ends_at = uptime() + timeout
        if not self.pool.wait_for_all(timeout=timeout):
            logger.warning("%d requests are still out after the drain time", self.pool.in_flight)
        if not self.recorder.flush(timeout=max(CLOSING_SECONDS, ends_at - uptime())):
            logger.error("%d results could not be written before the end", self.recorder.pending)
        self.recorder.close()
        self.journal.close()

    def _done(self, result: Result) -> None:
        self.limiter.leave([result.prepared.execution_id])
        self.recorder.put(result)

    # --- What waits

    def start_from(self, rows: ExecutionQuerySet, elsewhere: Elsewhere | None = None) -> Backlog:
        """Start those of `rows` that are not for others; return what was left behind, and for which reason."""
        now = self.clock.now()
        pool_full = host_limited = False
        until: datetime | None = None
        left_to_others = 0
        with self.admission() as admission:
            chosen = []
            waiting = waiting_rows(rows, now=now, limiter=self.limiter, unreadable=self._give_up)
            for row in waiting:
                if row.not_before is not None and row.not_before > now:
                    until = row.not_before if until is None else min(until, row.not_before)
                elif row.is_too_late(now):
                    # It will not be sent, so it needs no place.
                    chosen.append(row.id)
                elif elsewhere and elsewhere(row, now):
                    left_to_others += 1
                    if left_to_others == MOST_ELSEWHERE:
                        break
                elif admission.is_full:
                    pool_full = True
                    break
                elif admission.admit(row.id, row.wanted):
                    chosen.append(row.id)
                else:
                    host_limited = True
            for start in range(0, len(chosen), BATCH):
                self._start(chosen[start : start + BATCH], admission, now)
        return Backlog(pool_full, host_limited, until)

    def _give_up(self, execution_id: UUID, error: Exception) -> None:
        logger.error("Execution %s cannot be started", execution_id, exc_info=error)
        dispatch.fail_unsent(execution_id, f"{type(error).__name__}: {error}", now=self.clock.now())

    def _start(
        self, ids: Sequence[UUID], admission: Admission, now: datetime, admit: Admit = lambda key, wanted: True
    ) -> None:
        def start(part: Sequence[UUID]) -> None:
            with self.lock:
                prepared = dispatch.start(part, sender=self.token, now=now, taking=self.journal.taken, admit=admit)
            failpoints.reach("after-claim")
            # At once: of a batch that is split, the next part may find the database gone.
            self.send(prepared, admission)

        piecewise(ids, start, self._give_up)
