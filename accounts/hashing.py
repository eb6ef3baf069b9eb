"""Hashing a password takes a processor for a good part of a second, on purpose. So few are hashed at the same time.

A request that waits for its turn holds a thread, so few may wait, too; the others are refused with Retry-After.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from cronsched.lib.config import env
from cronsched.lib.errors import TooManyRequests

# Of two processors one is left for the other requests.
AT_ONCE = 2 if env.processors() > 2 else 1
WAITING = max(1, settings.WEB_THREADS // 4)
WAIT_SECONDS = 5.0
# Retry-After, in seconds, where no more requests may wait.
BUSY_SECONDS = 2

_turns = threading.BoundedSemaphore(AT_ONCE)
_places = threading.BoundedSemaphore(WAITING)


@contextmanager
def turn() -> Iterator[None]:
    """Hash inside. Raises `TooManyRequests` where too many requests of this process hash or wait."""
    if not (_turns.acquire(blocking=False) or _wait()):
        raise _too_many()
    try:
        yield
    finally:
        _turns.release()


def refuse_when_full() -> None:
    """Raise `TooManyRequests` where no more requests may wait, before any other work is done."""
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
