"""Turn text into a `Schedule`, or refuse it with a reason and a hint."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple, NoReturn

from croniter import croniter

from jobs.cron import dialects
from jobs.cron.schedule import COUNT_WORDS, WEEKDAY_WORDS, CronError, Schedule
from jobs.cron.wall import matching_days, month_shape

MAX_LENGTH = 100
REQUIRED = "Cron expression is required."
FIVE_FIELDS = "Cron expression must have exactly 5 fields (minute hour day month day-of-week)."


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

NICKNAMES = {
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
    if hint := dialects.hint_for(text, _is_valid):
        raise CronError(FIVE_FIELDS, hint)
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
    if not schedule.either_day:
        return schedule
    doubt = _doubt_about_week_of_month(schedule, columns) or _doubt_about_days(columns)
    return replace(schedule, warnings=(*warnings, doubt))


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
        _refuse(field, text, *_explain(field, value, text))
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


def _explain(field: _Field, value: str, text: str) -> tuple[str, str]:
    """Return reason and hint for text that is no number; dialects of cron get a word of their own."""
    name = value.upper()
    if "?" in name:
        return '"?" is not supported', "Write * instead."
    if re.fullmatch(r"[HR](\(.*)?", name):
        return f'"{name[0]}" (a moment chosen by the program) is not supported', "Write a number."
    if field is _DAYS and re.fullmatch(r"L?W|\d+W|W\d+|WL", name):
        return _explain_nearest_weekday(name)
    if field is _DAYS and re.fullmatch(r"[0-7]?L", name):
        return _explain_last_day(name, text.upper())
    if field is _WEEKDAYS and re.fullmatch(r"(\d|[A-Z]{3})?L", name):
        weekday = name[:-1] or "6"
        reason = '"L" (the last such weekday of the month) is not supported'
        return (
            reason,
            f"Write {weekday}#4 or {weekday}#5 for the fourth or fifth of the month, {weekday} for every one.",
        )
    if "#" in name:
        return '"#" belongs into day-of-week', "Write 1#1 there for the first Monday of the month."
    for other in (_MONTHS, _WEEKDAYS):
        if name.isalpha() and name[:3] in other.names:
            if other is field:
                return f'"{value}" is not a name crontab knows', f"Write {name[:3]}."
            return f'"{value}" is a name for {other.name}', f"Write {_bounds(field)}."
    if not value:
        return _explain_missing_number(field, text)
    return f'"{value}" is not a number', f"Write {_bounds(field)}, or * for any."


def _explain_missing_number(field: _Field, text: str) -> tuple[str, str]:
    if re.search(r"(^|,)-\d", text):
        last = "L for the last day of the month, or " if field is _DAYS else ""
        return "numbers have no sign, and a range needs one before the -", f"Write {last}{_bounds(field)}."
    return "a number is missing", f"Write {_bounds(field)}, or * for any."


def _explain_nearest_weekday(name: str) -> tuple[str, str]:
    day = name.strip("W")
    meant = "the last weekday of the month" if day == "L" else f"the weekday nearest to day {day}" if day else ""
    return (
        f'"W" ({meant or "nearest weekday"}) is not supported',
        "No five fields say it. Write a day, or 1-5 in day-of-week for Monday to Friday, and * here.",
    )


def _explain_last_day(name: str, text: str) -> tuple[str, str]:
    if before := re.search(r"L-(\d+)", text):
        reason = f'"{before.group()}" (days before the last day of the month) is not supported'
        return reason, "No five fields say it: months differ in length. Write L for the last day and nothing else here."
    if name != "L":
        reason = f'"{name}" (the last such weekday of the month) is not supported'
        return reason, f"Write {name[0]}#4 or {name[0]}#5 in day-of-week for the fourth or fifth, and * here."
    return '"L" stands alone', "Write L for the last day of the month and nothing else in this field."


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
    return f"Write {text}" if _is_valid(text) else None


def _is_valid(text: str) -> bool:
    try:
        parse(text)
    except CronError:
        return False
    return True


def _hint_for_count(columns: list[str]) -> str:
    first, count = columns[0].lower(), len(columns)
    if first in NICKNAMES:
        return f"Write {NICKNAMES[first]} instead of {columns[0]}."
    if first == "@reboot":
        return "@reboot is no time and not supported; write when the job should run."
    if first == "@every":
        return "@every is not supported; for example */5 * * * * runs every 5 minutes."
    if re.match(r"(CRON_)?TZ=", columns[0]):
        return "The time zone is a setting beside the expression, not a part of it."
    if count < len(_FIELDS):
        return f"Found {count} of 5 fields; write * where anything goes, for example 0 2 * * * for 02:00 every day."
    return dialects.hint_for_fields(columns, _is_valid)


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
        matching_days(schedule, begins, length)
        for month in schedule.months
        for length in ((28, 29) if month == 2 else (month_shape(2001, month)[1],))
        for begins in range(7)
    )


def _doubt_about_week_of_month(schedule: Schedule, columns: list[str]) -> str | None:
    week, rest = divmod(min(schedule.days, default=0), 7)
    whole_week = rest == 1 and schedule.days == tuple(range(7 * week + 1, 7 * week + 8))
    if not (whole_week and len(schedule.weekdays) == 1):
        return None
    minute, hour, days, month, _ = columns
    weekday = schedule.weekdays[0]
    name, nth = WEEKDAY_WORDS[weekday], COUNT_WORDS[week]
    return (
        f"Runs on days {days} of the month and also on every {name}, because either field may match. "
        f"For the {nth} {name} of the month write: {minute} {hour} * {month} {weekday}#{week + 1}"
    )


def _doubt_about_days(columns: Sequence[str]) -> str:
    _, _, days, _, weekdays = columns
    return (
        f"Runs on day-of-month {days} and also on every day-of-week {weekdays}, because either field may match. "
        "Write * in one of the two to go by the other alone."
    )
