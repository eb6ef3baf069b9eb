"""Whether the web process's memory stays where it is while many poll it."""

import itertools
import statistics
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from accounts.tests.factories import make_user, token_for
from cronsched.tests.processes import free_port
from jobs.models import Job
from jobs.tests.benchmarks import usage
from jobs.tests.benchmarks.calls import Web, paths
from jobs.tests.benchmarks.history import fill
from jobs.tests.benchmarks.processes import process, production
from jobs.tests.benchmarks.report import Figures, at_most, size
from jobs.tests.benchmarks.test_hostile import wait_for

pytestmark = [pytest.mark.benchmark, pytest.mark.django_db(transaction=True)]

EXECUTIONS = 100_000
CLIENTS = 24
(SECONDS,) = size("BENCH_SOAK_SECONDS", "600")
BAR_MEGABYTES = 5


def poll(address: str, token: str, asked: list[str], ended: threading.Event) -> None:
    """Ask for all of `asked` again and again, on a connection that is opened anew now and then."""
    with closing(Web(address, token)) as web:
        for number, path in enumerate(itertools.cycle(asked)):
            if ended.wait(0.02):
                return
            if number % 100 == 0:
                web.close()
            web.get(path)


def test_memory_while_many_poll(jobs: list[Job], tmp_path: Path) -> None:
    title = f"{CLIENTS} clients on {len(jobs):,} jobs and {EXECUTIONS:,} executions for {SECONDS} s, megabytes"
    figures = Figures("soak", title, ("after", "memory", "bar", ""))
    fill(jobs, EXECUTIONS)
    asked = [path for path, _ in paths(jobs[7]).values()]
    token, port, ended = token_for(make_user(role="admin")), free_port(), threading.Event()
    environment = production(PORT=str(port), WEB_WORKERS="1")
    with process(["manage.py", "serve"], tmp_path / "web.log", environment) as pid:
        address = f"http://127.0.0.1:{port}"
        wait_for(address)
        # Each begins at another call, so that all threads come to do all of them.
        clients = [
            threading.Thread(target=poll, args=(address, token, asked[start:] + asked[:start], ended))
            for start in (number % len(asked) for number in range(CLIENTS))
        ]
        for client in clients:
            client.start()
        began, memory = time.monotonic(), []
        while (spent := time.monotonic() - began) < SECONDS:
            memory.append((spent, usage.megabytes(pid)))
            time.sleep(SECONDS / 60)
        ended.set()
        for client in clients:
            client.join()
    for spent, megabytes in memory[:: len(memory) // 6]:
        figures.add(f"{spent:.0f} s", f"{megabytes:.0f}", "", "")
    third = len(memory) // 3
    middle, late = (
        statistics.median(megabytes for _, megabytes in part) for part in (memory[third : 2 * third], memory[-third:])
    )
    growth = late - middle
    figures.add("last third beside the second", f"{growth:+.1f}", f"+{BAR_MEGABYTES}", at_most(growth, BAR_MEGABYTES))
    figures.publish()
