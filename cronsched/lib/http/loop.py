"""The thread that drives libcurl: its sockets on epoll, its one timer, and what other threads hand over."""

import logging
import os
import select
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

import pycurl

from cronsched.lib.http.delays import LoopDelay
from cronsched.lib.http.transfer import Transfer

logger = logging.getLogger(__name__)

MAX_EVENTS = 64
# For so long a turn takes up what other threads have handed over; then answers are read again.
PORTION_SECONDS = 0.005
# Without anything in flight for so long, the connections kept are closed.
QUIET_SECONDS = 2.0
# After an error in the loop itself, which must not turn into a busy one.
PAUSE_SECONDS = 0.1

_READ, _WRITE = select.EPOLLIN, select.EPOLLOUT
_MASKS = {
    pycurl.POLL_IN: _READ,
    pycurl.POLL_OUT: _WRITE,
    pycurl.POLL_INOUT: _READ | _WRITE,
}

Task = Callable[[], None]
Finished = Callable[[Transfer, int, str], None]


class CurlLoop:
    """Runs transfers and tasks in one daemon thread.

    `call` may be used by any thread; `start`, `drop` and `at` belong to the loop's own, in which `finished` and all
    tasks are called. They must be quick: all transfers wait for them.
    """

    def __init__(self, *, finished: Finished, idle_connections: int, delay: LoopDelay) -> None:
        self._finished = finished
        self._idle_connections = idle_connections
        self._delay = delay
        self._tasks: deque[Task] = deque()
        # When another thread has woken this one, which has not come to it yet.
        self._woken_at: float | None = None
        self._wakeup = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        # Not before the last who might call has let go of the loop: the number may be another file's by then.
        weakref.finalize(self, os.close, self._wakeup)
        self._epoll = select.epoll()
        self._epoll.register(self._wakeup, _READ)
        self._masks: dict[int, int] = {}
        self._transfers: dict[pycurl.Curl, Transfer] = {}
        self._timer_at: float | None = None
        # When the last transfer ended, as long as libcurl may keep connections from then.
        self._quiet_since: float | None = None
        self._due: Callable[[float], float | None] = lambda now: None
        self._multi = self._new_multi()
        self._is_ending = False
        self._thread = threading.Thread(target=self._run, name="http client", daemon=True)

    def run(self, due: Callable[[float], float | None]) -> None:
        """Start the thread. `due` is called each turn with the time and returns when it wants to be called next."""
        self._due = due
        self._thread.start()

    @property
    def is_own_thread(self) -> bool:
        return threading.current_thread() is self._thread

    def call(self, task: Task) -> None:
        """Have `task` called in the loop's thread."""
        self._tasks.append(task)
        if self._woken_at is None:
            self._woken_at = time.monotonic()
            os.eventfd_write(self._wakeup, 1)

    def end(self) -> None:
        """Let the thread end after this turn. In the loop's thread."""
        self._is_ending = True

    def join(self) -> None:
        self._thread.join()

    def start(self, transfer: Transfer) -> None:
        self._transfers[transfer.handle] = transfer
        self._quiet_since = None
        self._multi.add_handle(transfer.handle)

    def drop(self, transfer: Transfer) -> None:
        """Break a transfer off; its connection is closed."""
        del self._transfers[transfer.handle]
        self._multi.remove_handle(transfer.handle)
        if not self._transfers:
            self._quiet_since = time.monotonic()

    # --- The thread

    def _run(self) -> None:
        while not self._is_ending:
            try:
                self._turn()
            except Exception:
                logger.exception("The loop of the HTTP client had an error")
                threading.Event().wait(PAUSE_SECONDS)
        self._multi.close()
        self._epoll.close()

    def _turn(self) -> None:
        events = self._epoll.poll(self._patience(), MAX_EVENTS)
        began = time.monotonic()
        for fd, ready in events:
            if fd == self._wakeup:
                os.eventfd_read(fd)
                began, self._woken_at = min(began, self._woken_at or began), None
            elif fd in self._masks:
                self._multi.socket_action(fd, _bits(ready))
        if self._timer_at is not None and self._timer_at <= time.monotonic():
            self._timer_at = None
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        self._collect()
        ends_at = time.monotonic() + PORTION_SECONDS
        while self._tasks:
            self._tasks.popleft()()
            if time.monotonic() > ends_at:
                break
        # From being woken, or from the first of these events, until all of them are dealt with.
        self._delay.record(time.monotonic() - began)

    def _patience(self) -> float | None:
        """Return for how long nothing has to be done, in seconds; None: until something happens."""
        now = time.monotonic()
        next_due = self._due(now)
        if self._tasks:
            return 0.0
        moments = [moment for moment in (self._timer_at, next_due, self._end_of_quiet(now)) if moment is not None]
        return max(0.0, min(moments) - now) if moments else None

    def _end_of_quiet(self, now: float) -> float | None:
        """Return when the connections kept are to be closed, None while something is in flight or there are none."""
        if self._quiet_since is None:
            return None
        if self._quiet_since + QUIET_SECONDS > now:
            return self._quiet_since + QUIET_SECONDS
        self._multi.close()
        self._masks.clear()
        self._timer_at = self._quiet_since = None
        self._multi = self._new_multi()
        return None

    def _collect(self) -> None:
        waiting = 1
        while waiting:
            waiting, succeeded, failed = self._multi.info_read()
            for handle in succeeded:
                self._finish(handle, pycurl.E_OK, "")
            for handle, code, message in failed:
                self._finish(handle, code, message)

    def _finish(self, handle: pycurl.Curl, code: int, message: str) -> None:
        transfer = self._transfers[handle]
        self.drop(transfer)
        self._finished(transfer, code, message)

    # --- libcurl's wishes

    def _new_multi(self) -> pycurl.CurlMulti:
        multi = pycurl.CurlMulti()
        multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)
        multi.setopt(pycurl.M_MAXCONNECTS, self._idle_connections)
        return multi

    def _watch(self, what: int, fd: int, multi: Any, data: Any) -> None:
        if what == pycurl.POLL_REMOVE:
            if self._masks.pop(fd, None) is not None:
                try:
                    self._epoll.unregister(fd)
                except OSError:
                    return  # libcurl has closed it already, which took it off
            return
        mask = _MASKS[what]
        if fd in self._masks:
            self._epoll.modify(fd, mask)
        else:
            self._epoll.register(fd, mask)
        self._masks[fd] = mask

    def _set_timer(self, milliseconds: int) -> None:
        self._timer_at = None if milliseconds < 0 else time.monotonic() + milliseconds / 1000


def _bits(ready: int) -> int:
    bits = 0
    if ready & _READ:
        bits |= pycurl.CSELECT_IN
    if ready & _WRITE:
        bits |= pycurl.CSELECT_OUT
    if ready & ~(_READ | _WRITE):
        bits |= pycurl.CSELECT_ERR | pycurl.CSELECT_IN
    return bits
