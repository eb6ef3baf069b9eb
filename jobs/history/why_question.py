"""Reads the question "why": about one time or a range of times (beyond.md, section 4)."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from cronsched.lib.errors import DomainError
from cronsched.lib.input import query, ranges

DEFAULT_RANGE = timedelta(hours=24)
MAX_DAYS = 31
DEFAULT_LIMIT, MAX_LIMIT = 1000, 5000
TOO_LONG = f"The range must be at most {MAX_DAYS} days."
NOT_BOTH = "at cannot be combined with from and to."
# A zone's clock must be able to show it.
FIRST_YEAR, LAST_YEAR = 1970, 9990


class Question(NamedTuple):
    """From `start` on and before `end`; of `at` alone where that is not None."""

    start: datetime
    end: datetime
    limit: int
    at: datetime | None = None


def read(params: Mapping[str, str], *, now: datetime) -> Question:
    """Return what `from`, `to`, `limit` and `at` ask for; by default the last 24 hours. Raises `DomainError` (400)."""
    limit = query.number(params, "limit", default=DEFAULT_LIMIT, highest=MAX_LIMIT)
    if text := params.get("at", "").strip():
        if params.get("from", "").strip() or params.get("to", "").strip():
            raise DomainError("Invalid at", NOT_BOTH, field="at")
        at = ranges.read_instant(text, "at")
        if not FIRST_YEAR <= at.year <= LAST_YEAR:
            raise DomainError("Invalid at", f"at must lie between {FIRST_YEAR} and {LAST_YEAR}.", field="at")
        return Question(at, at, limit, at)
    start, end = read_range(params, now=now, default=-DEFAULT_RANGE, most=timedelta(days=MAX_DAYS), too_long=TOO_LONG)
    return Question(start, end, limit)


def read_range(
    params: Mapping[str, str], *, now: datetime, default: timedelta, most: timedelta, too_long: str
) -> tuple[datetime, datetime]:
    """Return `from` and `to`; where one is missing, it lies `default` off the other, which is then now.

    `default` is negative where the past is asked about. Raises `DomainError` (400).
    """
    asked = ranges.read(params)
    known = [moment for moment in (asked.start, asked.end) if moment is not None]
    if any(not FIRST_YEAR <= moment.year <= LAST_YEAR for moment in known):
        raise DomainError("Invalid date range", f"The range must lie between {FIRST_YEAR} and {LAST_YEAR}.")
    past = default < timedelta()
    start, end = asked.start, asked.end
    if start is None:
        is_over = end is not None and end <= now
        start = (end or now) - abs(default) if past or is_over else now
    if end is None:
        end = max(now, start + timedelta(microseconds=1)) if past else start + default
    if end - start > most:
        raise DomainError("Invalid date range", too_long)
    return start, end
