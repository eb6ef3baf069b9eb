"""The scheduler as an operator starts it, on the test's database."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cronsched.tests.processes import ROOT
from jobs.models import SchedulerLease
from jobs.tests.scheduler.processes import database_url

STOP_SECONDS = 60.0
READY_SECONDS = 60.0


def production(**settings: str) -> dict[str, str]:
    """Return an environment as in production, where targets may be on this machine."""
    return {
        **os.environ,
        "DEBUG": "false",
        "DATABASE_URL": database_url(),
        "WEBHOOK_ALLOW_PRIVATE_NETWORKS": "true",
        **settings,
    }


@contextmanager
def process(command: Sequence[str], log: Path, environment: dict[str, str], *, root: Path = ROOT) -> Iterator[int]:
    """Run a Python module's `command` in the background, write its output to `log`, and yield its process id."""
    with log.open("ab") as output:
        started = subprocess.Popen(
            [sys.executable, *command],
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield started.pid
        assert started.poll() is None, log.read_text()
    finally:
        started.terminate()
        try:
            started.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


@contextmanager
def scheduler(log: Path, **settings: str) -> Iterator[int]:
    """Run `manage.py runscheduler` and yield its process id once it leads."""
    fence = _fence()
    with process(["manage.py", "runscheduler"], log, production(**settings)) as pid:
        deadline = time.monotonic() + READY_SECONDS
        while _fence() == fence:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        yield pid


def _fence() -> int:
    return SchedulerLease.objects.values_list("fence", flat=True).first() or 0
