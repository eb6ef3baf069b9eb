"""One pass: claims due jobs and starts queued rows, until nothing more can be sent now."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from threading import Event, Lock
from uuid import UUID

from cronsched.lib import failpoints
from cronsched.lib.clock import uptime
from cronsched.lib.db.outages import is_outage
from jobs.end_dates.expiry import pause_ended
from jobs.schedule.scheduled_job import ScheduledJob
from jobs.scheduler.backends.celery import CeleryBackend
from jobs.scheduler.backends.local import NOTHING_LEFT, Admission, Backlog, LocalBackend
from jobs.scheduler.claim import BATCH, Claimed, claim_due, claim_piecewise

logger = logging.getLogger(__name__)

# No more is claimed than is sent soon: what is claimed too early keeps what is due later from being seen. It is claimed
# again while so many still wait to leave, so that the loop never runs out of work meanwhile. Where no place is free,
# claims wait a moment for as many: what finds a place costs one statement less than what has to queue.
RESERVE = 200
PATIENCE_SECONDS = 0.25
# The first claim of a pass is small, so that sending begins at once, and each further one twice as large. In a long
# herd a claim may be a quarter of what the pass has taken before: a row costs less in a large one.
FIRST_BATCH = 50
USUAL_BATCH = 200
LARGEST_BATCH = 500
# How often rows that wait for their owner's or their host's share are looked at again, and how long a pass that has
# nothing else to do waits for one to come free.
LOOK_AGAIN_SECONDS = 0.05
SHARE_SECONDS = 0.5
# How often a pass that claims checks whether queued rows wait.
LOOK_SECONDS = 0.5


def next_batch(batch: int, *, taken: int) -> int:
    """Return how many jobs to claim after a claim of `batch`, in a pass that has taken so many by then."""
    return min(2 * batch, max(USUAL_BATCH, taken // 4), LARGEST_BATCH)


class Producer:
    """Runs passes, one at a time, for a backend that sends in this process and for `workers` that send elsewhere."""

    def __init__(self, backend: LocalBackend, workers: CeleryBackend | None = None) -> None:
        self._backend = backend
        self.workers = workers
        self._pool = backend.pool
        self._limiter = backend.limiter
        self._clock = backend.clock.now
        self._portion = min(RESERVE, max(1, self._limiter.limit // 10))
        self._running = Lock()
        # Called when rows wait for which there are no places, and when that is over.
        self.ask_for_help: Callable[[bool], None] = lambda wanted: None
        # When a pass last ended.
        self.last_pass_at: datetime | None = None

    def run_pass(self, may_act: Callable[[], bool]) -> None:
        """Claim and start until nothing is left that could be sent now, or until `may_act` says no.

        Raises the database's error where it cannot be reached.
        """
        while may_act():
            with self._running, self._backend.taking_more():
                until = self._run_until_idle(may_act)
            self.last_pass_at = self._clock()
            if until is None:
                return
            Event().wait(max(0.0, (until - self._clock()).total_seconds()))

    def help(self, may_act: Callable[[], bool]) -> None:
        """Start what waits until nothing is left that could be sent now, or until `may_act` says no; claim nothing."""
        with self._running:
            while may_act():
                given_back = self._limiter.given_back
                left = self._backend.start_waiting()
                if left.pool_full:
                    self._wait_for_room()
                elif not left.host_limited or not self._wait_for_a_share(given_back):
                    return

    def _run_until_idle(self, may_act: Callable[[], bool]) -> datetime | None:
        """Claim and start until nothing is left now; return when there is more, if that is within the same second."""
        batch, taken = FIRST_BATCH, 0
        left, look_at = NOTHING_LEFT, 0.0
        if self.workers:
            self.workers.look(self._clock())
        while may_act():
            given_back = self._limiter.given_back
            if left.pool_full or left.host_limited or uptime() >= look_at:
                left, behind = self._start_waiting()
                look_at = uptime() + LOOK_SECONDS
                self.ask_for_help(left.pool_full or left.host_limited or behind)
            limit = self._limit(batch)
            claimed = self._claim(limit)
            taken += claimed.jobs
            batch = next_batch(batch, taken=taken)
            if claimed.queued:
                look_at = 0.0
            if claimed.jobs >= limit or left.pool_full:
                self._wait_for_room()
            elif claimed.queued or left.host_limited:
                if not self._wait_for_a_share(given_back):
                    return left.until
            else:
                return left.until
        return None

    def _start_waiting(self) -> tuple[Backlog, bool]:
        """Start queued rows, or have workers start them; return what is left, and whether workers are late."""
        if self.workers is None:
            return self._backend.start_waiting(), False
        # By themselves: behind what waits for workers their turns at GitHub would pass.
        own = self._backend.start_from(self.workers.left_to_leader())
        left = self._backend.start_from(self.workers.not_just_offered(self._clock()), self.workers.has)
        return own.with_more(left), self.workers.offer_late()

    def wait_for_end(self, *, timeout: float) -> bool:
        """Wait for the pass that is going on; False where it still is after `timeout` seconds."""
        if not self._running.acquire(timeout=timeout):
            return False
        self._running.release()
        return True

    def _wait_for_room(self) -> None:
        self._pool.wait_until(
            lambda: self._limiter.free >= self._portion and self._pool.waiting <= RESERVE, timeout=PATIENCE_SECONDS
        )

    def _wait_for_a_share(self, given_back: int) -> bool:
        """Wait until a place is given back; False where none was before the next second's pass."""
        if not self._pool.wait_until(lambda: self._limiter.given_back > given_back, timeout=SHARE_SECONDS):
            return False
        Event().wait(LOOK_AGAIN_SECONDS)
        return True

    def _limit(self, batch: int) -> int:
        """Return how many jobs to claim: up to `batch` while they find places, else as many as a statement takes."""
        free = self._limiter.free
        return min(free, batch) if free >= self._portion else BATCH

    def _claim(self, limit: int) -> Claimed:
        """Claim up to `limit` jobs and send what found a place."""
        with self._backend.admission() as admission:
            claimed = self._claim_batch(limit, admission)
        for job_id in claimed.expired:
            pause_ended(job_id, now=self._clock())
        return claimed

    def _claim_batch(self, limit: int, admission: Admission) -> Claimed:
        workers = self.workers
        for_workers = set[UUID]()

        def admit(execution_id: UUID, job: ScheduledJob) -> bool:
            if workers and workers.takes(job):
                for_workers.add(execution_id)
                return False
            return admission.admit_job(execution_id, job)

        def claim(ids: Sequence[UUID] | None = None) -> Claimed:
            try:
                with self._backend.lock:
                    claimed = claim_due(
                        now=self._clock(),
                        limit=limit,
                        admit=admit,
                        sender=self._backend.token,
                        taking=self._backend.journal.taken,
                        among=ids,
                    )
            except Exception:
                admission.give_back()
                raise
            failpoints.reach("after-claim")
            self._backend.send(claimed.prepared, admission)
            offered = [key for key in claimed.queued if key in for_workers]
            if workers and offered and not workers.trouble:
                workers.offer(offered)
                claimed = claimed._replace(queued=[key for key in claimed.queued if key not in for_workers])
            return claimed

        try:
            return claim()
        except Exception as error:
            if is_outage(error):
                raise
            logger.exception("A batch of due jobs could not be claimed at once")
        return claim_piecewise(claim, now=self._clock(), limit=limit)
