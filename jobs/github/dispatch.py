"""Starting a workflow: `workflow_dispatch`, as the contract has it."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from http import HTTPMethod, HTTPStatus
from typing import Any

from cronsched.lib.http import RequestError, Response
from jobs.executors.base import (
    DEFAULT_TIMEOUT,
    MAX_OUTPUT_LENGTH,
    MAX_TARGET_LENGTH,
    RETRYABLE_STATUSES,
    Failure,
    Outcome,
    Run,
    invalid,
    output_of,
    storable,
    unanswered,
    utc_now,
)
from jobs.github.api import json_of, rate_limit_wait
from jobs.github.client import GitHub, Repository
from jobs.github.credentials import CredentialsMissing
from jobs.github.runs import MAX_RUN_ID, Runs, RunState, number

EXECUTION_TYPE = "github_actions"
RUN_REF = "master"
TEST_REF = "main"
ACCEPTED = frozenset({HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.NO_CONTENT})
REDIRECTS = frozenset({301, 302, 307, 308})
REFUSALS = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY})
EXTENSIONS = (".yml", ".yaml")
# A run shows up in the list a moment after its dispatch.
LOOKUP_WAITS = (1.0, 2.0, 4.0)
LOOKUP_TIMEOUT = timedelta(seconds=5)
# Older Enterprise servers refuse what they do not know.
FLAG = "return_run_details"


@dataclass(frozen=True, slots=True)
class GitHubRequest:
    """A workflow to start. `token` is this run's override and must be stored nowhere.

    `guess_extension` tries `.yml` and `.yaml` where a bare name is unknown; `omit_empty_inputs` and
    `want_run_details` are how a test run differs from a run. `known_runs` are ids of the workflow's runs that belong to
    other executions.
    """

    owner: str
    repo: str
    workflow: str
    job_name: str
    ref: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    token: str | None = field(default=None, repr=False)
    timeout: timedelta = DEFAULT_TIMEOUT
    guess_extension: bool = True
    omit_empty_inputs: bool = False
    want_run_details: bool = True
    known_runs: frozenset[int] = frozenset()
    run: Run | None = None

    @property
    def target(self) -> str:
        return storable(f"{self.owner}/{self.repo}/{self.workflow}", MAX_TARGET_LENGTH)

    @property
    def repository(self) -> Repository:
        return Repository(self.owner, self.repo, self.token)

    @property
    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = {"ref": self.ref}
        if self.inputs or not self.omit_empty_inputs:
            body["inputs"] = dict(self.inputs)
        if self.want_run_details:
            body[FLAG] = True
        return body


def snapshot(request: GitHubRequest) -> dict[str, Any]:
    """Return what is sent, for the history; a token is no part of it."""
    return {
        "owner": request.owner,
        "repo": request.repo,
        "workflow": request.workflow,
        "ref": request.ref,
        "inputs": dict(request.inputs),
    }


def ref_of_run(metadata: Mapping[str, Any]) -> str:
    """Return the branch or tag a run uses."""
    return _first_text(metadata, "branchDetails") or RUN_REF


def ref_of_test_run(metadata: Mapping[str, Any]) -> str:
    """Return the branch or tag a test run uses."""
    return _first_text(metadata, "branchDetails", "ref", "branch") or TEST_REF


def _first_text(metadata: Mapping[str, Any], *keys: str) -> str:
    values = (metadata.get(key) for key in keys)
    texts = (str(value).strip() for value in values if isinstance(value, str | int | float) and value is not True)
    return next(filter(None, texts), "")


class GitHubExecutor:
    """Dispatches a workflow. `success` means that GitHub accepted the dispatch, not that the workflow succeeded."""

    def __init__(
        self,
        github: GitHub,
        *,
        clock: Callable[[], datetime] = utc_now,
        lookup_waits: Sequence[float] = LOOKUP_WAITS,
    ) -> None:
        self._github = github
        self._runs = Runs(github)
        self._clock = clock
        self._lookup_waits = lookup_waits

    def run(self, request: GitHubRequest) -> Outcome:
        ends_at = time.monotonic() + request.timeout.total_seconds()
        sent_at = self._clock()
        tried = request
        try:
            answer = self._dispatch(request, ends_at)
            for spelling in spellings(request)[1:]:
                if answer.status != HTTPStatus.NOT_FOUND:
                    break
                tried = spelling
                answer = self._dispatch(tried, ends_at)
            return self._outcome(request if answer.status == HTTPStatus.NOT_FOUND else tried, answer)
        except CredentialsMissing as missing:
            return _without_token(request, missing)
        except RequestError as error:
            silence = unanswered(error, execution_type=EXECUTION_TYPE, target=tried.target)
            return self._looked_up(tried, silence, sent_at) if silence.is_ambiguous else silence
        except ValueError:
            reason = "the inputs hold a number that JSON cannot carry"
            return invalid(reason, execution_type=EXECUTION_TYPE, target=request.target)

    def _looked_up(self, request: GitHubRequest, silence: Outcome, sent_at: datetime) -> Outcome:
        """Judge a dispatch without an answer by the workflow's runs: GitHub may have taken it all the same."""
        runs = self._runs_since(request, sent_at)
        if runs is None:
            return replace(silence, details={"lookup": "unanswered"})
        if not runs:
            return replace(silence, details={"lookup": "no run found"})
        if len(runs) > 1:
            # One of them may be ours. Sending once more could start the workflow twice.
            reason = f"{silence.reason}, and of {len(runs)} runs started then none can be identified as this one"
            silence = replace(silence, reason=reason, error_message=f"Request failed: {reason}")
            return replace(silence, retryable=False, details={"lookup": "several runs found"})
        details = {"lookup": "run found", "run_id": runs[0].run_id, "run_url": runs[0].url}
        return _accepted(request, None, details)

    def _runs_since(self, request: GitHubRequest, sent_at: datetime) -> list[RunState] | None:
        lost_at = self._clock()
        for wait in self._lookup_waits:
            threading.Event().wait(wait)
            try:
                found = self._runs.find(
                    request.repository,
                    request.workflow,
                    request.ref,
                    sent_at=sent_at,
                    lost_at=lost_at,
                    now=self._clock(),
                    known=request.known_runs,
                    timeout=LOOKUP_TIMEOUT,
                )
            except (RequestError, CredentialsMissing):
                return None
            if found.runs is None or found.runs:
                return found.runs
        return []

    def _dispatch(self, request: GitHubRequest, ends_at: float) -> Response:
        answer = self._post(request, request.body, ends_at)
        if answer.status in REFUSALS and FLAG.encode() in answer.body:
            body = {key: value for key, value in request.body.items() if key != FLAG}
            answer = self._post(request, body, ends_at)
        return answer

    def _post(self, request: GitHubRequest, body: Mapping[str, Any], ends_at: float) -> Response:
        workflow = ("actions", "workflows", request.workflow, "dispatches")
        return self._github.send(HTTPMethod.POST, request.repository, *workflow, ends_at=ends_at, body=body)

    def _outcome(self, request: GitHubRequest, answer: Response) -> Outcome:
        if answer.status in ACCEPTED:
            return _accepted(request, answer.status, _run_details(answer))
        text = output_of(answer, secrets=[request.token] if request.token else [])
        wait = rate_limit_wait(answer, now=self._clock())
        moved = " (repository renamed or moved)" if answer.status in REDIRECTS else ""
        return Outcome(
            status="failed",
            execution_type=EXECUTION_TYPE,
            target=request.target,
            response_status=answer.status,
            error_message=f"GitHub Actions dispatch failed. Status: {answer.status}, Response: {text}{moved}",
            output=text,
            failure=Failure.BAD_ANSWER if wait is None else Failure.RATE_LIMITED,
            retryable=wait is not None or answer.status in RETRYABLE_STATUSES,
            retry_after=wait,
            request_sent=True,
        )


def spellings(request: GitHubRequest) -> list[GitHubRequest]:
    """Return the request, then under likely file names where the workflow may be a name without its extension."""
    if not request.guess_extension:
        return [request]
    return [replace(request, workflow=name) for name in likely_names(request.workflow)]


def likely_names(workflow: str) -> list[str]:
    """Return the names GitHub may know a workflow by: a file name can be given without its extension."""
    if "." in workflow or workflow.isdigit():
        return [workflow]
    return [workflow, *(workflow + extension for extension in EXTENSIONS)]


def _accepted(request: GitHubRequest, status: int | None, details: Mapping[str, Any]) -> Outcome:
    return Outcome(
        status="success",
        execution_type=EXECUTION_TYPE,
        target=request.target,
        response_status=status,
        output=storable(f"Workflow triggered successfully on branch {request.ref}", MAX_OUTPUT_LENGTH),
        request_sent=True,
        details=details,
    )


def _run_details(answer: Response) -> dict[str, Any]:
    """Return which run was started, where GitHub said so (a 204 says nothing)."""
    told = json_of(answer)
    run_id = number(told.get("workflow_run_id"), MAX_RUN_ID)
    if run_id is None:
        return {}
    url = told.get("html_url")
    return {"run_id": run_id, "run_url": storable(url) if isinstance(url, str) else None}


def _without_token(request: GitHubRequest, missing: CredentialsMissing) -> Outcome:
    reason = str(missing)
    return Outcome(
        status="failed",
        execution_type=EXECUTION_TYPE,
        target=request.target,
        error_message=storable(f"{reason}. Cannot trigger workflow for job '{request.job_name}'"),
        failure=Failure.NO_CREDENTIALS,
        reason=reason,
    )
