"""Whose turn it is to write.

SQLite has one writer at a time, and whoever finds it taken sleeps and tries again, ever longer: between two that write
all the time a third may never get through. Locks of our own queue the threads of a scheduler, first come, first served,
and its processes, none of which has two turns while another waits. Other databases need none.
"""

import fcntl
import os
import weakref
from collections import deque
from contextlib import AbstractContextManager, nullcontext
from threading import Lock

from django.db import connection

Turn = AbstractContextManager[object]

# Bytes of the shared file that stand for being next and for having the turn.
_TURN, _NEXT = 0, 1


class FairLock:
    """A lock that goes to whoever has waited longest. Python's own may go to the same thread again and again."""

    def __init__(self) -> None:
        self._mutex = Lock()
        self._is_held = False
        self._waiting: deque[Lock] = deque()

    def acquire(self) -> None:
        with self._mutex:
            if not self._is_held:
                self._is_held = True
                return
            mine = Lock()
            mine.acquire()
            self._waiting.append(mine)
        mine.acquire()

    def release(self) -> None:
        with self._mutex:
            if self._waiting:
                # It stays held: the next one has it already.
                self._waiting.popleft().release()
            else:
                self._is_held = False


class SharedTurn:
    """A turn for threads and for the processes forked after it was made. A process that dies gives it back."""

    def __init__(self) -> None:
        self._threads = FairLock()
        # Locks of its kind belong to processes, not to the open file, which forked processes share.
        self._file = os.memfd_create("turn")
        weakref.finalize(self, os.close, self._file)

    def __enter__(self) -> None:
        self._threads.acquire()
        # Whoever is next waits in front of everybody else: who has just had the turn cannot take it again before.
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, _NEXT)
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, _TURN)
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _NEXT)

    def __exit__(self, *_: object) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _TURN)
        self._threads.release()


def write_turn() -> Turn:
    """Return what the writing threads of a scheduler share, in all its processes: make it before they are forked."""
    return SharedTurn() if connection.vendor == "sqlite" else nullcontext()
