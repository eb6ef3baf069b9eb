"""Real brokers of a test's own: a Redis server, a virtual host of RabbitMQ, and cables to them that can be cut."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis
from django.db import transaction
from django.test import override_settings
from django.utils import timezone
from kombu.connection import Connection

from cronsched.celery import Publisher
from cronsched.lib.clock import DatabaseClock, uptime
from cronsched.tests.processes import free_port
from jobs.models import JobExecution, Sender, SenderKind, Status
from jobs.scheduler.backends.celery import CeleryBackend
from jobs.tests.scheduler.helpers import WAIT, Bench, statuses
from jobs.tests.scheduler.processes import Scheduler

QUEUE = "cronsched"
RABBITMQ_PORT = 5672


class Cable:
    """Forwards TCP connections to a port on loopback. It may be cut, or swallow what is sent through it."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._to = port
        self._listener = socket.create_server((host, 0))
        self.port: int = self._listener.getsockname()[1]
        self._is_cut = False
        self._is_silent = threading.Event()
        self._ends: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._is_cut = True
        self._drop()

    def repair(self) -> None:
        self._is_cut = False
        self._is_silent.clear()
        self._drop()

    def swallow(self) -> None:
        """From now on, answer nothing."""
        self._is_silent.set()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _drop(self) -> None:
        for end in list(self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                if self._is_cut:
                    raise ConnectionRefusedError
                far = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                near.close()
                continue
            self._ends |= {near, far}
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._forward, args=(one, other), daemon=True).start()

    def _forward(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                if not self._is_silent.is_set():
                    other.sendall(data)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        # Both directions come here; the second closes.
        if one not in self._ends:
            one.close()
            other.close()
        self._ends -= {one, other}


class Broker:
    """A broker; each cable to it has an address of its own."""

    port: int

    def __init__(self) -> None:
        self._cables: list[Cable] = []

    def address(self, port: int) -> str:
        raise NotImplementedError

    def restart(self) -> None:
        """Forget everything and everybody."""
        raise NotImplementedError

    @property
    def url(self) -> str:
        return self.address(self.port)

    @property
    def cables(self) -> list[Cable]:
        return list(self._cables)

    def cable(self, host: str = "127.0.0.1") -> Cable:
        self._cables.append(Cable(self.port, host))
        return self._cables[-1]

    def empty(self) -> None:
        with Connection(self.url) as connection, suppress(connection.channel_errors):
            connection.default_channel.queue_purge(QUEUE)

    def publish(self, body: Any, **headers: Any) -> None:
        """Publish a foreign message in our queue."""
        with Connection(self.url) as connection, connection.SimpleQueue(QUEUE, serializer="json") as queue:
            queue.put(body, headers=headers)

    def repair(self) -> None:
        for cable in self._cables:
            cable.close()
        self._cables.clear()


class Redis(Broker):
    def __init__(self) -> None:
        super().__init__()
        self.port = free_port()
        self._folder = tempfile.mkdtemp(prefix="redis-")
        self.start()

    def address(self, port: int) -> str:
        return f"redis://127.0.0.1:{port}/0"

    def start(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", self._folder]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        ends_at = time.monotonic() + WAIT
        while time.monotonic() < ends_at:
            with suppress(redis.ConnectionError), redis.Redis(port=self.port) as client:
                client.ping()
                return
            time.sleep(0.01)
        raise RuntimeError("redis-server does not listen")

    @property
    def pid(self) -> int:
        return self._process.pid

    def restart(self) -> None:
        self._process.kill()
        self._process.wait()
        self.start()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


class RabbitMQ(Broker):
    port = RABBITMQ_PORT

    def __init__(self) -> None:
        super().__init__()
        self._vhost = f"cronsched-test-{uuid4().hex[:12]}"
        _rabbitmqctl("add_vhost", self._vhost)
        _rabbitmqctl("set_permissions", "-p", self._vhost, "guest", ".*", ".*", ".*")

    def address(self, port: int) -> str:
        return f"amqp://guest:guest@127.0.0.1:{port}/{self._vhost}"

    def restart(self) -> None:
        """Forget everything and everybody, as a restart does."""
        _rabbitmqctl("close_all_connections", "--vhost", self._vhost, "restart")
        self.empty()

    def close(self) -> None:
        _rabbitmqctl("delete_vhost", self._vhost)


def _rabbitmqctl(*arguments: str) -> None:
    subprocess.run(["rabbitmqctl", "--quiet", *arguments], check=True, capture_output=True, timeout=WAIT)


def absent(kind: str) -> str:
    """Return why there is no such broker here; blank where there is."""
    if kind == "redis":
        return "" if shutil.which("redis-server") else "no redis-server here"
    if not shutil.which("rabbitmqctl"):
        return "no rabbitmqctl here"
    try:
        _rabbitmqctl("status")
    except (subprocess.SubprocessError, OSError):
        return "no RabbitMQ here that lets this account make virtual hosts"
    return ""


def started(kind: str) -> Iterator[Any]:
    """Yield a broker of this kind, for a fixture; skip where there is none."""
    if reason := absent(kind):
        pytest.skip(reason)
    running = Redis() if kind == "redis" else RabbitMQ()
    try:
        yield running
    finally:
        running.repair()
        running.close()


class CeleryWorker(Scheduler):
    command = ("-m", "celery", "-A", "cronsched", "worker", "--pool=threads", "--without-mingle", "--without-gossip")

    def freeze(self) -> None:
        """Stop it, but not within a transaction: SQLite would let no other connection write."""
        with transaction.atomic():
            # A writer has the lock, even where it finds nothing to write.
            Sender.objects.filter(host="nowhere").update(host="nowhere")
            self.signal(signal.SIGSTOP)
            while not self._is_stopped():
                time.sleep(0.001)

    def _is_stopped(self) -> bool:
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@contextmanager
def celery_worker(url: str, *, kind: type[CeleryWorker] = CeleryWorker, **environment: str) -> Iterator[CeleryWorker]:
    """Run a worker until the end of the block; it is ready when this is entered."""
    process = kind(f"--hostname={uuid4().hex[:8]}@%h", EXECUTION_BACKEND="celery", CELERY_BROKER_URL=url, **environment)
    try:
        process.wait_for(" ready.")
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGCONT)
        process.end()


class ShiftedClock(DatabaseClock):
    """The database's clock, and some seconds more where a test is in a hurry."""

    ahead = 0.0

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.ahead)


class Leader(Bench):
    """A leader that does a pass when the test says so, and publishes."""

    def __init__(self, url: str, settings: Any, monkeypatch: Any, *, limit: int = 1000) -> None:
        super().__init__(clock=ShiftedClock(), limit=limit)
        settings.CELERY_BROKER_URL = url
        monkeypatch.setattr("jobs.scheduler.backends.celery.uptime", lambda: uptime() + self.clock.ahead)
        self.messages: list[Any] = []
        self.publisher = Publisher()
        self.send: Any = self.publisher
        self.workers = self.producer.workers = CeleryBackend(self._publish)
        self.backend.start()

    def later(self, seconds: float) -> None:
        """Go on as if so many seconds had passed, once everything is published."""
        self.wait_until_published()
        self.clock.ahead += seconds

    def wait_until_published(self) -> None:
        self.workers._outbox._ids.join()

    def end(self) -> None:
        self.workers.drain(timeout=WAIT)
        self.publisher.close()
        self.backend.drain(timeout=WAIT)

    def _publish(self, message: Any) -> None:
        self.send(message)
        self.messages.append(message)


@contextmanager
def cleanup() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def show_a_worker() -> None:
    """Let the leader know of a worker: rows of earlier tests are gone, and the next heartbeat is some seconds away."""
    now = timezone.now()
    Sender.objects.create(token=uuid4(), host="a", kind=SenderKind.CELERY, started_at=now, seen_at=now, limit=100)


def wait_for(status: Status, number: int = 1) -> None:
    """Wait until so many rows have `status`: other processes say nothing when they write."""
    ends_at = time.monotonic() + WAIT
    while JobExecution.objects.filter(status=status).count() < number:
        assert time.monotonic() < ends_at, statuses()
        time.sleep(0.02)


def run_pass(leader: Leader) -> None:
    leader.producer.run_pass(lambda: True)
    leader.wait_until_published()


def senders() -> set[Any]:
    return set(JobExecution.objects.values_list("sender", flat=True))


def wait_for_worker() -> None:
    ends_at = time.monotonic() + WAIT
    while not Sender.objects.filter(kind=SenderKind.CELERY).exists():
        assert time.monotonic() < ends_at
        time.sleep(0.02)


def leader_behind(leader: Leader, url: str) -> Any:
    """Have the leader publish at another address of the broker for as long as the block lasts."""
    leader.publisher.close()
    return override_settings(CELERY_BROKER_URL=url)
