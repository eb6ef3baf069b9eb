"""Jobs and executions for tests. Every field has a value that works; a test names only what it is about."""

from datetime import UTC, date, datetime
from itertools import count
from typing import Any

from django.db import connection

from cronsched.lib.db import batches
from jobs.history import daily_counts
from jobs.models import ExecutionType, Job, JobExecution, Status, TriggerType
from taxonomy.models import PicTeam
from taxonomy.tests.factories import general, make_team

NOON = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)

_numbers = count(1)


def make_job(**fields: Any) -> Job:
    """Make an active webhook job that fires daily. Its schedule is not computed."""
    defaults = {
        "name": f"Job {next(_numbers)}",
        "cron_expression": "0 2 * * *",
        "target_url": "https://hooks.example.com/",
        "end_date": date(2099, 12, 31),
    }
    if "category" not in fields:
        defaults["category"] = general()
    if "pic_team" not in fields:
        defaults["pic_team"] = PicTeam.objects.filter(slug="ops").first() or make_team(name="Ops")
    return Job.objects.create(**{**defaults, **fields})


def make_execution(job: Job | None = None, **fields: Any) -> JobExecution:
    """Make a manual run that succeeded. It is counted like any other."""
    started_at = fields.setdefault("started_at", NOON)
    defaults = {
        "status": Status.SUCCESS,
        "trigger_type": TriggerType.MANUAL,
        "execution_type": ExecutionType.WEBHOOK,
        "target": "https://hooks.example.com/",
        "queued_at": started_at,
    }
    execution = JobExecution.objects.create(job=job or make_job(), **{**defaults, **fields})
    daily_counts.add(daily_counts.of(JobExecution.objects.filter(id=execution.id)))
    return execution


# Values that the service refuses and that only a statement in the database can write.
UNREADABLE = [
    ("notification_emails", "'5'"),
    *([("name", "CAST(x'ff41' AS TEXT)")] if connection.vendor == "sqlite" else []),
]


def break_in_database(row: Job | JobExecution, column: str, value: str) -> None:
    """Write SQL's `value` into a column of `row`, whatever our own doors and checks would say to it."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA ignore_check_constraints = ON")
        key = batches.stored(connection, row.pk)
        cursor.execute(f"UPDATE {row._meta.db_table} SET {column} = {value} WHERE id = %s", [key])
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA ignore_check_constraints = OFF")


def job_body(**fields: Any) -> dict[str, Any]:
    """Return what creates a webhook job of the team `ops` over the API."""
    return {
        "name": f"Job {next(_numbers)}",
        "cron_expression": "0 2 * * *",
        "target_url": "https://hooks.example.com/",
        "end_date": "2099-12-31",
        "pic_team": "ops",
        **fields,
    }
