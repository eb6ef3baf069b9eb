"""When a schedule fires in a zone."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from zoneinfo import ZoneInfo

from jobs.cron.reading import parse
from jobs.cron.schedule import Schedule
from jobs.cron.wall import count_walls, last_wall, next_wall, walls
from jobs.cron.zones import EARLIEST, FIRST_YEAR, LAST_YEAR, LATEST, MINUTE, Span, spans_backward, spans_onward, zone


def next_fire_time(expression: str | Schedule, tz: str | ZoneInfo, *, after: datetime) -> datetime | None:
    """Return the first fire time strictly after an aware instant, in UTC; None at the end of the calendar.

    Raises CronError and ZoneError.
    """
    return next(fire_times_between(expression, tz, after=after, until=None), None)


def fire_times_between(
    expression: str | Schedule,
    tz: str | ZoneInfo,
    *,
    after: datetime,
    until: datetime | None,
    limit: int | None = None,
) -> Iterator[datetime]:
    """Return the fire times with after < fire time <= until, ascending, in UTC; no `until` means for ever.

    Raises CronError and ZoneError.
    """
    schedule, zone = _both(expression, tz)
    stop = LATEST if until is None else _minute_of(until) + MINUTE
    return islice(_fire_times(schedule, zone, _minute_of(after), stop), limit)


def _fire_times(schedule: Schedule, zone: ZoneInfo, after: datetime, stop: datetime) -> Iterator[datetime]:
    """Yield the fire times between two whole minutes of UTC, after < fire time < stop.

    A fixed-time job follows the wall clock as if it never jumped: what it passes over is made up for at the
    first minute of the new span, and what it shows again has been seen. Any other job follows elapsed time.
    """
    fixed = schedule.is_fixed_time
    begin = after + MINUTE
    reached: datetime | None = None
    for span in spans_onward(zone, after):
        if span.starts >= stop:
            return
        first = max(begin, span.starts) + span.offset
        if fixed:
            first = max(first, span.wall_reached, reached or first)
            if begin <= span.starts and _falls_in_gap(schedule, span):
                yield span.starts.replace(tzinfo=UTC)
                first = max(first, span.wall_starts + MINUTE)
        wall_ends = span.ends + span.offset
        yield from walls(schedule, first, min(stop + span.offset, wall_ends), partial(_instant, span.offset))
        reached = max(wall_ends, reached or wall_ends)


def _instant(offset: timedelta, wall: datetime) -> datetime:
    return (wall - offset).replace(tzinfo=UTC)


def previous_fire_time(expression: str | Schedule, tz: str | ZoneInfo, *, at: datetime) -> datetime | None:
    """Return the last fire time at or before an aware instant, in UTC; None at the start of the calendar.

    Costs the same after a minute and after a year. Raises CronError and ZoneError.
    """
    schedule, zone = _both(expression, tz)
    fixed = schedule.is_fixed_time
    minute = _minute_of(at)
    for span in spans_backward(zone, minute):
        wall = last_wall(schedule, min(minute, span.ends - MINUTE) + span.offset)
        lowest = max(span.wall_starts, span.wall_reached) if fixed else span.wall_starts
        if wall is not None and wall >= lowest:
            return (wall - span.offset).replace(tzinfo=UTC)
        if fixed and _falls_in_gap(schedule, span):
            return span.starts.replace(tzinfo=UTC)
    return None


def count_fire_times(expression: str | Schedule, tz: str | ZoneInfo, *, after: datetime, until: datetime) -> int:
    """Count the fire times with after < fire time <= until, without walking through them.

    Raises CronError and ZoneError.
    """
    schedule, zone = _both(expression, tz)
    start, stop = _minute_of(after) + MINUTE, _minute_of(until) + MINUTE
    count = 0
    for span in spans_onward(zone, start):
        if span.starts >= stop:
            break
        first = max(start, span.starts) + span.offset
        if schedule.is_fixed_time:
            first = max(first, span.wall_reached)
            # A match on the first minute itself and the run that makes up for the gap are one.
            if start <= span.starts and _falls_in_gap(schedule, span):
                count += next_wall(schedule, span.wall_starts) != span.wall_starts
        count += count_walls(schedule, first, min(stop, span.ends) + span.offset)
    return count


def _falls_in_gap(schedule: Schedule, span: Span) -> bool:
    """Whether a match was passed over when the clock jumped to the start of the span."""
    if span.wall_starts <= span.wall_reached:
        return False
    passed_over = next_wall(schedule, span.wall_reached)
    return passed_over is not None and passed_over < span.wall_starts


def _both(expression: str | Schedule, tz: str | ZoneInfo) -> tuple[Schedule, ZoneInfo]:
    schedule = expression if isinstance(expression, Schedule) else parse(expression)
    return schedule, tz if isinstance(tz, ZoneInfo) else zone(tz)


def _minute_of(instant: datetime) -> datetime:
    """Return the UTC minute an aware instant lies in, naive and within the years we know spans of."""
    if instant.tzinfo is None:
        raise ValueError("An instant without a time zone cannot be compared with a fire time.")
    if instant.year < FIRST_YEAR:
        return EARLIEST
    if instant.year > LAST_YEAR:
        return LATEST
    return max(EARLIEST, instant.astimezone(UTC).replace(tzinfo=None, second=0, microsecond=0))
