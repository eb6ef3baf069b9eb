"""Real `runscheduler` processes on the test's own database."""

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from django.db import connection
from django.utils import timezone

from cronsched.lib.failpoints import VARIABLE
from cronsched.lib.tests.servers import OK, Visit
from cronsched.tests.processes import ROOT
from jobs.models import Job
from jobs.tests.factories import make_job

WAIT = 60.0
SCHEMES = {"postgresql": "postgresql", "mysql": "mysql"}


def database_url(*, port: int | None = None) -> str:
    """Return the address of the database this test runs on, by another port where that leads there, too."""
    config = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{config['NAME']}"
    account = quote(config["USER"]) + (f":{quote(config['PASSWORD'])}" if config["PASSWORD"] else "")
    return f"{SCHEMES[connection.vendor]}://{account}@{config['HOST']}:{port or config['PORT']}/{config['NAME']}"


class Scheduler:
    """A process and what it says. Tests wait for what it says."""

    command: tuple[str, ...] = ("manage.py", "runscheduler")

    def __init__(self, *arguments: str, failpoints: str = "", **environment: str) -> None:
        command = [sys.executable, *self.command, *arguments]
        settings = {**os.environ, "DATABASE_URL": database_url(), VARIABLE: failpoints, **environment}
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=settings, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        self._said: list[str] = []
        self._changed = threading.Condition()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def said(self) -> str:
        return "".join(self._said)

    def wait_for(self, text: str, *, timeout: float = WAIT) -> None:
        """Wait until the process has said `text`."""
        with self._changed:
            heard = self._changed.wait_for(lambda: text in self.said or not self._listener.is_alive(), timeout)
        assert heard, f"not said in {timeout} s: {text!r}\n{self.said}"
        assert text in self.said, self.said

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self, *, timeout: float = WAIT) -> int:
        """Wait for the end and return the exit code; negative for a signal."""
        code = self._process.wait(timeout)
        self._listener.join(timeout)
        return code

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self.wait()
        assert self._process.stderr is not None
        self._process.stderr.close()

    def _listen(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            with self._changed:
                self._said.append(line)
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()


@contextmanager
def scheduler(*arguments: str, failpoints: str = "", **environment: str) -> Iterator[Scheduler]:
    process = Scheduler(*arguments, failpoints=failpoints, **environment)
    try:
        yield process
    finally:
        process.end()


def run_once(*, failpoints: str = "", **environment: str) -> tuple[int, str]:
    """Run one pass to its end; return the exit code and what was said."""
    with scheduler("--once", failpoints=failpoints, **environment) as process:
        return process.wait(), process.said


class Sink:
    """A target that lets a test wait for arrivals, and holds its answers back while `hold` is set."""

    def __init__(self) -> None:
        self.hold = threading.Event()
        self.answer = threading.Event()
        self.arrived = threading.Semaphore(0)
        self.paths: Counter[str] = Counter()

    def __call__(self, visit: Visit) -> None:
        while request := visit.read_request():
            self.paths[request.split(b" ", 2)[1].decode()] += 1
            self.arrived.release()
            if self.hold.is_set():
                self.answer.wait(WAIT)
            visit.send(OK)

    def wait_for_arrival(self, timeout: float = WAIT) -> bool:
        return self.arrived.acquire(timeout=timeout)


def make_job_due_now(url: str, **fields: Any) -> Job:
    """Make a job whose run of this minute is unclaimed; the next is tomorrow's."""
    minute = timezone.now().replace(second=0, microsecond=0)
    daily = {"cron_expression": f"{minute:%M %H} * * *", "timezone": "UTC", "next_fire_at": minute}
    return make_job(**{"target_url": url, **daily, **fields})
