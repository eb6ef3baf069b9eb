"""Chores with a cron expression are made up for, once."""

from datetime import UTC, datetime

import pytest

from cronsched.lib.chores import CronChore
from jobs.scheduler.entries import at_times_of, is_due

WEEKLY = CronChore("weekly", "0 9 * * mon", print)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "done, now, expected",
    [
        # Monday 09:00 in Tokyo is midnight UTC; 19 January 2026 is a Monday.
        ("2026-01-12T00:00:05", "2026-01-18T23:59", False),
        ("2026-01-12T00:00:05", "2026-01-19T00:00", True),
        ("2026-01-12T00:00:05", "2026-01-22T12:00", True),
        ("2026-01-19T00:00:00", "2026-01-22T12:00", False),
        ("2025-11-01T00:00:00", "2026-01-22T12:00", True),
    ],
)
def test_a_weekly_chore_is_due_from_its_hour_until_it_is_done(done, now, expected):
    assert is_due(WEEKLY, done_at=at(done), now=at(now)) is expected


def test_apscheduler_and_the_cron_engine_mean_the_same_monday():
    fires = at_times_of(WEEKLY)().get_next_fire_time(None, at("2026-01-15T12:00"))
    assert fires.astimezone(UTC) == at("2026-01-19T00:00")
