"""Who leads, as seen by two processes with clocks of their own."""

from datetime import timedelta

import pytest

from jobs.models import SchedulerLease
from jobs.scheduler import lease
from jobs.scheduler.leadership import TTL
from jobs.tests.factories import NOON

pytestmark = [pytest.mark.database, pytest.mark.django_db]

TTL_SECONDS = TTL.total_seconds()


def take_over(holder="a", *, seen=None, uptime=0.0):
    return lease.take_over(seen or lease.snapshot(None, uptime=lambda: uptime), holder=holder, uptime=uptime, now=NOON)


def test_the_first_process_leads_at_once():
    term = take_over()
    assert (term.holder, term.fence) == ("a", 1)
    assert SchedulerLease.objects.get().leading_since == NOON


def test_a_standby_waits_while_the_row_changes_and_takes_over_when_it_stands_still():
    first = take_over("a")
    seen = lease.snapshot(None, uptime=lambda: 100)
    assert take_over("b", seen=seen, uptime=100) is None
    assert take_over("b", seen=lease.snapshot(seen, uptime=lambda: 114), uptime=114) is None
    second = take_over("b", seen=lease.snapshot(seen, uptime=lambda: 115), uptime=115)
    assert second.fence == first.fence + 1
    assert SchedulerLease.objects.get().holder == "b"


def test_each_renewal_starts_the_standby_s_count_anew():
    term = take_over("a")
    seen = lease.snapshot(None, uptime=lambda: 100)
    assert lease.renew(term, uptime=14, now=NOON) is not None
    seen = lease.snapshot(seen, uptime=lambda: 114)
    assert take_over("b", seen=seen, uptime=128) is None
    assert take_over("b", seen=seen, uptime=114 + TTL_SECONDS) is not None


def test_a_holder_stops_before_anybody_may_take_over():
    term = take_over(uptime=50)
    assert term.is_trusted(61)
    assert not term.is_trusted(50 + TTL_SECONDS - lease.SAFETY_MARGIN_SECONDS)


def test_trust_is_counted_from_before_the_database_was_asked():
    renewed = lease.renew(take_over(uptime=0), uptime=5, now=NOON)
    assert renewed is not None
    assert renewed.trusted_until == 5 + TTL_SECONDS - lease.SAFETY_MARGIN_SECONDS


def test_whoever_lost_the_lease_can_neither_renew_nor_publish_nor_release():
    old = take_over("a")
    seen = lease.snapshot(None, uptime=lambda: 0)
    take_over("b", seen=seen, uptime=TTL_SECONDS)
    assert lease.renew(old, uptime=20, now=NOON) is None
    assert not lease.publish(old, scheduled_jobs=7)
    lease.release(old, now=NOON)
    assert SchedulerLease.objects.values_list("holder", "scheduled_jobs").get() == ("b", 0)


def test_of_two_standbys_that_saw_the_same_one_wins():
    seen = lease.snapshot(None, uptime=lambda: 0)
    assert take_over("a", seen=seen) is not None
    assert take_over("b", seen=seen, uptime=0) is None


def test_after_a_hand_over_nobody_has_to_wait():
    lease.release(take_over("a"), now=NOON)
    assert take_over("b", uptime=1).fence == 2


def test_a_holder_that_could_not_renew_in_time_leads_again_at_once():
    old = take_over("a")
    again = take_over("a", uptime=1)
    assert again.fence == old.fence + 1
    assert lease.renew(old, uptime=2, now=NOON) is None


def test_a_holder_that_comes_back_under_its_own_name_gets_a_new_fence():
    lease.release(take_over("a"), now=NOON)
    assert take_over("a").fence == 2


def test_what_is_published_stands_beside_the_lease():
    term = take_over()
    assert lease.renew(term, uptime=1, now=NOON + timedelta(seconds=5)) is not None
    assert lease.publish(term, scheduled_jobs=12)
    row = SchedulerLease.objects.get()
    assert (row.scheduled_jobs, row.renewed_at, row.seq) == (12, NOON + timedelta(seconds=5), 2)


def test_the_clock_is_read_after_the_row_so_that_a_slow_answer_does_not_age_it(monkeypatch):
    clock = [100.0]

    def read_slowly():
        clock[0] += 7
        return "a", 1, 1, False

    monkeypatch.setattr(lease, "_read", read_slowly)
    assert lease.snapshot(None, uptime=lambda: clock[0]).since == 107
