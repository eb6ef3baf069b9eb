"""How long the calls take that pages poll: one web process on SQLite, asked over one kept connection."""

import http.client
import statistics
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from rich.console import Console
from rich.table import Table

from accounts.tests.factories import make_user, token_for
from cronsched.tests.processes import web_process
from jobs.models import Job, JobExecution
from jobs.tests.benchmarks.history import END, fill
from jobs.tests.factories import make_job

pytestmark = [pytest.mark.benchmark, pytest.mark.django_db(transaction=True)]

JOBS = 1_000
EXECUTIONS = 100_000
LONG_HISTORY = 5_000_000
ROUNDS = 200


class Web:
    """A client with one connection, so that little but the service is measured."""

    def __init__(self, address: str, token: str) -> None:
        host, _, port = address.removeprefix("http://").partition(":")
        self.connection = http.client.HTTPConnection(host, int(port))
        self.headers = {"Authorization": f"Bearer {token}"}

    def get(self, path: str) -> int:
        self.connection.request("GET", f"/api/v2/{path}", headers=self.headers)
        answer = self.connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body
        return len(body)

    def milliseconds(self, path: str) -> tuple[float, float]:
        """Return the median and the 99th percentile."""
        for _ in range(5):
            self.get(path)
        times = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            self.get(path)
            times.append((time.perf_counter() - start) * 1000)
        return statistics.median(times), statistics.quantiles(times, n=100)[98]


def paths(job: Job) -> dict[str, tuple[str, float]]:
    """Return what is measured: a name, the path, and the bar in milliseconds."""
    week = f"from={(END - timedelta(days=7)).date()}&to={END.date()}"
    day = f"from={END - timedelta(days=1):%Y-%m-%dT%H:%M:%S.000Z}"
    execution = JobExecution.objects.filter(job=job).newest_first()[0]
    return {
        "health": ("health", 2),
        "job detail": (f"jobs/{job.id}", 5),
        "list of 1,000 jobs": ("jobs", 100),
        "executions, page 1": ("executions", 10),
        "executions, page 500": ("executions?page=500", 10),
        "executions, page of failed": ("executions?status=failed", 10),
        "executions, failed or running": ("executions?status=failed,running", 10),
        "executions, page of a job": (f"executions?job_id={job.id}", 10),
        "executions, a week": (f"executions?{week}", 10),
        "executions of a job": (f"jobs/{job.id}/executions", 10),
        "execution": (f"executions/{execution.id}", 5),
        "statistics": ("executions/statistics", 10),
        "statistics, a week": (f"executions/statistics?{week}", 10),
        "statistics, last 24 hours": (f"executions/statistics?{day}", 10),
        "statistics of a job": (f"jobs/{job.id}/executions/stats", 10),
        "unread count": ("notifications/unread-count", 10),
        "categories": ("job-categories", 10),
    }


@pytest.fixture
def jobs(db: None) -> list[Job]:
    return [make_job(name=f"Job {number}", next_fire_at=timezone.now()) for number in range(JOBS)]


@pytest.fixture
def web(transactional_db: None, tmp_path: Path) -> Iterator[Any]:
    token = token_for(make_user(role="admin"))
    settings = {
        "DEBUG": "false",
        "DATABASE_URL": f"sqlite:///{connection.settings_dict['NAME']}",
        "WEB_CONCURRENCY": "1",
    }
    with web_process(tmp_path / "web.log", **settings) as address:
        web = Web(address, token)
        yield web
        web.connection.close()


def test_calls_that_are_polled(jobs: list[Job], web: Web) -> None:
    fill(jobs, first=0, last=EXECUTIONS - 1, total=EXECUTIONS)
    table = Table("call", "p50 ms", "p99 ms", "bar ms", title=f"{JOBS:,} jobs, {EXECUTIONS:,} executions")
    for name, (path, bar) in paths(jobs[7]).items():
        median, slow = web.milliseconds(path)
        table.add_row(name, f"{median:.2f}", f"{slow:.2f}", f"{bar:g}", style="" if median <= bar else "red")
    Console().print(table)


def test_a_history_fifty_times_as_long(jobs: list[Job], web: Web) -> None:
    measured: list[dict[str, float]] = []
    first = 0
    for last in (EXECUTIONS, LONG_HISTORY):
        fill(jobs, first=first, last=last - 1, total=LONG_HISTORY)
        measured.append({name: web.milliseconds(path)[0] for name, (path, _) in paths(jobs[7]).items()})
        first = last
    table = Table("call", f"{EXECUTIONS:,}", f"{LONG_HISTORY:,}", "ratio", title="p50 ms as the history grows")
    for name, before in measured[0].items():
        after = measured[1][name]
        table.add_row(
            name, f"{before:.2f}", f"{after:.2f}", f"{after / before:.2f}", style="red" if after > 2 * before else ""
        )
    Console().print(table)
