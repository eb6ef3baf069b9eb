"""Input and output of every executor: plain values, so that a sender holds neither a model nor a connection."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from http import HTTPStatus
from typing import Any, NamedTuple
from uuid import UUID, uuid5

from cronsched.lib.http import Kind, RequestError, Response
from jobs.executors.masking import masked

MAX_TARGET_LENGTH = 500
MAX_OUTPUT_LENGTH = 1000
# How many characters of an answer are shown on request.
MAX_SHOWN_LENGTH = 65_536
DEFAULT_TIMEOUT = timedelta(seconds=10)

# 425 and 429 ask for a later try, 408 says the target never got the request whole.
RETRYABLE_STATUSES = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS, *range(500, 600)}
)

_PASSWORD = re.compile(r"^((?:[^/?#]*://)?[^/?#:@]*:)[^/?#]*@")


def utc_now() -> datetime:
    """Return the time; the executors' clock unless a test sets another."""
    return datetime.now(UTC)


class Failure(StrEnum):
    """Why an attempt failed, for callers with words of their own (the test run) or that act on it (pacing, lookup)."""

    NO_TARGET = "no_target"
    NO_CREDENTIALS = "no_credentials"
    INVALID = "invalid"
    NO_ANSWER = "no_answer"
    BAD_ANSWER = "bad_answer"
    RATE_LIMITED = "rate_limited"


class Run(NamedTuple):
    """Which run a request belongs to. `fire_time` is None for a manual run."""

    job_id: UUID
    job_name: str
    execution_id: UUID
    fire_time: datetime | None = None
    attempt: int = 1

    @property
    def message_id(self) -> str:
        """The `webhook-id`, by which a receiver recognises a repetition: the same for all attempts of a fire time.

        It is computed from job and time, so it is the same again after a restore of an older database.
        """
        if self.fire_time is None:
            return str(self.execution_id)
        return str(uuid5(self.job_id, _written(self.fire_time)))


# A herd has one fire time.
@lru_cache(maxsize=64)
def _written(fire_time: datetime) -> str:
    return fire_time.astimezone(UTC).isoformat()


@dataclass(frozen=True, slots=True)
class Answer:
    """The whole answer, to be shown on request and not stored. Secrets are masked in headers and body."""

    headers: Mapping[str, str]
    body: str
    is_cut: bool


# Not frozen, as nothing is that a herd makes thousands of: that would take three times as long. Nobody changes one.
@dataclass(slots=True)
class Outcome:
    """The outcome of one attempt.

    `reason` is the bare text behind `Request failed: ...`. `retryable` is the executor's judgement: whether the same
    request may do better later; whether to try is the job's. `retry_after` is what the target asked for. Where
    `request_sent` is False, certainly nothing reached the target.
    """

    status: str
    execution_type: str | None
    target: str | None
    response_status: int | None = None
    error_message: str | None = None
    output: str | None = None
    failure: Failure | None = None
    reason: str | None = None
    retryable: bool = False
    retry_after: timedelta | None = None
    request_sent: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)
    answer: Answer | None = None

    @property
    def succeeded(self) -> bool:
        return self.status == "success"

    @property
    def is_ambiguous(self) -> bool:
        """Whether the target may have acted although no answer came."""
        return self.failure is Failure.NO_ANSWER and self.request_sent


@dataclass(frozen=True, slots=True)
class Finding:
    """What a target check found. `code` is stable; one that is not `conclusive` says only that nothing was learnt."""

    code: str
    message: str
    conclusive: bool = True


def unanswered(
    error: RequestError, *, execution_type: str, target: str, details: Mapping[str, Any] | None = None
) -> Outcome:
    """Return the outcome of an attempt that got no usable answer."""
    return Outcome(
        status="failed",
        execution_type=execution_type,
        target=storable(target, MAX_TARGET_LENGTH),
        # An answer that was not there in time is none (contract, section 15).
        response_status=None if error.kind is Kind.TIMEOUT else error.status,
        error_message=f"Request failed: {storable(error.reason)}",
        failure=Failure.INVALID if error.kind is Kind.BAD_REQUEST else Failure.NO_ANSWER,
        reason=storable(error.reason),
        retryable=error.retryable,
        request_sent=error.request_sent,
    )


def invalid(reason: str, *, execution_type: str, target: str) -> Outcome:
    """Return the outcome of an attempt whose request could not be built."""
    return Outcome(
        status="failed",
        execution_type=execution_type,
        target=storable(target, MAX_TARGET_LENGTH),
        error_message=f"Request failed: {storable(reason)}",
        failure=Failure.INVALID,
        reason=storable(reason),
    )


def storable(text: str, length: int | None = None) -> str:
    """Return the first `length` characters without what a database refuses: NUL and lone surrogates."""
    text = text[:length]
    if text.isascii() and "\x00" not in text:
        return text
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def shown_url(url: str) -> str:
    """Return the URL as the history shows it: cut, and without a password."""
    return storable(_PASSWORD.sub(r"\1***@", url) if "@" in url else url, MAX_TARGET_LENGTH)


def output_of(answer: Response, *, secrets: Iterable[str] = ()) -> str:
    """Return the first 1,000 characters of the body, in the charset it names if that is a common one, else UTF-8.

    A target may repeat what it was sent; `secrets` are masked in it.
    """
    # Stripping comes before cutting, so that padding with NUL does not hide the text behind it.
    text = answer.text().replace("\x00", "")
    return storable(masked(text, secrets), MAX_OUTPUT_LENGTH)


def whole(answer: Response, *, secrets: Iterable[str] = ()) -> Answer:
    """Return the whole answer as it is shown on request."""
    kept = list(secrets)
    headers = {name: storable(masked(value, kept)) for name, value in answer.headers.items()}
    text = masked(answer.text().replace("\x00", ""), kept)
    return Answer(headers, storable(text, MAX_SHOWN_LENGTH), answer.truncated or len(text) > MAX_SHOWN_LENGTH)
