"""A hundred thousand active jobs: how soon it leads, what it costs while nothing is due, how soon an edit counts."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests

from accounts.tests.factories import make_user, token_for
from cronsched.tests.processes import web_process
from jobs.models import Job
from jobs.tests.benchmarks.contenders import insert_jobs, next_minute
from jobs.tests.benchmarks.processes import production, scheduler
from jobs.tests.benchmarks.report import Figures, at_most, size
from jobs.tests.benchmarks.target import Target
from jobs.tests.benchmarks.usage import megabytes, peak_megabytes, processor_seconds

pytestmark = [pytest.mark.benchmark, pytest.mark.django_db(transaction=True)]

JOBS = size("BENCH_JOBS", "100000")[0]
READY_SECONDS = 3.0
MEGABYTES = 200.0
IDLE_PERCENT = 3.0
EDIT_SECONDS = 2.0
# The first reconcile is behind it by then; the watch is long enough to hold exactly one of the others.
SETTLE_SECONDS = 10.0
WATCH_SECONDS = 60.0


def test_many_active_jobs(target: Target, tmp_path: Path) -> None:
    figures = Figures("many-jobs", f"{JOBS:,} active jobs", ("what", "figure", "bar", ""))
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    insert_jobs([target.url("now", 0)] * JOBS, due_at=now + timedelta(hours=12))
    insert_jobs([target.url("now", 1)], due_at=now, names="Overdue")
    token = token_for(make_user(role="admin"))
    started = time.time()
    with (
        scheduler(tmp_path / "scheduler.log") as pid,
        web_process(tmp_path / "web.log", **production(WEB_WORKERS="1")) as web,
    ):
        assert target.wait_for(1, until=time.time() + 60)
        ready = target.take()[0].at - started
        figures.add(
            "leads and has sent what was overdue",
            f"{ready:.2f} s",
            f"{READY_SECONDS:g} s",
            at_most(ready, READY_SECONDS),
        )
        time.sleep(SETTLE_SECONDS)
        idle = idle_percent(pid)
        figures.add(
            "processor while nothing is due", f"{idle:.2f} %", f"{IDLE_PERCENT:g} %", at_most(idle, IDLE_PERCENT)
        )
        acts, answered = seconds_until_an_edit_acts(target, f"{web}/api/v2/jobs", token)
        figures.add("an edit is answered", f"{answered:.2f} s", "", "")
        figures.add("an edit acts", f"{acts:.2f} s", f"{EDIT_SECONDS:g} s", at_most(acts, EDIT_SECONDS))
        used, peak = megabytes(pid), peak_megabytes(pid)
    figures.add("memory, with its workers", f"{used:.0f} MB", f"{MEGABYTES:g} MB", at_most(used, MEGABYTES))
    figures.add("peak memory of the leader", f"{peak:.0f} MB", f"{MEGABYTES:g} MB", at_most(peak, MEGABYTES))
    figures.publish()


def idle_percent(pid: int) -> float:
    """Return how much of one processor `pid` uses over a minute in which it reconciles once."""
    before = processor_seconds(pid)
    time.sleep(WATCH_SECONDS)
    return (processor_seconds(pid) - before) / WATCH_SECONDS * 100


def seconds_until_an_edit_acts(target: Target, jobs: str, token: str) -> tuple[float, float]:
    """Let a job fire each minute from now on, a moment before the next one begins.

    Returns the seconds from the later of the answer and the minute until the request, and what the answer took.
    """
    job = Job.objects.get(name=f"Job {JOBS // 2}")
    due = next_minute(lead=3).timestamp()
    time.sleep(due - 1.5 - time.time())
    asked = time.time()
    change = {"cron_expression": "* * * * *", "target_url": target.url("now", 2)}
    answer = requests.put(f"{jobs}/{job.id}", json=change, headers={"Authorization": f"Bearer {token}"}, timeout=30)
    answered = time.time()
    assert answer.status_code == 200, answer.text
    assert target.wait_for(1, until=due + 30)
    arrival = target.take()[0]
    assert arrival.number == 2
    return arrival.at - max(due, answered), answered - asked
