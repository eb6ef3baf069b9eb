"""Tell a database that cannot be asked from a statement it refuses."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from django.db import InterfaceError, InternalError, OperationalError

# The database is away, full, locked or shutting down; asking again may do. PostgreSQL counts a server that has become
# read-only among the internal errors. What remains (bad data, a violated constraint) will be refused again.
UNREACHABLE = (OperationalError, InterfaceError, InternalError)

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


def piecewise(
    items: Sequence[Item], act: Callable[[Sequence[Item]], Outcome], refused: Callable[[Item, Exception], Outcome]
) -> list[Outcome]:
    """Act on all `items` at once or, where that fails, on ever smaller parts; return what came of each part.

    `refused` gets every item that fails alone, so that one the database will not take keeps none of the others back.
    Raises what `act` raises where the database cannot be asked.
    """
    if not items:
        return []
    try:
        return [act(items)]
    except UNREACHABLE:
        raise
    except Exception as error:  # noqa: BLE001 - whatever one item does to its batch, the others go through
        if len(items) == 1:
            return [refused(items[0], error)]
    middle = len(items) // 2
    return [*piecewise(items[:middle], act, refused), *piecewise(items[middle:], act, refused)]


def first_line(error: Exception) -> str:
    """Return what a log line can take of an error; PostgreSQL's have several lines."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
