"""What the answers of GitHub mean beyond the execution they belong to."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from uuid import UUID

from cronsched.lib.db.effects import Effects
from jobs.dispatch import executors
from jobs.dispatch.attempt import Result
from jobs.executors.base import Failure
from jobs.github import GitHubRequest, rate_limits, tracking
from jobs.github.api import RATE_LIMIT_WAIT
from jobs.github.tracking import Started
from jobs.models import Job


def apply_github_results(
    results: Sequence[Result], jobs: Mapping[UUID, Job], effects: Effects, *, now: datetime
) -> set[UUID]:
    """Follow the runs that `results` started, and keep away from GitHub where it asked for that.

    `jobs` are those of settled executions, by the execution. Returns the executions whose outcome is for their run to
    decide. What of it cannot be stored is lost, and noted in `effects`.
    """
    dispatches = [(result, result.prepared.request) for result in results]
    dispatched = [(result, request) for result, request in dispatches if isinstance(request, GitHubRequest)]
    if not dispatched:
        return set()
    effects.carry_out("GitHub's rate limit", dispatched, partial(_keep_pace, now=now), named=_named)
    started = [
        Started(result.prepared.execution_id, request, dict(result.outcome.details))
        for result, request in dispatched
        if result.outcome.succeeded and result.prepared.execution_id in jobs
    ]
    begin = partial(tracking.begin, jobs=jobs, now=now)
    decided = effects.carry_out("The run at GitHub", started, begin, named=lambda item: _shown(item.execution_id))
    return set().union(*decided)


def _keep_pace(dispatched: Sequence[tuple[Result, GitHubRequest]], *, now: datetime) -> None:
    waits = {
        _bucket(request): result.outcome.retry_after or RATE_LIMIT_WAIT
        for result, request in dispatched
        if result.outcome.failure is Failure.RATE_LIMITED
    }
    rate_limits.block(waits, now=now)
    rate_limits.unblock({_bucket(request) for result, request in dispatched if result.outcome.succeeded} - set(waits))


def _named(item: tuple[Result, GitHubRequest]) -> str:
    return _shown(item[0].prepared.execution_id)


def _shown(execution_id: UUID) -> str:
    return f"execution {execution_id}"


def _bucket(request: GitHubRequest) -> str:
    bucket = executors.bucket(request)
    assert bucket is not None
    return bucket


def claim_found_runs(results: Sequence[Result], effects: Effects) -> dict[UUID, Result]:
    """Claim the runs found for dispatches without an answer; return, as failures, those whose run is another's.

    Call it in the transaction that records them.
    """
    found = [
        (result, result.prepared.request)
        for result in results
        if result.outcome.details.get("lookup") == "run found" and isinstance(result.prepared.request, GitHubRequest)
    ]
    # In one order, also with `tracking.begin`, so that no two batches deadlock.
    found.sort(key=lambda item: (_repository(item[1]), item[0].outcome.details["run_id"]))
    refused: dict[UUID, Result] = {}
    for part in effects.carry_out("Whose run it is at GitHub", found, _claim_each, named=_named):
        refused |= part
    return refused


def _claim_each(found: Sequence[tuple[Result, GitHubRequest]]) -> dict[UUID, Result]:
    refused = {}
    for result, request in found:
        execution_id, run_id = result.prepared.execution_id, result.outcome.details["run_id"]
        if not tracking.claim_found(execution_id, _repository(request), run_id, now=result.completed_at):
            refused[execution_id] = _of_another(result)
    return refused


def _repository(request: GitHubRequest) -> str:
    return f"{request.owner}/{request.repo}".lower()


def _of_another(result: Result) -> Result:
    reason = "no answer, and the run that was found belongs to another execution"
    outcome = replace(
        result.outcome,
        status="failed",
        output=None,
        error_message=f"Request failed: {reason}",
        failure=Failure.NO_ANSWER,
        reason=reason,
        details={"lookup": "run of another execution found"},
    )
    return result._replace(outcome=outcome)
