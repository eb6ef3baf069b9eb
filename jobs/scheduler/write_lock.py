"""A fair lock for the writing threads of a scheduler.

SQLite has one writer at a time, and a connection that finds it busy sleeps ever longer between its tries: beside two
busy writers a third may never get through. This lock queues the threads, first come, first served. Other databases need
none.
"""

from collections import deque
from contextlib import AbstractContextManager, nullcontext
from threading import Lock

from django.db import connection

WriteLock = AbstractContextManager[object]


class FairLock:
    """A lock that the longest waiting thread gets. Python's own may go to the same thread again and again."""

    def __init__(self) -> None:
        self._mutex = Lock()
        self._is_held = False
        self._waiting: deque[Lock] = deque()

    def __enter__(self) -> None:
        with self._mutex:
            if not self._is_held:
                self._is_held = True
                return
            mine = Lock()
            mine.acquire()
            self._waiting.append(mine)
        mine.acquire()

    def __exit__(self, *_: object) -> None:
        with self._mutex:
            if self._waiting:
                # It stays held: it is passed on to the next thread.
                self._waiting.popleft().release()
            else:
                self._is_held = False


def write_lock() -> WriteLock:
    """Return the lock that the writing threads of a scheduler share."""
    return FairLock() if connection.vendor == "sqlite" else nullcontext()
