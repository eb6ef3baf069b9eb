"""How long the calls take that pages poll: one web process on SQLite, asked over one kept connection."""

import pytest

from jobs.models import Job
from jobs.tests.benchmarks.calls import Web, paths
from jobs.tests.benchmarks.history import fill
from jobs.tests.benchmarks.report import Figures, at_most

pytestmark = [pytest.mark.benchmark, pytest.mark.django_db(transaction=True)]

EXECUTIONS = 100_000


def test_calls_that_are_polled(jobs: list[Job], web: Web) -> None:
    title = f"{len(jobs):,} jobs, {EXECUTIONS:,} executions, milliseconds"
    figures = Figures("calls", title, ("call", "p50", "p99", "bar for p50", ""))
    fill(jobs, EXECUTIONS)
    for name, (path, bar) in paths(jobs[7]).items():
        median, slow = web.milliseconds(path)
        figures.add(name, f"{median:.2f}", f"{slow:.2f}", f"{bar:g}", at_most(median, bar))
    figures.publish()
