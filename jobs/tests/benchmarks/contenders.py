"""Those who race: our scheduler, bare pools, and django-celery-beat. Each takes a size and returns a `Herd`."""

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.db import connection

from cronsched.tests.processes import ROOT, free_port
from jobs.models import OPEN_STATUSES, Job, JobExecution, Status
from jobs.tests.benchmarks.herd import Herd
from jobs.tests.benchmarks.processes import process, production, scheduler
from jobs.tests.benchmarks.target import Target
from jobs.tests.benchmarks.usage import processor_seconds
from jobs.tests.factories import make_job

PORTION = 500
# Past the last arrival: time for a second copy of a request to turn up.
AFTERMATH_SECONDS = 2.0
POOL_LIMIT_SECONDS = 120.0
SCHEDULER_LIMIT_SECONDS = 120.0
CELERY_LIMIT_SECONDS = 240.0
CELERY = "jobs.tests.benchmarks.celery_side"
CELERY_THREADS = 64

# What sent before there was one loop: threads that grow, in two processes.
EARLIER = "cbfbbe6"
# In the earlier checkout: make the tables and the jobs.
FILL = """
import os, sys
from datetime import datetime
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cronsched.settings")
import django
django.setup()
from django.core.management import call_command
from jobs.tests.benchmarks.contenders import insert_jobs
call_command("migrate", verbosity=0)
size, url, due = int(sys.argv[1]), sys.argv[2], datetime.fromisoformat(sys.argv[3])
insert_jobs([f"{url}{number}" for number in range(size)], due_at=due)
"""

Contender = Callable[[int], Herd]


def next_minute(*, lead: float) -> datetime:
    """Return the first whole minute that is at least `lead` seconds away."""
    earliest = datetime.now(UTC) + timedelta(seconds=lead)
    return earliest.replace(second=0, microsecond=0) + timedelta(minutes=1)


def insert_jobs(urls: Sequence[str], *, due_at: datetime, names: str = "Job", **fields: Any) -> None:
    """Insert a job for each URL, due at `due_at` and then once a day. `fields` are for all of them."""
    same = {
        "cron_expression": f"{due_at.minute} {due_at.hour} * * *",
        "timezone": "UTC",
        "next_fire_at": due_at,
        **fields,
    }
    first = make_job(name=f"{names} 0", target_url=urls[0], metadata={"number": 0}, **same)
    same |= {"category": first.category, "pic_team": first.pic_team, "end_date": first.end_date}
    rows = (
        Job(name=f"{names} {number}", target_url=url, metadata={"number": number}, **same)
        for number, url in enumerate(urls[1:], start=1)
    )
    while portion := list(islice(rows, PORTION)):
        Job.objects.bulk_create(portion)


def empty_tables() -> None:
    """Start as on the first day: rows of the run before would only slow down the next one."""
    call_command("flush", interactive=False, verbosity=0)
    if connection.vendor == "sqlite":
        cursor = connection.cursor()
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def wait_until_ended(number: int, *, until: float) -> int:
    """Wait until so many executions have ended, however, and return how many have."""
    while (ended := JobExecution.objects.exclude(status__in=OPEN_STATUSES).count()) < number and time.time() < until:
        time.sleep(0.2)
    return ended


class Race:
    """Runs contenders against one target, each in processes of its own, all of them on an idle machine."""

    def __init__(self, target: Target, folder: Path) -> None:
        self._target = target
        self._folder = folder

    def scheduler(self, size: int) -> Herd:
        """Let `manage.py runscheduler` send what is due in the coming minute; assert that it recorded all of it."""
        return self._ours("scheduler", size)

    def without_journal(self, size: int) -> Herd:
        """Let the same scheduler send where no journal can be written."""
        return self._ours("no journal", size, JOURNAL_DIR="/dev/null/none")

    def _ours(self, name: str, size: int, **settings: str) -> Herd:
        empty_tables()
        due = next_minute(lead=6)
        insert_jobs([self._target.url("now", number) for number in range(size)], due_at=due)
        with scheduler(self._folder / "scheduler.log", **settings) as pid:
            recorded = partial(wait_until_ended, size, until=due.timestamp() + SCHEDULER_LIMIT_SECONDS)
            herd = self._watch(name, size, due.timestamp(), [pid], SCHEDULER_LIMIT_SECONDS, until_recorded=recorded)
        ended_well = JobExecution.objects.filter(status=Status.SUCCESS).count()
        assert ended_well == size, (self._folder / "scheduler.log").read_text()
        return herd

    def before(self, size: int) -> Herd:
        """Let the scheduler of an earlier commit send, on a database of its own."""
        database = self._folder / f"before-{time.time_ns()}.sqlite3"
        due = next_minute(lead=20 + size / 1000)
        root = unpacked(EARLIER, self._folder / "before")
        environment = {**production(MAX_IN_FLIGHT="1000"), "DATABASE_URL": f"sqlite:///{database}"}
        fill = [sys.executable, "-c", FILL, str(size), self._target.url("now", ""), due.isoformat()]
        subprocess.run(fill, cwd=root, env=environment, check=True)
        with process(["manage.py", "runscheduler"], self._folder / "before.log", environment, root=root) as pid:
            recorded = partial(wait_for_rows, database, size, until=due.timestamp() + SCHEDULER_LIMIT_SECONDS)
            return self._watch("before", size, due.timestamp(), [pid], SCHEDULER_LIMIT_SECONDS, until_recorded=recorded)

    def pool(self, kind: str, width: int) -> Contender:
        """Return a bare client with `width` requests out: our own, `requests`' session in threads, or aiohttp's."""

        def run(size: int) -> Herd:
            start = time.time() + 4
            arguments = [kind, str(width), str(size), self._target.url("now", ""), str(start)]
            command = [sys.executable, "-m", "jobs.tests.benchmarks.pools", *arguments]
            pool = subprocess.Popen(command, cwd=ROOT)
            name = f"{kind}, {width}"
            herd = self._watch(name, size, start, [pool.pid], POOL_LIMIT_SECONDS)
            assert pool.wait() == 0
            return herd

        return run

    def celery(self, size: int) -> Herd:
        """Let beat and a worker with threads do it, on a Redis of their own."""
        # Beat reads each task's schedule in a query of its own before it begins.
        due = next_minute(lead=20 + size / 300)
        with ExitStack() as running:
            environment = self._celery_environment(running.enter_context(redis(self._folder)), size)
            arguments = [str(size), self._target.url("now", ""), str(due.hour), str(due.minute)]
            fill = [sys.executable, "-m", f"{CELERY}.fill", *arguments]
            subprocess.run(fill, cwd=ROOT, env=environment, check=True)
            worker = ["worker", "--pool", "threads", "--concurrency", str(CELERY_THREADS)]
            pids = [
                running.enter_context(
                    process(
                        ["-m", "celery", "--app", f"{CELERY}.app", *command, "--loglevel", "WARNING"],
                        self._folder / "celery.log",
                        environment,
                    )
                )
                for command in (worker, ["beat", "--schedule", str(self._folder / "beat"), "--pidfile", ""])
            ]
            return self._watch("celery", size, due.timestamp(), pids, CELERY_LIMIT_SECONDS)

    def _celery_environment(self, broker: str, size: int) -> dict[str, str]:
        database = self._folder / f"celery-{time.time_ns()}.sqlite3"
        return {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": f"{CELERY}.settings",
            "BENCHMARK_DATABASE": str(database),
            "BENCHMARK_BROKER": broker,
        }

    def _watch(
        self,
        name: str,
        size: int,
        due_at: float,
        pids: list[int],
        limit: float,
        *,
        until_recorded: Callable[[], object] = lambda: None,
    ) -> Herd:
        self._target.take()
        time.sleep(max(0.0, due_at - 0.5 - time.time()))
        before = sum(processor_seconds(pid) for pid in pids)
        self._target.wait_for(size, until=due_at + limit)
        # A scheduler writes most results down after the last request has left: that is part of what one costs.
        until_recorded()
        used = sum(processor_seconds(pid) for pid in pids) - before
        time.sleep(AFTERMATH_SECONDS)
        return Herd(name, size, due_at, tuple(self._target.take()), used)


def unpacked(commit: str, folder: Path) -> Path:
    """Return a folder with the files of `commit`, out of this repository's history."""
    if not folder.exists():
        folder.mkdir()
        archive = subprocess.run(["git", "-C", str(ROOT), "archive", commit], check=True, capture_output=True)
        subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return folder


def has_commit(commit: str) -> bool:
    """Whether this is a checkout with enough history."""
    found = subprocess.run(["git", "-C", str(ROOT), "cat-file", "-e", f"{commit}^{{commit}}"], capture_output=True)
    return found.returncode == 0


def wait_for_rows(database: Path, number: int, *, until: float) -> None:
    """Wait until so many executions in the SQLite file have succeeded."""
    with closing(sqlite3.connect(database)) as found:
        done = "SELECT COUNT(*) FROM job_executions WHERE status = 'success'"
        while found.execute(done).fetchone()[0] < number:
            assert time.time() < until, "the earlier scheduler did not record all"
            time.sleep(0.2)


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """Run a Redis that keeps nothing, and yield its address."""
    port = free_port()
    program = shutil.which("redis-server")
    assert program, "redis-server is not installed"
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]
    with (folder / "redis.log").open("wb") as log:
        server = subprocess.Popen([program, *options], stdout=log, stderr=log)
    try:
        _wait_for_port(port)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait()


def _wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, "Redis does not listen"
            time.sleep(0.02)
        else:
            return
