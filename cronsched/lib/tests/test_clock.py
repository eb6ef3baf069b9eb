"""Clocks that can be trusted."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db import connection

from cronsched.lib import clock
from cronsched.lib.clock import DatabaseClock, database_now, uptime

pytestmark = [pytest.mark.database, pytest.mark.django_db]


def test_the_database_s_time_is_aware_and_about_ours():
    assert abs(database_now() - datetime.now(UTC)) < timedelta(seconds=30)
    assert database_now().tzinfo is UTC


def test_uptime_does_not_follow_a_clock_that_is_set():
    before = uptime()
    with time_machine.travel(datetime(2030, 1, 1, tzinfo=UTC)):
        assert 0 <= uptime() - before < 30


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite's clock is the host's")
def test_between_two_samples_the_database_s_clock_goes_on_whatever_the_host_s_does():
    shared = DatabaseClock()
    sampled = shared.sample()
    with time_machine.travel(datetime(2030, 1, 1, tzinfo=UTC)):
        assert timedelta() <= shared.now() - sampled < timedelta(seconds=30)


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite's clock is the host's")
def test_a_sampled_clock_is_never_ahead_of_the_database_s():
    shared = DatabaseClock()
    shared.sample()
    assert all(shared.now() <= database_now() for _ in range(50))


def test_a_slow_answer_makes_the_clock_late_and_not_early(monkeypatch):
    asked = datetime(2026, 1, 15, tzinfo=UTC)
    monkeypatch.setattr(clock, "database_now", lambda: asked)
    monkeypatch.setattr(connection, "vendor", "postgresql")
    # The answer left when it was asked for; 4 s later it is here, and a second after that it is wanted.
    ticks = iter([104.0, 105.0])
    monkeypatch.setattr(clock, "uptime", lambda: next(ticks))
    shared = DatabaseClock()
    shared.sample()
    assert shared.now() == asked + timedelta(seconds=1)


def test_before_the_first_sample_it_is_the_host_s_clock():
    assert abs(DatabaseClock().now() - datetime.now(UTC)) < timedelta(seconds=5)
