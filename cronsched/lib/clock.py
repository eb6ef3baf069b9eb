"""The two clocks a scheduler needs: one that all processes share, and one that never jumps.

And how an instant is written.
"""

import time
from datetime import UTC, datetime, timedelta

from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper

# Linux's counts the time a machine was suspended too: a lease must not look fresh after a night's sleep.
_UPTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_NOW = {"postgresql": "SELECT clock_timestamp()", "mysql": "SELECT UTC_TIMESTAMP(6)"}


def uptime() -> float:
    """Return seconds on a clock that cannot be set, suspended time included. Only differences mean anything."""
    return time.clock_gettime(_UPTIME)


def database_now(database: BaseDatabaseWrapper | None = None) -> datetime:
    """Return the time by the database's clock, which all processes share; with SQLite that is this host's."""
    database = database or connection
    if database.vendor == "sqlite":
        return datetime.now(UTC)
    with database.cursor() as cursor:
        cursor.execute(_NOW[database.vendor])
        (now,) = cursor.fetchone()
    return now.replace(tzinfo=UTC) if now.tzinfo is None else now.astimezone(UTC)


class DatabaseClock:
    """The database's clock without a query each time: sampled now and then, carried on by `uptime`.

    Never ahead of the database's: what a sample's answer took on the way is not counted. Thread-safe.
    """

    def __init__(self) -> None:
        self._sample: tuple[datetime, float] | None = None

    def sample(self) -> datetime:
        """Read the database's clock. Raises what the database raises."""
        now = database_now()
        self._sample = None if connection.vendor == "sqlite" else (now, uptime())
        return now

    def now(self) -> datetime:
        """Return the time by the last sample; before the first one, and with SQLite, this host's."""
        if self._sample is None:
            return datetime.now(UTC)
        sampled, at = self._sample
        return sampled + timedelta(seconds=uptime() - at)


def utc_text(moment: datetime | None) -> str | None:
    """Write an instant as UTC with exactly three decimals and `Z` (contract, section 1), or None for None."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
