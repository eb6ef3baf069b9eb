"""How many requests of one web process may wait for targets at the same time: the others need threads as well."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from cronsched.lib.errors import TooManyRequests

# How long a request waits while all slots are taken.
BRIEF_SECONDS = 0.5
# What a caller is told to wait where not even one more can be taken.
BUSY_SECONDS = 10

# Half of the threads, for manual runs, test runs and checks of targets together.
slots = threading.BoundedSemaphore(max(1, settings.WEB_THREADS // 2))


@contextmanager
def slot() -> Iterator[None]:
    """Take a slot for what cannot go on without its caller. Raises `TooManyRequests` where none gets free in time."""
    if not slots.acquire(timeout=BRIEF_SECONDS):
        raise TooManyRequests("Too many runs are out at the moment. Try again.", retry_after=BUSY_SECONDS)
    try:
        yield
    finally:
        slots.release()
