"""Search the wall clock for the next or last minute that matches, with no zone in sight.

Instants are naive here and mean what a clock on the wall would show.
"""

import calendar
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from datetime import MAXYEAR, MINYEAR, datetime, time, timedelta
from functools import lru_cache

from jobs.cron.schedule import Schedule

_DAY = timedelta(days=1)


@lru_cache(maxsize=4096)
def month_shape(year: int, month: int) -> tuple[int, int]:
    return calendar.monthrange(year, month)


def matching_days(schedule: Schedule, first_weekday: int, length: int) -> int:
    """Return the days of a month that match, as bits; bit 0 is the 1st."""
    by_day = schedule.day_bits | (1 << length - 1 if schedule.has_last_day else 0)
    by_weekday = schedule.weekday_bits[first_weekday]
    return (by_day | by_weekday if schedule.either_day else by_day & by_weekday) & ((1 << length) - 1)


def _days_of(schedule: Schedule, year: int, month: int) -> int:
    return matching_days(schedule, *month_shape(year, month)) if month in schedule.months else 0


def next_wall(schedule: Schedule, wall: datetime) -> datetime | None:
    """Return the first matching minute of the wall clock at or after `wall`, a whole minute."""
    year, month, day = wall.year, wall.month, wall.day
    later_days = _days_of(schedule, year, month) >> (day - 1)
    if later_days & 1:
        hours, minutes = schedule.hours, schedule.minutes
        hour = wall.hour
        at = bisect_left(hours, hour)
        if at < len(hours):
            if hours[at] > hour:
                return wall.replace(hour=hours[at], minute=minutes[0])
            within = bisect_left(minutes, wall.minute)
            if within < len(minutes):
                return wall.replace(minute=minutes[within])
            if at + 1 < len(hours):
                return wall.replace(hour=hours[at + 1], minute=minutes[0])
    days = later_days >> 1 << day
    while not days:
        year, month = _next_month(schedule, year, month)
        if year > MAXYEAR:
            return None
        days = _days_of(schedule, year, month)
    first = (days & -days).bit_length()
    return datetime(year, month, first, schedule.hours[0], schedule.minutes[0])  # noqa: DTZ001 wall clock


@lru_cache(maxsize=256)
def _times_of_day(hours: tuple[int, ...], minutes: tuple[int, ...]) -> tuple[timedelta, ...]:
    return tuple(timedelta(hours=hour, minutes=minute) for hour in hours for minute in minutes)


def walls(
    schedule: Schedule, start: datetime, stop: datetime, shown: Callable[[datetime], datetime] = lambda wall: wall
) -> Iterator[datetime]:
    """Yield the matching minutes of the wall clock, start <= minute < stop, ascending.

    `shown` turns a minute of the wall clock into what is yielded. It is asked a few times a day: within a day what is
    yielded must stand as far apart as the minutes do.
    """
    times = _times_of_day(schedule.hours, schedule.minutes)
    wall = next_wall(schedule, start)
    while wall is not None and wall < stop:
        yield shown(wall)
        day = datetime.combine(wall, time.min)
        first = bisect_right(times, wall - day)
        last = bisect_left(times, stop - day)
        if first < last:
            yield from map(shown(day).__add__, times[first:last])
        if stop - day <= _DAY:
            return
        wall = next_wall(schedule, day + _DAY)


def last_wall(schedule: Schedule, wall: datetime) -> datetime | None:
    """Return the last matching minute of the wall clock at or before `wall`, a whole minute."""
    year, month, day = wall.year, wall.month, wall.day
    earlier_days = _days_of(schedule, year, month) & ((1 << day) - 1)
    if earlier_days >> (day - 1):
        hours, minutes = schedule.hours, schedule.minutes
        hour = wall.hour
        at = bisect_right(hours, hour) - 1
        if at >= 0:
            if hours[at] < hour:
                return wall.replace(hour=hours[at], minute=minutes[-1])
            within = bisect_right(minutes, wall.minute) - 1
            if within >= 0:
                return wall.replace(minute=minutes[within])
            if at > 0:
                return wall.replace(hour=hours[at - 1], minute=minutes[-1])
    days = earlier_days & ((1 << day - 1) - 1)
    while not days:
        year, month = _last_month(schedule, year, month)
        if year < MINYEAR:
            return None
        days = _days_of(schedule, year, month)
    return datetime(year, month, days.bit_length(), schedule.hours[-1], schedule.minutes[-1])  # noqa: DTZ001


def _next_month(schedule: Schedule, year: int, month: int) -> tuple[int, int]:
    at = bisect_right(schedule.months, month)
    return (year, schedule.months[at]) if at < len(schedule.months) else (year + 1, schedule.months[0])


def _last_month(schedule: Schedule, year: int, month: int) -> tuple[int, int]:
    at = bisect_left(schedule.months, month) - 1
    return (year, schedule.months[at]) if at >= 0 else (year - 1, schedule.months[-1])


def count_walls(schedule: Schedule, start: datetime, stop: datetime) -> int:
    """Count the matching minutes of the wall clock, start <= minute < stop."""
    if start >= stop:
        return 0
    days = 0
    year, month = start.year, start.month
    while (year, month) <= (stop.year, stop.month):
        bits = _days_of(schedule, year, month)
        if (year, month) == (stop.year, stop.month):
            bits &= (1 << stop.day - 1) - 1
        if (year, month) == (start.year, start.month):
            bits = bits >> (start.day - 1)
        days += bits.bit_count()
        year, month = _next_month(schedule, year, month)
    per_day = len(schedule.hours) * len(schedule.minutes)
    return days * per_day - _count_earlier_that_day(schedule, start) + _count_earlier_that_day(schedule, stop)


def _count_earlier_that_day(schedule: Schedule, wall: datetime) -> int:
    if not _days_of(schedule, wall.year, wall.month) >> (wall.day - 1) & 1:
        return 0
    count = bisect_left(schedule.hours, wall.hour) * len(schedule.minutes)
    return count + (bisect_left(schedule.minutes, wall.minute) if wall.hour in schedule.hours else 0)
