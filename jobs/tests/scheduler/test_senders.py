"""Who sends: heartbeats, shares of a limit, and what becomes of what a dead sender took."""

from datetime import timedelta
from uuid import UUID

import pytest

from cronsched.http_client import http_client
from cronsched.lib.http.delays import LoopDelay
from jobs.chores.sweep import SENDER_GONE, sweep_dead_senders
from jobs.models import JobExecution, Sender, SenderKind, Status
from jobs.scheduler.backends.local import LocalBackend
from jobs.scheduler.senders import Heartbeat, origin_share
from jobs.scheduler.write_lock import write_lock
from jobs.targets.limits import HostLimiter, Wanted
from jobs.tests.factories import NOON
from jobs.tests.scheduler.helpers import Clock, claim, make_due_job, only_row, record, success

pytestmark = [pytest.mark.database, pytest.mark.django_db]

DEAD, LIVING = UUID("5e0de200-0000-4000-8000-000000000001"), UUID("5e0de200-0000-4000-8000-000000000003")
SECOND = timedelta(seconds=1)


def shown(token=LIVING, *, kind=SenderKind.STANDBY, started=NOON - 60 * SECOND, seen=NOON):
    return Sender(token=token, host="a", kind=kind, started_at=started, seen_at=seen, limit=100)


def tokens(number):
    return [UUID(int=index + 1) for index in range(number)]


@pytest.mark.parametrize(("total", "number"), [(10, 1), (10, 2), (10, 3), (1, 3), (7, 10), (0, 2)])
def test_the_shares_of_all_senders_add_up_to_the_limit(total, number):
    living = [shown(token) for token in tokens(number)]
    shares = [origin_share(total, me=sender.token, living=living, now=NOON) for sender in living]
    assert sum(shares) == total
    assert max(shares) - min(shares) <= 1


def test_the_leader_gets_what_cannot_be_divided():
    first, leader = tokens(2)
    living = [shown(first), shown(leader, kind=SenderKind.LOCAL)]
    assert origin_share(1, me=leader, living=living, now=NOON) == 1
    assert origin_share(1, me=first, living=living, now=NOON) == 0


def test_a_newcomer_gets_nothing_until_the_others_know_of_it():
    old, new = tokens(2)
    living = [shown(old), shown(new, started=NOON - 9 * SECOND)]
    assert origin_share(10, me=new, living=living, now=NOON) == 0
    assert origin_share(10, me=old, living=living, now=NOON) == 5
    assert origin_share(10, me=new, living=living, now=NOON + SECOND) == 5
    assert origin_share(10, me=new, living=living[1:], now=NOON) == 10


def test_where_workers_live_they_have_all_places():
    leader, *others = tokens(3)
    living = [shown(leader, kind=SenderKind.LOCAL), *(shown(token, kind=SenderKind.CELERY) for token in others)]
    assert [origin_share(5, me=sender.token, living=living, now=NOON) for sender in living] == [0, 3, 2]


def test_an_origin_gets_its_new_share():
    limiter = HostLimiter(100, per_origin=2)
    wanted = Wanted("team", "https://example.com:443")
    one, two, three = tokens(3)
    assert limiter.take(one, wanted)
    limiter.set_origin_limit(1)
    assert not limiter.take(two, wanted)
    limiter.leave([one])
    limiter.set_origin_limit(0)
    assert not limiter.take(two, wanted)
    limiter.set_origin_limit(2)
    assert limiter.take(two, wanted)
    assert limiter.take(three, wanted)


def test_what_a_sender_without_a_heartbeat_took_is_unknown_after_15_seconds():
    make_due_job()
    claim(sender=DEAD)
    shown(DEAD).save()
    now = NOON + 15 * SECOND
    assert sweep_dead_senders(now=now, may_act=lambda: True) == 0
    assert only_row().status == "running"
    assert sweep_dead_senders(now=now + SECOND, may_act=lambda: True) == 1
    assert (only_row().status, only_row().reason) == ("unknown", SENDER_GONE)
    assert not Sender.objects.exists()


def test_what_the_living_took_is_theirs():
    make_due_job()
    claim(sender=LIVING)
    shown(DEAD).save()
    shown(LIVING, seen=NOON + 10 * SECOND).save()
    assert sweep_dead_senders(now=NOON + 20 * SECOND, may_act=lambda: True) == 0
    assert only_row().status == "running"
    assert Sender.objects.get().token == LIVING


def test_a_sender_that_was_only_stopped_corrects_what_was_called_unknown():
    make_due_job()
    prepared = claim(sender=DEAD).prepared
    shown(DEAD).save()
    sweep_dead_senders(now=NOON + 60 * SECOND, may_act=lambda: True)
    assert record(prepared, success(), at=NOON + 61 * SECOND, sender=DEAD) == 1
    assert only_row().status == "success"


def test_without_the_lease_nobody_is_buried():
    make_due_job()
    claim(sender=DEAD)
    shown(DEAD).save()
    assert sweep_dead_senders(now=NOON + 60 * SECOND, may_act=lambda: False) == 0
    assert Sender.objects.count() == 1
    assert JobExecution.objects.get().status == Status.RUNNING


@pytest.fixture
def backend():
    return LocalBackend(write_lock(), limiter=HostLimiter(100), clock=Clock(NOON))


def test_a_beat_says_how_long_the_loop_leaves_answers_unhandled(backend, monkeypatch):
    delay = LoopDelay()
    delay.record(0.02)
    monkeypatch.setattr(http_client(), "loop_delay", delay)
    Heartbeat(backend).beat()
    assert Sender.objects.get().loop_delay_seconds == 0.02


def test_a_beat_shows_the_sender_and_the_next_ones_only_move_it_on(backend):
    heartbeat = Heartbeat(backend)
    heartbeat.beat()
    backend.clock.at += 5 * SECOND
    heartbeat.beat()
    sender = Sender.objects.get()
    assert (sender.token, sender.kind, sender.limit, sender.in_flight) == (backend.token, "standby", 100, 0)
    assert (sender.started_at, sender.seen_at) == (NOON, NOON + 5 * SECOND)


def test_the_places_at_an_origin_are_divided_by_the_living_only(backend, settings):
    settings.PER_HOST_IN_FLIGHT = 4
    shown(LIVING).save()
    shown(DEAD, seen=NOON - 16 * SECOND).save()
    heartbeat = Heartbeat(backend, kind=SenderKind.LOCAL)
    heartbeat.beat()
    wanted = Wanted("team", "https://example.com:443")
    assert [backend.limiter.take(token, wanted) for token in tokens(3)] == [True, True, False]


def test_only_who_has_seen_15_good_seconds_judges_others(backend):
    heartbeat = Heartbeat(backend)
    judged = []
    # The database is away for a minute after the fourth beat.
    for seconds in (0, 5, 10, 15, 75, 80, 85, 90):
        backend.clock.at = NOON + seconds * SECOND
        heartbeat.beat()
        judged.append(heartbeat.may_judge)
    assert judged == [False, False, False, True, False, False, False, True]
    # A clock that was set back says nothing either.
    backend.clock.at = NOON
    heartbeat.beat()
    assert not heartbeat.may_judge


def test_a_sender_that_ends_takes_its_row_away(backend):
    heartbeat = Heartbeat(backend)
    heartbeat.beat()
    heartbeat.remove()
    assert not Sender.objects.exists()
