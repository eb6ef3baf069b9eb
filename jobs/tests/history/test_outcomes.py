"""How executions ended, told alike by the row and by the database."""

from datetime import timedelta
from itertools import product

import pytest

from jobs.history import outcomes
from jobs.history.outcomes import Outcome
from jobs.models import ExecutionType, GitHubRun, JobExecution, Status, Tracking
from jobs.tests.factories import NOON, make_execution, make_job

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def run_of(execution: JobExecution, conclusion: str, tracking: str = Tracking.CONCLUDED) -> None:
    GitHubRun.objects.create(
        execution=execution, repository="acme/shop", conclusion=conclusion, tracking=tracking, created_at=NOON
    )


@pytest.fixture
def everything():
    """One execution of each status, without a run and with a run of each conclusion."""
    conclusions = (None, "", "success", "neutral", "skipped", "failure", "cancelled", "timed_out", "action_required")
    for status, conclusion, tracking in product(Status.values, conclusions, Tracking.values):
        kind = ExecutionType.WEBHOOK if conclusion is None else ExecutionType.GITHUB_ACTIONS
        execution = make_execution(status=status, execution_type=kind)
        if conclusion is not None:
            run_of(execution, conclusion, tracking)


def test_each_execution_has_one_outcome_and_the_database_finds_it_by_it(everything):
    rows = {row.pk: outcomes.of(row) for row in JobExecution.objects.select_related("run")}
    for outcome in Outcome:
        found = set(JobExecution.objects.filter(outcomes.where([outcome])).values_list("pk", flat=True))
        assert found == {key for key, told in rows.items() if told == outcome}, outcome
    assert set(rows.values()) == set(Outcome)
    several = JobExecution.objects.filter(outcomes.where(outcomes.TROUBLE))
    assert several.count() == sum(told in outcomes.TROUBLE for told in rows.values())
    assert not JobExecution.objects.filter(outcomes.where([])).exists()


@pytest.mark.parametrize("conclusion, outcome", [("failure", "run_failed"), ("success", "success"), ("", "run_going")])
def test_a_dispatch_is_told_by_how_its_run_ended(conclusion, outcome):
    execution = make_execution(execution_type=ExecutionType.GITHUB_ACTIONS)
    run_of(execution, conclusion, Tracking.CONCLUDED if conclusion else Tracking.FOLLOWED)
    assert outcomes.of(JobExecution.objects.select_related("run").get()) == outcome


def test_the_newest_of_each_job_are_found_whatever_their_number(django_assert_num_queries):
    long, short, none = make_job(), make_job(), make_job()
    for number in range(15):
        make_execution(long, started_at=NOON + timedelta(minutes=number))
    # Many at the same instant.
    for _ in range(12):
        make_execution(short)
    with django_assert_num_queries(2):
        found = outcomes.latest([long.pk, short.pk, none.pk], 10)
    assert [len(rows) for rows in found.values()] == [10, 10, 0]
    assert [row.started_at.minute for row in found[long.pk]] == list(range(14, 4, -1))
    assert outcomes.latest([], 10) == {}


def test_a_streak_ends_at_the_last_success_and_overlooks_what_was_not_sent():
    job = make_job()
    told = ["failed", "success", "failed", "missed", "unknown", "skipped", "running", "failed"]
    for number, status in enumerate(told):
        make_execution(job, status=status, started_at=NOON + timedelta(minutes=number))
    rows = outcomes.latest([job.pk], 30)[job.pk]
    assert [row.started_at.minute for row in outcomes.streak(rows)] == [7, 4, 2]
