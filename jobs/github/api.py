"""GitHub's REST API as far as this project uses it: one call, and how to read a refusal."""

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from cronsched.lib.backoff import retry_after
from cronsched.lib.http import HTTPClient, Kind, OutgoingRequest, RequestError, Response

# Pinned: versions after it have changed the dispatch answer. GitHub serves each for two years at least.
API_VERSION = "2022-11-28"
# GitHub's advice where a refusal says nothing more precise.
RATE_LIMIT_WAIT = timedelta(seconds=60)
# A full page of runs holds a third of it. Parsed, a value may take fifty times the bytes it came in.
MAX_VALUES = 60_000


class Transport:
    """Calls one GitHub: github.com, an Enterprise server or a test's. The base URL is the operator's, hence trusted."""

    def __init__(self, client: HTTPClient, base_url: str) -> None:
        self._client = client
        self._base_url = base_url.rstrip("/")

    def send(
        self,
        method: str,
        path: str,
        token: str,
        *,
        ends_at: float,
        body: Mapping[str, Any] | None = None,
        etag: str | None = None,
        max_body: int | None = None,
    ) -> Response:
        """Make one call that ends at `ends_at` (on `time.monotonic()`). Raises RequestError.

        `path` is relative to the base URL and already quoted (`path_of`). Redirects are not followed: for GitHub they
        mean a renamed repository.
        """
        headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": API_VERSION,
        }
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body, allow_nan=False).encode()
        if etag is not None:
            headers["If-None-Match"] = etag
        timeout = ends_at - time.monotonic()
        url = self._base_url + path
        return self._client.send(OutgoingRequest(method, url, headers, content, timeout, vet=False, max_body=max_body))


def path_of(*segments: str | int) -> str:
    """Return a path of quoted segments. Raises RequestError for one that would climb to another resource.

    `..` reaches other calls with the same token, and quoting does not hide it from every server.
    """
    for segment in segments:
        if not str(segment).strip("."):
            raise RequestError(Kind.BAD_REQUEST, "owner, repository or workflow is not a valid name")
    return "".join("/" + quote(str(segment), safe="") for segment in segments)


def json_of(answer: Response) -> dict[str, Any]:
    """Return the answer's JSON object, empty where the body is none or holds more values than GitHub ever sends."""
    if answer.body.count(b",") > MAX_VALUES:
        return {}
    try:
        value = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def rate_limit_wait(answer: Response, *, now: datetime) -> timedelta | None:
    """Return how long GitHub wants to be left alone, None where the answer is no rate limit.

    A 403 is one only if it says so; otherwise it means missing permissions, and waiting does not help.
    """
    if answer.status not in {HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS}:
        return None
    if (asked := retry_after(answer.headers.get("Retry-After"), now=now)) is not None:
        return asked
    if answer.headers.get("X-RateLimit-Remaining") == "0":
        return _until_reset(answer.headers.get("X-RateLimit-Reset"), now=now)
    message = str(json_of(answer).get("message", ""))
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS or "rate limit" in message.lower():
        return RATE_LIMIT_WAIT
    return None


def _until_reset(reset: str | None, *, now: datetime) -> timedelta:
    try:
        wait = datetime.fromtimestamp(int(reset or ""), tz=UTC) - now
    except (ValueError, OverflowError, OSError):
        return RATE_LIMIT_WAIT
    # The primary limit renews every hour; a later instant is a broken clock on one side.
    return max(timedelta(0), min(wait, timedelta(hours=1)))
