"""The send pool: requests whose rows are committed leave through the one loop of the HTTP client.

Not all of them at once. What is out when a process dies is unknown for ever, so only a few are on the wire while
targets answer at once: a window of them. Where none of the window is answered for a moment, its requests wait for slow
targets; they stop counting, and as many more may leave. That way a thousand slow targets are called within a second.

Each request is noted in the journal before it leaves and when its answer is there (`jobs.dispatch.journal`). Whatever
happens in `done` happens in the loop's thread: it must be quick, and must never ask the database.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from uuid import UUID

from cronsched.lib import failpoints
from cronsched.lib.clock import uptime
from jobs.dispatch import Prepared, Result, submit
from jobs.dispatch.journal import Journal
from jobs.executors.base import Outcome

logger = logging.getLogger(__name__)

# How many may be on the wire unanswered before one of them is, and how many are noted with one line.
WINDOW = 32
GROUP = 8
# A window of which nothing is answered for so long waits for slow targets, and so does what is this old.
STILL_SECONDS = 0.01
OLD_SECONDS = 0.1


class SendPool:
    """Sends what it is given and hands each result to `done`. The caller sees to it that it is given no more than may
    be in flight. Thread-safe.
    """

    def __init__(self, *, journal: Journal, clock: Callable[[], datetime], done: Callable[[Result], None]) -> None:
        self._journal = journal
        self._clock = clock
        self._done = done
        self._changed = threading.Condition()
        self._waiting: deque[Prepared] = deque()
        # What is out, by the window it left in; those of the last one count.
        self._out: dict[UUID, int] = {}
        self._window = self._in_window = self._answered = 0
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

        One thread at a time waits here: whoever hands requests over.
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
            number = min(len(self._waiting), WINDOW - self._in_window)
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
        """Have somebody look whether the window waits for slow targets, while something waits for the window."""
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
        opened_at = uptime()
        while True:
            with self._changed:
                if not self._waiting:
                    self._opener = None
                    return
                window, answered = self._window, self._answered
            threading.Event().wait(STILL_SECONDS)
            with self._changed:
                is_still = answered == self._answered or uptime() - opened_at > OLD_SECONDS
                if window == self._window and is_still and self._in_window > WINDOW - GROUP:
                    self._window, self._in_window, opened_at = window + 1, 0, uptime()
            self._start_more()
