"""The engine against others: cronsim, minute by minute, and text nobody would write."""

import random
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jobs import cron
from jobs.tests.cron.oracles import MINUTE, Minutes, expressions, fire_times_by_brute_force, fire_times_of_cronsim

# Every change of the clock, in UTC, in two years of each zone; where governments change their minds, years gone by.
WHOLE_HOURS = {
    "America/New_York": ["2026-03-08T07:00", "2026-11-01T06:00", "2027-03-14T07:00", "2027-11-07T06:00"],
    "Europe/Berlin": ["2026-03-29T01:00", "2026-10-25T01:00", "2027-03-28T01:00", "2027-10-31T01:00"],
    "Europe/Dublin": ["2026-03-29T01:00", "2026-10-25T01:00", "2027-03-28T01:00", "2027-10-31T01:00"],
    "Africa/Casablanca": ["2024-03-10T02:00", "2024-04-14T02:00", "2025-02-23T02:00", "2025-04-06T02:00"],
    "Antarctica/Troll": ["2026-03-29T01:00", "2026-10-25T01:00", "2027-03-28T01:00", "2027-10-31T01:00"],
    "Asia/Tokyo": ["2026-03-08T07:00"],  # no change: a day like any other
    "UTC": ["2026-03-08T07:00"],
}
ODD = {
    "Australia/Lord_Howe": ["2026-04-04T15:00", "2026-10-03T15:30", "2027-04-03T15:00", "2027-10-02T15:30"],
    "America/St_Johns": ["2008-03-09T03:31", "2008-11-02T02:31", "2009-03-08T03:31", "2009-11-01T02:31"],
    "America/Havana": ["2024-03-10T05:00", "2024-11-03T05:00", "2025-03-09T05:00", "2025-11-02T05:00"],
    "America/Santiago": ["2026-04-05T03:00", "2026-09-06T04:00", "2027-04-04T03:00", "2027-09-05T04:00"],
    "Asia/Tehran": ["2021-03-21T20:30", "2021-09-21T19:30", "2022-03-21T20:30", "2022-09-21T19:30"],
    "Pacific/Apia": ["2011-04-02T14:00", "2011-09-24T14:00", "2011-12-30T10:00", "2012-03-31T14:00"],
    "Asia/Pyongyang": ["2018-05-04T15:00"],
}


def places(zones: dict[str, list[str]]) -> list[tuple[ZoneInfo, datetime]]:
    return [
        (ZoneInfo(name), datetime.fromisoformat(change).replace(tzinfo=UTC))
        for name, changes in zones.items()
        for change in changes
    ]


@cache
def minutes_around(zone: ZoneInfo, change: datetime) -> Minutes:
    return Minutes(zone, change - timedelta(hours=20), change + timedelta(hours=20))


@pytest.mark.parametrize("zone, change", places(WHOLE_HOURS | ODD))
def test_the_tables_name_true_changes_of_the_clock(zone, change):
    before, after = (change - MINUTE).astimezone(zone), change.astimezone(zone)
    assert (before.utcoffset() != after.utcoffset()) is (zone.key not in ("Asia/Tokyo", "UTC"))


# cronsim loses minutes of elapsed-time jobs, or never comes back, where clocks change by part of an hour or at
# midnight; there only its fixed-time jobs are asked, and the brute force below has the last word.
@pytest.mark.parametrize(
    "zones, seed, count, only_fixed_time",
    [
        pytest.param(WHOLE_HOURS, 1, 1000, False, id="all jobs"),
        pytest.param(ODD, 2, 1000, True, id="fixed-time jobs in odd zones"),
        pytest.param(WHOLE_HOURS, 3, 10_000, False, marks=pytest.mark.fuzz, id="all jobs, many"),
        pytest.param(ODD, 4, 10_000, True, marks=pytest.mark.fuzz, id="fixed-time jobs in odd zones, many"),
    ],
)
def test_cronsim_finds_the_same_fire_times(zones, seed, count, only_fixed_time):
    chance = random.Random(seed)
    around = places(zones)
    compared = 0
    for number, expression in enumerate(expressions(seed, count)):
        schedule = cron.parse(expression)
        if only_fixed_time and not schedule.is_fixed_time:
            continue
        zone, change = around[number % len(around)]
        after = change - MINUTE * chance.choice((chance.randint(1, 90), chance.randint(1, 1800)))
        until = after + timedelta(days=60)
        ours = list(cron.fire_times_between(schedule, zone, after=after, until=until, limit=50))
        if len(ours) == 50:
            until = ours[-1]
        assert fire_times_of_cronsim(expression, zone, after, until) == ours, (expression, zone.key, after)
        compared += 1
    assert compared > count / 4


@pytest.mark.parametrize("seed", range(4))
def test_asking_every_minute_finds_the_same_fire_times(seed):
    chance = random.Random(seed)
    around = places(WHOLE_HOURS | ODD)
    for number, expression in enumerate(expressions(100 + seed, 150)):
        zone, change = around[number % len(around)]
        start, stop = change - timedelta(hours=20), change + timedelta(hours=20)
        told = fire_times_by_brute_force(expression, minutes_around(zone, change))
        where = (expression, zone.key, change)
        assert list(cron.fire_times_between(expression, zone, after=start - MINUTE, until=stop - MINUTE)) == told, where

        middle = change + MINUTE * chance.randint(-200, 200)
        earlier, later = [t for t in told if t <= middle], [t for t in told if t > middle]
        assert cron.count_fire_times(expression, zone, after=start - MINUTE, until=middle) == len(earlier), where
        assert cron.count_fire_times(expression, zone, after=middle, until=stop - MINUTE) == len(later), where
        previous = cron.previous_fire_time(expression, zone, at=middle)
        assert previous == earlier[-1] if earlier else previous is None or previous < start, where
        following = cron.next_fire_time(expression, zone, after=middle)
        assert following == later[0] if later else following is None or following >= stop, where


def test_the_three_ways_to_ask_agree_over_years():
    start, stop = datetime(2024, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
    for expression in expressions(7, 60):
        if expression.startswith("*"):
            continue
        found = list(cron.fire_times_between(expression, "America/Havana", after=start, until=stop, limit=2000))
        last = found[-1] if len(found) == 2000 else stop
        assert cron.count_fire_times(expression, "America/Havana", after=start, until=last) == len(found), expression
        if found:
            assert cron.previous_fire_time(expression, "America/Havana", at=last) == found[-1], expression


CRON_LIKE = st.text(alphabet="0123456789*/-,#L?WH@ \tMONFRIjan\n\u0663\u3000", max_size=40)
FIVE_COLUMNS = st.lists(st.text(alphabet="0123456*/-,#LmonJAN", min_size=1, max_size=7), min_size=5, max_size=5)


@settings(max_examples=300, deadline=None, database=None)
@given(st.one_of(st.text(max_size=120), CRON_LIKE, FIVE_COLUMNS.map(" ".join)))
@example("\x0b \x1c \x00 \udc80 *")
@example("ﷺ " * 5)
def test_any_text_is_refused_in_words_or_runs_some_day(text):
    try:
        schedule = cron.parse(text)
    except cron.CronError as refusal:
        words = f"{refusal.message} {refusal.hint or ''}"
        assert words.isprintable()
        return
    now = datetime(2026, 11, 1, 5, 30, tzinfo=UTC)
    following = cron.next_fire_time(schedule, "America/New_York", after=now)
    assert following is not None
    assert following > now
    assert cron.previous_fire_time(schedule, "America/New_York", at=following) == following
    assert cron.count_fire_times(schedule, "America/New_York", after=now, until=following) == 1
    assert cron.describe(schedule)


@settings(max_examples=100, deadline=None, database=None)
@given(st.text(max_size=60))
@example("../../etc/passwd")
def test_any_text_is_a_zone_of_that_name_or_refused(text):
    try:
        found = cron.zone(text)
    except cron.ZoneError:
        return
    assert found.key == text
