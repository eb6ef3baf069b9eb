"""Worker processes of a real scheduler: they help with what it cannot send alone, and outlive nothing."""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from uuid import UUID

import pytest

from cronsched.lib.tests.servers import Target
from jobs.models import JobExecution, SchedulerLease, Status
from jobs.tests.scheduler.processes import Scheduler, Sink, make_owed_job, scheduler

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

WAIT = 60.0
JOBS = 30
# Two processes share it: each may have five requests out.
SETTINGS = {"SEND_PROCESSES": "2", "MAX_IN_FLIGHT": "10"}


@pytest.fixture
def busy(sink: Target, behaviour: Sink) -> Iterator[Scheduler]:
    """A leader and its worker, with as many requests out as both may have and more that wait."""
    behaviour.hold.set()
    for number in range(JOBS):
        make_owed_job(sink.url(f"/{number}"))
    with scheduler(**SETTINGS) as process:
        assert all(behaviour.wait_for_arrival() for _ in range(10))
        yield process


def wait_for(expected: dict[str, int]) -> None:
    """Wait until so many of the rows that were sent have each status: nobody says when a process has recorded."""
    ends_at = time.monotonic() + WAIT
    sent = JobExecution.objects.exclude(status=Status.QUEUED)
    while (found := Counter(sent.values_list("status", flat=True))) != expected:
        assert time.monotonic() < ends_at, found
        time.sleep(0.02)


def senders() -> Counter[UUID | None]:
    return Counter(JobExecution.objects.exclude(sender=None).values_list("sender", flat=True))


def test_a_herd_is_sent_by_all_processes_and_each_fire_time_once(busy, behaviour):
    assert sorted(senders().values()) == [5, 5]
    behaviour.hold.clear()
    behaviour.answer.set()
    wait_for({"success": JOBS})
    assert behaviour.paths == {f"/{number}": 1 for number in range(JOBS)}
    busy.signal(signal.SIGTERM)
    assert busy.wait() == 0


def test_what_is_out_when_a_stop_is_asked_for_is_recorded_by_all_processes(busy, behaviour):
    (worker,) = busy.workers
    busy.signal(signal.SIGTERM)
    ends_at = time.monotonic() + WAIT
    while SchedulerLease.objects.get().holder:
        assert time.monotonic() < ends_at
        time.sleep(0.02)
    behaviour.answer.set()
    assert busy.wait() == 0
    wait_for({"success": 10})
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


def test_a_worker_whose_scheduler_was_killed_records_what_it_has_sent_and_ends(busy, behaviour):
    busy.signal(signal.SIGKILL)
    behaviour.answer.set()
    # Whoever still holds the other end of its output is alive.
    assert busy.wait() == -signal.SIGKILL
    assert busy.has_gone
    # It may have taken some more in the moment of the kill. What the scheduler itself had sent nobody can know.
    sent = Counter(JobExecution.objects.exclude(status=Status.QUEUED).values_list("status", flat=True))
    assert sent == {"success": behaviour.paths.total() - 5, "running": 5}


def test_a_scheduler_that_lost_its_worker_goes_on_alone(busy, behaviour):
    (worker,) = busy.workers
    os.kill(worker, signal.SIGKILL)
    behaviour.hold.clear()
    behaviour.answer.set()
    wait_for({"success": JOBS - 5, "running": 5})
    assert f"Worker {worker} has ended" in busy.said
    busy.signal(signal.SIGTERM)
    assert busy.wait() == 0


def test_a_second_signal_ends_all_processes_at_once(busy, behaviour):
    busy.signal(signal.SIGTERM)
    busy.wait_for("drains")
    busy.signal(signal.SIGTERM)
    assert busy.wait() == 128 + signal.SIGTERM
    assert busy.has_gone
