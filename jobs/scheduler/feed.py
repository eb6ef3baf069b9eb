"""Feed the send pool: one pass claims what is due and starts what waits, until nothing more can be sent."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from threading import Event, Lock
from typing import NamedTuple
from uuid import UUID

from django.db.models import Q

from cronsched.lib import failpoints
from cronsched.lib.clock import uptime
from cronsched.lib.db import batches
from cronsched.lib.db.batches import IdIn
from cronsched.lib.db.outages import is_outage, piecewise
from jobs import dispatch
from jobs.dispatch import Prepared
from jobs.end_dates.expiry import pause_ended
from jobs.models import ExecutionQuerySet, JobExecution, Status
from jobs.scheduler.claim import BATCH, Claimed, claim_due, claim_piecewise
from jobs.scheduler.send import Lanes, SendPool
from jobs.scheduler.turns import Turn

logger = logging.getLogger(__name__)

# A process claims no more than it sends soon: what it takes and has no thread for, another could be sending. It claims
# again while so many still wait for a thread, so that none runs out of work meanwhile. Where the pool is full, claims
# wait a moment for as much room: what finds room costs one statement less than what has to queue.
RESERVE = 100
PATIENCE_SECONDS = 0.25
# The first claim of a pass is small, so that sending begins at once, and each further one twice as large. In a long
# herd a claim may be a quarter of what the pass has taken before: a row costs less in a large one, and what is shared
# unevenly at the end is little beside the whole.
FIRST_BATCH = 50
USUAL_BATCH = 200
LARGEST_BATCH = 400
# How often rows that wait for another request to the same host are looked at again.
LOOK_AGAIN_SECONDS = 0.05
# How often a pass that claims looks whether other rows wait.
LOOK_SECONDS = 0.5
PAGE = 1000


class Waiting(NamedTuple):
    """A queued row whose time has come."""

    id: UUID
    trigger_type: str
    job_id: UUID
    overlap: str
    target: str | None
    started_at: datetime
    not_before: datetime | None


WAITING = ("id", "trigger_type", "job_id", "job__overlap", "target", "started_at", "not_before")


class Left(NamedTuple):
    """Whether rows were left behind because the pool was full, or because their host had its share.

    `until` is when the next row's time comes, if that is within the same second: a turn at GitHub does not wait for
    the next pass.
    """

    for_room: bool
    for_lane: bool
    until: datetime | None


NOTHING_LEFT = Left(for_room=False, for_lane=False, until=None)


def next_batch(batch: int, *, taken: int) -> int:
    """Return how many jobs to claim after a claim of `batch`, in a pass that has taken so many by then."""
    return min(2 * batch, max(USUAL_BATCH, taken // 4), LARGEST_BATCH)


class Admission:
    """Places in the pool and in the lanes, taken before a row is and given back where that comes to nothing."""

    def __init__(self, lanes: Lanes, room: int) -> None:
        self._lanes = lanes
        self._room = room
        self._admitted: set[UUID] = set()

    @property
    def is_full(self) -> bool:
        return len(self._admitted) >= self._room

    def admit(self, execution_id: UUID, target: str | None) -> bool:
        if self.is_full or not self._lanes.admit(execution_id, target):
            return False
        self._admitted.add(execution_id)
        return True

    def used_by(self, prepared: Iterable[Prepared]) -> None:
        """Leave their places to requests that are sent now; the pool gives them back."""
        used = {item.execution_id for item in prepared}
        self._admitted -= used
        self._room -= len(used)

    def give_back(self) -> None:
        """Give back what nobody used, so that the admission can start anew."""
        for execution_id in self._admitted:
            self._lanes.leave(execution_id)
        self._admitted.clear()


class Feeder:
    """Runs passes, one at a time. `sender` is the token that this process puts on the rows it sends.

    `call_help` is called whenever more is due than one batch: others may be at it too.
    """

    def __init__(
        self,
        pool: SendPool,
        lanes: Lanes,
        *,
        clock: Callable[[], datetime],
        sender: UUID,
        turn: Turn,
        call_help: Callable[[], None] = lambda: None,
    ) -> None:
        self._pool = pool
        self._lanes = lanes
        self._clock = clock
        self._sender = sender
        self._turn = turn
        self._call_help = call_help
        self._portion = min(RESERVE, max(1, pool.limit // 2))
        self._running = Lock()

    @property
    def is_busy(self) -> bool:
        """Whether a pass is going on or requests wait for a thread."""
        return self._running.locked() or self._pool.has_waiting

    def run_pass(self, may_act: Callable[[], bool]) -> None:
        """Claim and start until nothing is left that could be sent now, or until `may_act` says no.

        Raises the database's error where it cannot be reached.
        """
        while may_act():
            with self._running:
                until = self._run_until_idle(may_act)
            if until is None:
                return
            Event().wait(max(0.0, (until - self._clock()).total_seconds()))

    def _run_until_idle(self, may_act: Callable[[], bool]) -> datetime | None:
        """Claim and start until nothing is left now; return when there is more, if that is within the same second."""
        batch, taken = FIRST_BATCH, 0
        left, look_at = NOTHING_LEFT, 0.0
        while may_act():
            if left.for_room or left.for_lane or uptime() >= look_at:
                left, look_at = self._start_waiting(), uptime() + LOOK_SECONDS
            limit = self._limit(batch)
            claimed = self._claim(limit)
            taken += claimed.jobs
            batch = next_batch(batch, taken=taken)
            if claimed.queued:
                look_at = 0.0
            if claimed.jobs >= limit or claimed.queued or left.for_room:
                self._call_help()
                self._pool.wait_for_room(self._portion, waiting=RESERVE, timeout=PATIENCE_SECONDS)
            elif left.for_lane:
                self._pool.wait_for_all(timeout=LOOK_AGAIN_SECONDS)
            else:
                return left.until
        return None

    def wait_for_end(self, *, timeout: float) -> bool:
        """Wait for the pass that is going on; False where it still is after `timeout` seconds."""
        if not self._running.acquire(timeout=timeout):
            return False
        self._running.release()
        return True

    # --- What is due

    def _limit(self, batch: int) -> int:
        """Return how many jobs to claim: up to `batch` while they find room, else as many as a statement takes."""
        room = self._pool.room
        return min(room, batch) if room >= self._portion else BATCH

    def _claim(self, limit: int) -> Claimed:
        """Claim up to `limit` jobs and send what found room."""
        with self._admission(self._pool.room) as admission:
            claimed = self._claim_batch(limit, admission)
        for job_id in claimed.expired:
            pause_ended(job_id, now=self._clock())
        return claimed

    def _claim_batch(self, limit: int, admission: Admission) -> Claimed:
        def claim(ids: Sequence[UUID] | None = None) -> Claimed:
            with self._turn:
                claimed = claim_due(
                    now=self._clock(), limit=limit, admit=admission.admit, sender=self._sender, among=ids
                )
            failpoints.reach("after-claim")
            self._send(claimed.prepared, admission)
            return claimed

        try:
            return claim()
        except Exception as error:
            if is_outage(error):
                raise
            logger.exception("A batch of due jobs could not be claimed at once")
        admission.give_back()
        return claim_piecewise(claim, now=self._clock(), limit=limit)

    # --- What waits

    def _start_waiting(self) -> Left:
        """Start queued rows while there is room; return what was left behind, and for which reason."""
        now = self._clock()
        for_room = for_lane = False
        until: datetime | None = None
        with self._admission(self._pool.room) as admission:
            chosen = []
            for row in self._waiting(now):
                if row.not_before is not None and row.not_before > now:
                    until = row.not_before if until is None else min(until, row.not_before)
                    continue
                if admission.is_full:
                    for_room = True
                    break
                if admission.admit(row.id, row.target):
                    chosen.append(row.id)
                else:
                    for_lane = True
            for start in range(0, len(chosen), BATCH):
                self._start(chosen[start : start + BATCH], admission, now)
        return Left(for_room, for_lane, until)

    def _waiting(self, now: datetime) -> Iterator[Waiting]:
        """Yield the rows that may be started within this second, oldest first."""
        next_second = now.replace(microsecond=0) + timedelta(seconds=1)
        ready = JobExecution.objects.filter(Q(not_before=None) | Q(not_before__lt=next_second), status=Status.QUEUED)
        ready = ready.order_by("started_at", "id")
        rows, size = self._read(ready)
        while rows:
            later = dispatch.out_of_turn(row[:4] for row in rows)
            yield from (row for row in rows if row.id not in later)
            if size < PAGE:
                return
            last = rows[-1]
            after = Q(started_at__gt=last.started_at) | Q(started_at=last.started_at, id__gt=last.id)
            rows, size = self._read(ready.filter(after))

    def _read(self, ready: ExecutionQuerySet) -> tuple[list[Waiting], int]:
        """Return the first page of `ready` and how many rows it has; those that cannot be read are settled."""

        def read(ids: Sequence[UUID] | None = None) -> list[Waiting]:
            rows = ready if ids is None else ready.filter(IdIn("id", ids))
            return [Waiting._make(row) for row in batches.read(rows.values_list(*WAITING)[:PAGE])]

        def refused(execution_id: UUID, error: Exception) -> list[Waiting]:
            self._give_up(execution_id, error)
            return []

        try:
            rows = read()
        except Exception as error:
            if is_outage(error):
                raise
            logger.exception("Rows that wait could not be read at once")
        else:
            return rows, len(rows)
        ids = [row[0] for row in batches.read(ready.values_list("id")[:PAGE])]
        return [row for part in piecewise(ids, read, refused) for row in part], len(ids)

    def _give_up(self, execution_id: UUID, error: Exception) -> None:
        logger.error("Execution %s cannot be started", execution_id, exc_info=error)
        dispatch.fail_unsent(execution_id, f"{type(error).__name__}: {error}", now=self._clock())

    def _start(self, ids: Sequence[UUID], admission: Admission, now: datetime) -> None:
        def start(part: Sequence[UUID]) -> None:
            with self._turn:
                prepared = dispatch.start(part, sender=self._sender, now=now)
            # At once: of a batch that is taken apart, the next part may find the database gone.
            self._send(prepared, admission)

        piecewise(ids, start, self._give_up)

    def _send(self, prepared: Sequence[Prepared], admission: Admission) -> None:
        admission.used_by(prepared)
        self._pool.send(prepared)

    @contextmanager
    def _admission(self, room: int) -> Iterator[Admission]:
        admission = Admission(self._lanes, room)
        try:
            yield admission
        finally:
            admission.give_back()
