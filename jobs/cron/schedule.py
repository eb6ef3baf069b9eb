"""What a valid expression comes to: a few tuples of numbers."""

from dataclasses import dataclass


class CronError(ValueError):
    """An invalid expression: `message` says what is wrong, `hint` what to write instead."""

    def __init__(self, message: str, hint: str | None = None, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.field = field


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


WEEKDAY_WORDS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
MONTH_WORDS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
COUNT_WORDS = ("first", "second", "third", "fourth", "fifth")
