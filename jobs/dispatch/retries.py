"""Retries: whether another attempt follows one that failed, and when."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from cronsched.lib import backoff
from jobs.definitions.request_options import retry_max_age, retry_on
from jobs.dispatch.attempt import Result
from jobs.executors.base import Failure, Outcome, storable
from jobs.github import GitHubRequest
from jobs.github.api import RATE_LIMIT_WAIT
from jobs.models import RetryOn


class NextAttempt(NamedTuple):
    """The next attempt: when, and its number."""

    at: datetime
    attempt: int


def next_attempt(result: Result, *, first_at: datetime) -> NextAttempt | None:
    """Return when to try again, None where this attempt was the last. `first_at` is when the first one left."""
    prepared, outcome, completed_at = result
    job = prepared.job
    if outcome.succeeded:
        return None
    number = prepared.attempt
    if _was_turned_away(result):
        # It certainly did nothing, so that sending it again makes no second run; it is not even another attempt.
        wait = max(outcome.retry_after or RATE_LIMIT_WAIT, timedelta(seconds=1))
    elif number < job.max_attempts and _may_try_again(outcome, retry_on(job.request_options)):
        key = f"{job.id}/{prepared.fire_time or prepared.execution_id}"
        curve = backoff.delay(number, first=timedelta(seconds=job.backoff_seconds), key=key)
        wait = max(curve, outcome.retry_after or timedelta())
        number += 1
    else:
        return None
    at = completed_at + wait
    return NextAttempt(at, number) if at - first_at <= retry_max_age(job.request_options) else None


def _was_turned_away(result: Result) -> bool:
    """Whether GitHub refused a dispatch for its rate limit. One with a token of its own cannot wait for another."""
    request = result.prepared.request
    is_ours = isinstance(request, GitHubRequest) and request.token is None
    return is_ours and result.outcome.failure is Failure.RATE_LIMITED


def _may_try_again(outcome: Outcome, wish: str) -> bool:
    """Whether the job wants another attempt after this failure. What can never go better is not tried again."""
    match wish:
        case RetryOn.ANY:
            return outcome.retryable or outcome.failure is Failure.BAD_ANSWER
        case RetryOn.UNSENT:
            return outcome.retryable and not outcome.request_sent
    return outcome.retryable


def with_attempt(earlier: Sequence[dict[str, Any]], result: Result) -> list[dict[str, Any]]:
    """Return the attempts that are over. One that GitHub turned away several times is one of them."""
    facts = _facts(result)
    kept = list(earlier)
    if kept and kept[-1]["attempt"] == facts["attempt"]:
        facts["times"] = kept.pop().get("times", 1) + 1
    return [*kept, facts]


def is_last(earlier: Sequence[dict[str, Any]], result: Result) -> bool:
    """Whether `result` is what the last of the `earlier` attempts came to."""
    if not earlier:
        return False
    last, facts = earlier[-1], _facts(result)
    return all(last[name] == facts[name] for name in ("attempt", "completed_at"))


def _facts(result: Result) -> dict[str, Any]:
    """Return what is kept of an attempt that is followed by another."""
    outcome = result.outcome
    return {
        "attempt": result.prepared.attempt,
        "completed_at": result.completed_at.astimezone(UTC).isoformat(),
        "response_status": outcome.response_status,
        "error_message": outcome.error_message and storable(outcome.error_message),
    }
