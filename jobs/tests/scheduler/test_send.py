"""The send pool, with real threads and a real target."""

import threading
import time
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest

from cronsched.lib.tests.servers import OK, Visit, target
from jobs.dispatch import Prepared, Result
from jobs.executors.webhook import WebhookRequest
from jobs.schedule.scheduled_job import ScheduledJob
from jobs.scheduler.send import BASE_THREADS, Lanes, SendPool
from jobs.tests.factories import NOON

WAIT = 30.0
JOB = ScheduledJob._make([UUID(int=1)] + [None] * (len(ScheduledJob._fields) - 1))


class Gate:
    """A target whose answers a test lets through; counts who has come."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.arrived = threading.Semaphore(0)

    def __call__(self, visit: Visit) -> None:
        while visit.read_request():
            self.arrived.release()
            self.open.wait(WAIT)
            visit.send(OK)

    def wait_for(self, number: int) -> bool:
        return all(self.arrived.acquire(timeout=WAIT) for _ in range(number))


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


def request_to(url: str) -> Prepared:
    return Prepared(uuid4(), JOB, WebhookRequest(url=url))


def pool_of(limit: int) -> tuple[SendPool, list[Result]]:
    results: list[Result] = []
    return SendPool(limit=limit, clock=lambda: NOON, done=results.append), results


def test_each_request_is_sent_once_and_has_a_result(gate):
    pool, results = pool_of(100)
    gate.open.set()
    with target(gate) as sink:
        requests = [request_to(sink.url(f"/{number}")) for number in range(200)]
        pool.send(requests)
        assert pool.wait_for_all(timeout=WAIT)
    assert sorted(result.prepared.execution_id for result in results) == sorted(item.execution_id for item in requests)
    assert {result.outcome.status for result in results} == {"success"}
    assert {result.completed_at for result in results} == {NOON}


def test_room_is_what_is_left_of_the_limit(gate):
    pool, _ = pool_of(5)
    with target(gate) as sink:
        pool.send([request_to(sink.url()) for _ in range(4)])
        assert (pool.room, pool.in_flight) == (1, 4)
        assert pool.wait_for_room(2, timeout=0.01) == 1
        gate.open.set()
        assert pool.wait_for_room(5, timeout=WAIT) == 5


def test_a_wait_for_room_lasts_until_few_are_without_a_thread(gate, monkeypatch):
    monkeypatch.setattr(SendPool, "_threads_have_time", lambda self: not gate.open.wait())
    pool, _ = pool_of(1000)
    with target(gate) as sink:
        pool.send([request_to(sink.url()) for _ in range(BASE_THREADS + 10)])
        assert gate.wait_for(BASE_THREADS)
        # There is room for many, but those that were handed over last have no thread yet.
        before = time.monotonic()
        assert pool.wait_for_room(1, waiting=9, timeout=0.05) == 1000 - BASE_THREADS - 10
        assert time.monotonic() - before >= 0.05
        before = time.monotonic()
        pool.wait_for_room(1, waiting=10, timeout=WAIT)
        assert time.monotonic() - before < WAIT
        gate.open.set()
        pool.wait_for_room(1, waiting=0, timeout=WAIT)
        assert not pool.has_waiting
        assert pool.wait_for_all(timeout=WAIT)


def test_slow_targets_get_as_many_threads_as_the_limit_allows(gate):
    pool, _ = pool_of(4 * BASE_THREADS)
    with target(gate) as sink:
        pool.send([request_to(sink.url()) for _ in range(4 * BASE_THREADS)])
        assert gate.wait_for(4 * BASE_THREADS)
        gate.open.set()
        assert pool.wait_for_all(timeout=WAIT)


def test_threads_end_when_nothing_is_left_to_send(gate, monkeypatch):
    monkeypatch.setattr("jobs.scheduler.send.IDLE_SECONDS", 0.01)
    gate.open.set()
    before = set(threading.enumerate())
    pool, _ = pool_of(10)
    with target(gate) as sink:
        pool.send([request_to(sink.url()) for _ in range(10)])
        assert pool.wait_for_all(timeout=WAIT)
        for thread in set(threading.enumerate()) - before:
            if thread.name.startswith("send"):
                thread.join(WAIT)
                assert not thread.is_alive()
        # The pool still works: threads are made again.
        pool.send([request_to(sink.url())])
        assert pool.wait_for_all(timeout=WAIT)


def test_a_thousand_fast_requests_need_few_threads(gate):
    gate.open.set()
    pool, results = pool_of(1000)
    with target(gate) as sink:
        pool.send([request_to(sink.url()) for _ in range(1000)])
        most = 0
        while not pool.wait_for_all(timeout=0.005):
            most = max(most, sum(thread.name == "send" for thread in threading.enumerate()))
    assert [result.outcome.status for result in results] == ["success"] * 1000
    assert most < 500


class Scarcity:
    """Lets `allowed` more threads of the pool start, as a system with a limit of processes does."""

    def __init__(self, allowed: int) -> None:
        self.allowed = allowed
        self._start = threading.Thread.start

    def start(self, thread: threading.Thread) -> None:
        if thread.name == "send":
            if not self.allowed:
                raise RuntimeError("can't start new thread")
            self.allowed -= 1
        self._start(thread)


def test_what_found_no_thread_is_sent_when_there_are_some_again(gate, monkeypatch):
    scarcity = Scarcity(0)
    monkeypatch.setattr(threading.Thread, "start", lambda thread: scarcity.start(thread))
    gate.open.set()
    pool, results = pool_of(4)
    with target(gate) as sink:
        pool.send([request_to(sink.url())])
        assert (pool.in_flight, results) == (1, [])
        scarcity.allowed = 4
        # The next pass, which has nothing new.
        pool.send([])
        assert pool.wait_for_all(timeout=WAIT)


def test_a_pool_that_could_not_grow_grows_later(gate, monkeypatch):
    scarcity = Scarcity(BASE_THREADS)
    monkeypatch.setattr(threading.Thread, "start", lambda thread: scarcity.start(thread))
    pool, _ = pool_of(4 * BASE_THREADS)
    with target(gate) as sink:
        pool.send([request_to(sink.url()) for _ in range(3 * BASE_THREADS)])
        assert gate.wait_for(BASE_THREADS)
        while pool._grower is not None:
            pool._grower.join(WAIT)
        scarcity.allowed = 4 * BASE_THREADS
        pool.send([])
        assert gate.wait_for(2 * BASE_THREADS)
        gate.open.set()
        assert pool.wait_for_all(timeout=WAIT)


def test_a_lane_admits_as_many_as_its_host_may_have():
    lanes = Lanes(2)
    ids = [UUID(int=number) for number in range(5)]
    admitted = [lanes.admit(key, "http://Slow.example.com:8080/x") for key in ids[:3]]
    assert admitted == [True, True, False]
    assert lanes.admit(ids[3], "http://slow.example.com/other-port")
    lanes.leave(ids[2])
    assert not lanes.admit(ids[4], "http://slow.example.com:8080/y")
    lanes.leave(ids[0])
    assert lanes.admit(ids[4], "http://slow.example.com:8080/y")


def test_workflows_share_a_lane_and_odd_targets_have_one():
    lanes = Lanes(1)
    assert lanes.admit(UUID(int=1), "owner/repo/one.yml")
    assert not lanes.admit(UUID(int=2), "owner/repo/two.yml")
    assert lanes.admit(UUID(int=3), "http://[broken/")


def test_without_a_limit_everything_is_admitted():
    lanes = Lanes(0)
    assert all(lanes.admit(UUID(int=number), "http://one.example.com/") for number in range(5000))
    lanes.leave(UUID(int=1))


def test_a_pool_that_is_done_is_waited_for_no_longer():
    pool, _ = pool_of(3)
    began = time.monotonic()
    assert pool.wait_for_all(timeout=WAIT)
    assert time.monotonic() - began < 1
