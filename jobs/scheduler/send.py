"""The send pool: many threads that know nothing but a request and its outcome.

Threads are made when they help and end when nothing is left to send. A thousand of them that all have something to
compute would only get in each other's way: Python runs one at a time, and each that wakes up waits for its turn. So the
pool grows beyond a small base only while those it has are waiting for their targets. Two things tell that they are not:
the process computes all the time, or a thread that sleeps a moment wakes up late.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import lru_cache
from queue import Empty, SimpleQueue
from urllib.parse import urlsplit
from uuid import UUID

from cronsched.lib import failpoints
from jobs.dispatch import Prepared, Result, execute

logger = logging.getLogger(__name__)

# Where targets answer at once, a few threads keep Python busy, and send faster than many.
BASE_THREADS = 8
IDLE_SECONDS = 10.0
GROW_STEP = 25
# Naps of a look, how much later than asked for the worst of them may end, and how much of a processor the process may
# use meanwhile, while threads have time to spare.
NAPS = 5
NAP_SECONDS = 0.004
OVERSLEPT_SECONDS = 0.001
BUSY_SHARE = 0.7
# Where so few answers come in, the threads are waiting, whatever the naps say: on a busy host everybody oversleeps.
FEW_ANSWERS_PER_SECOND = 160


class SendPool:
    """Sends what it is given in at most `limit` threads and hands each result to `done`, in the sending thread."""

    def __init__(self, *, limit: int, clock: Callable[[], datetime], done: Callable[[Result], None]) -> None:
        self.limit = limit
        self._clock = clock
        self._done = done
        self._waiting: SimpleQueue[Prepared] = SimpleQueue()
        self._changed = threading.Condition()
        self._in_flight = 0
        self._threads = 0
        self._completed = 0
        self._grower: threading.Thread | None = None
        # Somebody waits until no more than these are in flight, or without a thread. Waking them at each request would
        # cost more than sending.
        self._wake_at = self._wake_when_waiting = -1

    @property
    def in_flight(self) -> int:
        """Requests that were handed over and have no result yet."""
        return self._in_flight

    @property
    def room(self) -> int:
        """How many more requests would find a place."""
        return max(0, self.limit - self._in_flight)

    @property
    def has_waiting(self) -> bool:
        """Whether requests wait for a thread."""
        return not self._waiting.empty()

    def send(self, requests: Iterable[Prepared]) -> None:
        """Send each of `requests` as soon as a thread is free."""
        batch = list(requests)
        with self._changed:
            self._in_flight += len(batch)
        for prepared in batch:
            self._waiting.put(prepared)
        # Also for what waits since a moment in which the system gave no threads.
        self._add_threads(min(self._waiting.qsize(), BASE_THREADS - self._threads, self.limit - self._threads))
        self._watch_growth()

    def wait_for_room(self, at_least: int, *, waiting: int | None = None, timeout: float) -> int:
        """Wait until `at_least` requests would find a place, at most `timeout` seconds; return how many would.

        With `waiting`, also until no more than so many of those handed over are still without a thread.
        """
        in_flight = self.limit - min(at_least, self.limit)
        waiting = self.limit if waiting is None else waiting
        with self._changed:
            self._wake_at, self._wake_when_waiting = in_flight, waiting
            self._changed.wait_for(lambda: self._in_flight <= in_flight and self._waiting.qsize() <= waiting, timeout)
            self._wake_at = self._wake_when_waiting = -1
        return self.room

    def wait_for_all(self, *, timeout: float) -> bool:
        """Wait until nothing is in flight; False where something still is after `timeout` seconds."""
        return self.wait_for_room(self.limit, timeout=timeout) >= self.limit

    # --- Threads

    def _add_threads(self, number: int) -> bool:
        """Make so many threads; False where the system gave none. Those there are send what waits."""
        for _ in range(number):
            with self._changed:
                self._threads += 1
            try:
                threading.Thread(target=self._work, name="send", daemon=True).start()
            except RuntimeError as error:
                with self._changed:
                    self._threads -= 1
                logger.warning("The send pool stays at %d threads: %s", self._threads, error)
                return False
        return True

    def _work(self) -> None:
        while True:
            try:
                prepared = self._waiting.get(timeout=IDLE_SECONDS)
            except Empty:
                with self._changed:
                    # Something may have come between the last look and now; then this thread is still wanted.
                    if self._waiting.empty():
                        self._threads -= 1
                        return
                continue
            if self._waiting.qsize() <= self._wake_when_waiting:
                self._wake_waiter()
            self._send(prepared)

    def _wake_waiter(self) -> None:
        with self._changed:
            # Once is enough: only who waits here hands over more.
            self._wake_when_waiting = -1
            self._changed.notify_all()

    def _send(self, prepared: Prepared) -> None:
        failpoints.reach("before-send")
        outcome = execute(prepared)
        failpoints.reach("after-send")
        self._done(Result(prepared, outcome, self._clock()))
        with self._changed:
            self._in_flight -= 1
            self._completed += 1
            if self._in_flight <= self._wake_at:
                self._changed.notify_all()

    # --- Growing

    def _watch_growth(self) -> None:
        with self._changed:
            if self._grower is not None or self._threads >= self.limit or self._waiting.empty():
                return
            grower = threading.Thread(target=self._grow, name="send pool", daemon=True)
            try:
                grower.start()
            except RuntimeError as error:
                logger.warning("The send pool cannot grow: %s", error)
            else:
                self._grower = grower

    def _grow(self) -> None:
        may_grow = True
        while True:
            would_help = self._threads_have_time()
            with self._changed:
                if self._waiting.empty() or self._threads >= self.limit or not may_grow:
                    self._grower = None
                    return
            if would_help:
                may_grow = self._add_threads(min(GROW_STEP, self.limit - self._threads, self._waiting.qsize()))

    def _threads_have_time(self) -> bool:
        """Look for a moment whether the threads are waiting for their targets rather than for each other."""
        began, used, completed = time.monotonic(), time.process_time(), self._completed
        overslept = max(_oversleep() for _ in range(NAPS))
        seconds = time.monotonic() - began
        if self._completed - completed < FEW_ANSWERS_PER_SECOND * seconds:
            return True
        return overslept < OVERSLEPT_SECONDS and time.process_time() - used < BUSY_SHARE * seconds


def _oversleep() -> float:
    """Sleep a moment and return by how much it was too long."""
    began = time.monotonic()
    time.sleep(NAP_SECONDS)
    return time.monotonic() - began - NAP_SECONDS


class Lanes:
    """How many requests one host may have in flight, counted before a row is taken. 0 sets no limit."""

    def __init__(self, per_host: int) -> None:
        self._per_host = per_host
        self._lock = threading.Lock()
        self._going: Counter[str] = Counter()
        self._lane_of: dict[UUID, str] = {}

    def admit(self, execution_id: UUID, target: str | None) -> bool:
        """Take a place in the lane of `target`, if one is free."""
        if not self._per_host:
            return True
        lane = _lane(target)
        with self._lock:
            if self._going[lane] >= self._per_host:
                return False
            self._going[lane] += 1
            self._lane_of[execution_id] = lane
        return True

    def leave(self, execution_id: UUID) -> None:
        """Give the place back; of an execution that has none, this is nothing."""
        if not self._per_host:
            return
        with self._lock:
            lane = self._lane_of.pop(execution_id, None)
            if lane is not None:
                self._going[lane] -= 1


@lru_cache(maxsize=4096)
def _lane(target: str | None) -> str:
    """Return what stands for the host of a webhook's URL; workflows share one lane."""
    try:
        parts = urlsplit(target or "")
    except ValueError:
        return ""
    return parts.netloc.lower() if parts.scheme else "github"
