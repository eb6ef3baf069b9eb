"""When jobs fire: the calendar, and the nights when clocks change."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from jobs import cron


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def fire_times(expression: str, zone: str, after: str, until: str) -> list[str]:
    """Return the fire times as the zone's own clock shows them, with the offset in force."""
    found = cron.fire_times_between(expression, zone, after=at(after), until=at(until))
    return [f"{instant.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M %z}" for instant in found]


@pytest.mark.parametrize(
    "expression, after, expected",
    [
        ("0 2 * * *", "2026-01-15T01:59:59", "2026-01-15T02:00"),
        ("0 2 * * *", "2026-01-15T02:00:00", "2026-01-16T02:00"),
        ("0 2 * * *", "2026-01-15T02:00:01", "2026-01-16T02:00"),
        ("* * * * *", "2026-01-15T02:00:59.999999", "2026-01-15T02:01"),
        ("*/15 9-17 * * 1-5", "2026-01-16T17:45", "2026-01-19T09:00"),
        ("59 23 31 12 *", "2026-12-31T23:59", "2027-12-31T23:59"),
        ("0 0 1 * *", "2026-01-31T23:59", "2026-02-01T00:00"),
        ("0 0 30 * *", "2026-01-30T00:00", "2026-03-30T00:00"),
        ("30 4 1,15 * *", "2026-01-02T00:00", "2026-01-15T04:30"),
        ("0 23-23 * * *", "2026-01-15T00:00", "2026-01-15T23:00"),
        ("5-5/2 * * * *", "2026-01-15T00:06", "2026-01-15T01:05"),
        ("50/5 * * * *", "2026-01-15T00:00", "2026-01-15T00:50"),
        ("50/5 * * * *", "2026-01-15T00:55", "2026-01-15T01:50"),
        ("*/90 * * * *", "2026-01-15T00:00", "2026-01-15T01:00"),
        ("00 08 * * *", "2026-01-15T00:00", "2026-01-15T08:00"),
        ("0\t2  * *\t*", "2026-01-15T00:00", "2026-01-15T02:00"),
    ],
)
def test_next_fire_time_is_strictly_after_the_given_instant(expression, after, expected):
    tokyo = "+09:00"
    assert cron.next_fire_time(expression, "Asia/Tokyo", after=at(after + tokyo)) == at(expected + tokyo)


@pytest.mark.parametrize(
    "expression, days",
    [
        # January 2026 begins on a Thursday; Sundays are 4, 11, 18, 25.
        ("0 0 * * 0", [4, 11, 18, 25]),
        ("0 0 * * 7", [4, 11, 18, 25]),
        ("0 0 * * sun", [4, 11, 18, 25]),
        ("0 0 * * Mon", [5, 12, 19, 26]),
        ("0 0 * * FRI,5", [2, 9, 16, 23, 30]),
        ("0 0 * * 5-7", [2, 3, 4, 9, 10, 11, 16, 17, 18, 23, 24, 25, 30, 31]),
        ("0 0 * * 0-1", [4, 5, 11, 12, 18, 19, 25, 26]),
        ("0 0 * * SUN-TUE", [4, 5, 6, 11, 12, 13, 18, 19, 20, 25, 26, 27]),
        ("0 0 * * */3", [3, 4, 7, 10, 11, 14, 17, 18, 21, 24, 25, 28, 31]),
        ("0 0 * * 6/1", [3, 4, 10, 11, 17, 18, 24, 25, 31]),
        ("0 0 * * 3-7/4", [4, 7, 11, 14, 18, 21, 25, 28]),
        # Both restricted: either matches.
        ("0 0 13 * 5", [2, 9, 13, 16, 23, 30]),
        ("0 0 1-7 * 1", [1, 2, 3, 4, 5, 6, 7, 12, 19, 26]),
        ("0 0 L * 1", [5, 12, 19, 26, 31]),
        ("0 0 1 * 0-7", list(range(1, 32))),
        # A field that starts with a star is no restriction: both must match.
        ("0 0 */2 * 1", [5, 19]),
        ("0 0 */10 * */2", [1, 11, 31]),
        ("0 0 13 * */2", [13]),
        ("0 0 14 * */2", []),
        ("0 0 *,13 * 5", [2, 9, 16, 23, 30]),
        # Extensions.
        ("0 0 L * *", [31]),
        ("0 0 l * *", [31]),
        ("0 0 L * */3", [31]),
        ("0 0 28/2 * *", [28, 30]),
        ("0 0 * * 1#1", [5]),
        ("0 0 * * 7#1", [4]),
        ("0 0 * * THU#1,fri#5", [1, 30]),
        ("0 0 * * MON#5", []),
        ("0 0 * * 1#2,4", [1, 8, 12, 15, 22, 29]),
    ],
)
def test_days_match_as_in_crontab(expression, days):
    found = fire_times(expression, "UTC", "2025-12-31T23:59Z", "2026-01-31T23:59Z")
    assert [int(text[8:10]) for text in found] == days


@pytest.mark.parametrize(
    "expression, after, expected",
    [
        ("0 0 29 2 *", "2026-01-01T00:00Z", "2028-02-29T00:00Z"),
        ("0 0 29 2 *", "2096-03-01T00:00Z", "2104-02-29T00:00Z"),  # 2100 is no leap year
        ("0 0 * 2 1#5", "2072-02-29T00:00Z", "2112-02-29T00:00Z"),
        ("0 0 L 2 *", "2026-03-01T00:00Z", "2027-02-28T00:00Z"),
        ("0 0 L 2 *", "2027-03-01T00:00Z", "2028-02-29T00:00Z"),
        ("0 0 31 */2 *", "2026-01-31T00:00Z", "2026-03-31T00:00Z"),
    ],
)
def test_rare_dates_are_found_across_years(expression, after, expected):
    assert cron.next_fire_time(expression, "UTC", after=at(after)) == at(expected)
    assert cron.previous_fire_time(expression, "UTC", at=at(expected) + timedelta(days=1)) == at(expected)


@pytest.mark.parametrize(
    "expression, expected",
    [
        # New York skips 02:00-03:00 on 8 March 2026.
        ("30 2 * * *", ["03:00 -0400"]),
        ("*/30 2 * * *", []),
        ("0 */2 * * *", ["00:00 -0500", "04:00 -0400"]),
        ("30 2-3 * * *", ["03:00 -0400", "03:30 -0400"]),
        ("11 0-23/1 * * *", ["00:11 -0500", "01:11 -0500", "03:00 -0400", "03:11 -0400", "04:11 -0400"]),
        ("0,30 2 * * *", ["03:00 -0400"]),
        ("0 2-3 * * *", ["03:00 -0400"]),
        ("59 1 * * *", ["01:59 -0500"]),
        ("* 2 * * *", []),
        ("30 * * * *", ["00:30 -0500", "01:30 -0500", "03:30 -0400", "04:30 -0400"]),
        ("30 2 8 3 *", ["03:00 -0400"]),
        ("30 2 * * 1", []),
    ],
)
def test_on_the_night_when_clocks_go_forward(expression, expected):
    found = fire_times(expression, "America/New_York", "2026-03-07T23:59-05:00", "2026-03-08T04:59-04:00")
    assert [text[11:] for text in found] == expected


@pytest.mark.parametrize(
    "expression, expected",
    [
        # New York shows 01:00-02:00 twice on 1 November 2026.
        ("30 2 * * *", ["02:30 -0500"]),
        ("*/30 2 * * *", ["02:00 -0500", "02:30 -0500"]),
        ("0 */2 * * *", ["00:00 -0400", "02:00 -0500"]),
        ("11 0-23/1 * * *", ["00:11 -0400", "01:11 -0400", "02:11 -0500"]),
        ("30 1 * * *", ["01:30 -0400"]),
        ("0 0-3 * * *", ["00:00 -0400", "01:00 -0400", "02:00 -0500"]),
        ("*/30 1 * * *", ["01:00 -0400", "01:30 -0400", "01:00 -0500", "01:30 -0500"]),
        ("30 */1 * * *", ["00:30 -0400", "01:30 -0400", "01:30 -0500", "02:30 -0500"]),
        ("30 0/1 * * *", ["00:30 -0400", "01:30 -0400", "02:30 -0500"]),
    ],
)
def test_on_the_night_when_clocks_go_back(expression, expected):
    found = fire_times(expression, "America/New_York", "2026-10-31T23:59-04:00", "2026-11-01T02:59-05:00")
    assert [text[11:] for text in found] == expected


@pytest.mark.parametrize(
    "zone, expression, after, until, expected",
    [
        # Lord Howe moves by half an hour: 02:00 -> 02:30 in October, 02:00 -> 01:30 in April.
        *[
            ("Australia/Lord_Howe", expression, "2026-10-03T14:00Z", "2026-10-03T17:00Z", expected)
            for expression, expected in [
                ("15 2 * * *", ["2026-10-04 02:30 +1100"]),
                ("*/15 2 * * *", ["2026-10-04 02:30 +1100", "2026-10-04 02:45 +1100"]),
                ("0 */1 * * *", ["2026-10-04 01:00 +1030", "2026-10-04 03:00 +1100", "2026-10-04 04:00 +1100"]),
            ]
        ],
        *[
            ("Australia/Lord_Howe", expression, "2026-04-04T14:20Z", "2026-04-04T15:40Z", expected)
            for expression, expected in [
                ("45 1 * * *", ["2026-04-05 01:45 +1100"]),
                ("*/45 1 * * *", ["2026-04-05 01:45 +1100", "2026-04-05 01:45 +1030"]),
                ("0 * * * *", ["2026-04-05 02:00 +1030"]),
            ]
        ],
        # Havana skips 00:00-01:00 and shows it twice in autumn; Santiago skips it too and shows 23:00 twice.
        (
            *("America/Havana", "0 0 * * *", "2024-03-09T12:00Z", "2024-03-11T12:00Z"),
            ["2024-03-10 01:00 -0400", "2024-03-11 00:00 -0400"],
        ),
        ("America/Havana", "0 0 * * *", "2024-11-02T12:00Z", "2024-11-03T12:00Z", ["2024-11-03 00:00 -0400"]),
        (
            *("America/Havana", "*/30 0 3 * *", "2024-11-02T12:00Z", "2024-11-03T12:00Z"),
            [
                *("2024-11-03 00:00 -0400", "2024-11-03 00:30 -0400"),
                *("2024-11-03 00:00 -0500", "2024-11-03 00:30 -0500"),
            ],
        ),
        (
            *("America/Santiago", "59 23 * * 6", "2026-04-04T12:00Z", "2026-04-05T12:00Z"),
            ["2026-04-04 23:59 -0300"],
        ),
        (
            *("America/Santiago", "*/59 23 * * 6", "2026-04-04T12:00Z", "2026-04-05T12:00Z"),
            [
                *("2026-04-04 23:00 -0300", "2026-04-04 23:59 -0300"),
                *("2026-04-04 23:00 -0400", "2026-04-04 23:59 -0400"),
            ],
        ),
        # St John's used to change at 00:01, so Sunday had begun before Saturday was over.
        (
            *("America/St_Johns", "0 0 * * *", "2008-11-01T12:00Z", "2008-11-02T12:00Z"),
            ["2008-11-02 00:00 -0230"],
        ),
        (
            *("America/St_Johns", "*/30 0,23 * * *", "2008-11-01T12:00Z", "2008-11-02T04:00Z"),
            [
                *("2008-11-01 23:00 -0230", "2008-11-01 23:30 -0230", "2008-11-02 00:00 -0230"),
                *("2008-11-01 23:30 -0330", "2008-11-02 00:00 -0330", "2008-11-02 00:30 -0330"),
            ],
        ),
        # Apia went from Thursday the 29th straight to Saturday the 31st.
        (
            *("Pacific/Apia", "30 12 * * *", "2011-12-29T00:00-10:00", "2011-12-31T23:00+14:00"),
            ["2011-12-29 12:30 -1000", "2011-12-31 00:00 +1400", "2011-12-31 12:30 +1400"],
        ),
        (
            *("Pacific/Apia", "*/30 12 * * *", "2011-12-29T13:00-10:00", "2011-12-31T23:00+14:00"),
            ["2011-12-31 12:00 +1400", "2011-12-31 12:30 +1400"],
        ),
        (
            *("Pacific/Apia", "0 9 * * 5", "2011-12-23T12:00-10:00", "2012-01-06T10:00+14:00"),
            ["2011-12-31 00:00 +1400", "2012-01-06 09:00 +1400"],
        ),
        # Troll moves by two hours.
        (
            *("Antarctica/Troll", "30 1,2 * * *", "2026-03-28T12:00Z", "2026-03-29T12:00Z"),
            ["2026-03-29 03:00 +0200"],
        ),
        (
            *("Antarctica/Troll", "30 1,2 * * *", "2026-10-24T12:00Z", "2026-10-25T12:00Z"),
            ["2026-10-25 01:30 +0200", "2026-10-25 02:30 +0200"],
        ),
        # Dublin's winter is written as negative saving of time; Casablanca goes back for Ramadan.
        ("Europe/Dublin", "30 1 * * *", "2026-03-28T12:00Z", "2026-03-29T12:00Z", ["2026-03-29 02:00 +0100"]),
        ("Europe/Dublin", "30 1 * * *", "2026-10-24T12:00Z", "2026-10-25T12:00Z", ["2026-10-25 01:30 +0100"]),
        (
            *("Africa/Casablanca", "30 2 * * *", "2025-02-22T12:00Z", "2025-02-23T12:00Z"),
            ["2025-02-23 02:30 +0100"],
        ),
        (
            *("Africa/Casablanca", "30 2 * * *", "2025-04-05T12:00Z", "2025-04-06T12:00Z"),
            ["2025-04-06 03:00 +0100"],
        ),
        ("Asia/Gaza", "15 2 * * *", "2026-03-27T12:00Z", "2026-03-28T12:00Z", ["2026-03-28 03:00 +0300"]),
        # Tehran kept summer time until 2022 and changed at midnight.
        ("Asia/Tehran", "5 0 * * *", "2021-03-21T12:00Z", "2021-03-22T12:00Z", ["2021-03-22 01:00 +0430"]),
        ("Asia/Tehran", "5 0 22 3 *", "2023-03-21T12:00Z", "2023-03-22T12:00Z", ["2023-03-22 00:05 +0330"]),
        # A permanent move of half an hour.
        ("Asia/Pyongyang", "45 23 * * *", "2018-05-04T12:00Z", "2018-05-05T12:00Z", ["2018-05-05 00:00 +0900"]),
    ],
)
def test_odd_clock_changes(zone, expression, after, until, expected):
    assert fire_times(expression, zone, after, until) == expected


def test_run_that_makes_up_for_a_gap_is_not_repeated_when_asked_from_inside_the_new_hour():
    after = at("2026-03-08T03:00-04:00")
    assert cron.next_fire_time("30 2 * * *", "America/New_York", after=after) == at("2026-03-09T02:30-04:00")


def test_fixed_time_job_asked_in_the_second_pass_waits_for_the_next_day():
    second_pass = at("2026-11-01T01:10-05:00")
    found = cron.next_fire_time("30 1 * * *", "America/New_York", after=second_pass)
    assert found == at("2026-11-02T01:30-05:00")


@pytest.mark.parametrize(
    "expression, fixed",
    [("0 2 * * *", True), ("0-59 0-23 * * *", True), ("0/1 0/1 * * *", True), ("*,0 2 * * *", False)],
)
def test_only_a_leading_star_makes_a_job_follow_elapsed_time(expression, fixed):
    assert cron.parse(expression).is_fixed_time is fixed


def test_fire_times_are_utc_whatever_zone_the_question_was_asked_in():
    found = cron.next_fire_time(
        "0 2 * * *", "Asia/Tokyo", after=datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=3)))
    )
    assert found is not None
    assert (found.tzinfo, found.isoformat()) == (UTC, "2026-01-01T17:00:00+00:00")


def test_fire_times_between_leaves_out_its_start_and_keeps_its_end():
    two, four = at("2026-01-15T02:00Z"), at("2026-01-15T04:00Z")
    found = cron.fire_times_between("0 * * * *", "UTC", after=two, until=four)
    assert list(found) == [at("2026-01-15T03:00Z"), four]


def test_fire_times_between_stops_at_the_limit():
    start = at("2026-01-15T02:00Z")
    found = list(cron.fire_times_between("* * * * *", "UTC", after=start, until=start + timedelta(days=1), limit=3))
    assert found == [start + timedelta(minutes=n) for n in (1, 2, 3)]


def test_a_wrong_expression_is_refused_before_the_first_fire_time_is_asked_for():
    start = at("2026-01-15T02:00Z")
    with pytest.raises(cron.CronError):
        cron.fire_times_between("61 * * * *", "UTC", after=start, until=start)


@pytest.mark.parametrize(
    "expression, zone, instant, expected",
    [
        ("0 2 * * *", "UTC", "2026-01-15T02:00Z", "2026-01-15T02:00Z"),
        ("0 2 * * *", "UTC", "2026-01-15T02:00:59Z", "2026-01-15T02:00Z"),
        ("0 2 * * *", "UTC", "2026-01-15T01:59:59Z", "2026-01-14T02:00Z"),
        ("*/15 9-17 * * 1-5", "UTC", "2026-01-19T08:00Z", "2026-01-16T17:45Z"),
        ("0 0 29 2 *", "Asia/Tokyo", "2103-01-01T00:00Z", "2096-02-28T15:00Z"),
        # The gap, seen from behind.
        ("30 2 * * *", "America/New_York", "2026-03-08T03:00-04:00", "2026-03-08T03:00-04:00"),
        ("30 2 * * *", "America/New_York", "2026-03-08T01:59-05:00", "2026-03-07T02:30-05:00"),
        ("30 2 * * *", "America/New_York", "2026-03-09T02:29-04:00", "2026-03-08T03:00-04:00"),
        ("*/30 2 * * *", "America/New_York", "2026-03-09T01:59-04:00", "2026-03-07T02:30-05:00"),
        # The fold: a fixed time belongs to the first pass.
        ("30 1 * * *", "America/New_York", "2026-11-01T01:45-05:00", "2026-11-01T01:30-04:00"),
        ("30 1 * * *", "America/New_York", "2026-11-01T01:10-05:00", "2026-11-01T01:30-04:00"),
        ("*/30 1 * * *", "America/New_York", "2026-11-01T01:10-05:00", "2026-11-01T01:00-05:00"),
        ("*/30 1 * * *", "America/New_York", "2026-11-01T00:59:59-05:00", "2026-11-01T01:30-04:00"),
        ("0 9 * * 5", "Pacific/Apia", "2012-01-06T08:59+14:00", "2011-12-31T00:00+14:00"),
    ],
)
def test_previous_fire_time_is_the_last_at_or_before_the_instant(expression, zone, instant, expected):
    assert cron.previous_fire_time(expression, zone, at=at(instant)) == at(expected)


@pytest.mark.parametrize(
    "expression, zone, after, until, expected",
    [
        ("* * * * *", "Asia/Tokyo", "2026-01-01T00:00Z", "2026-01-31T00:00Z", 30 * 24 * 60),
        ("0 2 * * *", "UTC", "2026-01-15T02:00Z", "2026-01-15T02:00Z", 0),
        ("0 2 * * *", "UTC", "2026-01-15T01:59:59Z", "2026-01-15T02:00Z", 1),
        ("0 2 * * *", "UTC", "2026-01-16T00:00Z", "2026-01-15T00:00Z", 0),
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00Z", "2126-01-01T00:00Z", 24),
        ("* * * * *", "America/New_York", "2026-03-08T00:00-05:00", "2026-03-09T00:00-04:00", 23 * 60),
        ("* * * * *", "America/New_York", "2026-11-01T00:00-04:00", "2026-11-02T00:00-05:00", 25 * 60),
        ("30 2-3 * * *", "America/New_York", "2026-03-08T00:00-05:00", "2026-03-09T00:00-04:00", 2),
        ("0 2-3 * * *", "America/New_York", "2026-03-08T00:00-05:00", "2026-03-09T00:00-04:00", 1),
        ("0 2-3 * * *", "America/New_York", "2026-03-08T03:00-04:00", "2026-03-09T00:00-04:00", 0),
        ("0,30 1 * * *", "America/New_York", "2026-11-01T01:15-04:00", "2026-11-02T00:00-05:00", 1),
    ],
)
def test_count_is_exact(expression, zone, after, until, expected):
    assert cron.count_fire_times(expression, zone, after=at(after), until=at(until)) == expected


def test_a_schedule_and_a_zone_read_before_answer_like_their_texts():
    schedule, tokyo = cron.parse("30 2 * * *"), cron.zone("Asia/Tokyo")
    now = at("2026-01-15T12:00Z")
    assert cron.next_fire_time(schedule, tokyo, after=now) == cron.next_fire_time("30 2 * * *", "Asia/Tokyo", after=now)


def test_an_instant_without_a_zone_is_refused():
    naive = datetime(2026, 1, 15)  # noqa: DTZ001 the subject
    with pytest.raises(ValueError, match="without a time zone"):
        cron.next_fire_time("0 2 * * *", "UTC", after=naive)


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Etc/GMT+12"])
def test_the_ends_of_the_calendar_are_answered_with_none(zone):
    earliest, latest = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    assert cron.next_fire_time("0 2 * * *", zone, after=latest) is None
    assert cron.previous_fire_time("0 0 29 2 *", zone, at=earliest) is None
    assert cron.count_fire_times("* * * * *", zone, after=latest, until=latest) == 0
    assert cron.next_fire_time("0 2 * * *", zone, after=earliest) is not None
    assert cron.previous_fire_time("0 2 * * *", zone, at=latest) is not None


@pytest.mark.parametrize("name", ["UTC", "Asia/Tokyo", "America/Argentina/Buenos_Aires", "Etc/GMT+12"])
def test_iana_names_are_zones(name):
    assert cron.zone(name).key == name


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", "JST", "tokyo", "asia/tokyo", "ASIA/TOKYO", "Asia/Tokyo ", "Asia/Tokyo\n", "Asia", "Asia/"),
        *("localtime", "posixrules", "posix/Asia/Tokyo", "right/Asia/Tokyo", "zone.tab", "tzdata.zi"),
        *("../x", "../../etc/passwd", "Asia/../Asia/Tokyo", "./UTC", "/etc/localtime", "/usr/share/zoneinfo/UTC"),
        *("UTC\0", "\0", "Asia\\Tokyo", "UTC+9", "+09:00", "Ａsia/Tokyo", "\udc80", "a" * 5000),
        *(None, 9, b"UTC", ["UTC"], {"UTC": 1}, ZoneInfo("UTC")),
    ],
)
def test_nothing_else_is_a_zone(name):
    with pytest.raises(cron.ZoneError, match="Unknown time zone"):
        cron.zone(name)


@pytest.mark.parametrize("expression", ["* * * * *", "*/7 3-5 * * *", "30 2 * * *", "0 0 31 * 1", "59 23 L * *"])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"])
def test_many_fire_times_are_those_found_one_by_one(expression, zone):
    start = datetime(2026, 10, 3, 15, 10, tzinfo=UTC)
    for begin in (start, datetime(2011, 12, 29, 21, 3, tzinfo=UTC)):
        until = begin + timedelta(days=2, hours=5)
        one_by_one, moment = [], cron.next_fire_time(expression, zone, after=begin)
        while moment is not None and moment <= until:
            one_by_one.append(moment)
            moment = cron.next_fire_time(expression, zone, after=moment)
        assert list(cron.fire_times_between(expression, zone, after=begin, until=until)) == one_by_one
