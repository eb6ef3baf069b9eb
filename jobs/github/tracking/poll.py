"""Asks GitHub once about a run, in a thread: all that it needs goes in, what GitHub answered comes out."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from cronsched.lib.http import RequestError
from jobs.github import CredentialsMissing, Listing, Poll, Repository, RunOutcome, Runs, RunState, likely_names
from jobs.github.configured import github
from jobs.github.runs import FailedStep
from jobs.models import GitHubRun, JobExecution
from jobs.schedule.scheduled_job import DEADLINE_MARGIN

logger = logging.getLogger(__name__)

TIMEOUT = timedelta(seconds=10)
# GitHub does not know its own run for a moment after the dispatch, and lists it later still.
PATIENT_POLLS = 5
# A dispatch left at most this long before its outcome was recorded; for finding a run GitHub did not name.
LOOK_BACK = timedelta(seconds=60)


class PollRequest(NamedTuple):
    """What a thread needs to poll a run."""

    execution_id: UUID
    repository: Repository
    workflow: str
    ref: str
    run_id: int | None
    etag: str
    # When the dispatch went out at the earliest, and when it was over at the latest.
    sent_at: datetime
    lost_at: datetime


class PollResult(NamedTuple):
    """What a poll found. `candidates` are runs that may be the one that GitHub did not name, of the `workflow`."""

    poll: Poll
    candidates: Sequence[RunState] | None = None
    workflow: str = ""
    failed: FailedStep | None = None


def poll_request(run: GitHubRun, execution: JobExecution) -> PollRequest:
    """Return what a thread needs to poll the run of an execution."""
    owner, _, name = run.repository.partition("/")
    workflow = (execution.target or "").split("/", 2)[-1]
    span = span_of(execution)
    if span is None:
        sent_at = max(execution.started_at, run.created_at - LOOK_BACK)
        span = sent_at, sent_at + LOOK_BACK
    return PollRequest(run.pk, Repository(owner, name), workflow, ref_of(execution), run.run_id, run.etag, *span)


def ref_of(execution: JobExecution) -> str:
    """Return the branch or tag a dispatch was sent for, empty where that is not known."""
    return str((execution.request_snapshot or {}).get("ref", ""))


def span_of(execution: JobExecution) -> tuple[datetime, datetime] | None:
    """Return when an attempt without an outcome left at the earliest and was over at the latest."""
    if execution.deadline_at is None:
        return None
    # Not `started_at`, which is the first attempt's.
    timeout = timedelta(seconds=(execution.request_snapshot or {}).get("timeout_seconds", 0))
    return execution.deadline_at - timeout - DEADLINE_MARGIN, execution.deadline_at


def poll_run(request: PollRequest, now: datetime) -> PollResult:
    """Poll GitHub for a run. Without an answer the result is empty."""
    runs = Runs(github())
    try:
        if request.run_id is None:
            return _candidates(runs, request, now)
        poll = runs.poll(request.repository, request.run_id, etag=request.etag or None, now=now, timeout=TIMEOUT)
    except (RequestError, CredentialsMissing) as error:
        logger.info("Run %s of %s could not be polled: %s", request.run_id, request.repository.name, error)
        return PollResult(Poll(etag=request.etag))
    return PollResult(poll, failed=_failed_step(runs, request, poll.state))


def _candidates(runs: Runs, request: PollRequest, now: datetime) -> PollResult:
    found, name = Listing(), request.workflow
    # A dispatch whose sender died is known by the name the job gives it.
    for name in likely_names(request.workflow):
        found = runs.find(
            request.repository,
            name,
            request.ref,
            sent_at=request.sent_at,
            lost_at=request.lost_at,
            now=now,
            timeout=TIMEOUT,
        )
        if not found.unknown:
            break
    return PollResult(Poll(wait=found.wait), candidates=found.runs, workflow=name)


def _failed_step(runs: Runs, request: PollRequest, state: RunState | None) -> FailedStep | None:
    if state is None or request.run_id is None or state.outcome not in {RunOutcome.FAILED, RunOutcome.CANCELLED}:
        return None
    try:
        return runs.failed_step(request.repository, request.run_id, timeout=TIMEOUT)
    except (RequestError, CredentialsMissing):
        # That it failed is worth telling without saying where.
        return None
