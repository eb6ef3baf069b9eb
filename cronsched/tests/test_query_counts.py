"""Lists take the same number of queries however long they are."""

from collections.abc import Callable
from datetime import date, timedelta
from itertools import count

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from accounts.tests.factories import api_client
from jobs.models import ExecutionType, Job, JobExecution, Status, TriggerType
from jobs.tests.factories import NOON, make_job
from notifications.tests.factories import tell
from taxonomy.models import JobCategory, PicTeam

FEW, MANY = 10, 500
_numbers = count(1)


def add_categories(number: int) -> None:
    JobCategory.objects.bulk_create(JobCategory(name=f"C {n}", slug=f"c-{n}") for n in numbers(number))


def add_teams(number: int) -> None:
    PicTeam.objects.bulk_create(PicTeam(name=f"T {n}", slug=f"t-{n}", slack_handle="@t") for n in numbers(number))


def add_users(number: int) -> None:
    User.objects.bulk_create(User(username=f"u{n}", email=f"u{n}@example.com") for n in numbers(number))


def add_jobs(number: int) -> None:
    """Add jobs of different owners, teams and categories, each with a history."""
    add_categories(3)
    add_teams(3)
    add_users(3)
    categories, teams, users = JobCategory.objects.all(), PicTeam.objects.all(), User.objects.all()
    jobs = Job.objects.bulk_create(
        Job(
            name=f"Job {n}",
            cron_expression="0 2 * * *",
            target_url="https://hooks.example.com/",
            end_date=date(2099, 12, 31),
            category=categories[n % len(categories)],
            pic_team=teams[n % len(teams)],
            created_by=users[n % len(users)],
        )
        for n in numbers(number)
    )
    JobExecution.objects.bulk_create(execution(job, n) for job in jobs for n in range(2))


def add_executions(number: int) -> None:
    """Add the history of one job, and as much of many others."""
    job = Job.objects.filter(name="Busy").first() or make_job(name="Busy")
    JobExecution.objects.bulk_create(execution(job, n) for n in range(number))
    add_jobs(number // 2)


def add_notifications(number: int) -> None:
    for n in numbers(number):
        tell(now=NOON + timedelta(seconds=n))


def execution(job: Job, number: int) -> JobExecution:
    started_at = NOON + timedelta(minutes=number)
    return JobExecution(
        job=job,
        status=Status.SUCCESS,
        trigger_type=TriggerType.MANUAL,
        execution_type=ExecutionType.WEBHOOK,
        queued_at=started_at,
        started_at=started_at,
    )


def numbers(number: int) -> list[int]:
    return [next(_numbers) for _ in range(number)]


def path_of_busy_job() -> str:
    return f"jobs/{Job.objects.get(name='Busy').id}/executions?limit=200"


@pytest.mark.parametrize(
    "add, path",
    [
        (add_jobs, "jobs"),
        (add_executions, "executions?limit=200"),
        (add_executions, "executions?limit=200&status=success,failed&search=job"),
        (add_executions, "executions/statistics"),
        (add_executions, path_of_busy_job),
        (add_users, "auth/users"),
        (add_notifications, "notifications?per_page=100"),
        (add_notifications, "notifications/unread-count"),
        (add_categories, "job-categories"),
        (add_teams, "pic-teams"),
    ],
)
def test_a_list_of_many_takes_as_many_queries_as_one_of_few(admin, add, path: str | Callable[[], str]):
    client = api_client(admin)

    def queries() -> int:
        address = f"/api/v2/{path if isinstance(path, str) else path()}"
        with CaptureQueriesContext(connection) as captured:
            response = client.get(address)
        assert response.status_code == 200
        return len(captured)

    add(FEW)
    few = queries()
    add(MANY - FEW)
    assert queries() == few
