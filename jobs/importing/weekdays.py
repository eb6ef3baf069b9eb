"""Carry expressions over from the older service, which counted weekdays from 0, Monday (APScheduler's `CronTrigger`).

crontab counts from 0, Sunday, so that the same number is another day here. There both day fields had to match where
both were restricted; here either may. Which one the author meant cannot be seen in a file: the operator says it.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

from jobs import cron
from jobs.cron.dialects import numbered_weekdays, weekday_names

SUNDAY_THERE = 6
NEVER_RAN = "The older service never ran it: it could not read this expression."
EITHER_DAY = (
    "In the older service day of month and weekday both had to match; here either may. "
    "Change the expression, then enable the job."
)


class Weekdays(StrEnum):
    """What the numbers in the weekday field of a file mean."""

    AS_FIRED = "as-fired"
    AS_WRITTEN = "as-written"


@dataclass(frozen=True, slots=True)
class Translation:
    """An expression in crontab's words. With a `reason` it does not fire as before, so the job has to be paused."""

    expression: str
    reason: str | None = None


def translated(expression: str, weekdays: Weekdays) -> Translation:
    """Return an expression of the older service as it is to be stored here.

    As written it is left alone. As fired, numbers and ranges of weekdays become names, so that fire times stay what
    they were. What neither service can read is left to the validation.
    """
    columns = expression.split()
    if weekdays is Weekdays.AS_WRITTEN or len(columns) != 5:
        return Translation(expression)
    if not _could_be_read_there(expression):
        return Translation(expression, NEVER_RAN)
    minute, hour, day, month, weekday = columns
    days = numbered_weekdays(weekday, first=SUNDAY_THERE)
    day = "L" if day.lower() == "last" else day
    names = weekday if _means(weekday, days) else weekday_names(days)
    text = " ".join((minute, hour, day, month, names))
    try:
        schedule = cron.parse(text)
    except cron.CronError:
        return Translation(text)
    if not schedule.either_day or len(schedule.weekdays) == 7 or len(schedule.days) == 31:
        return Translation(_without_full_fields(schedule, text))
    return Translation(text, _reason(schedule, text, days))


def fire_times_there(
    expression: str, zone: ZoneInfo, *, after: datetime, limit: int, until: datetime | None = None
) -> list[datetime]:
    """Return the next fire times of the older service, for a comparison. Raises ValueError for what it cannot read."""
    trigger = CronTrigger.from_crontab(expression, timezone=zone)
    found: list[datetime] = []
    previous = after
    while len(found) < limit:
        moment = trigger.get_next_fire_time(previous, previous)
        if moment is None or (until is not None and moment > until):
            break
        if moment > after:
            found.append(moment)
        previous = moment
    return found


def _could_be_read_there(expression: str) -> bool:
    try:
        CronTrigger.from_crontab(expression, timezone="UTC")
    except ValueError:
        return False
    return True


def _means(text: str, days: tuple[int, ...]) -> bool:
    """Whether crontab reads `text` as the weekdays `days` anyway."""
    try:
        return cron.parse(f"0 0 * * {text}").weekdays == days
    except cron.CronError:
        return False


def _without_full_fields(schedule: cron.Schedule, text: str) -> str:
    """Return the expression with `*` for a day field that holds every day: alone it would make the other one idle."""
    if not schedule.either_day:
        return text
    minute, hour, day, month, weekday = text.split()
    day = "*" if len(schedule.days) == 31 else day
    weekday = "*" if len(schedule.weekdays) == 7 else weekday
    return " ".join((minute, hour, day, month, weekday))


def _reason(schedule: cron.Schedule, text: str, days: tuple[int, ...]) -> str:
    week, rest = divmod(min(schedule.days, default=0), 7)
    if rest != 1 or schedule.days != tuple(range(7 * week + 1, min(7 * week + 7, 31) + 1)):
        return EITHER_DAY
    minute, hour, _, month, _ = text.split()
    nth = ",".join(f"{weekday_names((day,))}#{week + 1}" for day in days)
    return f"{EITHER_DAY} {minute} {hour} * {month} {nth} fires as it did there."
