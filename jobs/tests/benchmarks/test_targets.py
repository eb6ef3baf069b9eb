"""Targets that make a scheduler wait: slow ones, and ones that mean harm."""

import time
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from accounts.tests.factories import make_user
from jobs.models import JobExecution, Status
from jobs.tests.benchmarks.contenders import insert_jobs, next_minute, wait_until_ended
from jobs.tests.benchmarks.processes import scheduler
from jobs.tests.benchmarks.report import Figures, at_most, size, verdict
from jobs.tests.benchmarks.target import SLOW_SECONDS, Target
from jobs.tests.benchmarks.usage import peak_megabytes, processor_seconds, threads

pytestmark = [pytest.mark.benchmark, pytest.mark.django_db(transaction=True)]

SLOW = 2_000
LAST_START_SECONDS = 6.0
PEAK_MEGABYTES = 120.0
THREADS = 30
HOSTILE = 200
GOOD_LATE_SECONDS = 2.0
MINUTES = 3
FAIR_LATE_SECONDS = 5.0
# Among jobs due at the same time the last in order of ids.
LAST = UUID(int=2**128 - 1)


def test_two_thousand_targets_that_take_five_seconds(target: Target, tmp_path: Path) -> None:
    figures = Figures(
        "slow", f"{SLOW:,} due at once, each answer takes {SLOW_SECONDS:g} s", ("what", "figure", "bar", "")
    )
    due = next_minute(lead=6)
    insert_jobs([target.url("slow", number) for number in range(SLOW)], due_at=due)
    with scheduler(tmp_path / "scheduler.log") as pid:
        began = due.timestamp()
        target.wait_for(SLOW // 2, until=began + 60)
        used = processor_seconds(pid)
        most_threads = threads(pid)
        target.wait_for(SLOW, until=began + 60)
        wait_until_ended(SLOW, until=began + 60)
        used, peak = processor_seconds(pid) - used, peak_megabytes(pid)
    late = [arrival.at - began for arrival in target.take()]
    ended_well = JobExecution.objects.filter(status=Status.SUCCESS).count()
    figures.add("requests that came", f"{len(late):,}", f"{SLOW:,}", verdict(len(late) == SLOW))
    figures.add("recorded as success", f"{ended_well:,}", f"{SLOW:,}", verdict(ended_well == SLOW))
    figures.add(f"first {SLOW // 2:,} have started", f"{late[SLOW // 2 - 1]:.2f} s", "", "")
    figures.add(
        "last has started", f"{late[-1]:.2f} s", f"{LAST_START_SECONDS:g} s", at_most(late[-1], LAST_START_SECONDS)
    )
    figures.add("threads half-way", f"{most_threads:,}", f"{THREADS}", at_most(most_threads, THREADS))
    figures.add("peak memory", f"{peak:.0f} MB", f"{PEAK_MEGABYTES:g} MB", at_most(peak, PEAK_MEGABYTES))
    figures.publish()
    assert len(late) == ended_well == SLOW


def test_a_good_job_among_hostile_ones(target: Target, tmp_path: Path) -> None:
    figures = Figures(
        "hostile",
        f"{HOSTILE} targets that drip a byte at a time without end, and one good one",
        ("what", "figure", "bar", ""),
    )
    due = next_minute(lead=6)
    insert_jobs([target.url("drip", number) for number in range(HOSTILE)], due_at=due)
    insert_jobs([target.url("now", HOSTILE)], due_at=due, names="Good", id=LAST)
    with scheduler(tmp_path / "scheduler.log") as pid:
        wait_until_ended(HOSTILE + 1, until=due.timestamp() + 60)
        peak = peak_megabytes(pid)
    good = next(arrival for arrival in target.take() if arrival.mode == "now")
    late = good.at - due.timestamp()
    failed = JobExecution.objects.filter(status=Status.FAILED, error_message__contains="timed out").count()
    figures.add(
        "the good one is late by", f"{late:.2f} s", f"{GOOD_LATE_SECONDS:g} s", at_most(late, GOOD_LATE_SECONDS)
    )
    figures.add("hostile ones that ended as timed out", f"{failed}", f"{HOSTILE}", verdict(failed == HOSTILE))
    figures.add("peak memory of the leader", f"{peak:.0f} MB", "", "")
    figures.publish()
    assert JobExecution.objects.get(job_id=LAST).status == Status.SUCCESS


@pytest.mark.parametrize("hanging", size("BENCH_HANGING", "1200,5000"))
def test_an_honest_job_beside_thousands_that_hang(hanging: int, target: Target, tmp_path: Path) -> None:
    figures = Figures(
        f"hanging-{hanging}",
        f"{hanging:,} jobs of one owner each minute, to a target that never answers (timeout 600 s); another has one",
        ("fire time", "late by", "bar", ""),
    )
    due = next_minute(lead=8)
    every_minute: dict[str, Any] = {"cron_expression": "* * * * *", "timeout_seconds": 600}
    urls = [target.url("hang", number) for number in range(hanging)]
    insert_jobs(urls, due_at=due, created_by=make_user(username="greedy"), **every_minute)
    honest: dict[str, Any] = {"created_by": make_user(username="honest"), "id": LAST, **every_minute}
    arrived: list[float] = []
    # A host of its own: requests to the one that hangs share its limit.
    with Target() as other, scheduler(tmp_path / "scheduler.log", DRAIN_TIMEOUT_SECONDS="1"):
        insert_jobs([other.url("now", hanging)], due_at=due, names="Honest", **honest)
        for minute in range(MINUTES):
            ends_at = due.timestamp() + 60 * minute + 50
            while len(arrived) <= minute and time.time() < ends_at:
                arrived += [arrival.at for arrival in other.take()]
                time.sleep(0.1)
    late = [at - due.timestamp() - 60 * minute for minute, at in enumerate(arrived)]
    for minute, seconds in enumerate(late, start=1):
        figures.add(f"{minute}", f"{seconds:.2f} s", f"{FAIR_LATE_SECONDS:g} s", at_most(seconds, FAIR_LATE_SECONDS))
    figures.publish()
    assert len(late) == MINUTES
