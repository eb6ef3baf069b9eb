"""Webhooks: one request to the URL of a user."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPMethod
from typing import Any
from urllib.parse import quote

from cronsched.lib.backoff import retry_after
from cronsched.lib.http import Answer, Door, DoorError, OutRequest
from jobs.executors.base import (
    DEFAULT_TIMEOUT,
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

EXECUTION_TYPE = "webhook"
JSON_TYPE = "application/json"


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """A webhook to call. Without a `method` it is a POST of the metadata as JSON, or a GET where there is none."""

    url: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    method: str | None = None
    timeout: timedelta = DEFAULT_TIMEOUT
    run: Run | None = None


class WebhookExecutor:
    """Sends a webhook once. A redirect is no success and is not followed."""

    def __init__(self, door: Door, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._door = door
        self._clock = clock

    def run(self, request: WebhookRequest) -> Outcome:
        try:
            out = self._out(request)
        except ValueError:
            reason = "the metadata holds a number that JSON cannot carry"
            return invalid(reason, execution_type=EXECUTION_TYPE, target=request.url)
        try:
            answer = self._door.send(out)
        except DoorError as error:
            return unanswered(error, execution_type=EXECUTION_TYPE, target=request.url)
        return self._outcome(request, answer)

    def _out(self, request: WebhookRequest) -> OutRequest:
        method = request.method or (HTTPMethod.POST if request.metadata else HTTPMethod.GET)
        headers = dict(self._run_headers(request.run)) if request.run else {}
        body = None
        if method != HTTPMethod.GET:
            body = json.dumps(dict(request.metadata), allow_nan=False).encode()
            headers["Content-Type"] = JSON_TYPE
        return OutRequest(method, request.url, headers, body, request.timeout)

    def _run_headers(self, run: Run) -> Mapping[str, str]:
        headers = {
            "webhook-id": str(run.execution_id),
            "webhook-timestamp": str(int(self._clock().timestamp())),
            "Idempotency-Key": str(run.execution_id),
            # Header values are ASCII in practice; a name in another script arrives percent-encoded.
            "X-Cron-Job": quote(run.job_name, safe=" !#$&'()*+,/:;=?@[]"),
            "X-Cron-Job-Id": str(run.job_id),
            "X-Cron-Attempt": str(run.attempt),
        }
        if run.fire_time is not None:
            headers["X-Cron-Scheduled-For"] = f"{run.fire_time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        return headers

    def _outcome(self, request: WebhookRequest, answer: Answer) -> Outcome:
        succeeded = 200 <= answer.status < 300
        return Outcome(
            status="success" if succeeded else "failed",
            execution_type=EXECUTION_TYPE,
            target=storable(request.url, MAX_TARGET_LENGTH),
            response_status=answer.status,
            error_message=None if succeeded else f"Webhook returned status {answer.status}",
            output=output_of(answer),
            failure=None if succeeded else Failure.BAD_ANSWER,
            retryable=answer.status in RETRYABLE_STATUSES,
            retry_after=retry_after(answer.headers["Retry-After"], now=self._clock()),
            request_sent=True,
            details={"location": storable(answer.location, MAX_TARGET_LENGTH)} if answer.location else {},
        )
