"""Workflow runs: find the one a dispatch started, and follow it to its end.

A dispatch is accepted long before its run ends, and GitHub pushes nothing to those who only started it. Polling is made
cheap by ETags (an unchanged run costs nothing of the rate limit) and by growing intervals.
"""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http import HTTPMethod, HTTPStatus
from typing import Any
from urllib.parse import urlencode

from cronsched.lib.backoff import spread
from cronsched.lib.http import Response
from jobs.executors.base import storable
from jobs.github.api import json_of, rate_limit_wait
from jobs.github.client import GitHub, Repository

POLL_INTERVALS = tuple(timedelta(seconds=seconds) for seconds in (5, 10, 20, 30, 60))
# A run is some 12 KB of JSON, of which a few fields are read; a page of a hundred has to fit whole.
MAX_BYTES = 2 * 1024 * 1024
# GitHub dates runs to the second, and creates them a moment after it took the dispatch.
LOOKUP_BEFORE = timedelta(seconds=5)
LOOKUP_AFTER = timedelta(seconds=30)
# As wrong as our clock may be.
CLOCKS_APART = timedelta(hours=1)
MAX_RUN_ID = 2**63 - 1
MAX_ATTEMPT = 2**31 - 1


class RunOutcome(StrEnum):
    """The outcome of a run by its status and conclusion. GitHub may add conclusions; an unknown one is no success."""

    PENDING = "pending"
    NEEDS_APPROVAL = "needs_approval"
    SUCCEEDED = "succeeded"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    FAILED = "failed"


_OUTCOMES = {
    "success": RunOutcome.SUCCEEDED,
    "neutral": RunOutcome.SUCCEEDED,
    "skipped": RunOutcome.SKIPPED,
    "cancelled": RunOutcome.CANCELLED,
    "action_required": RunOutcome.NEEDS_APPROVAL,
}


@dataclass(frozen=True, slots=True)
class RunState:
    """A workflow run as GitHub describes it. `attempt` grows when it is run again under the same id."""

    run_id: int
    status: str
    conclusion: str | None
    attempt: int
    url: str
    title: str
    created_at: datetime | None

    @property
    def is_completed(self) -> bool:
        return self.status == "completed"

    @property
    def outcome(self) -> RunOutcome:
        if not self.is_completed:
            return RunOutcome.NEEDS_APPROVAL if self.status == "waiting" else RunOutcome.PENDING
        return _OUTCOMES.get(self.conclusion or "", RunOutcome.FAILED)


@dataclass(frozen=True, slots=True)
class Poll:
    """The result of one poll of a run.

    `state` is None where nothing changed or nothing could be learnt. `gone` says that the run no longer exists (or the
    token may not see it any more), so that asking again is useless. `wait` is what GitHub asked for.
    """

    state: RunState | None = None
    etag: str | None = None
    gone: bool = False
    wait: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """The runs that a dispatch may have started; None where GitHub gave no list.

    `unknown` says that GitHub knows no workflow of that name, `wait` is what it asked for.
    """

    runs: list[RunState] | None = None
    unknown: bool = False
    wait: timedelta | None = None


@dataclass(frozen=True, slots=True)
class FailedStep:
    """Where a run failed. `step` is blank where the job never came to one."""

    job: str
    step: str
    url: str


class Runs:
    """Reads runs. Each call may raise RequestError or CredentialsMissing; it never starts anything."""

    def __init__(self, github: GitHub) -> None:
        self._github = github

    def poll(self, repository: Repository, run_id: int, *, etag: str | None, now: datetime, timeout: timedelta) -> Poll:
        """Poll a run once. `etag` is the last poll's; an unchanged run costs no quota."""
        answer = self._get(repository, "runs", run_id, query="?exclude_pull_requests=true", etag=etag, timeout=timeout)
        if answer.status == HTTPStatus.NOT_MODIFIED:
            return Poll(etag=etag)
        if answer.status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
            return Poll(gone=True)
        if answer.status != HTTPStatus.OK:
            return Poll(etag=etag, wait=rate_limit_wait(answer, now=now))
        return Poll(state=run_state(json_of(answer)), etag=answer.headers.get("ETag"))

    def failed_step(self, repository: Repository, run_id: int, *, timeout: timedelta) -> FailedStep | None:
        """Return the first job and step that failed in the run's latest attempt, None where none can be named."""
        query = "?filter=latest&per_page=100"
        answer = self._get(repository, "runs", run_id, "jobs", query=query, timeout=timeout)
        for job in _objects(json_of(answer).get("jobs")):
            if job.get("conclusion") in {None, "success", "skipped", "neutral"}:
                continue
            failed = (step for step in _objects(job.get("steps")) if step.get("conclusion") == job.get("conclusion"))
            step = next(failed, {})
            return FailedStep(_text(job.get("name")), _text(step.get("name")), _text(job.get("html_url")))
        return None

    def find(
        self,
        repository: Repository,
        workflow: str,
        ref: str,
        *,
        sent_at: datetime,
        lost_at: datetime,
        now: datetime,
        known: Collection[int] = (),
        timeout: timedelta,
    ) -> Listing:
        """Return the runs that a dispatch may have started which went out at `sent_at` and was given up at `lost_at`.

        Those in `known` belong to others. Both clocks are compared by the answer's own date, so ours need not be right.
        """
        # The page holds the newest of them: without an end it might not reach back to a dispatch of some hours ago.
        created = f"{sent_at - CLOCKS_APART:%Y-%m-%dT%H:%M:%SZ}..{lost_at + CLOCKS_APART:%Y-%m-%dT%H:%M:%SZ}"
        query = {"event": "workflow_dispatch", "branch": ref, "created": created, "per_page": 100}
        answer = self._get(repository, "workflows", workflow, "runs", query="?" + urlencode(query), timeout=timeout)
        if answer.status != HTTPStatus.OK:
            unknown = answer.status == HTTPStatus.NOT_FOUND
            return Listing(unknown=unknown, wait=rate_limit_wait(answer, now=now))
        offset = _date(answer, now) - now
        earliest, latest = sent_at + offset - LOOKUP_BEFORE, lost_at + offset + LOOKUP_AFTER
        states = filter(None, (run_state(run) for run in _objects(json_of(answer).get("workflow_runs"))))
        return Listing(
            [
                state
                for state in states
                if state.run_id not in known and state.created_at and earliest <= state.created_at <= latest
            ]
        )

    def _get(
        self,
        repository: Repository,
        *segments: str | int,
        query: str,
        timeout: timedelta,
        etag: str | None = None,
    ) -> Response:
        ends_at = time.monotonic() + timeout.total_seconds()
        return self._github.send(
            HTTPMethod.GET,
            repository,
            "actions",
            *segments,
            query=query,
            ends_at=ends_at,
            etag=etag,
            max_body=MAX_BYTES,
        )


def next_poll(polls: int, *, key: str) -> timedelta:
    """Return the wait after the poll number `polls` (from 1). Runs that began together spread by `key`."""
    interval = POLL_INTERVALS[min(polls, len(POLL_INTERVALS)) - 1]
    return interval * (1 + 0.2 * spread(f"{key}/{polls}"))


def run_state(run: Mapping[str, Any]) -> RunState | None:
    """Read a run of GitHub's JSON, None where it is none."""
    run_id = number(run.get("id"), MAX_RUN_ID)
    if run_id is None or not isinstance(run.get("status"), str):
        return None
    return RunState(
        run_id=run_id,
        status=_text(run["status"]),
        conclusion=_text(run.get("conclusion")) or None,
        attempt=number(run.get("run_attempt"), MAX_ATTEMPT) or 1,
        url=_text(run.get("html_url")),
        title=_text(run.get("display_title")),
        created_at=_instant(run.get("created_at")),
    )


def number(value: Any, highest: int) -> int | None:
    """Return `value` if it is a whole number from 1 to `highest`, which is what a database takes; else None."""
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return value if is_whole and 1 <= value <= highest else None


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return storable(value, 500) if isinstance(value, str) else ""


def _instant(value: Any) -> datetime | None:
    try:
        instant = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _date(answer: Response, now: datetime) -> datetime:
    try:
        date = parsedate_to_datetime(answer.headers.get("Date", ""))
    except (TypeError, ValueError):
        return now
    return date if date.tzinfo else date.replace(tzinfo=UTC)
