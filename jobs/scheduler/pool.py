"""The send pool: sends requests whose rows are committed through the one loop of the HTTP client.

Not all of them at once: what is in flight when a process dies is unknown for ever. So while targets answer at once,
only a window of requests is on the wire. Where almost none of a window is answered for a moment, its targets are slow:
its requests stop counting, and a window twice as large may leave. In this way 1,000 slow targets are called within a
second.

Each request is noted in the journal before it leaves and when its answer arrives (`jobs.dispatch.journal`). `done` is
called in the loop's thread: it must be quick and must never use the database.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from uuid import UUID

from cronsched.lib import failpoints
from jobs.dispatch import Prepared, Result, submit
from jobs.dispatch.journal import Journal
from jobs.executors.base import Outcome

logger = logging.getLogger(__name__)

# How many requests a window holds while targets answer at once, and how many are noted with one line of the journal.
WINDOW = 32
LARGEST_WINDOW = 1024
GROUP = 8
# A window waits for slow targets where fewer than one in so many of its requests are answered within so many seconds.
FEW = 4
LOOK_SECONDS = 0.05


class SendPool:
    """Sends requests and hands each result to `done`. The caller limits how many are in flight. Thread-safe."""

    def __init__(self, *, journal: Journal, clock: Callable[[], datetime], done: Callable[[Result], None]) -> None:
        self._journal = journal
        self._clock = clock
        self._done = done
        self._changed = threading.Condition()
        self._waiting: deque[Prepared] = deque()
        # What is out, by the window it left in; those of the last one count.
        self._out: dict[UUID, int] = {}
        self._window = self._in_window = self._answered = 0
        self._size = WINDOW
        self._awaited: Callable[[], bool] | None = None
        self._opener: threading.Thread | None = None

    @property
    def in_flight(self) -> int:
        """Requests that were handed over and have no result yet."""
        return len(self._waiting) + len(self._out)

    @property
    def waiting(self) -> int:
        """Requests that were handed over and have not left yet."""
        return len(self._waiting)

    def send(self, requests: Iterable[Prepared]) -> None:
        """Send each of `requests` as soon as the window allows."""
        with self._changed:
            self._waiting.extend(requests)
        self._start_more()

    def wait_until(self, is_so: Callable[[], bool], *, timeout: float) -> bool:
        """Wait until `is_so`, asked whenever a request has ended or left; False after `timeout` seconds.

        One thread at a time waits here: the one that hands requests over.
        """
        with self._changed:
            self._awaited = is_so
            try:
                return self._changed.wait_for(is_so, timeout)
            finally:
                self._awaited = None

    def wait_for_all(self, *, timeout: float) -> bool:
        """Wait until nothing is in flight; False where something still is after `timeout` seconds."""
        return self.wait_until(lambda: not self.in_flight, timeout=timeout)

    # --- Sending

    def _start_more(self) -> None:
        """Let as many leave as the window allows."""
        while batch := self._take_batch():
            self._journal.sent([prepared.execution_id for prepared in batch])
            failpoints.reach("before-send")
            for prepared in batch:
                submit(prepared, partial(self._finish, prepared))

    def _take_batch(self) -> list[Prepared]:
        with self._changed:
            number = min(len(self._waiting), self._size - self._in_window)
            if number < min(GROUP, len(self._waiting)):
                self._watch_window()
                return []
            batch = [self._waiting.popleft() for _ in range(min(number, GROUP))]
            self._out.update((prepared.execution_id, self._window) for prepared in batch)
            self._in_window += len(batch)
            return batch

    def _finish(self, prepared: Prepared, outcome: Outcome) -> None:
        """Take a result. In the thread of the HTTP client, or of a dispatch."""
        failpoints.reach("after-send")
        result = Result(prepared, outcome, self._clock())
        self._journal.answered(result)
        if not self._waiting:
            # Nothing is about to leave whose line it could go with.
            self._journal.flush()
        self._done(result)
        with self._changed:
            if self._out.pop(prepared.execution_id, None) == self._window:
                self._in_window -= 1
                self._answered += 1
            if self._awaited is not None and self._awaited():
                self._changed.notify_all()
        self._start_more()

    # --- The window

    def _watch_window(self) -> None:
        """Start a thread that checks whether the window waits for slow targets, while requests wait for the window."""
        if self._opener is not None and self._opener.is_alive():
            return
        opener = threading.Thread(target=self._open_windows, name="send window", daemon=True)
        try:
            opener.start()
        except RuntimeError as error:
            # The next request that ends, or the next pass, looks again.
            logger.warning("No thread to look after slow targets: %s", error)
        else:
            self._opener = opener

    def _open_windows(self) -> None:
        while True:
            with self._changed:
                if not self._waiting:
                    self._opener, self._size = None, WINDOW
                    return
                answered = self._answered
            threading.Event().wait(LOOK_SECONDS)
            with self._changed:
                self._judge_window(self._answered - answered)
            self._start_more()

    def _judge_window(self, answered: int) -> None:
        """Open another window, twice as large, where so few of this one were answered; narrow it where enough were."""
        if answered * FEW >= self._size:
            self._size = max(WINDOW, self._size // 2)
        elif self._in_window > self._size - GROUP:
            self._window, self._in_window = self._window + 1, 0
            self._size = min(LARGEST_WINDOW, 2 * self._size)
