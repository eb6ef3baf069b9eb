"""How long monitors wait for `/metrics`, with many jobs and a long history: SQLite, or what DATABASE_URL names.

BENCH_METRICS   how many jobs and executions; default 100000,5000000, for which the bar is. That needs 3 GB of disk.
"""

import statistics
import time
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.db.models import F
from django.test import Client

from jobs.history import totals
from jobs.models import Job, JobExecution, SchedulerLease, Sender, SenderKind, Status
from jobs.tests.benchmarks.contenders import insert_jobs
from jobs.tests.benchmarks.history import copy_job, fill, fill_server
from jobs.tests.benchmarks.report import Figures, at_most, size
from jobs.tests.benchmarks.usage import thread_seconds

pytestmark = [pytest.mark.benchmark, pytest.mark.django_db(transaction=True)]

JOBS, EXECUTIONS = size("BENCH_METRICS", "100000,5000000")
BAR, SCRAPES = 50.0, 100
SERVERS_THREADS = {
    "postgresql": "SELECT pid FROM pg_stat_activity WHERE datname = current_database()",
    "mysql": "SELECT TID FROM information_schema.PROCESSLIST WHERE DB = DATABASE()",
}


def test_a_scrape_of_metrics() -> None:
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    insert_jobs(["https://hooks.example.com/"], due_at=now + timedelta(hours=1))
    copy_job(JOBS - 1)
    jobs = list(Job.objects.all())
    if connection.vendor == "sqlite":
        fill(jobs, EXECUTIONS, counted=False)
    else:
        fill_server(EXECUTIONS)
    _in_use(jobs, now)
    measure()


def measure() -> None:
    """Scrape the database as it is. The processor's time tells more than the clock where the machine is busy."""
    vendor = connection.vendor
    title = f"/metrics in milliseconds, {JOBS:,} jobs and {EXECUTIONS:,} executions, {vendor}"
    columns = ("scrapes", "p50", "longest", "processor each", "of that the database server's", "bar for p50", "")
    figures, client, took = Figures(f"metrics-{vendor}", title, columns), Client(), []
    # The first one of a process imports, connects and plans.
    assert client.get("/metrics").status_code == 200
    before = _server_seconds()
    own = time.process_time()
    for _ in range(SCRAPES):
        began = time.perf_counter()
        answer = client.get("/metrics")
        took.append((time.perf_counter() - began) * 1000)
        assert answer.status_code == 200
        assert b"cronsched_database_up 1.0" in answer.content
    own = (time.process_time() - own) * 1000 / SCRAPES
    after = _server_seconds()
    server = sum(after[thread] - before[thread] for thread in before.keys() & after.keys()) * 1000 / SCRAPES
    p50 = statistics.median(took)
    cells = (f"{p50:.1f}", f"{max(took):.1f}", f"{own + server:.1f}", f"{server:.1f}", f"{BAR:g}")
    figures.add(str(SCRAPES), *cells, at_most(p50, BAR))
    figures.publish()


def _server_seconds() -> dict[int, float]:
    """Return the processor time of each of the server's processes or threads that works for this database."""
    if connection.vendor == "sqlite":
        return {}
    with connection.cursor() as cursor:
        cursor.execute(SERVERS_THREADS[connection.vendor])
        return {thread: thread_seconds(thread) for (thread,) in cursor.fetchall()}


def _in_use(jobs: list[Job], now: datetime) -> None:
    """Give it what a busy service has: jobs of all states, executions that are out or wait, senders, totals."""
    some = [job.pk for job in jobs[:: max(1, len(jobs) // 500)]]
    Job.objects.filter(pk__in=some[:200]).update(is_active=False, next_fire_at=None)
    Job.objects.filter(pk__in=some[200:300]).update(end_date=now.date() - timedelta(days=9), next_fire_at=None)
    Job.objects.filter(pk__in=some[300:400]).update(schedule_error="Unknown time zone: X", next_fire_at=None)
    Job.objects.filter(pk__in=some[400:]).update(next_fire_at=now - timedelta(seconds=5))
    SchedulerLease.objects.create(pk=1, holder="host:1", renewed_at=now, last_pass_at=now)
    for kind in SenderKind.values:
        Sender.objects.create(token=uuid4(), host="host", kind=kind, started_at=now, seen_at=now, limit=2000)
    newest = list(JobExecution.objects.order_by("-started_at").values_list("pk", flat=True)[:4000])
    JobExecution.objects.filter(pk__in=newest[:2000]).update(status=Status.RUNNING, sender=uuid4())
    JobExecution.objects.filter(pk__in=newest[2000:]).update(status=Status.QUEUED)
    settled = JobExecution.objects.filter(status__in=(Status.SUCCESS, Status.FAILED)).order_by("-started_at")[:500]
    totals.count(settled.annotate(at=F("started_at")))
