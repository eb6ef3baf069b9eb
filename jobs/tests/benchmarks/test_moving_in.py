"""The import of an older database: how long executions and notifications take, and what memory it costs."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import pytest

from cronsched.tests.processes import ROOT, manage
from jobs.tests.benchmarks.report import Figures, at_most
from jobs.tests.importing.legacy import older
from jobs.tests.importing.legacy.older import LATER, OlderDatabase, execution_row, notification_row

pytestmark = pytest.mark.benchmark

JOBS, EXECUTIONS, NOTICES, ACCOUNTS = 1_200, 100_000, 50_000, 20
EXECUTION_SECONDS, NOTIFICATION_SECONDS = 60.0, 300.0
PORTION = 5_000


def fill(there: OlderDatabase, *, executions: int, notices: int, accounts: int = ACCOUNTS, jobs: int = JOBS) -> None:
    """Write `executions` of `jobs` jobs, and `notices` notices with a row for each account; half of them are read."""
    there.label("pic_teams", "ops")
    people = [there.user(f"person{number:03}") for number in range(accounts)]
    schedules = ("0 2 * * *", "*/15 * * * *", "30 9 * * 0-4", "0 7 * * 2", "0 6 1 * *")
    keys = [
        there.job(name=f"Job {number}", cron_expression=schedules[number % len(schedules)], created_by=str(people[0]))
        for number in range(jobs)
    ]
    for start in range(0, executions, PORTION):
        rows = _executions(keys, range(start, min(start + PORTION, executions)))
        there.insert("job_executions", rows)
    for start in range(0, notices, PORTION // accounts):
        there.insert("notifications", _notices(people, range(start, min(start + PORTION // accounts, notices))))


def _executions(keys: list[UUID], numbers: range) -> Iterator[dict[str, object]]:
    for number in numbers:
        row = execution_row(uuid4(), keys[number % len(keys)], LATER + timedelta(seconds=20 * number))
        yield {**row, "status": "failed" if number % 50 == 0 else "success", "output": f"answer {number} " * 20}


def _notices(people: list[UUID], numbers: range) -> Iterator[dict[str, object]]:
    for number in numbers:
        moment = LATER + timedelta(seconds=30 * number)
        for place, person in enumerate(people):
            row = notification_row(uuid4(), person, moment + timedelta(milliseconds=place))
            read = {"is_read": True, "read_at": moment + timedelta(hours=1)} if (number + place) % 2 else {}
            yield {**row, "message": f'Job "Job {number}" completed successfully.', **read}


class Cost(NamedTuple):
    """What an import took: seconds by the clock and of the processor, and the most memory it had (KiB)."""

    seconds: float
    processor: float
    memory: int
    report: dict[str, Any]


def run_import(url: str, database: str) -> Cost:
    """Run the command as an operator does."""
    program = (
        "import resource, sys; from django.core.management import execute_from_command_line as run\n"
        "try: run(['manage.py', *sys.argv[1:]])\n"
        "finally:\n"
        "    used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "    print(used.ru_utime + used.ru_stime, used.ru_maxrss, file=sys.stderr)"
    )
    arguments = ["import_legacy", url, "--weekdays", "as-fired", "--json", "--batch", "2000"]
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        env={**environment(database)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    processor, memory = done.stderr.split()[-2:]
    return Cost(time.monotonic() - began, float(processor), int(memory), json.loads(done.stdout))


def environment(database: str) -> dict[str, str]:
    return {**os.environ, "DATABASE_URL": database, "DJANGO_SETTINGS_MODULE": "cronsched.settings"}


@pytest.mark.timeout(1800)
def test_import_of_an_older_database(tmp_path: Path) -> None:
    figures = Figures("moving-in", "The import of an older SQLite database into SQLite", ("what", "figure", "bar", ""))
    peaks = []
    for name, executions, notices, bar in (
        (f"{EXECUTIONS:,} executions", EXECUTIONS, 0, EXECUTION_SECONDS),
        (f"{NOTICES * ACCOUNTS:,} notifications", 0, NOTICES, NOTIFICATION_SECONDS),
        (f"{NOTICES * ACCOUNTS // 10:,} notifications", 0, NOTICES // 10, NOTIFICATION_SECONDS / 10),
    ):
        folder = tmp_path / name.replace(" ", "-")
        folder.mkdir()
        database = f"sqlite:///{folder}/new.sqlite3"
        manage("migrate", "--verbosity", "0", DATABASE_URL=database)
        with older.in_file(folder) as there:
            fill(there, executions=executions, notices=notices)
        cost = run_import(there.url, database)
        peaks.append(cost.memory)
        figures.add(name, f"{cost.seconds:.1f} s", f"{bar:g} s", at_most(cost.seconds, bar))
        figures.add(f"{name}: processor", f"{cost.processor:.1f} s", "", "")
        figures.add(f"{name}: the most memory", f"{cost.memory / 1024:.0f} MiB", "", "")
        with closing(sqlite3.connect(folder / "new.sqlite3")) as raw:
            (rows,) = raw.execute("SELECT COUNT(*) FROM job_executions").fetchone()
            assert rows == executions
    # Ten times as many rows take hardly more memory.
    growth = peaks[1] / peaks[2]
    figures.add("memory with ten times the notifications", f"× {growth:.2f}", "× 1.1", at_most(growth, 1.1))
    figures.publish()
