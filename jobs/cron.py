"""Answer everything about a cron expression: is it valid, what does it say, when does it fire.

The reference is crontab(5) as Debian's cron behaves, also on the nights when clocks change. Nothing else in
the project reads an expression, so validation, preview and the real schedule cannot disagree.

Three steps, each knowing only the one before:

- reading turns text into a `Schedule`, a few tuples of numbers, or refuses it with a reason and a hint;
- the wall clock is searched for the next or last matching minute, with no zone in sight;
- a zone is a chain of spans, each with one offset from UTC. Inside a span wall clock and UTC differ by that
  offset; all that is peculiar about clock changes happens where one span meets the next.
"""

import calendar
import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import MAXYEAR, MINYEAR, UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import NamedTuple, NoReturn
from zoneinfo import ZoneInfo, available_timezones

from croniter import croniter

MAX_LENGTH = 100
REQUIRED = "Cron expression is required."
FIVE_FIELDS = "Cron expression must have exactly 5 fields (minute hour day month day-of-week)."

_MINUTE = timedelta(minutes=1)
# A zone's offset must not lead out of Python's calendar, so its first and last year are left out.
_FIRST_YEAR, _LAST_YEAR = MINYEAR + 1, MAXYEAR - 1
_EARLIEST, _LATEST = datetime(_FIRST_YEAR, 1, 1) - _MINUTE, datetime(_LAST_YEAR + 1, 1, 1)  # noqa: DTZ001 naive UTC


class CronError(ValueError):
    """An expression nobody could mean: `message` says what is wrong, `hint` what to write instead."""

    def __init__(self, message: str, hint: str | None = None, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.field = field


class ZoneError(ValueError):
    """The name is not one of the IANA time zones."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A valid expression in numbers, sorted; weekdays count from 0, Sunday, to 6."""

    expression: str
    warnings: tuple[str, ...]
    is_fixed_time: bool  # neither minute nor hour starts with "*": clock changes may not repeat or lose a run
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    has_last_day: bool
    months: tuple[int, ...]
    weekdays: tuple[int, ...]
    nth_weekdays: tuple[tuple[int, int], ...]  # (1, 2): the second Monday
    either_day: bool  # day of month OR day of week, crontab's rule when neither starts with "*"
    day_bits: int  # bit 0 is the 1st
    weekday_bits: tuple[int, ...]  # the same for day of week, by the weekday (0, Monday) the month begins on


@lru_cache(maxsize=1)
def _zone_names() -> frozenset[str]:
    # "localtime" is a file of this host found among the zones: the same name means something else elsewhere.
    return frozenset(available_timezones() - {"localtime", "posixrules"})


def zone(name: str) -> ZoneInfo:
    """Return the IANA zone of that exact name.

    The name is looked up in the list of zones and never used as a path before that. Raises ZoneError.
    """
    if not isinstance(name, str) or name not in _zone_names():
        raise ZoneError(f"Unknown time zone {ascii(name)[:80]}. Use an IANA name such as Asia/Tokyo.")
    return ZoneInfo(name)


class _Span(NamedTuple):
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
    return timedelta(minutes=round(shift / _MINUTE))


# No zone has ever changed its offset twice within three days (the closest are 95 hours apart).
_STRIDE = timedelta(days=3)


@lru_cache(maxsize=4096)
def _spans_of_year(zone: ZoneInfo, year: int) -> tuple[_Span, ...]:
    begin, end = datetime(year, 1, 1), datetime(year + 1, 1, 1)  # noqa: DTZ001 naive on purpose, see _Span
    changes = []
    low, low_offset = begin - _MINUTE, _offset(zone, begin - _MINUTE)
    first_offset = low_offset
    while low < end - _MINUTE:
        high = min(low + _STRIDE, end - _MINUTE)
        high_offset = _offset(zone, high)
        if high_offset != low_offset:
            changes.append((_first_instant_of(high_offset, zone, low, high), high_offset))
        low, low_offset = high, high_offset

    spans = []
    starts, before, offset = begin, first_offset, first_offset
    for change, new_offset in [*changes, (end, timedelta())]:
        if change > starts:
            spans.append(_Span(starts, change, offset, starts + offset, starts + before))
        starts, before, offset = change, offset, new_offset
    return tuple(spans)


def _first_instant_of(offset: timedelta, zone: ZoneInfo, low: datetime, high: datetime) -> datetime:
    while high - low > _MINUTE:
        middle = low + _MINUTE * ((high - low) // _MINUTE // 2)
        low, high = (low, middle) if _offset(zone, middle) == offset else (middle, high)
    return high


def _spans_onward(zone: ZoneInfo, instant: datetime) -> Iterator[_Span]:
    """Yield the span that holds the instant, then the later ones."""
    for year in range(max(instant.year, _FIRST_YEAR), _LAST_YEAR + 1):
        for span in _spans_of_year(zone, year):
            if span.ends > instant:
                yield span


def _spans_backward(zone: ZoneInfo, instant: datetime) -> Iterator[_Span]:
    for year in range(min(instant.year, _LAST_YEAR), _FIRST_YEAR - 1, -1):
        for span in reversed(_spans_of_year(zone, year)):
            if span.starts <= instant:
                yield span


@lru_cache(maxsize=4096)
def _month_shape(year: int, month: int) -> tuple[int, int]:
    return calendar.monthrange(year, month)


def _matching_days(schedule: Schedule, first_weekday: int, length: int) -> int:
    """Return the days of a month that match, as bits; bit 0 is the 1st."""
    by_day = schedule.day_bits | (1 << length - 1 if schedule.has_last_day else 0)
    by_weekday = schedule.weekday_bits[first_weekday]
    return (by_day | by_weekday if schedule.either_day else by_day & by_weekday) & ((1 << length) - 1)


def _days_of(schedule: Schedule, year: int, month: int) -> int:
    return _matching_days(schedule, *_month_shape(year, month)) if month in schedule.months else 0


def _next_wall(schedule: Schedule, wall: datetime) -> datetime | None:
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


def _last_wall(schedule: Schedule, wall: datetime) -> datetime | None:
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


def _count_walls(schedule: Schedule, start: datetime, stop: datetime) -> int:
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
    start, stop = _minute_of(after), None if until is None else _minute_of(until)
    return islice(_up_to(stop, _fire_times(schedule, zone, start)), limit)


def _up_to(stop: datetime | None, instants: Iterable[datetime]) -> Iterator[datetime]:
    for instant in instants:
        if stop is not None and instant > stop:
            return
        yield instant.replace(tzinfo=UTC)


def _fire_times(schedule: Schedule, zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    """Yield the naive UTC fire times after a whole minute.

    A fixed-time job follows the wall clock as if it never jumped: what it passes over is made up for at the
    first minute of the new span, and what it shows again has been seen. Any other job follows elapsed time.
    """
    fixed = schedule.is_fixed_time
    spans = _spans_onward(zone, after)
    span = next(spans, None)
    if span is None:
        return
    begin = after + span.offset + _MINUTE
    wall = _next_wall(schedule, max(begin, span.wall_reached) if fixed else begin)
    while span is not None and wall is not None:
        wall_ends = span.ends + span.offset
        while wall is not None and wall < wall_ends:
            yield wall - span.offset
            wall = _next_wall(schedule, wall + _MINUTE)
        span = next(spans, None)
        if span is None or wall is None or span.wall_starts == span.wall_reached:
            continue
        if not fixed:
            wall = _next_wall(schedule, span.wall_starts)
        elif wall < span.wall_starts:
            yield span.starts
            wall = _next_wall(schedule, span.wall_starts + _MINUTE)


def previous_fire_time(expression: str | Schedule, tz: str | ZoneInfo, *, at: datetime) -> datetime | None:
    """Return the last fire time at or before an aware instant, in UTC; None at the start of the calendar.

    Costs the same after a minute and after a year. Raises CronError and ZoneError.
    """
    schedule, zone = _both(expression, tz)
    fixed = schedule.is_fixed_time
    minute = _minute_of(at)
    for span in _spans_backward(zone, minute):
        wall = _last_wall(schedule, min(minute, span.ends - _MINUTE) + span.offset)
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
    start, stop = _minute_of(after) + _MINUTE, _minute_of(until) + _MINUTE
    count = 0
    for span in _spans_onward(zone, start):
        if span.starts >= stop:
            break
        first = max(start, span.starts) + span.offset
        if schedule.is_fixed_time:
            first = max(first, span.wall_reached)
            # A match on the first minute itself and the run that makes up for the gap are one.
            if start <= span.starts and _falls_in_gap(schedule, span):
                count += _next_wall(schedule, span.wall_starts) != span.wall_starts
        count += _count_walls(schedule, first, min(stop, span.ends) + span.offset)
    return count


def _falls_in_gap(schedule: Schedule, span: _Span) -> bool:
    """Tell whether a match was passed over when the clock jumped to the start of the span."""
    if span.wall_starts <= span.wall_reached:
        return False
    passed_over = _next_wall(schedule, span.wall_reached)
    return passed_over is not None and passed_over < span.wall_starts


def _both(expression: str | Schedule, tz: str | ZoneInfo) -> tuple[Schedule, ZoneInfo]:
    schedule = expression if isinstance(expression, Schedule) else parse(expression)
    return schedule, tz if isinstance(tz, ZoneInfo) else zone(tz)


def _minute_of(instant: datetime) -> datetime:
    """Return the UTC minute an aware instant lies in, naive and within the years we know spans of."""
    if instant.tzinfo is None:
        raise ValueError("An instant without a time zone cannot be compared with a fire time.")
    if instant.year < _FIRST_YEAR:
        return _EARLIEST
    if instant.year > _LAST_YEAR:
        return _LATEST
    return max(_EARLIEST, instant.astimezone(UTC).replace(tzinfo=None, second=0, microsecond=0))


class _Field(NamedTuple):
    """One of the five fields: its bounds in crontab and the names that stand for its first numbers."""

    place: int
    name: str
    first: int
    last: int
    names: tuple[str, ...] = ()

    def number_of(self, text: str) -> int | None:
        if text.isdigit():
            return int(text)
        name = text.upper()
        return self.first + self.names.index(name) if name in self.names else None


_MONTH_NAMES = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAY_NAMES = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_MINUTES = _Field(0, "minute", 0, 59)
_HOURS = _Field(1, "hour", 0, 23)
_DAYS = _Field(2, "day-of-month", 1, 31)
_MONTHS = _Field(3, "month", 1, 12, _MONTH_NAMES)
_WEEKDAYS = _Field(4, "day-of-week", 0, 7, _WEEKDAY_NAMES)
_FIELDS = (_MINUTES, _HOURS, _DAYS, _MONTHS, _WEEKDAYS)

_ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


def parse(expression: str) -> Schedule:
    """Read an expression. Raises CronError with the contract's reason, a hint and the field at fault."""
    if expression is None or (isinstance(expression, str) and not expression.strip()):
        raise CronError(REQUIRED)
    if not isinstance(expression, str):
        raise CronError("Cron expression must be text.")
    text = expression.strip(" \t")
    if len(text) > MAX_LENGTH:
        raise CronError(f"Cron expression must be at most {MAX_LENGTH} characters.")
    return _parse(text)


@lru_cache(maxsize=8192)
def _parse(text: str) -> Schedule:
    _refuse_odd_characters(text)
    columns = _split(text)
    if len(columns) != len(_FIELDS):
        raise CronError(FIVE_FIELDS, _hint_for_count(columns))
    has_last_day = columns[2].upper() == "L"
    minutes, hours, days, months, weekdays = (
        _NOTHING if field is _DAYS and has_last_day else _read(field, column)
        for field, column in zip(_FIELDS, columns, strict=True)
    )
    if weekdays.nth and columns[2] != "*":
        _refuse(_WEEKDAYS, columns[4], "# counts weekdays of the whole month", "Write * in day-of-month.")
    warnings = minutes.warnings + hours.warnings + days.warnings + months.warnings + weekdays.warnings
    schedule = Schedule(
        expression=text,
        warnings=warnings,
        is_fixed_time=not (columns[0].startswith("*") or columns[1].startswith("*")),
        minutes=minutes.values,
        hours=hours.values,
        days=days.values,
        has_last_day=has_last_day,
        months=months.values,
        weekdays=weekdays.values,
        nth_weekdays=weekdays.nth,
        either_day=not (columns[2].startswith("*") or columns[4].startswith("*")),
        day_bits=sum(1 << day - 1 for day in days.values),
        weekday_bits=_weekday_bits(weekdays),
    )
    if not _ever_comes(schedule):
        reason = "that date never comes, so the job never runs; pause the job instead"
        _refuse(_DAYS, columns[2], reason, "Write L for the last day of the month.")
    if doubt := _doubt_about_week_of_month(schedule, columns):
        return replace(schedule, warnings=(*warnings, doubt))
    return schedule


def _split(text: str) -> list[str]:
    return re.split(r"[ \t]+", text)


class _Reading(NamedTuple):
    """What one field says."""

    values: tuple[int, ...]
    nth: tuple[tuple[int, int], ...]
    warnings: tuple[str, ...]


_NOTHING = _Reading((), (), ())


@lru_cache(maxsize=4096)
def _read(field: _Field, text: str) -> _Reading:
    ranges, nth, warnings = [], set(), []
    for item in text.split(","):
        if field is _WEEKDAYS and "#" in item:
            nth.add(_read_nth_weekday(text, item))
            continue
        first, last, step = _read_item(field, text, item)
        ranges.append((first, last, step))
        if "/" in item and step > last - first:
            warnings.append(f'The step of {field.name} "{item}" leads beyond the field: it means {first} only.')
    return _Reading(_expand(field, ranges), tuple(sorted(nth)), tuple(warnings))


def _expand(field: _Field, ranges: list[tuple[int, int, int]]) -> tuple[int, ...]:
    """Return the numbers that (first, last, step) ranges hold, sorted, Sunday as 0."""
    if not ranges:
        return ()
    # An equal range would mean the whole field to croniter.
    items = [f"{first}-{last}/{step}" if first < last else str(first) for first, last, step in ranges]
    columns = ["*"] * len(_FIELDS)
    columns[field.place] = ",".join(items)
    values = croniter.expand(" ".join(columns))[0][field.place]
    if "*" in values:
        return tuple(range(field.first, 7 if field is _WEEKDAYS else field.last + 1))
    return tuple(sorted(values))


def _read_item(field: _Field, text: str, item: str) -> tuple[int, int, int]:
    base, slash, step_text = item.partition("/")
    if not item:
        _refuse(field, text, "a list has an empty item", "Remove the extra comma.")
    if not base:
        _refuse(field, text, "a step needs something before it", f"Write *{item}.")
    if base == "*":
        low, high = field.first, field.last
    else:
        low_text, dash, high_text = base.partition("-")
        low = _read_number(field, text, low_text)
        alone = field.last if slash else low
        high = _read_number(field, text, high_text) if dash else alone
    if slash and not step_text.isdigit():
        _refuse(field, text, f'"{step_text}" is not a step', f"Write a whole number, for example {base}/5.")
    step = int(step_text) if slash else 1
    if step == 0:
        _refuse(field, text, "a step of 0 leads nowhere", f"Write {base}, or a step of at least 1.")
    if high < low:
        _refuse(field, text, f'"{item}" runs backwards', f"Write {_forwards(field, low, high, step)}.")
    return low, high, step


def _read_nth_weekday(text: str, item: str) -> tuple[int, int]:
    weekday_text, _, nth_text = item.partition("#")
    weekday = _read_number(_WEEKDAYS, text, weekday_text)
    if nth_text not in ("1", "2", "3", "4", "5"):
        _refuse(_WEEKDAYS, text, f'"{nth_text}" is not a count', f"Write {weekday}#1 to {weekday}#5.")
    return weekday % 7, int(nth_text)


def _read_number(field: _Field, text: str, value: str) -> int:
    number = field.number_of(value)
    if number is None:
        _refuse(field, text, *_explain(field, value))
    if not field.first <= number <= field.last:
        _refuse(field, text, f"{value} is out of range {field.first}-{field.last}", f"Write {_bounds(field)}.")
    return number


def _refuse(field: _Field, text: str, reason: str, hint: str) -> NoReturn:
    raise CronError(f'Invalid {field.name} field "{text}": {reason}.', hint, field.name)


def _bounds(field: _Field) -> str:
    named = f" or {field.names[0]}-{field.names[-1]}" if field.names else ""
    return f"{field.first}-{field.last}{named}{' (0 and 7 are Sunday)' if field is _WEEKDAYS else ''}"


def _forwards(field: _Field, low: int, high: int, step: int) -> str:
    """Write a range that passes the end of its field as crontab can read it."""
    if field is _WEEKDAYS and low == 7:
        return f"{_as_range(0, high)}/{step}" if high and step > 1 else _as_range(0, high)
    if step > 1:
        last = 6 if field is _WEEKDAYS else field.last
        around = [*range(low, last + 1), *range(field.first, high + 1)]
        return ",".join(str(value) for value in sorted(around[::step]))
    first = 1 if field is _WEEKDAYS else field.first
    end = _as_range(low, field.last)
    return f"{end},{_as_range(first, high)}" if high >= first else end


def _as_range(first: int, last: int) -> str:
    return f"{first}-{last}" if first < last else str(first)


def _explain(field: _Field, value: str) -> tuple[str, str]:
    """Return reason and hint for text that is no number; dialects of cron get a word of their own."""
    name = value.upper()
    if "?" in name:
        return '"?" is not supported', "Write * instead."
    if re.fullmatch(r"[HR](\(.*)?", name):
        return f'"{name[0]}" (a moment chosen by the program) is not supported', "Write a number."
    if field is _DAYS and re.fullmatch(r"L?W|\d+W|W\d+|WL", name):
        return '"W" (nearest weekday) is not supported', "Write 1-5 in day-of-week for Monday to Friday."
    if field is _DAYS and re.fullmatch(r"\d*L", name):
        return '"L" stands alone', "Write L for the last day of the month and nothing else in this field."
    if field is _WEEKDAYS and re.fullmatch(r"(\d|[A-Z]{3})?L", name):
        weekday = name[:-1] or "6"
        hint = f"Write {weekday}#4 for the fourth of the month, or {weekday} for every one."
        return '"L" (the last such weekday of the month) is not supported', hint
    if "#" in name:
        return '"#" belongs into day-of-week', "Write 1#1 there for the first Monday of the month."
    for other in (_MONTHS, _WEEKDAYS):
        if name.isalpha() and name[:3] in other.names:
            if other is field:
                return f'"{value}" is not a name crontab knows', f"Write {name[:3]}."
            return f'"{value}" is a name for {other.name}', f"Write {_bounds(field)}."
    reason = f'"{value}" is not a number' if value else "a number is missing"
    return reason, f"Write {_bounds(field)}, or * for any."


_ODD_CHARACTER = re.compile(r"[^\x20-\x7e\t]")
_PLAIN = "Type digits and blanks as plain ASCII, on one line."


def _refuse_odd_characters(text: str) -> None:
    odd = _ODD_CHARACTER.search(text)
    if not odd:
        return
    plain = "".join(str(unicodedata.digit(sign, sign)) for sign in unicodedata.normalize("NFKC", text)).split()
    # Only what is plain now may be proposed: refusing the proposal must not lead back to here.
    hint = _proposal(plain) if not _ODD_CHARACTER.search("".join(plain)) else None
    columns = _split(text)
    at_fault = [field.name for field, column in zip(_FIELDS, columns, strict=False) if odd.group() in column]
    field = at_fault[0] if at_fault and len(columns) == len(_FIELDS) else None
    where = f"Invalid {field} field" if field else "Invalid cron expression"
    what = "a line break" if odd.group() in "\r\n" else f"the character U+{ord(odd.group()):04X}"
    raise CronError(f"{where}: {what} is not allowed, only plain ASCII.", hint or _PLAIN, field)


def _proposal(columns: list[str]) -> str | None:
    """Return a hint to write these columns, if they would be accepted."""
    text = " ".join(columns)
    try:
        parse(text)
    except CronError:
        return None
    return f"Write {text}"


def _hint_for_count(columns: list[str]) -> str:
    first, count = columns[0].lower(), len(columns)
    if first in _ALIASES:
        return f"Write {_ALIASES[first]} instead of {columns[0]}."
    if first == "@reboot":
        return "@reboot is no time and not supported; write when the job should run."
    if first == "@every":
        return "@every is not supported; for example */5 * * * * runs every 5 minutes."
    if re.match(r"(CRON_)?TZ=", columns[0]):
        return "The time zone is a setting beside the expression, not a part of it."
    if count < len(_FIELDS):
        return f"Found {count} of 5 fields; write * where anything goes, for example 0 2 * * * for 02:00 every day."
    stars = ["*" if column == "?" else column for column in columns]
    proposal = _proposal(stars[1:6]) or _proposal(stars[:5])
    found = f"Found {count} fields; seconds and years are not supported."
    return f"{found} {proposal}" if proposal else found


_EVERY_SEVENTH_DAY = 0b10000001000000100000010000001


def _weekday_bits(weekdays: _Reading) -> tuple[int, ...]:
    """Return the matching days of a month as bits, for each weekday (0, Monday) the month may begin on."""
    by_first_weekday = []
    for begins in range(7):
        bits = 0
        for weekday in weekdays.values:
            bits |= _EVERY_SEVENTH_DAY << (weekday - 1 - begins) % 7
        for weekday, nth in weekdays.nth:
            bits |= 1 << (weekday - 1 - begins) % 7 + 7 * (nth - 1)
        by_first_weekday.append(bits)
    return tuple(by_first_weekday)


def _ever_comes(schedule: Schedule) -> bool:
    # A month of any length begins on every weekday sooner or later, February the 29 days long one too.
    return any(
        _matching_days(schedule, begins, length)
        for month in schedule.months
        for length in ((28, 29) if month == 2 else (_month_shape(2001, month)[1],))
        for begins in range(7)
    )


def _doubt_about_week_of_month(schedule: Schedule, columns: list[str]) -> str | None:
    week, rest = divmod(min(schedule.days, default=0), 7)
    whole_week = rest == 1 and schedule.days == tuple(range(7 * week + 1, 7 * week + 8))
    if not (schedule.either_day and whole_week and len(schedule.weekdays) == 1):
        return None
    minute, hour, days, month, _ = columns
    weekday = schedule.weekdays[0]
    name, nth = _WEEKDAY_WORDS[weekday], _COUNT_WORDS[week]
    return (
        f"Runs on days {days} of the month and also on every {name}, because either field may match. "
        f"For the {nth} {name} of the month write: {minute} {hour} * {month} {weekday}#{week + 1}"
    )


_WEEKDAY_WORDS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_MONTH_WORDS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_COUNT_WORDS = ("first", "second", "third", "fourth", "fifth")


def describe(expression: str | Schedule) -> str:
    """Say in English when a job runs. Raises CronError.

    The words are made from the numbers, not from the text, so they cannot say more than the schedule does:
    `*/7` is no "every 7 minutes", because the last step of each hour is shorter.
    """
    schedule = expression if isinstance(expression, Schedule) else parse(expression)
    times, days, months = _time_words(schedule), _day_words(schedule), _month_words(schedule)
    if days == "every day" and len(schedule.hours) == 24:
        return f"{times} {months}".rstrip()
    if months and " or " in days:
        # At the end the month would seem to belong to the weekday alone.
        return f"{times} {months}, {days}"
    return f"{times} {days} {months}".rstrip()


def _time_words(schedule: Schedule) -> str:
    minutes, hours = schedule.minutes, schedule.hours
    if len(minutes) * len(hours) <= 3:
        return _moment_words(minutes, hours)
    if pace := _pace_words(minutes):
        return pace if len(hours) == 24 else f"{pace} {_hour_window_words(minutes, hours)}"
    if len(hours) == 24:
        return "Every hour" if minutes == (0,) else f"At {_minute_words(minutes)} past every hour"
    start, end = _clock(hours[0], minutes[0]), _clock(hours[-1], minutes[-1])
    if len(minutes) == 1 and len(hours) > 3:
        if len(_runs(hours)) == 1:
            return f"Every hour from {start} to {end}"
        if step := _even_step(hours, 24):
            return f"Every {step} hours starting at {start}"
    if len(minutes) == 1 or len(minutes) * len(hours) <= 6:
        return _moment_words(minutes, hours)
    return f"At {_minute_words(minutes)} past {_listed(_in_runs(hours, _full_hour))}"


def _moment_words(minutes: tuple[int, ...], hours: tuple[int, ...]) -> str:
    return f"At {_listed([_clock(hour, minute) for hour in hours for minute in minutes])}"


def _pace_words(minutes: tuple[int, ...]) -> str | None:
    if len(minutes) == 60:
        return "Every minute"
    step = _even_step(minutes, 60)
    return f"Every {step} minutes" if step and minutes[0] == 0 and len(minutes) > 1 else None


def _even_step(values: tuple[int, ...], cycle: int) -> int | None:
    """Return the distance between the values if it is the same all around the cycle."""
    step, rest = divmod(cycle, len(values))
    return step if not rest and values == tuple(range(values[0], cycle, step)) else None


def _hour_window_words(minutes: tuple[int, ...], hours: tuple[int, ...]) -> str:
    runs = _runs(hours)
    if len(runs) <= 3:
        return _listed([f"from {_clock(first, minutes[0])} to {_clock(last, minutes[-1])}" for first, last in runs])
    return f"in the hours that start at {_listed(_in_runs(hours, _full_hour))}"


def _minute_words(minutes: tuple[int, ...]) -> str:
    return f"{_listed(_in_runs(minutes, str))} minute{'' if minutes == (1,) else 's'}"


def _day_words(schedule: Schedule) -> str:
    by_day = "" if len(schedule.days) == 31 else _day_of_month_words(schedule)
    by_weekday = "" if len(schedule.weekdays) == 7 else _weekday_words(schedule)
    if by_day and by_weekday:
        return f"{by_day} or {by_weekday}" if schedule.either_day else f"{by_day}, but only {by_weekday}"
    if schedule.either_day:
        return "every day"
    return by_day or by_weekday or "every day"


def _day_of_month_words(schedule: Schedule) -> str:
    days = schedule.days
    if schedule.has_last_day:
        return "on the last day of the month"
    if days == tuple(range(1, 32, 2)):
        return "on odd days of the month"
    if days == tuple(range(2, 32, 2)):
        return "on even days of the month"
    return f"on day{'s' if len(days) > 1 else ''} {_listed(_in_runs(days, str))} of the month"


def _weekday_words(schedule: Schedule) -> str:
    from_monday = tuple(sorted((weekday - 1) % 7 for weekday in schedule.weekdays))
    if {0, 6} <= set(from_monday):
        # The week has no end: Sunday to Tuesday is one stretch, told from its true beginning.
        begins = next(day for day in range(6, 0, -1) if day - 1 not in from_monday)
        from_monday = tuple(sorted(day if day >= begins else day + 7 for day in from_monday))
    words = _in_runs(from_monday, lambda day: _WEEKDAY_WORDS[(day + 1) % 7])
    nth = [f"the {_COUNT_WORDS[nth - 1]} {_WEEKDAY_WORDS[weekday]}" for weekday, nth in schedule.nth_weekdays]
    return f"on {_listed(words + nth)}{' of the month' if nth else ''}"


def _month_words(schedule: Schedule) -> str:
    if len(schedule.months) == 12:
        return ""
    return f"in {_listed(_in_runs(schedule.months, lambda month: _MONTH_WORDS[month - 1]))}"


def _clock(hour: int, minute: int) -> str:
    return f"{(hour - 1) % 12 + 1:02}:{minute:02} {'AM' if hour < 12 else 'PM'}"


def _full_hour(hour: int) -> str:
    return _clock(hour, 0)


def _runs(values: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return first and last of each stretch of consecutive values."""
    runs: list[tuple[int, int]] = []
    for value in values:
        if runs and runs[-1][1] == value - 1:
            runs[-1] = (runs[-1][0], value)
        else:
            runs.append((value, value))
    return runs


def _in_runs(values: tuple[int, ...], word: Callable[[int], str]) -> list[str]:
    words = []
    for first, last in _runs(values):
        if last - first > 1:
            words.append(f"{word(first)} through {word(last)}")
        else:
            words.extend(word(value) for value in range(first, last + 1))
    return words


def _listed(words: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
