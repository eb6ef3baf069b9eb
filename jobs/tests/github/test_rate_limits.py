"""Rate limits of GitHub: which dispatch may leave when, across processes."""

import threading
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction

from jobs.github import rate_limits
from jobs.github.api import RATE_LIMIT_WAIT
from jobs.github.rate_limits import RateLimit
from jobs.models import RateLimitBucket
from jobs.tests.factories import NOON

pytestmark = [pytest.mark.database, pytest.mark.django_db]

BUCKET = "token:abc"
SECOND = timedelta(seconds=1)
PLAIN = RateLimit(1.0, ((80, 60.0), (500, 3600.0)))


def ask(number: int = 1, *, now=NOON, bucket: str = BUCKET) -> list[float]:
    """Ask for slots; return for each how many seconds it has to wait."""
    ids = [uuid4() for _ in range(number)]
    with transaction.atomic():
        waiting = rate_limits.acquire([(execution_id, bucket) for execution_id in ids], now=now)
    return [round((waiting.get(execution_id, now) - now).total_seconds(), 3) for execution_id in ids]


@pytest.mark.parametrize(
    "taken, at, slot",
    [
        ([], 100.0, 100.0),
        ([50.0], 100.0, 100.0),
        ([99.5], 100.0, 100.5),
        # 80 within a minute.
        ([100.0 + 0.5 * n for n in range(80)], 140.0, 160.0),
        # 500 within an hour, though a minute has room.
        ([7.0 * n for n in range(500)], 3500.0, 3600.0),
        ([7.0 * n for n in range(500)], 3700.0, 3700.0),
    ],
)
def test_a_slot_keeps_the_gap_and_both_limits(taken, at, slot):
    assert PLAIN.next_slot(taken, at) == slot


def test_the_first_leaves_and_the_others_are_planned_a_second_apart():
    assert ask(4) == [0, 1, 2, 3]


def test_a_plan_takes_no_slot():
    ask(4)
    assert ask(now=NOON + SECOND) == [0]


def test_a_slot_is_free_again_after_the_gap():
    ask()
    assert ask(now=NOON + SECOND / 4) == [0.75]
    assert ask(now=NOON + SECOND) == [0]


def test_credentials_do_not_wait_for_each_other():
    ask()
    assert ask(bucket="app:1:acme") == [0]


def test_the_pace_is_the_settings(settings):
    settings.GITHUB_DISPATCH_GAP_MS, settings.GITHUB_DISPATCHES_PER_MINUTE = 100, 3
    assert ask(5) == [0, 0.1, 0.2, 60, 60.1]


def test_only_what_the_limits_need_is_remembered(settings):
    settings.GITHUB_DISPATCH_GAP_MS = 0
    settings.GITHUB_DISPATCHES_PER_MINUTE, settings.GITHUB_DISPATCHES_PER_HOUR = 5, 5
    for minute in range(10):
        ask(5, now=NOON + timedelta(hours=minute))
    assert len(RateLimitBucket.objects.get().sent) == 5


def test_nothing_leaves_a_blocked_lane_and_what_waits_is_planned_behind_the_block():
    with transaction.atomic():
        rate_limits.block({BUCKET: timedelta(seconds=30)}, now=NOON)
    assert ask(2) == [30, 31]
    assert rate_limits.blocked([BUCKET, "token:other"], now=NOON) == {BUCKET: NOON + timedelta(seconds=30)}
    assert rate_limits.blocked([BUCKET], now=NOON + timedelta(seconds=30)) == {}
    assert ask(now=NOON + timedelta(seconds=30)) == [0]


def test_a_refusal_without_a_time_doubles_the_wait_until_something_is_accepted():
    waits = []
    now = NOON
    for _ in range(8):
        with transaction.atomic():
            rate_limits.block({BUCKET: RATE_LIMIT_WAIT}, now=now)
        until = RateLimitBucket.objects.get().blocked_until
        waits.append((until - now).total_seconds() / 60)
        now = until
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    rate_limits.unblock([BUCKET])
    with transaction.atomic():
        rate_limits.block({BUCKET: RATE_LIMIT_WAIT}, now=now)
    assert RateLimitBucket.objects.get().blocked_until == now + timedelta(minutes=1)


def test_several_refusals_at_once_are_one():
    for second in range(3):
        with transaction.atomic():
            rate_limits.block({BUCKET: RATE_LIMIT_WAIT}, now=NOON + second * SECOND)
    bucket = RateLimitBucket.objects.get()
    assert (bucket.refusals, bucket.blocked_until) == (1, NOON + timedelta(minutes=1))


def test_lanes_that_nobody_uses_are_forgotten():
    ask()
    ask(bucket="token:busy", now=NOON + timedelta(days=1))
    with transaction.atomic():
        rate_limits.block({"token:blocked": timedelta(hours=1)}, now=NOON + timedelta(days=1))
    assert rate_limits.forget_idle(now=NOON + timedelta(days=1, seconds=1)) == 1
    assert set(RateLimitBucket.objects.values_list("name", flat=True)) == {"token:busy", "token:blocked"}


def test_a_transaction_that_fails_takes_no_slot():
    with transaction.atomic():
        rate_limits.acquire([(UUID(int=1), BUCKET)], now=NOON)
        transaction.set_rollback(True)
    assert ask() == [0]


@pytest.mark.django_db(transaction=True)
def test_processes_that_ask_at_the_same_time_get_different_turns():
    slots: list[float] = []
    start = threading.Barrier(6)

    def one() -> None:
        start.wait(10)
        try:
            slots.extend(ask())
        finally:
            connection.close()

    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # One left; the others were told to come back, and took nothing.
    assert sorted(slots) == [0, 1, 1, 1, 1, 1]
    assert len(RateLimitBucket.objects.get().sent) == 1


def test_who_waits_patiently_gets_the_next_slot(settings):
    settings.GITHUB_DISPATCH_GAP_MS = 30
    ask()
    asked = []

    def attempt(now):
        asked.append(now)
        wait = ask(now=now)[0]
        return now + timedelta(seconds=wait) if wait else None

    assert rate_limits.patiently(attempt, now=NOON, patience=SECOND) is None
    assert len(asked) >= 2


def test_patience_ends_before_a_slot_that_is_too_far_away():
    slot = NOON + 5 * SECOND
    assert rate_limits.patiently(lambda now: slot, now=NOON, patience=SECOND) == slot
