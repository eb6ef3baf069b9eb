"""A clock that was set back, and what had been written by it before."""

from datetime import datetime, timedelta

import pytest

from cronsched.lib.chores import CronChore
from jobs.github import rate_limits
from jobs.models import JobExecution, RateLimitBucket, SchedulerLease, Status
from jobs.scheduler import lease
from jobs.scheduler.clock_steps import Sample, bring_back
from jobs.scheduler.runner import Leader
from jobs.tests.factories import NOON, make_execution, make_job

pytestmark = [pytest.mark.database, pytest.mark.django_db]

AHEAD = timedelta(hours=2)


@pytest.mark.parametrize(
    ("elapsed", "shown", "step"),
    [(5, 5, 0), (5, 7205, 7200), (5, -7195, -7200), (3600, 3600, 0)],
)
def test_a_step_is_what_the_clock_shows_beyond_the_time_that_passed(elapsed, shown, step):
    later = Sample(NOON + timedelta(seconds=shown), 100.0 + elapsed)
    assert Sample(NOON, 100.0).step_to(later) == timedelta(seconds=step)


def test_what_waits_for_the_time_of_before_waits_for_the_right_one():
    job = make_job()
    waiting = make_execution(job, status=Status.QUEUED, not_before=NOON + AHEAD + timedelta(seconds=30))
    running = make_execution(job, status=Status.RUNNING, deadline_at=NOON + AHEAD + timedelta(seconds=60))
    soon = make_execution(job, status=Status.QUEUED, not_before=NOON + timedelta(minutes=10))
    assert bring_back(by=AHEAD, now=NOON) == 2
    for row in (waiting, running, soon):
        row.refresh_from_db()
    assert waiting.not_before == NOON + timedelta(seconds=30)
    assert running.deadline_at == NOON + timedelta(seconds=60)
    assert soon.not_before == NOON + timedelta(minutes=10)


def test_a_dispatch_does_not_wait_for_slots_taken_in_the_future():
    execution_id = make_execution(make_job()).pk
    assert rate_limits.acquire([(execution_id, "token")], now=NOON + AHEAD) == {}
    RateLimitBucket.objects.update(blocked_until=NOON + AHEAD + timedelta(minutes=1))
    assert rate_limits.acquire([(execution_id, "token")], now=NOON) != {}
    bring_back(by=AHEAD, now=NOON)
    assert rate_limits.acquire([(execution_id, "token")], now=NOON) == {}


def leader() -> Leader:
    """Return a process that leads, as far as its clock is concerned."""
    found = Leader.__new__(Leader)
    found._sample = None
    found.__dict__["may_act"] = lambda: True
    found._term = lease.take_over(lease.snapshot(None, uptime=lambda: 0.0), holder="a", uptime=0.0, now=NOON)
    return found


def test_the_leader_notices_and_asks_for_a_reconcile(caplog):
    waiting = make_execution(make_job(), status=Status.QUEUED, not_before=NOON + AHEAD + timedelta(seconds=30))
    leading = leader()
    leading._notice_step(Sample(NOON + AHEAD, 100.0))
    assert SchedulerLease.objects.get().resync_requested == 0
    leading._notice_step(Sample(NOON, 105.0))
    assert SchedulerLease.objects.get().resync_requested == 1
    assert JobExecution.objects.get(pk=waiting.pk).not_before < NOON + timedelta(minutes=1)
    assert "set back by 7205 s: 1 rows moved" in caplog.text


def test_a_chore_done_in_the_future_is_done_again_in_time():
    done: list[datetime] = []
    chore = CronChore("prune_history", "15 3 * * *", lambda now, _: done.append(now))
    leading = leader()
    clock = {"now": NOON}
    leading._clock = type("Clock", (), {"now": lambda _: clock["now"]})()
    tomorrow, ahead = NOON + timedelta(days=1), NOON + timedelta(days=400)
    SchedulerLease.objects.update(chores_done={chore.id: ahead.isoformat()})
    leading._do_if_due(chore)
    assert (done, SchedulerLease.objects.get().chores_done) == ([], {chore.id: NOON.isoformat()})
    clock["now"] = tomorrow
    leading._do_if_due(chore)
    assert done == [tomorrow]
