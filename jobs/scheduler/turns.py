"""Whose turn it is to write, inside one process.

SQLite has one writer at a time, and whoever finds it taken sleeps and tries again, ever longer: between two threads
that write all the time a third may never get through. A lock of our own queues them. Other databases need none.
"""

from contextlib import AbstractContextManager, nullcontext
from threading import Lock

from django.db import connection

Turn = AbstractContextManager[object]


def write_turn() -> Turn:
    """Return what the writing threads of a process share."""
    return Lock() if connection.vendor == "sqlite" else nullcontext()
