"""Two releases side by side on one database: an earlier commit's scheduler and this one's."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from django.db import connection

from cronsched.tests.processes import manage
from jobs.tests.benchmarks.contenders import EARLIER, has_commit, unpacked
from jobs.tests.benchmarks.processes import process
from jobs.tests.scheduler.processes import database_url

pytestmark = [pytest.mark.chaos, pytest.mark.database, pytest.mark.django_db(transaction=True)]

JOBS = 20
WAIT = 100.0
# In the earlier checkout, or in this one: the same tables as far as these lines go.
FILL = """
import sys, django
django.setup()
from django.utils import timezone
from jobs.tests.factories import make_job
minute = timezone.now().replace(second=0, microsecond=0)
for number in range(int(sys.argv[1])):
    url = f"{sys.argv[2]}{number}"
    make_job(target_url=url, cron_expression="* * * * *", timezone="UTC", next_fire_at=minute)
"""
HOLDER = "import django; django.setup(); from jobs.models import *; print(SchedulerLease.objects.get().holder)"
OUT = """
import django; django.setup()
from jobs.models import *
print(JobExecution.objects.filter(status__in=["queued", "running"]).count())
"""
ROWS = """
import django, json; django.setup()
from jobs.models import *
fields = "status", "job_id", "scheduled_for", "error_message", "sender"
print(json.dumps(list(JobExecution.objects.values_list(*fields)), default=str))
"""


@contextmanager
def empty_database(folder: Path) -> Iterator[str]:
    """Yield the address of a database with nothing in it, of the kind that this test runs on."""
    if connection.vendor == "sqlite":
        yield f"sqlite:///{folder / 'shared.sqlite3'}"
        return
    name = f"cs_upgrade_{uuid4().hex[:8]}"
    collation = " COLLATE utf8mb4_bin" if connection.vendor == "mysql" else ""
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}{collation}")
        try:
            yield f"{database_url().rpartition('/')[0]}/{name}"
        finally:
            cursor.execute(f"DROP DATABASE {name}" + (" WITH (FORCE)" if connection.vendor == "postgresql" else ""))


def asked(environment: dict[str, str], script: str, *arguments: str, root: Path = Path()) -> str:
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, cwd=root, env=environment, check=True, capture_output=True, text=True).stdout


def wait_for_leader(environment: dict[str, str], name: str) -> None:
    ends_at = time.monotonic() + WAIT
    while name not in asked(environment, HOLDER):
        assert time.monotonic() < ends_at, f"{name} does not lead"
        time.sleep(0.5)


def wait_until_recorded(environment: dict[str, str]) -> None:
    """Wait until nothing is out: what a stopped process has out runs into its deadline meanwhile."""
    ends_at = time.monotonic() + WAIT
    while int(asked(environment, OUT)):
        assert time.monotonic() < ends_at, "something is out for ever"


def wait_for_arrivals(behaviour, number: int) -> None:
    for _ in range(number):
        assert behaviour.wait_for_arrival(WAIT), behaviour.paths


@pytest.mark.timeout(600)
def test_two_releases_share_a_database_and_each_fire_time_is_sent_once(sink, behaviour, tmp_path):
    if not has_commit(EARLIER):
        pytest.skip("the history of this checkout does not reach back to the earlier release")
    before = unpacked(EARLIER, tmp_path / "before")
    with empty_database(tmp_path) as url:
        environment = {
            **os.environ,
            "DATABASE_URL": url,
            "DJANGO_SETTINGS_MODULE": "cronsched.settings",
            "WEBHOOK_ALLOW_PRIVATE_NETWORKS": "true",
        }
        subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=before, env=environment, check=True)
        asked(environment, FILL, str(JOBS), sink.url("/"), root=before)
        run = ["manage.py", "runscheduler", "--instance"]
        with process([*run, "earlier"], tmp_path / "earlier.log", environment, root=before) as earlier:
            wait_for_arrivals(behaviour, JOBS)
            manage("migrate", "-v0", **environment)
            with process([*run, "this"], tmp_path / "this.log", environment) as ours:
                # The earlier one goes on with the migrated tables, then each leads once more.
                wait_for_arrivals(behaviour, JOBS)
                wait_until_recorded(environment)
                os.kill(earlier, signal.SIGSTOP)
                wait_for_leader(environment, "this")
                os.kill(earlier, signal.SIGCONT)
                wait_for_arrivals(behaviour, JOBS)
                wait_until_recorded(environment)
                os.kill(ours, signal.SIGSTOP)
                wait_for_leader(environment, "earlier")
                os.kill(ours, signal.SIGCONT)
                wait_for_arrivals(behaviour, JOBS)
        rows = json.loads(asked(environment, ROWS))
    assert [row for row in rows if row[0] != "success"] == []
    assert len({(job, fire_time) for _, job, fire_time, *_ in rows}) == len(rows) >= 4 * JOBS
    assert sum(behaviour.paths.values()) == len(rows)
