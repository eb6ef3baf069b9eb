"""A file of 5,000 jobs: uploaded to a web process, and what it costs the database and others who write."""

import sqlite3
import statistics
import threading
import time
from pathlib import Path

import pytest
import requests
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.tests.factories import make_user, token_for
from cronsched.tests.processes import web_process
from jobs.importing.csv_file import read_table
from jobs.importing.writer import import_jobs
from jobs.models import Job
from jobs.tests.benchmarks.contenders import empty_tables
from jobs.tests.benchmarks.processes import production
from jobs.tests.benchmarks.report import Figures, at_most
from taxonomy.tests.factories import make_team

pytestmark = [pytest.mark.benchmark, pytest.mark.django_db(transaction=True)]

ROWS = 5_000
SECONDS = 5.0
ROUNDS = 3


def csv_file(rows: int) -> bytes:
    lines = ["Job Name,Cron Schedule (JST),Target URL,End Date,PIC Team,Status,Request Body"]
    for number in range(rows):
        schedule, body = f"{number % 60} {number % 24} * * *", f'"{{""number"": {number}}}"'
        lines.append(f"Job {number},{schedule},https://hooks.example.com/{number},2099-12-31,ops,enable,{body}")
    return "\n".join(lines).encode()


def test_upload_of_a_large_file(tmp_path: Path) -> None:
    figures = Figures("csv", f"{ROWS:,} rows of CSV, median of {ROUNDS} uploads", ("what", "figure", "bar", ""))
    seconds, waits = [], []
    for _ in range(ROUNDS):
        empty_tables()
        make_team(name="Ops")
        token = token_for(make_user(role="admin"))
        with web_process(tmp_path / "web.log", **production(WEB_WORKERS="1")) as web, Competitor() as competitor:
            seconds.append(upload(f"{web}/api/v2/jobs/bulk-upload", token))
        waits.append(competitor.longest)
        assert Job.objects.count() == ROWS
    median = statistics.median(seconds)
    figures.add("upload is answered", f"{median:.2f} s", f"{SECONDS:g} s", at_most(median, SECONDS))
    figures.add("another writer waits at most", f"{statistics.median(waits):.2f} s", "", "")
    few, many = (statements(rows) for rows in (ROWS // 10, ROWS))
    figures.add(f"statements for {ROWS // 10:,} rows", f"{few}", "", "")
    figures.add(f"statements for {ROWS:,} rows", f"{many}", f"{10 * few}", at_most(many, 10 * few))
    figures.publish()


def upload(url: str, token: str) -> float:
    began = time.perf_counter()
    files = {"file": ("jobs.csv", csv_file(ROWS), "text/csv")}
    answer = requests.post(url, files=files, headers={"Authorization": f"Bearer {token}"}, timeout=120)
    assert answer.status_code == 200, answer.text[:1000]
    return time.perf_counter() - began


def statements(rows: int) -> int:
    """Return how many statements an import of `rows` new jobs takes."""
    empty_tables()
    make_team(name="Ops")
    with CaptureQueriesContext(connection) as queries:
        import_jobs(read_table(csv_file(rows)), by=None, now=timezone.now())
    assert Job.objects.count() == rows
    return len(queries)


class Competitor:
    """Another writer, who asks for the write lock again and again. `longest` is its worst wait in seconds."""

    longest = 0.0

    def __enter__(self) -> "Competitor":
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._compete)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _compete(self) -> None:
        database = sqlite3.connect(connection.settings_dict["NAME"], timeout=60, isolation_level=None)
        while not self._stop.wait(0.005):
            began = time.perf_counter()
            database.execute("BEGIN IMMEDIATE")
            database.execute("ROLLBACK")
            self.longest = max(self.longest, time.perf_counter() - began)
        database.close()
