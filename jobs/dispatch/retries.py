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

# By `retry_on`: why a failure is the last one.
NOT_AGAIN = {
    RetryOn.TEMPORARY.value: "Not tried again: this failure is not temporary (retry_on is temporary).",
    RetryOn.UNSENT.value: "Not tried again: the request may have reached the target (retry_on is unsent).",
    RetryOn.ANY.value: "Not tried again: no further attempt could succeed.",
}
JOB_STOPPED = "Not tried again: the job was paused meanwhile."
TOLD_LATE = "Not tried again: the outcome came after it had been called unknown."


class NextAttempt(NamedTuple):
    """The next attempt: when, and its number."""

    at: datetime
    attempt: int


class NoFurther(NamedTuple):
    """There is no further attempt. `reason` is what people are told, None where nothing was to be decided."""

    reason: str | None = None


def next_attempt(result: Result, *, first_at: datetime) -> NextAttempt | NoFurther:
    """Return when to try again, or why this attempt was the last. `first_at` is when the first one left."""
    prepared, outcome, completed_at = result
    job, number = prepared.job, prepared.attempt
    if outcome.succeeded:
        return NoFurther()
    if _was_turned_away(result):
        # It certainly did nothing, so that sending it again makes no second run; it is not even another attempt.
        wait = max(outcome.retry_after or RATE_LIMIT_WAIT, timedelta(seconds=1))
    elif job.max_attempts == 1:
        return NoFurther()
    elif number >= job.max_attempts:
        return NoFurther(f"All {number} attempts failed.")
    elif not _may_try_again(outcome, wish := retry_on(job.request_options)):
        return NoFurther(NOT_AGAIN[wish])
    else:
        key = f"{job.id}/{prepared.fire_time or prepared.execution_id}"
        curve = backoff.delay(number, first=timedelta(seconds=job.backoff_seconds), key=key)
        wait = max(curve, outcome.retry_after or timedelta())
        number += 1
    at = completed_at + wait
    longest = retry_max_age(job.request_options)
    if at - first_at > longest:
        return NoFurther(_too_late(outcome, at - first_at, longest))
    return NextAttempt(at, number)


def _too_late(outcome: Outcome, age: timedelta, longest: timedelta) -> str:
    asked = f"the target asked to wait {outcome.retry_after.total_seconds():.0f} s; " if outcome.retry_after else ""
    return (
        f"Not tried again: {asked}the next attempt would begin {age.total_seconds():.0f} s after the first,"
        f" and retry_max_age_seconds allows {longest.total_seconds():.0f} s."
    )


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
