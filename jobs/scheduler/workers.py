"""Worker processes: more hands for a herd that is more than one processor can send.

Python computes on one processor per process. A leader that finds more due than its first batch calls its workers, and
together they claim and send until nothing is left. The rows keep them apart, as they would keep two leaders apart; so a
worker needs no orders, only leave. Without a herd they sleep.

    scheduler ──calls──────────────► worker 1, worker 2, …
        └──forks── nursery ──forks──────┘

Processes are forked before there are threads or connections, which could not be shared: that makes them small, and
ready at once. The scheduler soon has both. So it forks but one process, the nursery, which stays without: it forks the
workers, waits for them, and forks another where one dies. All workers of one place listen to the same pipe, each in its
time, so the scheduler need not know which process it calls.

A worker acts only while its leader does, and knows until when the term is trusted. The scheduler alone holds the other
ends of the pipes. Where it ends, killed or asked to, they close: a worker lets what it has sent come back, writes it
down and ends; the nursery replaces nobody any more and ends after the last. Where the nursery dies, its workers go on,
and one that dies then is missing until a restart, with its part of the limits.

Signals are the scheduler's to heed; the others ignore those that ask for an end.
"""

import fcntl
import logging
import os
import select
import signal
from collections.abc import Callable, Sequence
from ctypes import c_double
from dataclasses import dataclass
from multiprocessing.sharedctypes import RawValue
from threading import Lock

from django.db import connections

from cronsched.lib.clock import uptime

logger = logging.getLogger(__name__)

# As many calls as come while a worker is at it are one.
CALLS = 4096
# A worker that dies is replaced at once. Where its successor dies soon after its start, too, the same would most likely
# happen again: the next begins after a second, the one after it after two, and so on up to a minute.
SOON_SECONDS = 60.0
LONGEST_DELAY_SECONDS = 60.0
# How long to wait where the machine has no room for another process.
FORK_AGAIN_SECONDS = 1.0


class Calls:
    """The worker's end: calls to wait for, and until when to act on them."""

    def __init__(self, pipe: int, trusted_until: c_double) -> None:
        self._pipe = pipe
        self._trusted_until = trusted_until

    def wait(self, tidy: Callable[[], None], *, every: float) -> bool:
        """Wait for the next call, tidying up every so many seconds; False where none will come any more."""
        while not select.select([self._pipe], [], [], every)[0]:
            tidy()
        return bool(os.read(self._pipe, CALLS))

    def may_act(self) -> bool:
        """Whether the leader's term is trusted and the leader there."""
        return uptime() < self._trusted_until.value and not _is_closed(self._pipe)


class Workers:
    """The scheduler's end: none until they are forked."""

    def __init__(self) -> None:
        # The ends to call through, by the worker's number; none after the dismissal, when others may have got theirs.
        self._pipes: dict[int, int] = {}
        self._nursery: int | None = None
        self._nursery_lives = False
        # The nursery and all workers hold its other end.
        self._all_ended = -1
        self._trusted_until = RawValue(c_double, 0.0)
        self._lock = Lock()

    def fork(self, number: int, work: Callable[[Calls], None]) -> None:
        """Make `number` processes that do `work` and end with it. The process must have no other thread yet."""
        if not number:
            return
        for connection in connections.all(initialized_only=True):
            connection.close()
            # PostgreSQL's, which has threads.
            getattr(connection, "close_pool", lambda: None)()
        pipes = [os.pipe() for _ in range(number)]
        self._all_ended, alive = os.pipe()
        pid = os.fork()
        if pid == 0:
            # As long as somebody else holds an end, its closing would go unnoticed.
            for end in (*(pipe for _, pipe in pipes), self._all_ended):
                os.close(end)
            places = [Place(number, calls) for number, (calls, _) in enumerate(pipes, 1)]
            _end_with(Nursery(places, self._trusted_until, work).run)
        # As the nursery does itself: whoever comes first, nobody has to wait for the other.
        os.setpgid(pid, pid)
        os.close(alive)
        for number, (calls, pipe) in enumerate(pipes, 1):
            os.close(calls)
            # A worker that does not listen must not make its leader wait.
            fcntl.fcntl(pipe, fcntl.F_SETFL, os.O_NONBLOCK)
            self._pipes[number] = pipe
        self._nursery, self._nursery_lives = pid, True

    def trust(self, until: float) -> None:
        """Let workers act until then (uptime); 0 stops them before their next batch."""
        self._trusted_until.value = until
        with self._lock:
            self._look_after_nursery()

    def call(self) -> None:
        """Have all workers look for what is due."""
        with self._lock:
            self._look_after_nursery()
            for number, pipe in list(self._pipes.items()):
                try:
                    os.write(pipe, b".")
                except BlockingIOError:
                    logger.warning("Worker %d has not answered its calls for a long time", number)
                except BrokenPipeError:
                    os.close(self._pipes.pop(number))
                    logger.error("Worker %d has ended: without the nursery only a restart brings it back", number)

    def dismiss(self) -> None:
        """Call no more: workers finish what they have sent and end."""
        self.trust(0.0)
        with self._lock:
            # From now on its end is what is asked for.
            self._nursery_lives = False
            while self._pipes:
                os.close(self._pipes.popitem()[1])

    def join(self, *, timeout: float) -> None:
        """Wait for dismissed workers; those that have not ended after `timeout` seconds are killed."""
        if self._nursery is None:
            return
        if not select.select([self._all_ended], [], [], timeout)[0]:
            logger.error("Not all workers ended in time")
            self.kill()
        nursery, self._nursery = self._nursery, None
        os.waitpid(nursery, 0)
        os.close(self._all_ended)

    def kill(self) -> None:
        """End all workers at once."""
        if self._nursery is not None:
            os.killpg(self._nursery, signal.SIGKILL)

    def _look_after_nursery(self) -> None:
        if self._nursery is None or not self._nursery_lives:
            return
        # It is left a zombie, so that its number, which is also that of the group, stays its own.
        ended = os.waitid(os.P_PID, self._nursery, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is not None:
            self._nursery_lives = False
            logger.error("The nursery (process %d) has ended: workers are not replaced until a restart", self._nursery)


@dataclass
class Place:
    """Where one worker at a time listens to `calls`; when it began to, and how many in a row have died soon."""

    number: int
    calls: int
    began_at: float = 0.0
    died_soon: int = 0

    def was_left(self) -> None:
        """Remember that its worker has died."""
        self.died_soon = self.died_soon + 1 if uptime() - self.began_at < SOON_SECONDS else 1

    @property
    def delay(self) -> float:
        """How many seconds the next worker waits before it begins."""
        return min(2.0 ** (self.died_soon - 2), LONGEST_DELAY_SECONDS) if self.died_soon > 1 else 0.0


class Nursery:
    """The process that forks workers and replaces those that die. It has no threads and never will."""

    def __init__(self, places: Sequence[Place], trusted_until: c_double, work: Callable[[Calls], None]) -> None:
        self._places = places
        self._trusted_until = trusted_until
        self._work = work
        self._occupied: dict[int, Place] = {}

    def run(self) -> None:
        """Keep all places occupied until the scheduler has ended, and then wait for the last worker."""
        # A group of their own: the scheduler can end all at once without knowing them.
        os.setpgid(0, 0)
        for place in self._places:
            self._fork(place)
        while self._occupied:
            pid, status = os.waitpid(-1, 0)
            place = self._occupied.pop(pid)
            if not _is_closed(place.calls):
                self._replace(place, pid, os.waitstatus_to_exitcode(status))

    def _replace(self, place: Place, pid: int, code: int) -> None:
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        place.was_left()
        successor = self._fork(place)
        if successor is not None:
            wait = f" in {place.delay:.0f} s" if place.delay else ""
            logger.error(
                "Worker %d (process %d) %s: process %d takes its place%s", place.number, pid, how, successor, wait
            )

    def _fork(self, place: Place) -> int | None:
        """Put a worker in its place; None where the scheduler ended before there was room for one."""
        place.began_at = uptime() + place.delay
        while True:
            try:
                pid = os.fork()
            except OSError as error:
                logger.error("Worker %d cannot be forked: %s", place.number, error)
                if _is_closed(place.calls, within=FORK_AGAIN_SECONDS):
                    return None
                continue
            if pid == 0:
                _end_with(lambda: self._be_worker(place))
            self._occupied[pid] = place
            return pid

    def _be_worker(self, place: Place) -> None:
        for other in self._places:
            if other is not place:
                os.close(other.calls)
        if not _is_closed(place.calls, within=place.delay):
            self._work(Calls(place.calls, self._trusted_until))


def _is_closed(pipe: int, *, within: float = 0.0) -> bool:
    """Whether nobody holds the other end any more, or gives it up within so many seconds."""
    poll = select.poll()
    # Nothing to wait for but the end, which is told in any case, also where calls have not been read.
    poll.register(pipe, 0)
    return bool(poll.poll(1000 * within))


def _end_with(act: Callable[[], None]) -> None:
    """Do something and end this process, whatever happens: the rest of the program is the scheduler's."""
    code = 1
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        act()
        code = 0
    except Exception:
        logger.exception("A process that the scheduler has forked failed")
    finally:
        logging.shutdown()
        os._exit(code)
