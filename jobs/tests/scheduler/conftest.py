import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction

from cronsched.http_client import http_client
from cronsched.lib.tests.servers import Target, target
from jobs.models import Job
from jobs.tests.scheduler.brokers import Leader, started
from jobs.tests.scheduler.helpers import make_due_job
from jobs.tests.scheduler.processes import Sink


@pytest.fixture
def behaviour() -> Sink:
    """How the target of real processes answers."""
    return Sink()


@pytest.fixture
def sink(behaviour: Sink) -> Iterator[Target]:
    with target(behaviour) as running:
        yield running
        behaviour.answer.set()


@pytest.fixture
def held_job(transactional_db: None) -> Iterator[Job]:
    """A due job whose row another connection holds."""
    job = make_due_job()
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                Job.objects.select_for_update().get(pk=job.pk)
                held.set()
                done.wait(30)
        finally:
            connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(30)
    yield job
    done.set()
    thread.join()


@pytest.fixture(autouse=True)
def closed_http_client() -> Iterator[None]:
    """Leave no connection of the process's HTTP client open."""
    yield
    http_client().close()


# Starting a worker takes its time: the fast suite has one.
@pytest.fixture(scope="module", params=["redis", pytest.param("rabbitmq", marks=pytest.mark.slow)])
def own_broker(request: pytest.FixtureRequest) -> Iterator[Any]:
    yield from started(request.param)


@pytest.fixture
def queue(own_broker: Any) -> Iterator[Any]:
    """The broker of the module, with nothing in it."""
    own_broker.empty()
    yield own_broker
    own_broker.repair()


@pytest.fixture
def leader(queue: Any, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Leader]:
    running = Leader(queue.url, settings, monkeypatch)
    yield running
    running.end()
