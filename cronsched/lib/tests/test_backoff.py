"""Waits grow, are capped, repeat exactly, and no header can push them out of bounds."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronsched.lib import backoff

NOON = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
HALF_A_MINUTE = timedelta(seconds=30)


@pytest.mark.parametrize("attempt, at_least", [(1, 30), (2, 60), (3, 120), (4, 240), (12, 61440)])
def test_the_wait_doubles_and_jitter_only_makes_it_longer(attempt, at_least):
    wait = backoff.delay(attempt, first=HALF_A_MINUTE, key="job/fire").total_seconds()
    assert at_least <= wait <= at_least * (1 + backoff.JITTER)


def test_the_wait_is_the_same_whoever_computes_it():
    assert backoff.delay(3, first=HALF_A_MINUTE, key="a") == backoff.delay(3, first=HALF_A_MINUTE, key="a")


def test_jobs_that_failed_together_come_back_apart():
    waits = {backoff.delay(1, first=HALF_A_MINUTE, key=f"job-{number}/fire") for number in range(1000)}
    assert len(waits) > 990
    assert max(waits) - min(waits) > HALF_A_MINUTE * backoff.JITTER * 0.9


@given(attempt=st.integers(1, 10**6), first=st.timedeltas(timedelta(seconds=1), timedelta(days=1)))
def test_no_attempt_waits_longer_than_the_cap_and_its_jitter(attempt, first):
    assert backoff.delay(attempt, first=first, key="k") <= backoff.LONGEST * (1 + backoff.JITTER)


def test_there_is_no_wait_before_the_first_failure():
    with pytest.raises(ValueError, match="not a failed attempt"):
        backoff.delay(0, first=HALF_A_MINUTE, key="k")


@pytest.mark.parametrize(
    "header, seconds",
    [
        ("120", 120),
        (" 5 ", 5),
        ("0", 0),
        ("1.5", 1.5),
        ("Thu, 15 Jan 2026 12:02:00 GMT", 120),
        ("Thursday, 15-Jan-26 12:02:00 GMT", 120),
        ("Thu Jan 15 12:02:00 2026", 120),
        # In the past: come back at once.
        ("Thu, 15 Jan 2026 11:00:00 GMT", 0),
        # Hostile: for ever.
        ("99999999999999999999", 86400),
        ("Thu, 15 Jan 9999 12:00:00 GMT", 86400),
    ],
)
def test_retry_after_is_seconds_or_a_date_within_bounds(header, seconds):
    assert backoff.retry_after(header, now=NOON) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "   ",
        "-5",
        "soon",
        "nan",
        "inf",
        "1e9",
        "12 minutes",
        "1.2.3",
        "٣",
        "9" * 65,
        "Thu, 99 Jan 2026 25:61:00",
    ],
)
def test_what_is_no_retry_after_is_ignored(header):
    assert backoff.retry_after(header, now=NOON) is None


@given(st.text(max_size=80))
def test_no_retry_after_raises_or_leaves_its_bounds(header):
    wait = backoff.retry_after(header, now=NOON)
    assert wait is None or timedelta(0) <= wait <= backoff.LONGEST
