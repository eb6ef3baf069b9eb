"""The leader polls GitHub for its runs: in growing intervals, with ETags, for a limited time."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from django.db import transaction

from cronsched.lib.db import batches
from cronsched.lib.db.outages import one_by_one
from jobs.github import next_poll, rate_limits
from jobs.github.configured import github
from jobs.github.tracking.conclusion import Held, apply, hold
from jobs.github.tracking.poll import PATIENT_POLLS, PollRequest, PollResult, poll_request, poll_run
from jobs.github.tracking.search import is_lookup_over, match_run
from jobs.models import GitHubRun, JobExecution, Status, Tracking
from jobs.notices import events
from notifications.services import notify

logger = logging.getLogger(__name__)

# Runs of one pass, and how many of them are polled side by side.
BATCH = 40
WIDTH = 8
# How long no other process polls a run that one has taken.
HOLD = timedelta(seconds=60)

NOT_FOUND = "GitHub did not say which run it is, and it could not be identified among others"
GONE = "GitHub does not show it any more"
TOO_LONG = "it did not end in time"


def follow(*, now: datetime, may_act: Callable[[], bool] = lambda: True) -> int:
    """Poll the runs whose time has come; return how many were polled. Network, outside of transactions."""
    total = 0
    while may_act():
        requests = _take(now)
        if not requests:
            break
        with ThreadPoolExecutor(min(WIDTH, len(requests)), thread_name_prefix="runs") as pool:
            seen = zip(requests, pool.map(lambda request: poll_run(request, now), requests), strict=True)
            one_by_one(seen, lambda pair: _apply_result(*pair, now), _left_out)
        total += len(requests)
        if len(requests) < BATCH:
            break
    return total


def _left_out(pair: tuple[PollRequest, PollResult], error: Exception) -> None:
    # Its next poll was postponed, so it comes later than asked.
    logger.error("What GitHub says of execution %s could not be kept", pair[0].execution_id, exc_info=error)


def _take(now: datetime) -> list[PollRequest]:
    """Postpone the next poll of the runs that are due by as long as this poll may take."""
    with transaction.atomic():
        due = GitHubRun.objects.filter(next_poll_at__lte=now).order_by("next_poll_at", "pk")
        runs = list(batches.locked(due)[:BATCH])
        if not runs:
            return []
        mine = GitHubRun.objects.filter(pk__in=[run.pk for run in runs])
        mine.update(next_poll_at=now + HOLD)
        seen = JobExecution.objects.only("status", "target", "request_snapshot", "started_at", "deadline_at")
        executions = seen.in_bulk([run.pk for run in runs])
    requests = [poll_request(run, executions[run.pk]) for run in runs]
    buckets = {request.execution_id: github().bucket(request.repository) for request in requests}
    blocked = rate_limits.blocked(set(buckets.values()), now=now)
    for request in requests:
        if (until := blocked.get(buckets[request.execution_id])) is not None:
            GitHubRun.objects.filter(pk=request.execution_id).exclude(next_poll_at=None).update(next_poll_at=until)
    return [request for request in requests if buckets[request.execution_id] not in blocked]


def _apply_result(request: PollRequest, result: PollResult, now: datetime) -> None:
    """Store what a poll found, and conclude the run where it has ended."""
    with transaction.atomic():
        held = hold(request.execution_id)
        if held is None or held.run.tracking != Tracking.FOLLOWED or held.run.run_id != request.run_id:
            return
        run = held.run
        if run.run_id is None and held.execution.status == Status.FAILED:
            # The sender was taken for dead, and said after all that nothing was started.
            run.delete()
            return
        run.polls += 1
        run.checked_at = now
        run.next_poll_at = now + max(next_poll(run.polls + 1, key=str(run.pk)), result.poll.wait or timedelta())
        if result.poll.wait is not None:
            rate_limits.block({github().bucket(request.repository): result.poll.wait}, now=now)
        if result.candidates is not None:
            match_run(held, request, result, now)
        elif result.poll.state is not None:
            apply(held, result.poll.state, result.failed, now)
            run.etag = result.poll.etag or ""
        if held.execution.status == Status.UNKNOWN:
            if is_lookup_over(held, result, now):
                run.delete()
                return
        elif run.tracking == Tracking.FOLLOWED:
            _give_up_if_hopeless(held, result, now)
        run.save()


def _give_up_if_hopeless(held: Held, result: PollResult, now: datetime) -> None:
    run = held.run
    is_patient = run.polls < PATIENT_POLLS
    if run.run_id is None and not is_patient:
        _lose(held, Tracking.LOST, NOT_FOUND, now)
    elif result.poll.gone and not (is_patient and not run.status):
        _lose(held, Tracking.LOST, GONE, now)
    elif run.follow_until is not None and run.follow_until <= now:
        _lose(held, Tracking.GIVEN_UP, TOO_LONG, now)


def _lose(held: Held, tracking: Tracking, reason: str, now: datetime) -> None:
    held.run.tracking = tracking
    held.run.next_poll_at = None
    # Where its dispatch was taken for the outcome, everything has been said.
    if held.run.decides:
        notify([events.run_lost(held.job, held.execution, reason=reason, now=now)], now=now)
