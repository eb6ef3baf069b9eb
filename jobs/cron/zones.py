"""A zone as a chain of spans, each with one offset from UTC.

Inside a span wall clock and UTC differ by that offset; what is peculiar about clock changes happens where spans meet.
"""

from collections.abc import Iterator
from datetime import MAXYEAR, MINYEAR, UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from cronsched.lib.zone_names import nearest

MINUTE = timedelta(minutes=1)
# A zone's offset must not lead out of Python's calendar, so its first and last year are left out.
FIRST_YEAR, LAST_YEAR = MINYEAR + 1, MAXYEAR - 1
EARLIEST, LATEST = datetime(FIRST_YEAR, 1, 1) - MINUTE, datetime(LAST_YEAR + 1, 1, 1)  # noqa: DTZ001 naive UTC


class ZoneError(ValueError):
    """The name is not one of the IANA time zones."""


@lru_cache(maxsize=1)
def _zone_names() -> frozenset[str]:
    # "localtime" is a file of this host found among the zones: the same name means something else elsewhere.
    return frozenset(available_timezones() - {"localtime", "posixrules"})


def zone(name: str) -> ZoneInfo:
    """Return the IANA zone of that exact name.

    The name is looked up in the list of zones and never used as a path before that. Raises ZoneError.
    """
    if isinstance(name, str) and name in _zone_names():
        return ZoneInfo(name)
    meant = nearest(name, _zone_names()) if isinstance(name, str) else None
    advice = f"Did you mean {meant}?" if meant else "Use an IANA name such as Asia/Tokyo."
    raise ZoneError(f"Unknown time zone {ascii(name)[:80]}. {advice}")


class Span(NamedTuple):
    """A stretch of time with one offset from UTC. UTC and wall clock are both naive here."""

    starts: datetime
    ends: datetime
    offset: timedelta
    wall_starts: datetime
    wall_reached: datetime  # where the wall clock stood just before: later in a fold, earlier in a gap


def _offset(zone: ZoneInfo, instant: datetime) -> timedelta:
    """Return the offset from UTC in whole minutes, which is what every zone has had since 1972."""
    shift = instant.replace(tzinfo=UTC).astimezone(zone).utcoffset()
    assert shift is not None
    return timedelta(minutes=round(shift / MINUTE))


# No zone has ever changed its offset twice within three days (the closest are 95 hours apart).
_STRIDE = timedelta(days=3)


@lru_cache(maxsize=4096)
def _spans_of_year(zone: ZoneInfo, year: int) -> tuple[Span, ...]:
    begin, end = datetime(year, 1, 1), datetime(year + 1, 1, 1)  # noqa: DTZ001 naive on purpose, see Span
    changes = []
    low, low_offset = begin - MINUTE, _offset(zone, begin - MINUTE)
    first_offset = low_offset
    while low < end - MINUTE:
        high = min(low + _STRIDE, end - MINUTE)
        high_offset = _offset(zone, high)
        if high_offset != low_offset:
            changes.append((_first_instant_of(high_offset, zone, low, high), high_offset))
        low, low_offset = high, high_offset

    spans = []
    starts, before, offset = begin, first_offset, first_offset
    for change, new_offset in [*changes, (end, timedelta())]:
        if change > starts:
            spans.append(Span(starts, change, offset, starts + offset, starts + before))
        starts, before, offset = change, offset, new_offset
    return tuple(spans)


def _first_instant_of(offset: timedelta, zone: ZoneInfo, low: datetime, high: datetime) -> datetime:
    while high - low > MINUTE:
        middle = low + MINUTE * ((high - low) // MINUTE // 2)
        low, high = (low, middle) if _offset(zone, middle) == offset else (middle, high)
    return high


def spans_onward(zone: ZoneInfo, instant: datetime) -> Iterator[Span]:
    """Yield the span that holds the instant, then the later ones."""
    for year in range(max(instant.year, FIRST_YEAR), LAST_YEAR + 1):
        for span in _spans_of_year(zone, year):
            if span.ends > instant:
                yield span


def spans_backward(zone: ZoneInfo, instant: datetime) -> Iterator[Span]:
    for year in range(min(instant.year, LAST_YEAR), FIRST_YEAR - 1, -1):
        for span in reversed(_spans_of_year(zone, year)):
            if span.starts <= instant:
                yield span
