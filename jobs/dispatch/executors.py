"""Calling out. A frozen request in, a frozen outcome out; no model, no database, no exception for what a target does.

    outcome = executors.run(WebhookRequest(url="https://..."))

`run` uses the process's HTTP client and the credentials of the settings. Tests build their own executors.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cronsched.http_client import http_client
from jobs.executors import webhook
from jobs.executors.base import Failure, Finding, Outcome, Run, invalid, shown_url
from jobs.executors.webhook import Send, WebhookExecutor, WebhookRequest
from jobs.github import GitHubCheck, GitHubExecutor, GitHubRequest, ref_of_run, ref_of_test_run
from jobs.github.configured import github, has_github_credential
from jobs.github.dispatch import snapshot as github_snapshot

__all__ = [
    "Failure",
    "Finding",
    "GitHubRequest",
    "NoTarget",
    "Outcome",
    "Request",
    "Run",
    "Unsendable",
    "WebhookRequest",
    "bucket",
    "check",
    "github",
    "has_github_credential",
    "ref_of_run",
    "ref_of_test_run",
    "run",
    "snapshot",
    "target_of",
]


@dataclass(frozen=True, slots=True)
class NoTarget:
    """A job that names nothing to call."""

    job_name: str


@dataclass(frozen=True, slots=True)
class Unsendable:
    """A request that cannot be put together, and why."""

    execution_type: str
    target: str
    reason: str


Request = WebhookRequest | GitHubRequest | NoTarget | Unsendable


def run(request: Request) -> Outcome:
    """Call out once. Blocks until the answer or the request's timeout."""
    match request:
        case WebhookRequest():
            return WebhookExecutor(http_client()).run(request)
        case GitHubRequest():
            return GitHubExecutor(github()).run(request)
        case NoTarget():
            message = f"Job '{request.job_name}' has invalid configuration (neither GitHub Actions nor webhook URL)"
            return Outcome("failed", None, None, error_message=message, failure=Failure.NO_TARGET, reason=message)
        case Unsendable():
            return invalid(request.reason, execution_type=request.execution_type, target=request.target)


def webhook_sender(request: WebhookRequest) -> Send:
    """Return what sends `request` without waiting. Raises ValueError where it cannot be put together."""
    return WebhookExecutor(http_client()).sender(request)


def check(request: Request, *, now: datetime, timeout: timedelta) -> list[Finding]:
    """Return what would keep the request from working, without sending it. Blocks for `timeout` at most."""
    match request:
        case WebhookRequest():
            return webhook.check(request, http_client(), timeout=timeout)
        case GitHubRequest():
            return GitHubCheck(github()).run(request, now=now, timeout=timeout)
        case NoTarget():
            return [Finding("no_target", "The job names neither a URL nor a workflow.")]
        case Unsendable():
            return [Finding("unsendable", f"{request.reason[:1].upper()}{request.reason[1:]}.")]


def snapshot(request: Request) -> dict[str, Any] | None:
    """Return what is kept of a request: enough to see what was sent, never a secret."""
    match request:
        case WebhookRequest():
            return webhook.snapshot(request) | {"timeout_seconds": request.timeout.total_seconds()}
        case GitHubRequest():
            return github_snapshot(request) | {"timeout_seconds": request.timeout.total_seconds()}
        case NoTarget() | Unsendable():
            return None


def target_of(request: Request) -> tuple[str | None, str | None]:
    """Return the execution type and the target as the execution shows them."""
    match request:
        case WebhookRequest():
            return "webhook", shown_url(request.url)
        case GitHubRequest():
            return "github_actions", request.target
        case Unsendable():
            return request.execution_type, request.target
        case NoTarget():
            return None, None


def bucket(request: Request) -> str | None:
    """Return the name of the credential whose rate limit the request counts against, None where there is none."""
    if not isinstance(request, GitHubRequest):
        return None
    return github().bucket(request.repository) if request.token or has_github_credential() else None
