"""Hashing a password takes a processor for a good part of a second, on purpose. No more of it at once than leaves room.

Those who wait for their turn hold a thread, so there are few of them, too: the rest is told to come again.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from cronsched.lib.config import env
from cronsched.lib.errors import TooManyRequests

# Of two processors one stays with the other requests.
AT_ONCE = 2 if env.processors() > 2 else 1
WAITING = max(1, settings.WEB_THREADS // 4)
WAIT_SECONDS = 5.0
# What a caller is told to wait where not even one more can be taken.
BUSY_SECONDS = 2

_turns = threading.BoundedSemaphore(AT_ONCE)
_places = threading.BoundedSemaphore(WAITING)


@contextmanager
def turn() -> Iterator[None]:
    """Hash inside. Raises `TooManyRequests` where too many of this process are at it or waiting for it."""
    if not (_turns.acquire(blocking=False) or _wait()):
        raise _too_many()
    try:
        yield
    finally:
        _turns.release()


def refuse_when_full() -> None:
    """Raise `TooManyRequests` where a turn cannot even be waited for now: before anything else is spent on it."""
    if not _places.acquire(blocking=False):
        raise _too_many()
    _places.release()


def _too_many() -> TooManyRequests:
    return TooManyRequests("Too many people are signing in at the moment. Try again.", retry_after=BUSY_SECONDS)


def _wait() -> bool:
    if not _places.acquire(blocking=False):
        return False
    try:
        return _turns.acquire(timeout=WAIT_SECONDS)
    finally:
        _places.release()
