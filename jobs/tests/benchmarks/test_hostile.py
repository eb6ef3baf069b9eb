"""How the web process answers while it holds connections that do not behave."""

import multiprocessing
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import requests

from accounts.tests.factories import make_user, token_for
from cronsched.tests.processes import free_port, manage
from jobs.tests.benchmarks import hostile, sign_ins, usage
from jobs.tests.benchmarks.calls import Web
from jobs.tests.benchmarks.processes import process, production
from jobs.tests.benchmarks.report import Figures, at_most, size
from jobs.tests.factories import make_job

pytestmark = [pytest.mark.benchmark, pytest.mark.django_db(transaction=True)]

SILENT, SLOW, UNREAD = size("BENCH_HOSTILE", "400,350,350")
(SECONDS,) = size("BENCH_HOSTILE_SECONDS", "60")
BAR_MILLISECONDS = 250
BAR_MEGABYTES = 40
SIGN_INS = 64
BAR_MEDIAN = 20


@contextmanager
def crowd(port: int) -> Iterator["subprocess.Popen[str]"]:
    arguments = [sys.executable, hostile.__file__, str(port), str(SILENT), str(SLOW), str(UNREAD)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process


def ask(web: Web, path: str, times: list[float]) -> None:
    start = time.perf_counter()
    web.get(path)
    times.append((time.perf_counter() - start) * 1000)


def measured(web: Web, paths: tuple[str, ...], pid: int, seconds: float) -> tuple[list[list[float]], list[float]]:
    """Ask for all `paths` in turn; return what each answer took, and the memory once a second."""
    times: list[list[float]] = [[] for _ in paths]
    memory: list[float] = []
    until = time.monotonic() + seconds
    while (now := time.monotonic()) < until:
        for path, taken in zip(paths, times, strict=True):
            ask(web, path, taken)
        if len(memory) < seconds - (until - now):
            memory.append(usage.megabytes(pid))
        # As pages poll: a client that never pauses would measure itself.
        time.sleep(0.005)
    return times, memory


def test_connections_that_do_not_behave(tmp_path: Path) -> None:
    title = f"{SILENT} silent, {SLOW} slow to write, {UNREAD} slow to read, for {SECONDS} s; one web process on SQLite"
    figures = Figures("hostile-clients", title, ("what", "alone", "beside them", "bar", ""))
    job, token, port = make_job(), token_for(make_user(role="admin")), free_port()
    paths = ("health", f"jobs/{job.id}")
    manage("collectstatic", "--no-input", "--verbosity", "0")
    environment = production(PORT=str(port), WEB_WORKERS="1")
    address = f"http://127.0.0.1:{port}"
    with process(["manage.py", "serve"], tmp_path / "web.log", environment) as pid, closing(Web(address, token)) as web:
        wait_for(address)
        alone, before = measured(web, paths, pid, 10)
        with crowd(port) as others:
            beside, during = measured(web, paths, pid, SECONDS)
            again, _ = others.communicate()
    for name, quiet, loud in zip(("health", "job detail"), alone, beside, strict=True):
        usual, slow = (statistics.quantiles(times, n=100)[98] for times in (quiet, loud))
        figures.add(
            f"{name}, p99 ms", f"{usual:.1f}", f"{slow:.1f}", str(BAR_MILLISECONDS), at_most(slow, BAR_MILLISECONDS)
        )
        usual, slow = (statistics.median(times) for times in (quiet, loud))
        figures.add(f"{name}, p50 ms", f"{usual:.1f}", f"{slow:.1f}", "", "")
    # The first seconds open the connections; from then on nothing may grow.
    early, late = max(during[: len(during) // 3]), max(during[-len(during) // 3 :])
    figures.add(
        "memory, MB",
        f"{max(before):.0f}",
        f"{early:.0f} to {late:.0f}",
        f"+{BAR_MEGABYTES}",
        at_most(late - early, BAR_MEGABYTES),
    )
    figures.add("connections opened again", "", again.strip(), "", "")
    figures.publish()


def test_many_sign_ins_at_once(tmp_path: Path) -> None:
    title = f"{SIGN_INS} clients that sign in by invented names all the time; one web process on SQLite, milliseconds"
    figures = Figures("sign-ins", title, ("what", "alone", "beside them", "bar", ""))
    job, token, port = make_job(), token_for(make_user(role="admin")), free_port()
    paths = ("health", f"jobs/{job.id}")
    # Without the limit of their address, so that they go on for as long as it is measured.
    environment = production(PORT=str(port), WEB_WORKERS="1", SIGN_IN_ATTEMPTS_PER_ADDRESS="1000000")
    address = f"http://127.0.0.1:{port}"
    # In a process of their own: the threads of this one would wait for each other.
    spawn = multiprocessing.get_context("spawn")
    ended, told = spawn.Event(), spawn.Queue()
    with process(["manage.py", "serve"], tmp_path / "web.log", environment) as pid, closing(Web(address, token)) as web:
        wait_for(address)
        alone, _ = measured(web, paths, pid, 5)
        crowd = spawn.Process(target=sign_ins.keep_trying, args=(address, SIGN_INS, ended, told))
        crowd.start()
        assert told.get() == "begun"
        beside, _ = measured(web, paths, pid, 15)
        ended.set()
        taken: dict[int, list[float]] = told.get()
        crowd.join()
    for name, quiet, loud in zip(("health", "job detail"), alone, beside, strict=True):
        usual, slow = statistics.median(quiet), statistics.median(loud)
        figures.add(f"{name}, p50", f"{usual:.1f}", f"{slow:.1f}", f"{BAR_MEDIAN}", at_most(slow, BAR_MEDIAN))
        usual, slow = (statistics.quantiles(times, n=100)[98] for times in (quiet, loud))
        figures.add(
            f"{name}, p99", f"{usual:.1f}", f"{slow:.1f}", f"{BAR_MILLISECONDS}", at_most(slow, BAR_MILLISECONDS)
        )
    for status, seconds in sorted(taken.items()):
        times = [1000 * one for one in seconds]
        p50, p99 = statistics.median(times), statistics.quantiles([*times, max(times)], n=100, method="inclusive")[98]
        figures.add(f"sign-ins answered {status}: {len(times):,}", "", f"p50 {p50:.0f}, p99 {p99:.0f}", "", "")
    figures.publish()


def wait_for(address: str) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            assert requests.get(f"{address}/healthz", timeout=5).ok
            return
        except requests.ConnectionError:
            time.sleep(0.05)
    raise AssertionError("not served")
