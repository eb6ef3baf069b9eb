"""A long history in minutes: written by the database itself."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

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

# As `FILL`, of the database's own numbers: `{source}`, from `:first` to `:last`, named `i`.
FILL_SERVER = """
    INSERT INTO job_executions (
        id, job_id, status, trigger_type, execution_type, target, scheduled_for, queued_at, started_at, completed_at,
        duration_seconds, response_status, output, attempt, earlier_attempts, details
    )
    SELECT
        {id}, numbered_jobs.id,
        CASE ({turn} + i) %% 20 WHEN 0 THEN 'failed' WHEN 1 THEN 'missed' ELSE 'success' END,
        'scheduled', 'webhook', 'https://hooks.example.com/', moment, moment, moment, moment,
        0.25 + (i %% 100) / 100.0, 200, 'OK', 1, '[]', '{{}}'
    FROM (SELECT {number} AS i, {moment} AS moment FROM {source}) AS moments
    JOIN numbered_jobs ON numbered_jobs.number = i %% %(jobs)s
"""
FILL_POSTGRESQL = FILL_SERVER.format(
    # Keys of version 7: in the order of time, as those that the service makes.
    id="(lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0') || lpad(to_hex(i), 20, '70008000'))::uuid",
    number="number",
    turn="i / %(jobs)s",
    moment="%(start)s + number * %(step)s * interval '1 microsecond'",
    source="generate_series(%(first)s, %(last)s) AS number",
)
FILL_MARIADB = FILL_SERVER.format(
    id="CONCAT(LPAD(HEX(FLOOR(UNIX_TIMESTAMP(moment) * 1000)), 12, '0'), LPAD(HEX(i), 20, '70008000'))",
    number="seq",
    turn="i DIV %(jobs)s",
    moment="%(start)s + INTERVAL FLOOR(seq * %(step)s) MICROSECOND",
    source="seq_0_to_4000000000 WHERE seq BETWEEN %(first)s AND %(last)s",
)
SETTINGS = {
    "postgresql": (
        ("SET statement_timeout = 0", "SET session_replication_role = replica", "SET maintenance_work_mem = '1GB'"),
        ("RESET statement_timeout", "RESET session_replication_role", "RESET maintenance_work_mem"),
    ),
    "mysql": (
        ("SET foreign_key_checks = 0, unique_checks = 0, max_statement_time = 0",),
        ("SET foreign_key_checks = 1, unique_checks = 1, max_statement_time = DEFAULT",),
    ),
}
# So few that no transaction grows out of MariaDB's cache.
PORTION = 250_000
NUMBERED_JOBS = """
    CREATE TEMPORARY TABLE numbered_jobs AS SELECT ROW_NUMBER() OVER (ORDER BY id) - 1 AS number, id FROM jobs
"""


# Copies of the only job: where the numbers come from, a new id and a new name.
COPIES = {
    "postgresql": ("generate_series(1, %s) AS number", "gen_random_uuid()", "'Job ' || number"),
    "mysql": ("seq_1_to_4000000000 AS numbers WHERE seq <= %s", "UUID()", "CONCAT('Job ', seq)"),
    "sqlite": (
        "(WITH RECURSIVE n(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM n WHERE number < %s) SELECT * FROM n)",
        "lower(hex(randomblob(16)))",
        "'Job ' || number",
    ),
}


def copy_job(number: int) -> None:
    """Add `number` copies of the only job that there is."""
    source, id, name = COPIES[connection.vendor]
    columns = [field.column for field in Job._meta.concrete_fields]
    values = [{"id": id, "name": name}.get(column, column) for column in columns]
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE only_job AS SELECT * FROM jobs")
        statement = f"SELECT {', '.join(values)} FROM only_job CROSS JOIN {source}"
        cursor.execute(f"INSERT INTO jobs ({', '.join(columns)}) {statement}", [number])
        cursor.execute("DROP TABLE only_job")


def fill_server(number: int) -> None:
    """As `fill`, without the daily counts, on PostgreSQL or MariaDB: all jobs that there are get executions."""
    step = timedelta(days=DAYS) / number / timedelta(microseconds=1)
    with connection.cursor() as cursor, _without_indexes():
        cursor.execute(NUMBERED_JOBS)
        cursor.execute("CREATE UNIQUE INDEX numbered ON numbered_jobs (number)")
        cursor.execute("SELECT COUNT(*) FROM numbered_jobs")
        parameters = {"jobs": cursor.fetchone()[0], "start": START, "step": step}
        for first in range(0, number, PORTION):
            last = min(first + PORTION, number) - 1
            statement = FILL_POSTGRESQL if connection.vendor == "postgresql" else FILL_MARIADB
            cursor.execute(statement, {**parameters, "first": first, "last": last})
        cursor.execute("DROP TABLE numbered_jobs")
    with connection.cursor() as cursor:
        # What runs by itself after so much, and could fall into the measurement.
        cursor.execute(
            "VACUUM ANALYZE job_executions, jobs"
            if connection.vendor == "postgresql"
            else "ANALYZE TABLE job_executions, jobs"
        )


@contextmanager
def _without_indexes() -> Iterator[None]:
    """Keep away what the database checks and sorts for each row, and have the indexes made again at the end."""
    is_postgresql = connection.vendor == "postgresql"
    off, on = SETTINGS[connection.vendor]
    with connection.cursor() as cursor:
        if is_postgresql:
            cursor.execute("SELECT indexdef FROM pg_indexes WHERE tablename = 'job_executions'")
            making = [text for (text,) in cursor if " UNIQUE " not in text]
            dropping = [f"DROP INDEX {text.split()[2]}" for text in making]
        else:
            cursor.execute("SHOW CREATE TABLE job_executions")
            # The unique one stays: the foreign key stands on it.
            found = re.findall(r"^ +KEY (`\w+`) (\(.+\)),?$", cursor.fetchone()[1], re.MULTILINE)
            making = [f"CREATE INDEX {name} ON job_executions {columns}" for name, columns in found]
            dropping = [f"DROP INDEX {name} ON job_executions" for name, _ in found]
        for statement in (*off, *dropping):
            cursor.execute(statement)
        yield
        for statement in (*making, *on):
            cursor.execute(statement)


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
    daily_counts.recount_jobs()
    with connection.cursor() as cursor:
        # A year's growth would have gone from the log into the file long ago.
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
