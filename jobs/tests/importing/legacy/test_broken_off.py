"""An import that is killed in the middle and run again leaves what one that was never disturbed does."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from uuid import uuid4

import pytest

from cronsched.tests.processes import ROOT, manage
from jobs.tests.importing.legacy import older
from jobs.tests.importing.legacy.older import LATER, execution_row, notification_row

pytestmark = pytest.mark.slow

# What is made anew at each run: times of the import itself.
TABLES = {
    "users": "id, username, email, password",
    "jobs": "id, name, cron_expression, metadata, is_active, revision",
    "job_pauses": "job_id, reason, batch_id",
    "job_executions": "id, job_id, status, started_at",
    "job_execution_days": "job_key, day, status, count, timed, seconds",
    "notifications": "id, user_id, title, created_at",
    "notification_marks": "notification_id, user_id, read_at, is_deleted",
}
# Where the process is killed: after so many batches of rows have been written.
KILLER = """
import os, signal, sys
from django.core.management import execute_from_command_line
import django
django.setup()
from jobs.importing.legacy import state
write, left = state._insert, [int(sys.argv.pop())]
def killed(rows):
    write(rows)
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
state._insert = killed
execute_from_command_line(["manage.py", *sys.argv[1:]])
"""


@pytest.fixture
def filled(tmp_path):
    with older.in_file(tmp_path) as there:
        there.label("pic_teams", "ops")
        people = [there.user(f"person{number}") for number in range(6)]
        jobs = [there.job(created_by=str(people[0])) for _ in range(30)]
        there.insert("job_executions", [execution_row(uuid4(), jobs[n % 30]) for n in range(120)])
        for number in range(30):
            moment = LATER + timedelta(minutes=number)
            rows = [notification_row(uuid4(), person, moment) for person in people[: 6 - number % 2]]
            there.insert("notifications", [{**row, "is_read": bool(number % 3)} for row in rows])
        yield there


def new_database(folder, name):
    url = f"sqlite:///{folder}/{name}.sqlite3"
    manage("migrate", "--verbosity", "0", DATABASE_URL=url)
    return url


def contents(url):
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as raw:
        return {table: sorted(raw.execute(f"SELECT {columns} FROM {table}")) for table, columns in TABLES.items()}


def test_killed_in_the_middle_and_run_again_is_the_same(filled, tmp_path):
    arguments = ("import_legacy", filled.url, "--batch", "10", "--json")
    whole = new_database(tmp_path, "whole")
    manage(*arguments, DATABASE_URL=whole)
    broken = new_database(tmp_path, "broken")
    environment = {**os.environ, "DATABASE_URL": broken}
    # In the jobs, in the executions, in the notices.
    for batches in (3, 9, 12):
        command = [sys.executable, "-c", KILLER, *arguments, str(batches)]
        killed = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert contents(broken) != contents(whole)
    report = json.loads(manage(*arguments, DATABASE_URL=broken))
    assert contents(broken) == contents(whole)
    present = {name: count["present"] for name, count in report["tables"].items()}
    assert present["jobs"] == 30
    assert 0 < present["job_executions"] + present["notifications"] < 285
