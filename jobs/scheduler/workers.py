"""Worker processes: more hands for a herd that is more than one processor can send.

Python computes on one processor per process. A leader that finds more due than its first batch calls its workers, and
together they claim and send until nothing is left. The rows keep them apart, as they would keep two leaders apart; so a
worker needs no orders, only leave. Without a herd they sleep.

They are forked before the scheduler has threads or connections, which could not be shared: that makes them small, and
ready at once. A worker acts only while its leader does, and knows until when the term is trusted. Where the scheduler
ends, killed or asked to, the worker finds its pipe closed: it lets what it has sent come back, writes it down and ends.
Signals are the scheduler's to heed; a worker ignores those that go to a whole group.
"""

import fcntl
import logging
import os
import select
import signal
from collections.abc import Callable
from ctypes import c_double
from multiprocessing.sharedctypes import RawValue
from threading import Event, Lock

from django.db import connections

from cronsched.lib.clock import uptime

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.02
# As many calls as come while a worker is at it are one.
CALLS = 4096


class Calls:
    """The worker's end: calls to wait for, and until when to act on them."""

    def __init__(self, pipe: int, trusted_until: c_double, scheduler: int) -> None:
        self._pipe = pipe
        self._trusted_until = trusted_until
        self._scheduler = scheduler

    def wait(self, tidy: Callable[[], None], *, every: float) -> bool:
        """Wait for the next call, tidying up every so many seconds; False where none will come any more."""
        while not select.select([self._pipe], [], [], every)[0]:
            tidy()
        return bool(os.read(self._pipe, CALLS))

    def may_act(self) -> bool:
        """Whether the leader's term is trusted and the leader there."""
        return uptime() < self._trusted_until.value and os.getppid() == self._scheduler


class Workers:
    """The scheduler's end: none until they are forked. One that is lost takes its part of the limits with it."""

    def __init__(self) -> None:
        # The ends to call through, by process; none after the dismissal, when others may have got their numbers.
        self._pipes: dict[int, int] = {}
        self._alive: set[int] = set()
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
        scheduler = os.getpid()
        for _ in range(number):
            calls, pipe = os.pipe()
            pid = os.fork()
            if pid == 0:
                # As long as somebody else holds an end, its closing would go unnoticed.
                for end in (*self._pipes.values(), pipe):
                    os.close(end)
                _end_with(work, Calls(calls, self._trusted_until, scheduler))
            os.close(calls)
            # A worker that does not listen must not make its leader wait.
            fcntl.fcntl(pipe, fcntl.F_SETFL, os.O_NONBLOCK)
            self._pipes[pid] = pipe
            self._alive.add(pid)

    def trust(self, until: float) -> None:
        """Let workers act until then (uptime); 0 stops them before their next batch."""
        self._trusted_until.value = until

    def call(self) -> None:
        """Have all workers look for what is due."""
        with self._lock:
            for pid, pipe in list(self._pipes.items()):
                try:
                    os.write(pipe, b".")
                except BlockingIOError:
                    logger.warning("Worker %d has not answered its calls for a long time", pid)
                except BrokenPipeError:
                    os.close(self._pipes.pop(pid))
                    _, status = os.waitpid(pid, 0)
                    self._alive.discard(pid)
                    logger.error("Worker %d has ended (%d): a restart brings it back", pid, status)

    def dismiss(self) -> None:
        """Call no more: workers finish what they have sent and end."""
        self.trust(0.0)
        with self._lock:
            while self._pipes:
                os.close(self._pipes.popitem()[1])

    def join(self, *, timeout: float) -> None:
        """Wait for dismissed workers; those that have not ended after `timeout` seconds are killed."""
        ends_at = uptime() + timeout
        while self._alive and uptime() < ends_at:
            self._alive -= {pid for pid in self._alive if os.waitpid(pid, os.WNOHANG)[0]}
            Event().wait(LOOK_SECONDS if self._alive else 0)
        for pid in self._alive:
            logger.error("Worker %d did not end in time", pid)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self._alive.clear()

    def kill(self) -> None:
        """End all workers at once."""
        for pid in list(self._alive):
            os.kill(pid, signal.SIGKILL)


def _end_with(work: Callable[[Calls], None], calls: Calls) -> None:
    """Do `work` and end this process, whatever happens: the rest of the program is the scheduler's."""
    code = 1
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        work(calls)
        code = 0
    except Exception:
        logger.exception("A worker process failed")
    finally:
        logging.shutdown()
        os._exit(code)
