"""Try a target out without a job: nothing is stored, no notice is sent (contract, section 8)."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from time import perf_counter
from typing import Any, NamedTuple
from uuid import uuid4

from django.conf import settings
from django.db import transaction

from cronsched.lib.errors import DomainError, TooManyRequests
from cronsched.lib.input import payload
from jobs.definitions.github_names import GITHUB_FIELDS, check_github_name
from jobs.definitions.url_credentials import MARK, is_marked
from jobs.definitions.validation import check_metadata_size
from jobs.dispatch import attempt, blocking_requests, executors
from jobs.executors.base import Failure, Outcome
from jobs.executors.webhook import WebhookRequest
from jobs.github import GitHubRequest, rate_limits
from jobs.models import Job
from jobs.schedule.scheduled_job import ScheduledJob
from jobs.targets.limits import Wanted, limiter, origin_of

DEFAULT_TIMEOUT_SECONDS = 10.0
MIN_TIMEOUT_SECONDS, MAX_TIMEOUT_SECONDS = 1.0, 30.0
LONGEST = timedelta(seconds=MAX_TIMEOUT_SECONDS)
# How long a trial may wait for its slot at GitHub.
PATIENCE = timedelta(seconds=5)


def try_target(sent: Mapping[str, Any], *, owner: str, now: datetime) -> dict[str, Any]:
    """Call the target in `sent` once and return the answer's body. `owner` is whose places in flight it takes.

    Raises `DomainError` for what cannot be called, `TooManyRequests` as `_called`.
    """
    request = read_request(sent)
    return describe(_called(request, owner, now), kind="webhook" if isinstance(request, WebhookRequest) else "github")


class Trial(NamedTuple):
    """What was sent for a job, what came back and after how many seconds. Nothing of it is stored."""

    sent: Mapping[str, Any] | None
    outcome: Outcome
    seconds: float


def try_job(job: Job, metadata: Any, *, owner: str, now: datetime) -> Trial:
    """Send once what a run of `job` with these inputs would send, secrets included. `owner` as in `try_target`.

    Raises `DomainError` for inputs that no run could have, `TooManyRequests` as `_called`.
    """
    (definition,) = ScheduledJob.read(Job.objects.filter(pk=job.pk))
    request = attempt.prepare_trial(definition, _inputs(metadata), longest=LONGEST)
    began = perf_counter()
    if isinstance(request, WebhookRequest | GitHubRequest):
        outcome = _called(request, owner, now)
    else:
        outcome = executors.run(request)
    return Trial(executors.snapshot(request), outcome, perf_counter() - began)


def _called(request: WebhookRequest | GitHubRequest, owner: str, now: datetime) -> Outcome:
    """Call a target once and return what came back.

    Raises `TooManyRequests` where too many requests wait for targets already, or are out to this host.
    """
    with blocking_requests.slot(), _place_in_flight(request, owner):
        return _call(request, now=now)


def _inputs(value: Any) -> dict[str, Any]:
    metadata = value or {}
    if not isinstance(metadata, dict):
        raise DomainError("Invalid metadata", '"metadata" must be an object.', field="metadata")
    check_metadata_size(metadata)
    return metadata


@contextmanager
def _place_in_flight(request: WebhookRequest | GitHubRequest, owner: str) -> Iterator[None]:
    target = request.url if isinstance(request, WebhookRequest) else request.target
    trial_id = uuid4()
    if not limiter().take_within(blocking_requests.BRIEF_SECONDS, trial_id, Wanted(owner, origin_of(target))):
        message = "Too many requests to this host, or of yours, are in flight at the moment. Try again."
        raise TooManyRequests(message, retry_after=blocking_requests.BUSY_SECONDS)
    try:
        yield
    finally:
        limiter().leave([trial_id])


def _call(request: WebhookRequest | GitHubRequest, *, now: datetime) -> Outcome:
    if isinstance(request, GitHubRequest):
        _take_slot(request, now=now)
    return executors.run(request)


def _take_slot(request: GitHubRequest, *, now: datetime) -> None:
    """Wait for a slot at GitHub: a trial starts a workflow like any run. Raises `TooManyRequests`."""
    bucket = executors.bucket(request)
    if bucket is None:
        return
    trial_id = uuid4()

    def take(at: datetime) -> datetime | None:
        with transaction.atomic():
            return rate_limits.acquire([(trial_id, bucket)], now=at).get(trial_id)

    slot = rate_limits.patiently(take, now=now, patience=PATIENCE)
    if slot is not None:
        seconds = math.ceil((slot - now).total_seconds())
        raise TooManyRequests("GitHub accepts no more dispatches now. Try again.", retry_after=seconds)


def read_request(sent: Mapping[str, Any]) -> WebhookRequest | GitHubRequest:
    """Return what is to be called. A URL goes before a workflow here, unlike in a run."""
    metadata = _inputs(sent.get("metadata"))
    url = payload.text(sent, "target_url")
    owner, repository = payload.text(sent, "github_owner"), payload.text(sent, "github_repo")
    workflow = payload.text(sent, "github_workflow_name")
    if not url and not (owner and repository and workflow):
        message = "Provide target_url or GitHub config (github_owner, github_repo, github_workflow_name)."
        raise DomainError("Missing target configuration", message, field="target_url")
    timeout = _timeout(sent.get("timeout_seconds"))
    if url:
        if not url.lower().startswith(("http://", "https://")):
            message = "Webhook URL must start with http:// or https://"
            raise DomainError("Invalid target_url", message, field="target_url")
        if is_marked(url):
            message = f"The password behind {MARK} is not known here. Type it for the test run."
            raise DomainError("Invalid target_url", message, field="target_url")
        return WebhookRequest(url=url, metadata=metadata, method="POST", timeout=timeout)
    assert owner
    assert repository
    assert workflow
    for name, text in zip(GITHUB_FIELDS, (owner, repository, workflow), strict=True):
        check_github_name(name, text)
    return GitHubRequest(
        owner=owner,
        repo=repository,
        workflow=workflow,
        job_name="test run",
        ref=executors.ref_of_test_run(metadata),
        inputs=metadata,
        timeout=timeout,
        guess_extension=False,
        omit_empty_inputs=True,
        want_run_details=False,
    )


def _timeout(value: Any) -> timedelta:
    if value is None or value == "":
        value = 0
    if isinstance(value, int) and not isinstance(value, bool):
        # A number beyond every float is still a number.
        value = min(max(value, -1), int(MAX_TIMEOUT_SECONDS))
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if math.isnan(seconds):
        raise DomainError("Invalid timeout_seconds", "timeout_seconds must be a number.", field="timeout_seconds")
    seconds = min(max(seconds or DEFAULT_TIMEOUT_SECONDS, MIN_TIMEOUT_SECONDS), MAX_TIMEOUT_SECONDS)
    return timedelta(seconds=seconds)


def _redirected(outcome: Outcome) -> str:
    """Return where a redirect led, which is not followed."""
    location = None if outcome.succeeded else outcome.details.get("location")
    status = outcome.response_status
    return f": answered {status}: moved to {location}, redirects are not followed" if location else ""


def describe(outcome: Outcome, *, kind: str) -> dict[str, Any]:
    """Return the body that tells what came back. `kind` is the contract's word for the target."""
    headline = {"ok": outcome.succeeded, "type": kind}
    if outcome.failure is Failure.NO_CREDENTIALS:
        message = "Set GITHUB_TOKEN in backend .env to test-run GitHub workflows."
        return {**headline, "error": "GitHub token not configured", "message": message}
    if outcome.response_status is None:
        reason = outcome.reason if settings.EXPOSE_ERROR_DETAILS else None
        return {**headline, "error": "Request failed", "message": reason or "Request failed"}
    if kind == "webhook":
        message = f"Webhook test run {'succeeded' if outcome.succeeded else 'failed'}{_redirected(outcome)}."
    else:
        message = f"GitHub workflow dispatch {'triggered' if outcome.succeeded else 'failed'}."
    return {**headline, "status_code": outcome.response_status, "message": message}
