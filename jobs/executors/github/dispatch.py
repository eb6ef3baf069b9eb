"""Starting a workflow: `workflow_dispatch`, as the contract has it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from http import HTTPMethod, HTTPStatus
from typing import Any

from cronsched.lib.http import Answer, DoorError
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
from jobs.executors.github.api import json_of, rate_limit_wait
from jobs.executors.github.client import GitHub, Repository
from jobs.executors.github.credentials import CredentialsMissing

EXECUTION_TYPE = "github_actions"
RUN_REF = "master"
TEST_REF = "main"
ACCEPTED = frozenset({HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.NO_CONTENT})
MOVED = frozenset({301, 302, 307, 308})
REFUSALS = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY})
EXTENSIONS = (".yml", ".yaml")
# Older Enterprise servers refuse what they do not know.
FLAG = "return_run_details"


@dataclass(frozen=True, slots=True)
class GitHubRequest:
    """A workflow to start. `token` is this run's override and must be stored nowhere.

    `guess_extension` tries `.yml` and `.yaml` where a bare name is unknown; `omit_empty_inputs` and
    `want_run_details` are how a test run differs from a run.
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

    def __init__(self, github: GitHub, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._github = github
        self._clock = clock

    def run(self, request: GitHubRequest) -> Outcome:
        ends_at = time.monotonic() + request.timeout.total_seconds()
        tried = request
        try:
            answer = self._dispatch(request, ends_at)
            for spelling in _other_spellings(request):
                if answer.status != HTTPStatus.NOT_FOUND:
                    break
                tried = spelling
                answer = self._dispatch(tried, ends_at)
            known = answer.status != HTTPStatus.NOT_FOUND
            return self._outcome(tried if known else request, answer)
        except CredentialsMissing as missing:
            return _without_token(request, missing)
        except DoorError as error:
            return unanswered(error, execution_type=EXECUTION_TYPE, target=tried.target)
        except ValueError:
            reason = "the inputs hold a number that JSON cannot carry"
            return invalid(reason, execution_type=EXECUTION_TYPE, target=request.target)

    def _dispatch(self, request: GitHubRequest, ends_at: float) -> Answer:
        answer = self._post(request, request.body, ends_at)
        if answer.status in REFUSALS and FLAG.encode() in answer.body:
            body = {key: value for key, value in request.body.items() if key != FLAG}
            answer = self._post(request, body, ends_at)
        return answer

    def _post(self, request: GitHubRequest, body: Mapping[str, Any], ends_at: float) -> Answer:
        workflow = ("actions", "workflows", request.workflow, "dispatches")
        return self._github.send(HTTPMethod.POST, request.repository, *workflow, ends_at=ends_at, body=body)

    def _outcome(self, request: GitHubRequest, answer: Answer) -> Outcome:
        if answer.status in ACCEPTED:
            return Outcome(
                status="success",
                execution_type=EXECUTION_TYPE,
                target=request.target,
                response_status=answer.status,
                output=storable(f"Workflow triggered successfully on branch {request.ref}", MAX_OUTPUT_LENGTH),
                request_sent=True,
                details=_run_details(answer),
            )
        text = output_of(answer)
        wait = rate_limit_wait(answer, now=self._clock())
        moved = " (repository renamed or moved)" if answer.status in MOVED else ""
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


def _other_spellings(request: GitHubRequest) -> list[GitHubRequest]:
    """Return the request under the likely file names, where the workflow may be a name without its extension."""
    if not request.guess_extension or "." in request.workflow or request.workflow.isdigit():
        return []
    return [replace(request, workflow=request.workflow + extension) for extension in EXTENSIONS]


def _run_details(answer: Answer) -> dict[str, Any]:
    """Return which run was started, where GitHub said so (a 204 says nothing)."""
    told = json_of(answer)
    run_id = told.get("workflow_run_id")
    if not isinstance(run_id, int) or isinstance(run_id, bool):
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
