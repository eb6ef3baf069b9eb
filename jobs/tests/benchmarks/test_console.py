"""Every page of the console at 10,000 jobs and 1,000,000 executions: time, and a number of queries that has its bar."""

import statistics
import time
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.tests.factories import make_user
from jobs.models import Job, JobExecution
from jobs.schedule.reschedule import next_fire
from jobs.tests.admin.test_query_counts import LIST_BAR, PAGE_BAR, lists, pages
from jobs.tests.benchmarks.history import fill
from jobs.tests.benchmarks.report import Figures, at_most
from jobs.tests.factories import make_job
from taxonomy.tests.factories import make_team

pytestmark = [pytest.mark.benchmark, pytest.mark.django_db(transaction=True)]

JOBS, EXECUTIONS = 10_000, 1_000_000
BAR = 300.0
ROUNDS = 7
# One job of each minute, hour and day, by turns.
EXPRESSIONS = ("*/5 * * * *", "17 * * * *", "0 2 * * *", "30 6 * * 1-5", "0 4 1 * *")


def test_every_page_of_the_console() -> None:
    admin, now = make_user(role="admin"), timezone.now()
    teams = [make_team(name=f"Team {number}") for number in range(20)]
    template = make_job(pic_team=teams[0], created_by=admin)
    jobs = []
    for number in range(JOBS):
        job = Job(name=f"Job {number:05}", created_by=admin, pic_team=teams[number % 20], category=template.category)
        job.target_url, job.cron_expression = "https://hooks.example.com/", EXPRESSIONS[number % len(EXPRESSIONS)]
        job.end_date = template.end_date + timedelta(days=number % 90)
        job.consecutive_failures = 3 if number % 50 == 0 else 0
        job.next_fire_at, _ = next_fire(job, now)
        jobs.append(job)
    Job.objects.bulk_create(jobs, batch_size=500)
    fill(jobs, EXECUTIONS)
    client = Client()
    client.force_login(admin)
    newest = JobExecution.objects.newest_first().first()
    assert newest is not None
    figures = Figures(
        "console",
        f"The console, {JOBS:,} jobs, {EXECUTIONS:,} executions, SQLite",
        ("page", "queries", "at most", "p50 ms", "worst ms", "processor ms", "bar", ""),
    )
    shown = pages(newest.job, newest)
    listed = {**lists(), "Jobs, failing": f"{reverse('admin:jobs_job_changelist')}?state=failing"}
    listed |= {
        "Jobs, search": f"{reverse('admin:jobs_job_changelist')}?q=0042",
        "Executions, failed": f"{reverse('admin:jobs_jobexecution_changelist')}?outcome=failed",
        "Executions, of a job": f"{reverse('admin:jobs_jobexecution_changelist')}?job={newest.job_id}",
    }
    for name, address in [*listed.items(), *shown.items()]:
        most = LIST_BAR if name in listed else PAGE_BAR
        times, worked, asked = [], [], CaptureQueriesContext(connection)
        for _ in range(ROUNDS):
            began, begun = time.perf_counter(), time.process_time()
            with asked:
                answer = client.get(address)
            times.append(1000 * (time.perf_counter() - began))
            worked.append(1000 * (time.process_time() - begun))
            assert answer.status_code == 200, address
        median, queries = statistics.median(times), len(asked)
        cells = (f"{median:.0f}", f"{max(times):.0f}", f"{statistics.median(worked):.0f}", f"{BAR:g}")
        figures.add(name, str(queries), str(most), *cells, at_most(median, BAR))
        assert queries <= most, name
    figures.publish()
