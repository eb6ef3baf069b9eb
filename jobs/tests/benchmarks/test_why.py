"""Why a job ran or did not, for a month of an every-minute job, asked over HTTP."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from audit import terms
from jobs.models import ExecutionType, Job, JobExecution, Status, TriggerType
from jobs.tests.benchmarks.calls import Web
from jobs.tests.benchmarks.report import Figures, at_most
from jobs.tests.factories import make_job

pytestmark = [pytest.mark.benchmark, pytest.mark.django_db(transaction=True)]

MINUTE = timedelta(minutes=1)
TIMES = 31 * 24 * 60
BAR = 300.0
START = datetime(2026, 3, 1, tzinfo=UTC)
END = START + TIMES * MINUTE
RANGE = f"from={START:%Y-%m-%d}&to={END - MINUTE:%Y-%m-%d}"
STATUSES = (*[Status.SUCCESS] * 16, Status.FAILED, Status.MISSED, Status.SKIPPED, Status.UNKNOWN)


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_why_of_a_month_of_minutes(zone: str, web: Web) -> None:
    job = make_job(cron_expression="* * * * *", timezone=zone, created_at=START - timedelta(days=1))
    rows = executions(job)
    while portion := list(islice(rows, 5000)):
        JobExecution.objects.bulk_create(portion)
    for number in range(50):
        terms.begin(f"host:{number}", number + 1, now=START + number * 10 * 60 * MINUTE)
    figures = Figures("why", f"Why, {TIMES:,} times, {zone}", ("what", "p50 ms", "p99 ms", "bar", ""))
    paths = {
        "a month, 1,000 told": f"{RANGE}&limit=1000",
        "a month, 5,000 told": f"{RANGE}&limit=5000",
        "a day": f"from={END - timedelta(days=1):%Y-%m-%d}&to={END - MINUTE:%Y-%m-%d}",
        "one time": f"at={END - timedelta(days=3):%Y-%m-%d}T03:07:00Z",
    }
    for name, query in paths.items():
        median, worst = web.milliseconds(f"jobs/{job.pk}/why?{query}", rounds=30)
        figures.add(name, f"{median:.0f}", f"{worst:.0f}", f"{BAR:g}", at_most(median, BAR))
    figures.publish()


def executions(job: Job) -> Iterator[JobExecution]:
    for number in range(TIMES):
        due_at, status = START + number * MINUTE, STATUSES[number % len(STATUSES)]
        started_at = due_at + timedelta(seconds=number % 13)
        yield JobExecution(
            job=job,
            status=status,
            trigger_type=TriggerType.SCHEDULED,
            execution_type=ExecutionType.WEBHOOK,
            target="https://hooks.example.com/",
            scheduled_for=due_at,
            queued_at=due_at,
            started_at=started_at,
            completed_at=started_at,
            response_status=503 if status == Status.FAILED else 200,
            error_message="Webhook returned status 503" if status == Status.FAILED else None,
            reason="No scheduler started it in time." if status == Status.MISSED else None,
            output="OK",
        )
