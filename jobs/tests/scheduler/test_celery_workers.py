"""Celery workers that die, stop, are cut off or may not start: each test has its own."""

import signal
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from jobs.dispatch.journal import folder
from jobs.dispatch.replay import replay_dead_senders
from jobs.models import SchedulerLease, Sender, Status
from jobs.tests.scheduler.brokers import (
    Cable,
    CeleryWorker,
    celery_worker,
    run_pass,
    senders,
    show_a_worker,
    started,
    wait_for,
    wait_for_worker,
)
from jobs.tests.scheduler.helpers import statuses
from jobs.tests.scheduler.processes import database_url, make_job_due_now

pytestmark = [pytest.mark.slow, pytest.mark.brokers, pytest.mark.database, pytest.mark.django_db(transaction=True)]

# A process for each test takes its time.
SLOW = pytest.param("rabbitmq", marks=pytest.mark.chaos)
LATE, TOO_LATE = 3.5, 10.5


@pytest.fixture(scope="module", params=["redis", SLOW])
def own_broker(request: pytest.FixtureRequest) -> Iterator[Any]:
    yield from started(request.param)


def test_a_worker_that_is_cut_from_the_broker_helps_from_the_database(leader, queue, sink, behaviour):
    cable = queue.cable()
    with celery_worker(queue.address(cable.port)):
        cable.cut()
        show_a_worker()
        make_job_due_now(sink.url("/cut"))
        run_pass(leader)
        leader.later(LATE)
        SchedulerLease.objects.update_or_create(pk=1, defaults={"holder": "leader"})
        asked = []
        leader.producer.ask_for_help = lambda wanted: asked.append(SchedulerLease.objects.update(help_wanted=wanted))
        run_pass(leader)
        wait_for(Status.SUCCESS)
    assert behaviour.paths == {"/cut": 1}
    assert leader.backend.token not in senders()


def test_a_worker_that_is_cut_from_the_database_records_what_was_out_later(leader, queue, sink, behaviour):
    if connection.vendor == "sqlite":
        pytest.skip("a file cannot be cut off")
    cable = Cable(int(connection.settings_dict["PORT"]))
    behaviour.hold.set()
    with celery_worker(queue.url, DATABASE_URL=database_url(port=cable.port)) as worker:
        show_a_worker()
        make_job_due_now(sink.url("/out"))
        run_pass(leader)
        assert behaviour.wait_for_arrival()
        cable.cut()
        make_job_due_now(sink.url("/kept"))
        run_pass(leader)
        behaviour.answer.set()
        behaviour.hold.clear()
        worker.wait_for("wait for the database")
        assert statuses() == ["queued", "running"]
        cable.repair()
        wait_for(Status.SUCCESS)
        leader.later(LATE)
        run_pass(leader)
        wait_for(Status.SUCCESS, 2)
    cable.close()
    assert behaviour.paths == {"/out": 1, "/kept": 1}
    assert "Traceback" not in worker.said


def test_a_worker_killed_before_its_commit_has_done_nothing(leader, queue, sink, behaviour):
    dying = type(
        "Dying", (CeleryWorker,), {"command": ("-m", "jobs.tests.scheduler.dying_worker", *CeleryWorker.command[2:])}
    )
    with celery_worker(queue.url, kind=dying) as worker:
        show_a_worker()
        make_job_due_now(sink.url("/due"))
        run_pass(leader)
        assert worker.wait() == -signal.SIGKILL
    assert statuses() == ["queued"]
    leader.later(TOO_LATE)
    run_pass(leader)
    wait_for(Status.SUCCESS)
    assert behaviour.paths == {"/due": 1}


def test_of_a_worker_killed_after_its_commit_what_never_left_is_sent_by_another(leader, queue, sink, behaviour):
    with celery_worker(queue.url, failpoints="after-claim=kill", JOURNAL_DIR=str(folder())) as worker:
        show_a_worker()
        make_job_due_now(sink.url("/due"))
        run_pass(leader)
        assert worker.wait() == -signal.SIGKILL
    replay_dead_senders(now=timezone.now())
    assert statuses() == ["queued"]
    leader.later(TOO_LATE)
    run_pass(leader)
    wait_for(Status.SUCCESS)
    assert behaviour.paths == {"/due": 1}


def test_a_queue_full_of_foreign_messages_costs_one_line(leader, queue, sink, behaviour):
    with celery_worker(queue.url) as worker:
        for _ in range(20):
            queue.publish({"hello": "world"})
            queue.publish([[], {}, {}], task="another.task", id="1")
        show_a_worker()
        make_job_due_now(sink.url("/ours"))
        run_pass(leader)
        wait_for(Status.SUCCESS)
        assert worker.said.count("were dropped") == 1, worker.said
        assert "Traceback" not in worker.said
    assert leader.backend.token not in senders()


def test_a_worker_that_is_told_to_stop_lets_what_is_out_end(leader, queue, sink, behaviour):
    behaviour.hold.set()
    with celery_worker(queue.url) as worker:
        wait_for_worker()
        make_job_due_now(sink.url("/out"))
        run_pass(leader)
        assert behaviour.wait_for_arrival()
        worker.signal(signal.SIGTERM)
        worker.wait_for("drains")
        behaviour.answer.set()
        assert worker.wait() == 0, worker.said
    assert statuses() == ["success"]
    assert not Sender.objects.exists()


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_only_threads_will_do(pool):
    worker = CeleryWorker(f"--pool={pool}", EXECUTION_BACKEND="celery", CELERY_BROKER_URL="redis://127.0.0.1:1/0")
    try:
        assert worker.wait() == 1
        assert "--pool=threads" in worker.said
    finally:
        worker.end()
