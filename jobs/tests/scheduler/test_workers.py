"""Worker processes of a real scheduler: they help with what it cannot send alone, and outlive nothing."""

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from uuid import UUID

import pytest

from cronsched.lib.tests.servers import Target
from cronsched.tests.processes import ROOT
from jobs.models import JobExecution, SchedulerLease, Status
from jobs.tests.scheduler.processes import Scheduler, Sink, make_job_due_now, scheduler

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
        make_job_due_now(sink.url(f"/{number}"))
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


def assert_gone(pid: int) -> None:
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


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
    assert_gone(worker)


def test_a_worker_whose_scheduler_was_killed_records_what_it_has_sent_and_ends(busy, behaviour):
    busy.signal(signal.SIGKILL)
    behaviour.answer.set()
    # Whoever still holds the other end of its output is alive.
    assert busy.wait() == -signal.SIGKILL
    assert busy.has_gone
    # It may have taken some more in the moment of the kill. What the scheduler itself had sent nobody can know.
    sent = Counter(JobExecution.objects.exclude(status=Status.QUEUED).values_list("status", flat=True))
    assert sent == {"success": behaviour.paths.total() - 5, "running": 5}


def kill_worker(process: Scheduler, *, delay: str = "") -> int:
    """Kill the only worker and return the process that took its place, to begin after `delay`."""
    (worker,) = process.workers
    os.kill(worker, signal.SIGKILL)
    process.wait_for(f"(process {worker}) was ended by SIGKILL: process ")
    found = re.search(rf"\(process {worker}\) was ended by SIGKILL: process (\d+) takes its place(.*)\n", process.said)
    assert found is not None
    assert found[2] == delay
    return int(found[1])


def test_a_worker_that_dies_is_replaced_and_its_successor_sends_along(busy, behaviour):
    successor = kill_worker(busy)
    # Nothing has been answered yet: only who is new has room.
    assert all(behaviour.wait_for_arrival() for _ in range(5))
    assert sorted(senders().values()) == [5, 5, 5]
    behaviour.hold.clear()
    behaviour.answer.set()
    wait_for({"success": JOBS - 5, "running": 5})
    assert busy.workers == [successor]
    busy.signal(signal.SIGTERM)
    assert busy.wait() == 0
    assert busy.has_gone


def test_workers_that_die_again_and_again_are_replaced_ever_more_slowly(busy):
    for delay in ("", " in 1 s", " in 2 s", " in 4 s", " in 8 s"):
        kill_worker(busy, delay=delay)
    (waiting,) = busy.workers
    busy.signal(signal.SIGKILL)
    busy.wait()
    assert busy.has_gone, "who waits to begin notices the end as well"
    assert_gone(waiting)


def test_without_the_nursery_workers_go_on(busy, behaviour):
    nursery = busy.nursery
    os.kill(nursery, signal.SIGKILL)
    busy.wait_for(f"The nursery (process {nursery}) has ended")
    busy.signal(signal.SIGTERM)
    busy.wait_for("drains")
    behaviour.answer.set()
    assert busy.wait() == 0
    wait_for({"success": 10})
    assert busy.said.count("has ended") == 1
    assert busy.has_gone


def test_a_scheduler_without_nursery_and_worker_goes_on_alone(busy, behaviour):
    (worker,) = busy.workers
    os.kill(busy.nursery, signal.SIGKILL)
    os.kill(worker, signal.SIGKILL)
    busy.wait_for("Worker 1 has ended")
    behaviour.hold.clear()
    behaviour.answer.set()
    wait_for({"success": JOBS - 5, "running": 5})
    busy.signal(signal.SIGTERM)
    assert busy.wait() == 0


def test_a_second_signal_ends_all_processes_at_once(busy, behaviour):
    busy.signal(signal.SIGTERM)
    busy.wait_for("drains")
    busy.signal(signal.SIGTERM)
    assert busy.wait() == 128 + signal.SIGTERM
    assert busy.has_gone


DEAF = """
import os, signal
from jobs.scheduler.workers import Workers

ears, mouths = os.pipe()


def work(calls):
    os.write(mouths, b"!")
    signal.pause()


workers = Workers()
workers.fork(2, work)
# Who has not begun when it is dismissed never begins.
for _ in range(2):
    os.read(ears, 1)
workers.dismiss()
workers.join(timeout=0.01)
"""


def test_workers_that_do_not_end_in_time_are_killed():
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "cronsched.settings"}
    # Returns only when nobody holds the other end of its output any more.
    done = subprocess.run([sys.executable, "-c", DEAF], cwd=ROOT, env=environment, capture_output=True, timeout=WAIT)
    assert (done.returncode, done.stderr.decode()) == (0, "Not all workers ended in time\n")
