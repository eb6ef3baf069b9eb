"""A herd of GitHub jobs on one credential: none lost, none twice, never faster than GitHub allows.

BENCH_GITHUB_JOBS   how many, default 300: at a second each that takes five minutes
"""

from collections import Counter
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest
from django.conf import settings

from jobs.models import JobExecution, Status
from jobs.tests.benchmarks.contenders import next_minute, wait_until_ended
from jobs.tests.benchmarks.processes import scheduler
from jobs.tests.benchmarks.report import Figures, at_least, at_most, size, verdict
from jobs.tests.factories import make_job
from jobs.tests.github.fake import GitHubFake

pytestmark = [pytest.mark.benchmark, pytest.mark.django_db(transaction=True)]

JOBS = size("BENCH_GITHUB_JOBS", "300")[0]
GAP_SECONDS = settings.GITHUB_DISPATCH_GAP_MS / 1000
PER_MINUTE = settings.GITHUB_DISPATCHES_PER_MINUTE
# What a request may come sooner after the one before it than it was sent: the network and two busy processors.
JITTER_SECONDS = 0.1
# Of the time that the pace alone takes.
SLOWER = 1.1


def test_a_herd_on_one_credential(tmp_path: Path) -> None:
    figures = Figures("github", f"{JOBS} GitHub jobs of one credential due at once", ("what", "figure", "bar", ""))
    due = next_minute(lead=6)
    with GitHubFake() as github:
        github.per_minute = PER_MINUTE
        insert_github_jobs(github, due)
        environment = {
            "GITHUB_API_URL": github.url,
            "GITHUB_TOKEN": github.token,
            "TRACK_GITHUB_RUNS": "false",
        }
        with scheduler(tmp_path / "scheduler.log", **environment):
            wait_until_ended(JOBS, until=due.timestamp() + 60 + 1.5 * JOBS * GAP_SECONDS)
        sent = {workflow: at for at, _, _, workflow, _ in github.dispatches}
        instants = [at.timestamp() for at, *_ in github.dispatches]
        times = Counter(workflow for _, _, _, workflow, _ in github.dispatches)
    ended = Counter(JobExecution.objects.values_list("status", flat=True))
    figures.add("dispatches accepted", f"{len(instants)}", f"{JOBS}", verdict(len(times) == JOBS == len(instants)))
    figures.add("recorded as success", f"{ended[Status.SUCCESS]}", f"{JOBS}", verdict(ended[Status.SUCCESS] == JOBS))
    gap, wanted = min(late - early for early, late in pairwise(instants)), GAP_SECONDS - JITTER_SECONDS
    figures.add("smallest gap", f"{gap:.2f} s", f"{wanted:g} s", at_least(gap, wanted))
    most = most_within(instants, 60)
    figures.add("most within a minute", f"{most}", f"{PER_MINUTE}", at_most(most, PER_MINUTE))
    drain, best = instants[-1] - due.timestamp(), (JOBS - 1) * GAP_SECONDS
    figures.add("last one", f"{drain:.1f} s", f"{best * SLOWER:.1f} s", at_most(drain, best * SLOWER))
    apart = max(apart_from_record(sent), default=0.0)
    figures.add("recorded and real time of sending differ by at most", f"{apart:.2f} s", "1 s", at_most(apart, 1.0))
    figures.publish()
    assert set(times.values()) == {1}
    assert len(times) == ended[Status.SUCCESS] == JOBS


def insert_github_jobs(github: GitHubFake, due: datetime) -> None:
    repository = github.add_repository("acme", "shop")
    for number in range(JOBS):
        repository.add_workflow(f"deploy-{number}.yml")
        make_job(
            name=f"Deploy {number}",
            target_url=None,
            github_owner="acme",
            github_repo="shop",
            github_workflow_name=f"deploy-{number}.yml",
            cron_expression=f"{due.minute} {due.hour} * * *",
            timezone="UTC",
            next_fire_at=due,
        )


def most_within(instants: list[float], seconds: float) -> int:
    """Return how many of `instants`, in their order, lie within any span of `seconds`."""
    return max(sum(first <= at < first + seconds for at in instants) for first in instants)


def apart_from_record(sent: dict[str, datetime]) -> list[float]:
    """Return for each execution how many seconds its recorded start is from when its request came."""
    rows = JobExecution.objects.values_list("job__github_workflow_name", "started_at")
    return [abs((sent[workflow] - started_at).total_seconds()) for workflow, started_at in rows if workflow in sent]
