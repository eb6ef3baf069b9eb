"""What can go wrong between the leader, a broker and a worker: real brokers, real workers, a real target.

Each line of the table in docs/scaling.md is one of these tests.
"""

import logging
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from jobs import services
from jobs.chores.sweep import sweep_dead_senders
from jobs.models import Sender, SenderKind, Status
from jobs.scheduler.backends.celery import IDS_A_MESSAGE
from jobs.tests.scheduler.brokers import (
    CeleryWorker,
    Leader,
    celery_worker,
    leader_behind,
    run_pass,
    senders,
    show_a_worker,
    wait_for,
)
from jobs.tests.scheduler.helpers import WAIT, only_row, statuses
from jobs.tests.scheduler.processes import make_job_due_now, scheduler

pytestmark = [pytest.mark.brokers, pytest.mark.database, pytest.mark.django_db(transaction=True)]

LATE, TOO_LATE = 3.5, 10.5
# Promise G6, after kill -9.
FAILOVER_SECONDS = 20.0


@pytest.fixture(scope="module")
def warm(own_broker: Any, django_db_setup: None, django_db_blocker: Any) -> Iterator[dict[str, Any]]:
    """Hold the worker that the tests share, once the first has started it."""
    with ExitStack() as stack:
        yield {"stack": stack}


@pytest.fixture
def worker(queue: Any, warm: dict[str, Any]) -> Iterator[CeleryWorker]:
    """A worker that waits for messages and shows itself."""
    if "worker" not in warm:
        warm["worker"] = warm["stack"].enter_context(celery_worker(queue.url))
    show_a_worker()
    yield warm["worker"]
    warm["worker"].signal(signal.SIGCONT)


def test_a_worker_sends_and_records_what_the_leader_claims(leader, worker, sink, behaviour):
    for number in range(120):
        make_job_due_now(sink.url(f"/{number}"))
    run_pass(leader)
    wait_for(Status.SUCCESS, 120)
    assert set(behaviour.paths.values()) == {1}
    assert leader.backend.token not in senders()
    assert max(len(message["ids"]) for message in leader.messages) <= IDS_A_MESSAGE
    assert not any("hooks" in str(message) or sink.url("/") in str(message) for message in leader.messages)


def test_a_lost_message_is_published_again(leader, worker, sink, behaviour):
    publish, leader.send = leader.send, lambda message: None
    make_job_due_now(sink.url("/lost"))
    run_pass(leader)
    leader.send = publish
    run_pass(leader)
    assert statuses() == ["queued"]
    leader.later(LATE)
    run_pass(leader)
    wait_for(Status.SUCCESS)
    assert behaviour.paths == {"/lost": 1}
    assert leader.backend.token not in senders()


def test_what_no_worker_starts_the_leader_sends_itself(leader, worker, sink, behaviour):
    leader.send = lambda message: None
    make_job_due_now(sink.url("/unanswered"))
    run_pass(leader)
    leader.later(TOO_LATE)
    run_pass(leader)
    assert behaviour.wait_for_arrival()
    wait_for(Status.SUCCESS)
    assert (behaviour.paths, senders()) == ({"/unanswered": 1}, {leader.backend.token})


def test_a_message_that_comes_twice_sends_once(leader, worker, sink, behaviour):
    publish = leader.send

    def twice(message: Any) -> None:
        publish(message)
        publish(message)

    leader.send = twice
    for number in range(30):
        make_job_due_now(sink.url(f"/{number}"))
    run_pass(leader)
    wait_for(Status.SUCCESS, 30)
    assert set(behaviour.paths.values()) == {1}


def test_a_message_that_is_an_hour_late_does_nothing(leader, worker, sink, behaviour):
    make_job_due_now(sink.url("/once"))
    run_pass(leader)
    wait_for(Status.SUCCESS)
    old = next(message for message in leader.messages if message["ids"])
    leader.send(old)
    # What is published after it is handled after it.
    make_job_due_now(sink.url("/next"))
    run_pass(leader)
    wait_for(Status.SUCCESS, 2)
    assert behaviour.paths == {"/once": 1, "/next": 1}


def test_what_was_in_an_emptied_broker_is_published_again(leader, worker, queue, sink, behaviour, monkeypatch):
    monkeypatch.setattr("jobs.scheduler.backends.celery.IDS_A_MESSAGE", 10)
    worker.freeze()
    for number in range(60):
        make_job_due_now(sink.url(f"/{number}"))
    run_pass(leader)
    queue.empty()
    worker.signal(signal.SIGCONT)
    leader.later(LATE)
    run_pass(leader)
    wait_for(Status.SUCCESS, 60)
    assert len(behaviour.paths) == 60
    assert set(behaviour.paths.values()) == {1}


def test_a_broker_that_restarts_is_found_again(leader, worker, queue, sink, behaviour):
    queue.restart()
    make_job_due_now(sink.url("/after"))
    run_pass(leader)
    # Publishing finds out that the connection is gone and makes another; the worker connects by itself.
    assert leader.workers.trouble == ""
    wait_for(Status.SUCCESS)
    assert leader.backend.token not in senders()


def test_with_the_broker_away_the_leader_sends_at_once_and_says_so_once(leader, worker, queue, sink, behaviour, caplog):
    cable = queue.cable()
    caplog.set_level(logging.INFO, "jobs.scheduler.backends.celery")
    with leader_behind(leader, queue.address(cable.port)):
        cable.cut()
        for number in range(3):
            make_job_due_now(sink.url(f"/{number}"))
            run_pass(leader)
            run_pass(leader)
        wait_for(Status.SUCCESS, 3)
        assert senders() == {leader.backend.token}
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        cable.repair()
        leader.workers._outbox.put([uuid4()])
        leader.wait_until_published()
        make_job_due_now(sink.url("/back"))
        run_pass(leader)
        wait_for(Status.SUCCESS, 4)
        assert senders() != {leader.backend.token}
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert behaviour.paths == {"/0": 1, "/1": 1, "/2": 1, "/back": 1}


def test_a_broker_that_does_not_answer_holds_up_no_claim(leader, worker, queue, sink, behaviour):
    cable = queue.cable()
    with leader_behind(leader, queue.address(cable.port)):
        run_pass(leader)
        cable.swallow()
        make_job_due_now(sink.url("/held"))
        began = time.monotonic()
        while not behaviour.paths:
            leader.producer.run_pass(lambda: True)
            behaviour.wait_for_arrival(0.2)
            assert time.monotonic() - began < WAIT
        cable.cut()
        leader.wait_until_published()
    wait_for(Status.SUCCESS)
    assert behaviour.paths == {"/held": 1}


def test_what_a_stopped_worker_had_out_is_unknown_until_it_goes_on(leader, worker, sink, behaviour):
    behaviour.hold.set()
    make_job_due_now(sink.url("/out"))
    run_pass(leader)
    assert behaviour.wait_for_arrival()
    token = only_row().sender
    Sender.objects.update_or_create(
        pk=token,
        defaults={"host": "a", "kind": "celery", "started_at": timezone.now(), "seen_at": timezone.now(), "limit": 100},
    )
    worker.freeze()
    assert sweep_dead_senders(now=timezone.now() + timedelta(seconds=60), may_act=lambda: True) == 1
    assert statuses() == ["unknown"]
    behaviour.answer.set()
    worker.signal(signal.SIGCONT)
    wait_for(Status.SUCCESS)
    assert behaviour.paths == {"/out": 1}


def test_two_leaders_that_publish_the_same_send_it_once(leader, worker, queue, sink, behaviour, settings, monkeypatch):
    other = Leader(queue.url, settings, monkeypatch)
    for number in range(30):
        make_job_due_now(sink.url(f"/{number}"))
    run_pass(leader)
    run_pass(other)
    for _ in range(2):
        for each in (leader, other):
            each.later(LATE)
            run_pass(each)
    other.end()
    wait_for(Status.SUCCESS, 30)
    assert set(behaviour.paths.values()) == {1}


def test_what_is_paused_between_publishing_and_start_is_not_sent(leader, worker, sink, behaviour):
    worker.freeze()
    job = make_job_due_now(sink.url("/paused"))
    make_job_due_now(sink.url("/other"))
    run_pass(leader)
    services.pause_job(job.pk, by=None, now=timezone.now())
    worker.signal(signal.SIGCONT)
    wait_for(Status.SUCCESS)
    assert (statuses(), behaviour.paths) == (["skipped", "success"], {"/other": 1})


def test_what_comes_in_a_message_of_another_release_or_installation_the_leader_sends(leader, worker, sink, behaviour):
    publish = leader.send
    damages: list[dict[str, Any]] = [{"version": 2}, {"installation": "another"}, {"ids": ["no id"]}, {"ids": 5}]

    def damaged(message: Any) -> None:
        for damage in damages:
            publish({**message, **damage} if message["ids"] else message)

    leader.send = damaged
    make_job_due_now(sink.url("/foreign"))
    run_pass(leader)
    leader.later(TOO_LATE)
    run_pass(leader)
    wait_for(Status.SUCCESS)
    assert (behaviour.paths, senders()) == ({"/foreign": 1}, {leader.backend.token})


@pytest.mark.slow
def test_schedulers_and_a_worker_as_an_operator_starts_them(queue, worker, sink, behaviour):
    make_job_due_now(sink.url("/whole"))
    with scheduler(EXECUTION_BACKEND="celery", CELERY_BROKER_URL=queue.url) as process:
        wait_for(Status.SUCCESS)
        token = only_row().sender
        assert not Sender.objects.exclude(kind=SenderKind.CELERY).filter(pk=token).exists()
        process.signal(signal.SIGTERM)
        assert process.wait() == 0, process.said


@pytest.mark.slow
def test_when_the_leader_is_killed_the_next_one_has_it_sent_within_20_s(queue, worker, sink, behaviour):
    settings = {"EXECUTION_BACKEND": "celery", "CELERY_BROKER_URL": queue.url}
    with scheduler(**settings) as leading:
        leading.wait_for("leads (fence")
        with scheduler(**settings) as standby:
            standby.wait_for("stands by")
            leading.signal(signal.SIGKILL)
            killed_at = time.monotonic()
            make_job_due_now(sink.url("/next"))
            assert behaviour.wait_for_arrival()
            assert time.monotonic() - killed_at < FAILOVER_SECONDS
            wait_for(Status.SUCCESS)
            # By a worker, or by the new leader where it is not connected to the broker yet.
            assert "leads (fence" in standby.said
    assert behaviour.paths == {"/next": 1}
