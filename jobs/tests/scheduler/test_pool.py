"""The send pool, with a real client and a real target."""

import threading
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest

from cronsched.lib.tests.servers import OK, Visit, target
from jobs.dispatch import Prepared, Result
from jobs.dispatch.dead_senders import parse
from jobs.dispatch.executors import Unsendable
from jobs.dispatch.journal import Journal, folder
from jobs.executors.webhook import WebhookRequest
from jobs.schedule.scheduled_job import ScheduledJob
from jobs.scheduler import pool as pool_module
from jobs.scheduler.pool import WINDOW, SendPool
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


@pytest.fixture
def journal() -> Iterator[Journal]:
    journal = Journal(uuid4())
    yield journal
    journal.close()


@pytest.fixture
def results() -> list[Result]:
    return []


@pytest.fixture
def pool(journal: Journal, results: list[Result]) -> SendPool:
    return SendPool(journal=journal, clock=lambda: NOON, done=results.append)


def request_to(url: str) -> Prepared:
    return Prepared(uuid4(), JOB, WebhookRequest(url=url))


def test_each_request_is_sent_once_and_has_a_result(pool, results, gate):
    gate.open.set()
    with target(gate) as sink:
        requests = [request_to(sink.url(f"/{number}")) for number in range(200)]
        pool.send(requests)
        assert pool.wait_for_all(timeout=WAIT)
    assert len(sink.requests) == 200
    assert sorted(result.prepared.execution_id for result in results) == sorted(item.execution_id for item in requests)
    assert {result.outcome.status for result in results} == {"success"}
    assert {result.completed_at for result in results} == {NOON}


def test_what_was_handed_over_is_in_flight_until_it_has_a_result(pool, gate):
    with target(gate) as sink:
        pool.send([request_to(sink.url()) for _ in range(4)])
        assert pool.in_flight == 4
        assert not pool.wait_for_all(timeout=0.01)
        gate.open.set()
        assert pool.wait_for_all(timeout=WAIT)
        assert pool.in_flight == 0


def test_slow_targets_are_all_called_although_none_answers(pool, gate):
    with target(gate) as sink:
        pool.send([request_to(sink.url()) for _ in range(4 * WINDOW)])
        assert gate.wait_for(4 * WINDOW)
        assert pool.waiting == 0
        gate.open.set()
        assert pool.wait_for_all(timeout=WAIT)


def test_only_a_window_is_out_while_nothing_says_that_targets_are_slow(pool, gate, monkeypatch):
    monkeypatch.setattr(SendPool, "_watch_window", lambda self: None)
    with target(gate) as sink:
        pool.send([request_to(sink.url()) for _ in range(3 * WINDOW)])
        assert gate.wait_for(WINDOW)
        assert (pool.in_flight, pool.waiting) == (3 * WINDOW, 2 * WINDOW)
        gate.open.set()
        assert pool.wait_for_all(timeout=WAIT)


def test_a_request_is_in_the_journal_before_it_leaves(pool, journal, gate):
    with target(gate) as sink:
        request = request_to(sink.url())
        journal.taken([request.execution_id])
        pool.send([request])
        assert gate.wait_for(1)
        (path,) = [path for path in folder().iterdir() if journal._sender.hex in path.name]
        assert parse(path, path.read_bytes(), 0.0).sent == {request.execution_id}
        gate.open.set()
        assert pool.wait_for_all(timeout=WAIT)
    assert set(parse(path, path.read_bytes(), 0.0).answers) == {request.execution_id}


def test_a_thousand_fast_requests_need_few_threads(pool, results, gate):
    gate.open.set()
    # Those of earlier tests may still be ending.
    others = set(threading.enumerate())
    with target(gate) as sink:
        pool.send([request_to(sink.url()) for _ in range(1000)])
        most = 0
        while not pool.wait_for_all(timeout=0.005):
            # The target's own have no names.
            new = set(threading.enumerate()) - others
            most = max(most, sum(not thread.name.startswith("Thread-") for thread in new))
    assert [result.outcome.status for result in results] == ["success"] * 1000
    assert most < 20


def test_what_cannot_be_sent_has_a_result_like_all_else(pool, results):
    pool.send([Prepared(uuid4(), JOB, Unsendable("webhook", "x", "no reason")) for _ in range(500)])
    pool.send([request_to("http://[broken/")])
    assert pool.wait_for_all(timeout=WAIT)
    assert len(results) == 501
    assert {result.outcome.status for result in results} == {"failed"}


def test_a_pool_whose_watch_could_not_start_or_died_goes_on(pool, gate, monkeypatch, caplog):
    threads = iter(["none", "dies"])
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "send window":
            match next(threads, ""):
                case "none":
                    raise RuntimeError("can't start new thread")
                case "dies":
                    thread._target = lambda: None  # type: ignore[attr-defined]
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with target(gate) as sink:
        pool.send([request_to(sink.url()) for _ in range(3 * WINDOW)])
        assert gate.wait_for(WINDOW)
        assert "No thread to look after slow targets" in caplog.text
        while pool._opener is None:
            pool.send([])
        pool._opener.join(WAIT)
        # The next pass, which has nothing new.
        pool.send([])
        assert gate.wait_for(2 * WINDOW)
        gate.open.set()
        assert pool.wait_for_all(timeout=WAIT)


def test_a_pool_that_is_done_is_waited_for_no_longer(pool):
    assert pool.wait_for_all(timeout=0.0)
    assert pool_module.GROUP <= pool_module.WINDOW
