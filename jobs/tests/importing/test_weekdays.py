"""Expressions of the older service beside what APScheduler really fires."""

import random
from datetime import UTC, datetime
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from apscheduler.triggers.cron import CronTrigger

from jobs import cron
from jobs.importing.weekdays import EITHER_DAY, NEVER_RAN, Weekdays, fire_times_there, translated

START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = ("*", "*", "*", "1", "1-7", "8-14", "15-21", "29-31", "13,27", "*/2", "1-31", "*/7", "last", "3-20")
WEEKDAYS = (
    "*",
    "0",
    "6",
    "1-5",
    "0-6",
    "2,4",
    "*/2",
    "*/3",
    "1/2",
    "mon",
    "mon-fri",
    "sat,sun",
    "fri-sun",
    "mon-sun",
    "0,wed",
)
MONTHS = ("*", "*", "1", "2-6", "*/3", "jan", "jun-aug")
TIMES = (("0", "9"), ("30", "2"), ("*/20", "8-10"), ("15,45", "*/6"))


def there(expression, count=40):
    return [
        moment.astimezone(UTC) for moment in fire_times_there(expression, ZoneInfo("UTC"), after=START, limit=count)
    ]


def here(expression, count=40):
    return list(cron.fire_times_between(expression, "UTC", after=START, until=None, limit=count))


def combinations():
    return [
        " ".join((minute, hour, day, month, weekday))
        for minute, hour in TIMES
        for day in DAYS
        for month in MONTHS
        for weekday in WEEKDAYS
    ]


def test_as_fired_fires_when_the_older_service_did_or_is_paused_with_a_reason():
    chosen = random.Random(7).sample(combinations(), 400)
    paused = 0
    for expression in chosen:
        translation = translated(expression, Weekdays.AS_FIRED)
        if translation.reason is None:
            assert here(translation.expression) == there(expression), (expression, translation)
        else:
            paused += 1
            assert cron.parse(translation.expression).either_day
            assert translation.reason.startswith(EITHER_DAY)
    assert 0 < paused < len(chosen) / 2


@pytest.mark.parametrize("weekday", range(7))
def test_each_number_becomes_the_day_it_meant(weekday):
    translation = translated(f"0 9 * * {weekday}", Weekdays.AS_FIRED)
    assert translation.reason is None
    name = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")[weekday]
    assert translation.expression == f"0 9 * * {name}"
    assert here(translation.expression) == there(f"0 9 * * {weekday}")


@pytest.mark.parametrize(
    ("expression", "kept"),
    [
        ("0 9 * * *", "0 9 * * *"),
        ("0 9 * * MON", "0 9 * * MON"),
        ("0 9 * * mon-fri", "0 9 * * mon-fri"),
        ("0 9 1,15 * *", "0 9 1,15 * *"),
    ],
)
def test_names_and_stars_stay(expression, kept):
    assert translated(expression, Weekdays.AS_FIRED).expression == kept


@pytest.mark.parametrize("expression", ["0 9 13 * 4", "0 9 1-7 * 0", "0 9 3-20 * 0-4", "0 9 last * fri"])
def test_day_of_month_beside_a_weekday_is_paused(expression):
    translation = translated(expression, Weekdays.AS_FIRED)
    assert translation.reason is not None
    assert translation.reason.startswith(EITHER_DAY)


@pytest.mark.parametrize(
    "expression", ["0 9 1-7 * 0", "0 9 8-14 * 2", "*/30 9 22-28 jan-mar 4", "0 9 29-31 * 6", "0 9 1-7 * 0,2"]
)
def test_the_reason_names_an_expression_that_fires_as_before_where_there_is_one(expression):
    reason = str(translated(expression, Weekdays.AS_FIRED).reason)
    proposal = reason.removeprefix(f"{EITHER_DAY} ").removesuffix(" fires as it did there.")
    assert here(proposal) == there(expression)


@pytest.mark.parametrize("expression", ["0 9 * * 7", "0 9 * * 1#1", "0 9 L * *", "0 9 * * sun-tue"])
def test_what_the_older_service_never_ran_is_paused(expression):
    with pytest.raises(ValueError):
        CronTrigger.from_crontab(expression)
    assert translated(expression, Weekdays.AS_FIRED).reason == NEVER_RAN


@pytest.mark.parametrize("expression", ["0 9 * * 1", "0 9 13 * 5", "nonsense", ""])
def test_as_written_leaves_everything_alone(expression):
    translation = translated(expression, Weekdays.AS_WRITTEN)
    assert (translation.expression, translation.reason) == (expression, None)


def test_what_is_no_expression_is_left_to_the_validation():
    assert translated("every day", Weekdays.AS_FIRED).expression == "every day"


def test_fire_times_there_are_what_the_library_fires():
    trigger = CronTrigger.from_crontab("0 9 * * 0", timezone=UTC)

    def fires():
        moment = trigger.get_next_fire_time(None, START)
        while True:
            yield moment
            moment = trigger.get_next_fire_time(moment, moment)

    assert there("0 9 * * 0", 5) == list(islice(fires(), 5))
