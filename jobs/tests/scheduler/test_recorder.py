"""The recorder: results become rows, whatever the database does meanwhile."""

import logging
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from django.db import DataError, OperationalError, connection

from cronsched.lib.db import batches
from jobs.dispatch import Result, record_each
from jobs.dispatch.journal import Journal
from jobs.models import JobExecution
from jobs.scheduler import recorder as record_module
from jobs.scheduler.recorder import Recorder
from jobs.scheduler.write_lock import write_lock
from jobs.tests.factories import NOON
from jobs.tests.scheduler.helpers import SENDER, claim, make_due_job, statuses, success

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

WAIT = 30.0
EVERYTHING: Any = {"sender": SENDER, "clock": lambda: NOON, "lock": write_lock(), "journal": Journal(SENDER)}


class Watched(Recorder):
    """A recorder between whose thread and the database a test may stand."""

    wrapper = staticmethod(lambda execute, *arguments: execute(*arguments))

    def watch(self, wrapper) -> None:
        self.wrapper = wrapper

    def _write_batch(self) -> None:
        with connection.execute_wrapper(lambda *arguments: self.wrapper(*arguments)):
            super()._write_batch()


@pytest.fixture
def recorder() -> Iterator[Watched]:
    recorder = Watched(**EVERYTHING, is_busy=lambda: False)
    recorder.start()
    yield recorder
    recorder.close()
    recorder.join()


def results_of(number: int) -> list[Result]:
    for _ in range(number):
        make_due_job()
    return [Result(prepared, success(output="ok"), NOON + timedelta(seconds=1)) for prepared in claim().prepared]


class Refusals:
    """Stands between Django and the database and refuses what `is_meant` says."""

    def __init__(self, error: Exception, is_meant=lambda sql, params: True) -> None:
        self.error = error
        self.is_meant = is_meant
        self.is_on = True
        self.refused = threading.Semaphore(0)

    def __call__(self, execute, sql, params, many, context):
        if self.is_on and sql.startswith("UPDATE") and "job_executions" in sql and self.is_meant(sql, params):
            self.refused.release()
            raise self.error
        return execute(sql, params, many, context)


def test_results_are_written_soon_and_by_one_thread(recorder):
    for result in results_of(3):
        recorder.put(result)
    assert recorder.flush(timeout=WAIT)
    assert statuses() == ["success"] * 3
    assert recorder.pending == 0


def test_while_much_is_sent_results_wait_for_company():
    busy = threading.Event()
    busy.set()
    recorder = Recorder(**EVERYTHING, is_busy=busy.is_set)
    results = results_of(2)
    recorder.start()
    recorder.put(results[0])
    recorder.put(results[1])
    assert not recorder.wait_until_written(timeout=0.3)
    busy.clear()
    assert recorder.wait_until_written(timeout=WAIT)
    assert statuses() == ["success"] * 2
    recorder.close()
    recorder.join()


def test_results_are_kept_while_the_database_is_away(recorder, monkeypatch, caplog):
    monkeypatch.setattr(record_module, "RETRY_SECONDS", 0.02)
    results = results_of(2)
    away = Refusals(OperationalError("database or disk is full"))
    recorder.watch(away)
    for result in results:
        recorder.put(result)
    assert all(away.refused.acquire(timeout=WAIT) for _ in range(3))
    assert statuses() == ["running"] * 2
    away.is_on = False
    assert recorder.flush(timeout=WAIT)
    assert statuses() == ["success"] * 2
    assert "results wait for the database: database or disk is full" in caplog.text


def test_after_a_quarter_of_an_hour_results_are_given_up(recorder, monkeypatch, caplog):
    monkeypatch.setattr(record_module, "RETRY_SECONDS", 0.02)
    monkeypatch.setattr(record_module, "KEEP_SECONDS", 0.1)
    results = results_of(1)
    recorder.watch(Refusals(OperationalError("gone")))
    recorder.put(results[0])
    assert recorder.flush(timeout=WAIT)
    assert statuses() == ["running"]
    assert "Gave up 1 results" in caplog.text


def test_a_result_the_database_refuses_keeps_no_other_back(caplog):
    results = results_of(9)
    poison = results[4]._replace(outcome=success(output="POISON", details={"a": "POISON"}))
    with (
        caplog.at_level(logging.CRITICAL),
        connection.execute_wrapper(Refusals(DataError("no"), lambda sql, params: "POISON" in str(params))),
    ):
        assert record_each([*results[:4], poison, *results[5:]], sender=SENDER, now=NOON) == 9
    assert statuses() == ["success"] * 9
    assert list(JobExecution.objects.filter(output=None).values_list("pk", flat=True)) == [poison.prepared.execution_id]


def test_a_result_that_cannot_be_stored_at_all_is_left_to_the_sweep(caplog):
    results = results_of(3)
    bad = results[1].prepared.execution_id
    key = batches.stored(connection, bad)
    with (
        caplog.at_level(logging.CRITICAL),
        connection.execute_wrapper(Refusals(DataError("no"), lambda sql, params: key in str(params))),
    ):
        assert record_each(results, sender=SENDER, now=NOON) == 2
    assert JobExecution.objects.get(status="running").pk == bad


class BothFirst(deque[Any]):
    """A queue in which two that append at the same time both see two entries, wherever nothing keeps them apart."""

    def __init__(self) -> None:
        super().__init__()
        self._both = threading.Barrier(2)

    def append(self, item: Any) -> None:
        super().append(item)
        with suppress(threading.BrokenBarrierError):
            self._both.wait(0.2)


def test_two_results_that_come_at_once_are_written(recorder):
    results = results_of(2)
    recorder._results = BothFirst()
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(recorder.put, results))
    assert recorder.wait_until_written(timeout=WAIT)
    assert statuses() == ["success", "success"]
