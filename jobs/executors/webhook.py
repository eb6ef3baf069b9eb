"""Webhooks: one request to the URL of a user."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache, partial
from typing import Any
from urllib.parse import quote, unquote

from cronsched.lib import traces
from cronsched.lib.backoff import retry_after
from cronsched.lib.http import HTTPClient, Kind, OutgoingRequest, RequestError, Response
from jobs.executors.base import (
    DEFAULT_TIMEOUT,
    RETRYABLE_STATUSES,
    Failure,
    Finding,
    Outcome,
    Run,
    invalid,
    output_of,
    shown_url,
    unanswered,
    utc_now,
    whole,
)
from jobs.executors.masking import masked
from jobs.executors.rules import ANY_2XX, BODYLESS_METHODS, SuccessRule
from jobs.executors.signing import signature
from jobs.executors.template import fire_time_text, render

EXECUTION_TYPE = "webhook"
JSON_TYPE = "application/json"
ALWAYS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_json = json.JSONEncoder(allow_nan=False).encode


# Not frozen: see `Outcome`.
@dataclass(slots=True)
class WebhookRequest:
    """A webhook to call. Without a `method` it is a POST of the metadata as JSON, or a GET where there is none.

    `body` is a template that replaces the metadata. Of several `signing_secrets` the receiver accepts any. `run` is
    None for a test run, which belongs to no job. With `keeps_answer` the outcome holds all of the answer.
    """

    url: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    method: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    secret_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: str = ""
    success: SuccessRule = ANY_2XX
    signing_secrets: tuple[str, ...] = field(default=(), repr=False)
    timeout: timedelta = DEFAULT_TIMEOUT
    run: Run | None = None
    keeps_answer: bool = False

    @property
    def effective_method(self) -> str:
        return self.method or ("POST" if self.metadata or self.body else "GET")


# Sends a request; calls its argument in the client's thread with a function that returns the outcome.
Send = Callable[[Callable[[Callable[[], Outcome]], None]], None]


class WebhookExecutor:
    """Sends a webhook once. A redirect is no success and is not followed."""

    def __init__(self, client: HTTPClient, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._client = client
        self._clock = clock

    def run(self, request: WebhookRequest) -> Outcome:
        """Send `request` and wait for its outcome."""
        try:
            out = self._out(request)
        except ValueError as error:
            return invalid(str(error), execution_type=EXECUTION_TYPE, target=shown_url(request.url))
        try:
            answer = self._client.send(out)
        except RequestError as error:
            return self._outcome(request, error)
        return self._outcome(request, answer)

    def sender(self, request: WebhookRequest) -> Send:
        """Build the HTTP request and return the function that sends it. Raises ValueError where it cannot be built."""
        out = self._out(request)
        return lambda done: self._client.submit(out, lambda answer: done(partial(self._outcome, request, answer)))

    def _out(self, request: WebhookRequest) -> OutgoingRequest:
        """Raises ValueError where the request cannot be built."""
        body, content_type = _body(request)
        headers = {} if content_type is None else {"Content-Type": content_type}
        if request.headers or request.secret_headers:
            headers = _merged(headers, request.headers, request.secret_headers)
        if request.run is not None:
            headers |= self._run_headers(request, request.run, body or b"")
        return OutgoingRequest(request.effective_method, request.url, headers, body, request.timeout.total_seconds())

    def _run_headers(self, request: WebhookRequest, run: Run, body: bytes) -> dict[str, str]:
        message_id = run.message_id
        timestamp = int(self._clock().timestamp())
        headers = {
            # The same on every attempt, so that a receiver can tell a repetition from a new run.
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "Idempotency-Key": message_id,
            "X-Cron-Job": _in_ascii(run.job_name),
            "X-Cron-Job-Id": str(run.job_id),
            "X-Cron-Execution-Id": str(run.execution_id),
            "X-Cron-Attempt": str(run.attempt),
        }
        given = [*request.headers, *request.secret_headers]
        if not given or traces.HEADER not in map(str.lower, given):
            headers[traces.HEADER] = traces.traceparent(run.execution_id, run.attempt)
        if run.fire_time is not None:
            headers["X-Cron-Scheduled-For"] = fire_time_text(run)
        if request.signing_secrets:
            headers["webhook-signature"] = signature(
                request.signing_secrets, message_id=message_id, timestamp=timestamp, body=body
            )
        return headers

    def _outcome(self, request: WebhookRequest, answer: Response | RequestError) -> Outcome:
        if isinstance(answer, RequestError):
            return unanswered(answer, execution_type=EXECUTION_TYPE, target=shown_url(request.url))
        complaint = _complaint(request.success, answer)
        secrets = [*request.secret_headers.values(), *request.signing_secrets, *_credentials(request.url)]
        asked = answer.headers.get("Retry-After")
        return Outcome(
            status="failed" if complaint else "success",
            execution_type=EXECUTION_TYPE,
            target=shown_url(request.url),
            response_status=answer.status,
            error_message=complaint,
            output=output_of(answer, secrets=secrets),
            failure=Failure.BAD_ANSWER if complaint else None,
            # A right status with the wrong text is a target that is up but not done.
            retryable=complaint is not None
            and (answer.status in RETRYABLE_STATUSES or request.success.accepts_status(answer.status)),
            retry_after=retry_after(asked, now=self._clock()) if asked else None,
            request_sent=True,
            details={"location": shown_url(masked(answer.location, secrets))} if answer.location else {},
            answer=whole(answer, secrets=secrets) if request.keeps_answer else None,
        )


def check(request: WebhookRequest, client: HTTPClient, *, timeout: timedelta) -> list[Finding]:
    """Return what keeps the URL from being reached now. Connects, with TLS where it says so, and sends nothing."""
    try:
        client.probe(request.url, timeout=timeout.total_seconds())
    except RequestError as error:
        # A host may be up again tomorrow; a wrong address or certificate stays wrong.
        lasting = error.kind not in {Kind.CONNECT, Kind.TIMEOUT, Kind.LOST}
        return [Finding(error.kind.name.lower(), f"{error.reason[:1].upper()}{error.reason[1:]}.", conclusive=lasting)]
    return []


def snapshot(request: WebhookRequest) -> dict[str, Any]:
    """Return what is sent, for the history: no secret header's value, no credentials of the URL."""
    return {
        "method": request.effective_method,
        "url": shown_url(request.url),
        "headers": {**request.headers, **dict.fromkeys(request.secret_headers, "***")},
        "body": request.body or dict(request.metadata),
        "signed": bool(request.signing_secrets),
    }


def _body(request: WebhookRequest) -> tuple[bytes | None, str | None]:
    method = request.effective_method
    if method in BODYLESS_METHODS:
        return None, None
    if request.body:
        given = {name.lower(): value for name, value in {**request.headers, **request.secret_headers}.items()}
        text, content_type = render(request.body, request.run, content_type=given.get("content-type"))
        return text.encode("utf-8", "replace"), content_type
    if not request.metadata and method not in ALWAYS_WITH_BODY:
        return None, None
    try:
        return _json(dict(request.metadata)).encode(), JSON_TYPE
    except ValueError:
        raise ValueError("the metadata holds a number that JSON cannot carry") from None


# A job has a run after the other, and jobs of a herd are asked for in turn.
@lru_cache(maxsize=4096)
def _in_ascii(name: str) -> str:
    """Return a job's name percent-encoded where it is in another script: ASCII is all that arrives everywhere."""
    return quote(name, safe=" !#$&'()*+,/:;=?@[]")


def _credentials(url: str) -> list[str]:
    """Return what the URL says of a user: the target gets it as a header."""
    if "@" not in url:
        return []
    user, colon, password = url.partition("://")[2].partition("/")[0].rpartition("@")[0].partition(":")
    return [f"{unquote(user)}:{unquote(password)}", unquote(password)] if colon else []


def _merged(*layers: Mapping[str, str]) -> dict[str, str]:
    """Lay headers over each other, the later ones winning whatever their case."""
    merged: dict[str, tuple[str, str]] = {}
    for layer in layers:
        merged |= {name.lower(): (name, value) for name, value in layer.items()}
    return dict(merged.values())


def _complaint(rule: SuccessRule, answer: Response) -> str | None:
    if not rule.accepts_status(answer.status):
        return f"Webhook returned status {answer.status}"
    if rule.contains and rule.contains not in answer.text():
        return f"Webhook answer does not contain {rule.contains[:100]!r}"
    return None
