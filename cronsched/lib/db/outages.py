"""Distinguishes a database that cannot be used from a statement that it refuses."""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from django.db import InterfaceError, InternalError, OperationalError, ProgrammingError, connection

# For code that waits and tries again after each of these: the database is away, full, locked or stopping; PostgreSQL
# counts a server that has become read-only among the internal errors, and tables that are away for a moment, as while
# a backup is being restored, are a programming error to the servers. What remains (bad data, a violated constraint)
# will be refused again. A caller that can do without the row at fault asks `is_outage` first.
UNREACHABLE = (OperationalError, InterfaceError, InternalError, ProgrammingError)

# How long the outcome of a run outlives a database that is away, and how often it is tried again.
KEEP_SECONDS = 15 * 60.0
RETRY_SECONDS = 1.0

# No such table, column or schema, and no permission: a restore grants them last.
POSTGRESQL_AWAY = frozenset({"42P01", "42703", "3F000", "42501"})
# The others are operational errors of MariaDB's driver.
MARIADB_NO_SUCH_TABLE = 1146
MARIADB_NO_SUCH_COLUMN = 1054
NO_SUCH = ("no such table", "no such column")
NO_TABLES = "its tables are missing or older than this version. Run: python manage.py migrate"

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


def is_outage(error: Exception) -> bool:
    """Whether the database cannot be asked, so that it would refuse other rows as well.

    Programming errors are both. Tables that are away are no fault of the row; but a value that a driver cannot pass on,
    or two rows that do not go into one statement, would be refused for ever if one waited for the database.
    """
    cause = error.__cause__
    if isinstance(error, ProgrammingError):
        return getattr(cause, "sqlstate", None) in POSTGRESQL_AWAY or error.args[:1] == (MARIADB_NO_SUCH_TABLE,)
    if isinstance(cause, sqlite3.Error) and not hasattr(cause, "sqlite_errorcode"):
        # Without a code it is Python's word, not the database's: about a text that is no UTF-8, for one.
        return False
    return isinstance(error, UNREACHABLE)


def piecewise(
    items: Sequence[Item], act: Callable[[Sequence[Item]], Outcome], refused: Callable[[Item, Exception], Outcome]
) -> list[Outcome]:
    """Act on all `items` at once or, where that fails, on ever smaller parts; return the result of each part.

    `refused` gets every item that fails alone, so that one the database will not take keeps none of the others back.
    Raises what `act` raises where the database cannot be asked.
    """
    if not items:
        return []
    try:
        return [act(items)]
    except Exception as error:
        # Whatever one item does to its batch, the others go through.
        if is_outage(error):
            raise
        if len(items) == 1:
            return [refused(items[0], error)]
    middle = len(items) // 2
    return [*piecewise(items[:middle], act, refused), *piecewise(items[middle:], act, refused)]


def one_by_one(
    items: Iterable[Item], act: Callable[[Item], Outcome], failed: Callable[[Item, Exception], None]
) -> list[Outcome]:
    """Act on each item and return the results of those that succeeded: a failure does not stop the others.

    `failed` gets the others. Raises what `act` raises where the database cannot be asked.
    """
    outcomes = []
    for item in items:
        try:
            outcomes.append(act(item))
        except Exception as error:
            if is_outage(error):
                raise
            failed(item, error)
    return outcomes


def first_line(error: Exception) -> str:
    """Return what a log line can take of an error, and the command that helps; PostgreSQL's have several lines."""
    line = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return f"{line}: {NO_TABLES}" if lacks_tables(error) else line


def lacks_tables(error: Exception) -> bool:
    """Whether a table or a column that this version needs is not there."""
    if getattr(error.__cause__, "sqlstate", None) in {"42P01", "42703"}:
        return True
    if error.args[:1] in {(MARIADB_NO_SUCH_TABLE,), (MARIADB_NO_SUCH_COLUMN,)}:
        return True
    return isinstance(error.__cause__, sqlite3.OperationalError) and str(error).startswith(NO_SUCH)


def give_up_connection() -> None:
    """Close this thread's connection after an outage, so that the next use gets one that works.

    Inside a transaction it stays: the code that began it has to end it.
    """
    if not connection.in_atomic_block:
        connection.close()
