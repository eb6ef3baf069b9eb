"""Every page of the console asks a number of queries that does not grow: 15 for a list, 25 for a page; none of them
goes through the whole history.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

import cronsched.urls  # noqa: F401 - all pages of the console are registered from here on
from accounts import api_tokens
from accounts.tests.factories import make_user
from audit.models import AuditEntry
from jobs.models import Job, JobExecution
from jobs.tests.factories import make_execution, make_job
from notifications.message import NOBODY, Mail
from notifications.models import SlackSettings
from notifications.services import notify
from notifications.tests.conftest import use_mail_server
from notifications.tests.factories import message
from taxonomy.models import JobCategory
from taxonomy.tests.factories import make_team

pytestmark = pytest.mark.django_db

LIST_BAR, PAGE_BAR = 15, 25
# Not lists of rows: one page, and a way to the one row there is.
SINGLE = ("jobs.schedulerlease", "notifications.slacksettings")
# What SQLite's ANALYZE says of a million executions of ten thousand jobs with three outcomes.
LONG_HISTORY = {
    "executions_newest": "1000000 1 1",
    "executions_of_job": "1000000 100 1 1",
    "executions_of_status": "1000000 333334 1 1",
    "executions_of_job_by_status": "1000000 100 34 1 1",
}


def lists() -> dict[str, str]:
    """Return the lists of the console by their names."""
    metas = [model._meta for model in admin.site._registry if model._meta.label_lower not in SINGLE]
    return {
        str(meta.verbose_name_plural).capitalize(): reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist")
        for meta in metas
    }


def pages(job: Job, execution: JobExecution) -> dict[str, str]:
    """Return the other pages: of a job, of an execution, and those with addresses of their own."""
    named = {
        "Now": "index",
        "Calendar": "jobs_calendar",
        "Upload": "jobs_upload",
        "A new job": "jobs_job_add",
        "Scheduler": "jobs_schedulerlease_changelist",
        "A new token": "accounts_apitoken_add",
    }
    found = {title: reverse(f"admin:{name}") for title, name in named.items()}
    why = reverse("admin:jobs_why")
    return {
        **found,
        "A job": reverse("admin:jobs_job_change", args=[job.pk]),
        "An execution": reverse("admin:jobs_jobexecution_change", args=[execution.pk]),
        "Why": why,
        "Why, of a job": f"{why}?job={job.pk}",
        "Account": reverse("account"),
        "Search": f"{reverse('admin:search')}?s=Job&extended=1",
    }


def fill(number: int) -> None:
    now = timezone.now()
    for place in range(number):
        owner = make_user()
        job = make_job(
            created_by=owner, pic_team=make_team(), next_fire_at=now + timedelta(hours=1), consecutive_failures=1
        )
        make_execution(job, started_at=now)
        JobCategory.objects.create(name=f"c{number}-{place}", slug=f"c{number}-{place}")
        api_tokens.create({"name": "t", "scopes": ["read"]}, owner=owner, by=owner, now=now)
        notify([message(audience=NOBODY, mail=Mail("job_disabled", "Job", ("a@example.com",), {}))], now=now)


@pytest.fixture
def world(client: Any, settings: Any) -> Any:
    use_mail_server(settings, 1)
    client.force_login(make_user(role="admin"))
    SlackSettings.objects.create(webhook_url="https://hooks.slack.com/x")
    return client


def counted(client: Any, addresses: dict[str, str]) -> dict[str, int]:
    found = {}
    for name, address in addresses.items():
        with CaptureQueriesContext(connection) as asked:
            assert client.get(address).status_code == 200, address
        found[name] = len(asked)
    return found


def both(client: Any, addresses: Callable[[], dict[str, str]]) -> tuple[dict[str, int], dict[str, int]]:
    """Count for a few rows and for many."""
    fill(2)
    few = counted(client, addresses())
    fill(12)
    return few, counted(client, addresses())


def test_a_list_takes_at_most_fifteen_queries_however_many_rows_there_are(world):
    few, many = both(world, lists)
    assert {name: number for name, number in many.items() if number > min(LIST_BAR, few[name])} == {}
    assert AuditEntry.objects.exists()


def test_a_page_takes_at_most_twenty_five_queries_however_many_rows_there_are(world):
    job = make_job()
    execution = make_execution(job)
    few, many = both(world, lambda: pages(job, execution))
    assert {name: number for name, number in many.items() if number > min(PAGE_BAR, few[name])} == {}


@pytest.fixture
def long_history() -> Iterator[None]:
    """Let SQLite plan as if there were a million executions."""
    rows = [("job_executions", index, numbers) for index, numbers in LONG_HISTORY.items()]
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        cursor.execute("DELETE FROM sqlite_stat1")
        cursor.executemany("INSERT INTO sqlite_stat1 VALUES (%s, %s, %s)", rows)
        cursor.execute("ANALYZE sqlite_schema")
        yield
        cursor.execute("DELETE FROM sqlite_stat1")
        cursor.execute("ANALYZE sqlite_schema")


def plans(asked: CaptureQueriesContext) -> list[str]:
    """Return the steps by which SQLite finds what was asked for."""
    found = []
    with connection.cursor() as cursor:
        for query in asked.captured_queries:
            if query["sql"].startswith("SELECT"):
                # As it was sent, with its values in their places.
                steps = cursor.connection.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
                found += [f"{step} IN {query['sql']}" for *_, step in steps]
    return found


@pytest.mark.skipif(connection.vendor != "sqlite", reason="Other databases plan by what they have counted themselves.")
def test_no_page_goes_through_the_whole_history(world, long_history):
    job = make_job(consecutive_failures=1)
    execution = make_execution(job)
    executions = reverse("admin:jobs_jobexecution_changelist")
    outcomes = {f"Executions, {name}": f"{executions}?outcome={name}" for name in ("failed", "running", "unknown")}
    for name, address in {**lists(), **pages(job, execution), **outcomes}.items():
        with CaptureQueriesContext(connection) as asked:
            assert world.get(address).status_code == 200, address
        assert [step for step in plans(asked) if step.startswith("SCAN job_executions IN")] == [], name
