"""A long history in minutes: written by the database itself, SQLite or PostgreSQL."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from jobs.history import daily_counts
from jobs.models import Job

DAYS = 365
END = datetime.now(UTC).replace(microsecond=0)
START = END - timedelta(days=DAYS)

# Keys of most indexes come in no order: what does not fit into the cache would be written again and again.
FILLING_CACHE_KIB = 8 * 1024**2

FILL = """
    INSERT INTO job_executions (
        id, job_id, status, trigger_type, execution_type, target, scheduled_for, queued_at, started_at, completed_at,
        duration_seconds, response_status, output, attempt, earlier_attempts, details
    )
    WITH RECURSIVE numbers(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM numbers WHERE i < :last),
    moments AS (SELECT i, strftime('%Y-%m-%d %H:%M:%f', julianday(:start) + i * :step) AS moment FROM numbers)
    SELECT
        printf('%012x7000', :milliseconds + i * :step_milliseconds) || lower(hex(randomblob(8))),
        (SELECT id FROM numbered_jobs WHERE number = i % :jobs),
        CASE (i / :jobs + i) % 20 WHEN 0 THEN 'failed' WHEN 1 THEN 'missed' ELSE 'success' END,
        'scheduled', 'webhook', 'https://hooks.example.com/', moment, moment, moment, moment,
        0.25 + (i % 100) / 100.0, 200, 'OK', 1, '[]', '{}'
    FROM moments
"""

FILL_POSTGRESQL = """
    INSERT INTO job_executions (
        id, job_id, status, trigger_type, execution_type, target, scheduled_for, queued_at, started_at, completed_at,
        duration_seconds, response_status, output, attempt, earlier_attempts, details
    )
    SELECT
        gen_random_uuid(), (%(jobs)s::uuid[])[i %% %(number)s + 1],
        CASE (i / %(number)s + i) %% 20 WHEN 0 THEN 'failed' WHEN 1 THEN 'missed' ELSE 'success' END,
        'scheduled', 'webhook', 'https://hooks.example.com/', moment, moment, moment, moment,
        0.25 + (i %% 100) / 100.0, 200, 'OK', 1, '[]', '{}'
    FROM (
        SELECT i, %(start)s + i * %(step)s * interval '1 day' AS moment FROM generate_series(0, %(last)s) AS i
    ) AS moments
"""


def fill_postgresql(jobs: Sequence[UUID], number: int) -> None:
    """As `fill`, without the daily counts."""
    parameters: dict[str, Any] = {
        "jobs": list(jobs),
        "number": len(jobs),
        "start": START,
        "step": DAYS / number,
        "last": number - 1,
    }
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute(FILL_POSTGRESQL, parameters)
        # What runs by itself after so much, and could fall into the measurement.
        cursor.execute("VACUUM ANALYZE job_executions")
        cursor.execute("RESET statement_timeout")


def fill(jobs: Sequence[Job], number: int, *, shift: float = 0.0, counted: bool = True) -> None:
    """Add `number` executions that are spread evenly over a year, and count them.

    A second filling needs a `shift` (a part of the step between two) of its own: no job has a fire time twice.
    """
    assert connection.vendor == "sqlite"
    step = DAYS / number
    start = START + timedelta(days=shift * step)
    parameters = {
        "first": 0,
        "last": number - 1,
        "start": start.strftime("%Y-%m-%d %H:%M:%S.%f"),
        "step": step,
        "milliseconds": int(start.timestamp() * 1000),
        "step_milliseconds": max(1, int(step * 24 * 3600 * 1000)),
        "jobs": len(jobs),
    }
    with connection.cursor() as cursor:
        usual_cache = cursor.execute("PRAGMA cache_size").fetchone()[0]
        cursor.execute(f"PRAGMA cache_size = -{FILLING_CACHE_KIB}")
        cursor.execute("CREATE TEMP TABLE IF NOT EXISTS numbered_jobs (number INTEGER PRIMARY KEY, id TEXT)")
        cursor.execute("DELETE FROM numbered_jobs")
        rows = [(number, job.id.hex) for number, job in enumerate(jobs)]
        cursor.executemany("INSERT INTO numbered_jobs VALUES (%s, %s)", rows)
        # Django's placeholders would clash with the formats in the statement.
        cursor.connection.execute(FILL, parameters)
        cursor.execute("ANALYZE")
        cursor.execute(f"PRAGMA cache_size = {usual_cache}")
    for day in range(DAYS + 2 if counted else 0):
        daily_counts.recount(START.date() + timedelta(days=day))
    with connection.cursor() as cursor:
        # A year's growth would have gone from the log into the file long ago.
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
