"""One attempt: the request it sends, put together from a job's definition, and what became of it."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from cronsched import tracing
from cronsched.lib import crypto, log_context
from jobs.definitions.request_options import Secrets
from jobs.definitions.url_credentials import is_marked, origin_of
from jobs.dispatch import executors
from jobs.dispatch.executors import NoTarget, Request, Unsendable
from jobs.executors.base import Outcome, Run, shown_url
from jobs.executors.rules import SuccessRule
from jobs.executors.webhook import Send, WebhookRequest
from jobs.github import GitHubRequest, ref_of_run
from jobs.schedule.scheduled_job import Overrides, ScheduledJob, is_encrypted

logger = logging.getLogger(__name__)

# Dispatches leave about once a second, and may look for their runs for some seconds.
THREADS = 8


class Prepared(NamedTuple):
    """A request that may leave now: its row is committed as `running` for its sender."""

    execution_id: UUID
    job: ScheduledJob
    request: Request
    attempt: int = 1
    fire_time: datetime | None = None


class Result(NamedTuple):
    """What one attempt came to, and when."""

    prepared: Prepared
    outcome: Outcome
    completed_at: datetime


def prepare(
    execution_id: UUID,
    job: ScheduledJob,
    *,
    fire_time: datetime | None,
    attempt: int = 1,
    overrides: Overrides | None = None,
) -> Prepared:
    """Put together what is sent for an execution, from the definition as it stands now."""
    definition = job.overridden(overrides) if overrides else job
    token = overrides.github_token if overrides else None
    run = Run(job.id, job.name, execution_id, fire_time, attempt)
    return Prepared(execution_id, job, _request(definition, run, token), attempt, fire_time)


def prepare_trial(job: ScheduledJob, metadata: dict[str, Any], *, longest: timedelta) -> Request:
    """Put together what a manual run with these inputs would send, to be sent once and stored nowhere."""
    request = _request(job._replace(metadata=metadata), Run(job.id, job.name, uuid4()), None)
    if isinstance(request, WebhookRequest):
        return replace(request, timeout=min(request.timeout, longest), keeps_answer=True)
    if isinstance(request, GitHubRequest):
        return replace(request, timeout=min(request.timeout, longest), want_run_details=False)
    return request


def _request(job: ScheduledJob, run: Run, token: str | None) -> Request:
    timeout = timedelta(seconds=job.timeout_seconds)
    if job.is_github:
        assert job.github_owner
        assert job.github_repo
        assert job.github_workflow_name
        return GitHubRequest(
            owner=job.github_owner,
            repo=job.github_repo,
            workflow=job.github_workflow_name,
            job_name=job.name,
            ref=ref_of_run(job.metadata),
            inputs=job.metadata,
            token=token,
            timeout=timeout,
            run=run,
        )
    if not job.target_url:
        return NoTarget(job.name)
    if is_encrypted(job.target_url):
        reason = "the URL's password of this run cannot be decrypted; run the job again with its URL"
        return Unsendable("webhook", "", reason)
    plain = WebhookRequest(url=job.target_url, metadata=job.metadata, timeout=timeout, run=run)
    return _with_options(plain, job) if job.request_options or is_marked(job.target_url) else plain


def _with_options(request: WebhookRequest, job: ScheduledJob) -> Request:
    options = job.request_options
    try:
        secrets = Secrets.decrypted(job.encrypted_secrets)
    except crypto.Undecipherable:
        # Without them it would be another request: unsigned, or without its credentials.
        reason = "the job's secrets cannot be decrypted; set its secret headers and signing secret anew"
        return Unsendable("webhook", shown_url(request.url), reason)
    headers = dict(secrets.headers)
    if is_marked(request.url):
        if secrets.url is None or secrets.url.origin != origin_of(request.url):
            reason = "the URL's password is not stored for this host; set target_url anew"
            return Unsendable("webhook", shown_url(request.url), reason)
        # A header of the job's own wins, as it does over a URL.
        if "authorization" not in {name.lower() for name in (*headers, *(options.get("webhook_headers") or {}))}:
            headers["Authorization"] = secrets.url.authorization
    return replace(
        request,
        method=options.get("webhook_method") or "",
        headers=options.get("webhook_headers") or {},
        secret_headers=headers,
        body=options.get("webhook_body") or "",
        success=SuccessRule.of(options.get("success_statuses") or "", options.get("success_contains") or ""),
        signing_secrets=secrets.signing,
    )


def execute(prepared: Prepared) -> Outcome:
    """Call out once and wait for what comes of it. Never raises: whatever goes wrong is an outcome."""
    end = _span(prepared)
    return _outcome(prepared, lambda: executors.run(prepared.request), end)


def submit(prepared: Prepared, done: Callable[[Outcome], None]) -> None:
    """Call out once and have `done` told what came of it, in another thread. Never raises.

    Webhooks share the one loop of the HTTP client. What has to wait in between, as a dispatch that looks for its run
    may, has a thread; so has what cannot even be put together.
    """
    request = prepared.request
    send: Send | None = None
    if isinstance(request, WebhookRequest):
        try:
            send = executors.webhook_sender(request)
        except Exception:
            # It fails again in the thread, where that becomes an outcome.
            logger.debug("Execution %s cannot be put together", prepared.execution_id, exc_info=True)
    if send is None:
        _threads().submit(lambda: done(execute(prepared)))
    else:
        end = _span(prepared)
        send(lambda find: done(_outcome(prepared, find, end)))


def _outcome(prepared: Prepared, find: Callable[[], Outcome], end: tracing.End | None) -> Outcome:
    """Return what `find` says. Our own error is an outcome as well, or the row would wait for one for ever."""
    with log_context.handling(prepared.execution_id):
        try:
            outcome = find()
        except Exception:
            # The traceback belongs to the log, the row says that it was not the target.
            logger.exception("Execution %s ended in an internal error", prepared.execution_id)
            job = prepared.job
            message = "Request failed: internal error"
            outcome = Outcome("failed", job.execution_type, job.target, error_message=message, request_sent=True)
        if end is not None:
            end(_attributes(prepared, outcome), "" if outcome.succeeded else outcome.error_message or outcome.status)
    return outcome


def _span(prepared: Prepared) -> tracing.End | None:
    if not tracing.is_on():
        return None
    return tracing.begin(
        f"execution {prepared.job.execution_type or ''}".strip(), prepared.execution_id, prepared.attempt
    )


def _attributes(prepared: Prepared, outcome: Outcome) -> dict[str, str | int | None]:
    """Return what a span says of an attempt, by OpenTelemetry's names where there are any."""
    return {
        "cronsched.job.id": str(prepared.job.id),
        "cronsched.execution.id": str(prepared.execution_id),
        "cronsched.attempt": prepared.attempt,
        "url.full": outcome.target,
        "http.response.status_code": outcome.response_status,
    }


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="dispatch")
