"""Repeats a transaction that the database ended because of a deadlock."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import OperationalError, connection

P = ParamSpec("P")
R = TypeVar("R")

ATTEMPTS = 5
# MariaDB says it by number, PostgreSQL by SQLSTATE (deadlock, serialisation failure). SQLite has one writer at a time.
MARIADB_DEADLOCK = 1213
POSTGRESQL_STATES = frozenset({"40P01", "40001"})


def retried(act: Callable[P, R]) -> Callable[P, R]:
    """Wrap `act`, which opens a transaction of its own, so that it is done again after a deadlock.

    Inside a transaction of the caller it is done once: the database has ended that one as a whole.
    """

    @wraps(act)
    def retry_on_conflict(*args: P.args, **kwargs: P.kwargs) -> R:
        attempts = 1 if connection.in_atomic_block else ATTEMPTS
        for left in range(attempts - 1, -1, -1):
            try:
                return act(*args, **kwargs)
            except OperationalError as error:
                if not left or not is_deadlock(error):
                    raise
        raise AssertionError("the last attempt returns or raises")

    return retry_on_conflict


def is_deadlock(error: OperationalError) -> bool:
    """Whether the database ended this transaction to resolve a deadlock."""
    cause = error.__cause__
    if getattr(cause, "sqlstate", None) in POSTGRESQL_STATES:
        return True
    return bool(error.args) and error.args[0] == MARIADB_DEADLOCK
