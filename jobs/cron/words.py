"""Describes a schedule in English."""

from collections.abc import Callable

from jobs.cron.reading import parse
from jobs.cron.schedule import COUNT_WORDS, MONTH_WORDS, WEEKDAY_WORDS, Schedule


def describe(expression: str | Schedule) -> str:
    """Return in English when a job runs. Raises CronError.

    The words are made from the numbers, not from the text, so they cannot say more than the schedule does:
    `*/7` is no "every 7 minutes", because the last step of each hour is shorter.
    """
    schedule = expression if isinstance(expression, Schedule) else parse(expression)
    times, days, months = _time_words(schedule), _day_words(schedule), _month_words(schedule)
    if days == "every day" and len(schedule.hours) == 24:
        return f"{times} {months}".rstrip()
    if months and " or " in days:
        # At the end of the sentence the month would seem to restrict the weekday alone.
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
        # The week is a cycle: Sunday to Tuesday is one stretch that begins on Sunday.
        begins = next(day for day in range(6, 0, -1) if day - 1 not in from_monday)
        from_monday = tuple(sorted(day if day >= begins else day + 7 for day in from_monday))
    words = _in_runs(from_monday, lambda day: WEEKDAY_WORDS[(day + 1) % 7])
    nth = [f"the {COUNT_WORDS[nth - 1]} {WEEKDAY_WORDS[weekday]}" for weekday, nth in schedule.nth_weekdays]
    return f"on {_listed(words + nth)}{' of the month' if nth else ''}"


def _month_words(schedule: Schedule) -> str:
    if len(schedule.months) == 12:
        return ""
    return f"in {_listed(_in_runs(schedule.months, lambda month: MONTH_WORDS[month - 1]))}"


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
