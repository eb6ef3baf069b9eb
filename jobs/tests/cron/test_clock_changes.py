"""What is said about the nights when clocks change, beside what really fires then."""

from datetime import UTC, datetime

import pytest

from jobs import cron

NEW_YORK = cron.zone("America/New_York")
START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 12, 31, tzinfo=UTC)


def notes(expression, zone=NEW_YORK, start=START, end=END):
    return cron.clock_change_notes(cron.parse(expression), zone, after=start, until=end)


@pytest.mark.parametrize(
    "expression, said",
    [
        ("30 2 * * *", ["02:30 does not exist on 2026-03-08 (the clock is put forward): runs at 03:00."]),
        (
            "15,30 2 * * *",
            ["02:15 and 02:30 do not exist on 2026-03-08 (the clock is put forward): runs at 03:00, once."],
        ),
        (
            "*/30 2 * * *",
            ["02:00 and 02:30 do not exist on 2026-03-08 (the clock is put forward): there is no run for it."],
        ),
        ("30 1 * * *", ["01:30 comes twice on 2026-11-01 (the clock is put back): runs the first time only."]),
        ("*/10 1 * * *", ["01:00 to 01:50 come twice on 2026-11-01 (the clock is put back): runs both times."]),
        ("0 12 * * *", []),
        ("30 2 * * 1", []),
        ("* * * * *", []),
        ("*/5 * * * *", []),
    ],
)
def test_a_clock_change_is_named_with_what_happens(expression, said):
    assert notes(expression) == said


def test_a_zone_without_clock_changes_has_nothing_to_say():
    assert notes("30 2 * * *", cron.zone("Asia/Tokyo")) == []


def test_only_the_nights_within_the_period_are_named():
    assert notes("30 2 * * *", start=datetime(2026, 3, 9, tzinfo=UTC)) == []
    assert notes("30 2 * * *", end=datetime(2026, 3, 7, tzinfo=UTC)) == []


def test_what_is_said_of_the_gap_is_what_fires():
    fired = cron.fire_times_between(
        "30 2 * * *", NEW_YORK, after=datetime(2026, 3, 8, tzinfo=UTC), until=datetime(2026, 3, 9, tzinfo=UTC)
    )
    assert [f"{moment.astimezone(NEW_YORK):%H:%M}" for moment in fired] == ["03:00"]
