"""The leader asks GitHub how its runs are going: in intervals that grow, with ETags, for a limited time."""

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
from jobs.github.tracking.look import PATIENT_POLLS, Look, Sight, as_look, ask
from jobs.github.tracking.search import choose, is_sought_in_vain
from jobs.models import GitHubRun, JobExecution, Status, Tracking
from jobs.notices import events
from notifications.services import notify

logger = logging.getLogger(__name__)

# Runs of one pass, and how many of them are looked at side by side.
BATCH = 40
WIDTH = 8
# Who takes a look has until then before somebody else does.
HOLD = timedelta(seconds=60)

NOT_FOUND = "GitHub did not say which run it is, and it could not be told from others"
GONE = "GitHub does not show it any more"
TOO_LONG = "it did not end in time"


def follow(*, now: datetime, may_act: Callable[[], bool] = lambda: True) -> int:
    """Look at the runs whose time has come; return how many were looked at. Network, outside of transactions."""
    total = 0
    while may_act():
        looks = _take(now)
        if not looks:
            break
        with ThreadPoolExecutor(min(WIDTH, len(looks)), thread_name_prefix="runs") as pool:
            seen = zip(looks, pool.map(lambda look: ask(look, now), looks), strict=True)
            one_by_one(seen, lambda pair: _see(*pair, now), _left_out)
        total += len(looks)
        if len(looks) < BATCH:
            break
    return total


def _left_out(pair: tuple[Look, Sight], error: Exception) -> None:
    # It was taken off the list for a while, so that the next look comes later.
    logger.error("What GitHub says of execution %s could not be kept", pair[0].execution_id, exc_info=error)


def _take(now: datetime) -> list[Look]:
    """Take the runs that are due off the list for as long as a look may take."""
    with transaction.atomic():
        due = GitHubRun.objects.filter(next_poll_at__lte=now).order_by("next_poll_at", "pk")
        runs = list(batches.locked(due)[:BATCH])
        if not runs:
            return []
        mine = GitHubRun.objects.filter(pk__in=[run.pk for run in runs])
        mine.update(next_poll_at=now + HOLD)
        seen = JobExecution.objects.only("status", "target", "request_snapshot", "started_at", "deadline_at")
        executions = seen.in_bulk([run.pk for run in runs])
    looks = [as_look(run, executions[run.pk]) for run in runs]
    lanes = {look.execution_id: github().lane(look.repository) for look in looks}
    blocked = rate_limits.blocked(set(lanes.values()), now=now)
    for look in looks:
        if (until := blocked.get(lanes[look.execution_id])) is not None:
            GitHubRun.objects.filter(pk=look.execution_id).exclude(next_poll_at=None).update(next_poll_at=until)
    return [look for look in looks if lanes[look.execution_id] not in blocked]


def _see(look: Look, sight: Sight, now: datetime) -> None:
    """Write down what a look gave, and conclude the run where it has ended."""
    with transaction.atomic():
        held = hold(look.execution_id)
        if held is None or held.run.tracking != Tracking.FOLLOWED or held.run.run_id != look.run_id:
            return
        run = held.run
        if run.run_id is None and held.execution.status == Status.FAILED:
            # The sender was taken for dead, and said after all that nothing was started.
            run.delete()
            return
        run.polls += 1
        run.checked_at = now
        run.next_poll_at = now + max(next_poll(run.polls + 1, key=str(run.pk)), sight.poll.wait or timedelta())
        if sight.poll.wait is not None:
            rate_limits.block({github().lane(look.repository): sight.poll.wait}, now=now)
        if sight.candidates is not None:
            choose(held, look, sight, now)
        elif sight.poll.state is not None:
            apply(held, sight.poll.state, sight.failed, now)
            run.etag = sight.poll.etag or ""
        if held.execution.status == Status.UNKNOWN:
            if is_sought_in_vain(held, sight, now):
                run.delete()
                return
        elif run.tracking == Tracking.FOLLOWED:
            _give_up_if_hopeless(held, sight, now)
        run.save()


def _give_up_if_hopeless(held: Held, sight: Sight, now: datetime) -> None:
    run = held.run
    is_patient = run.polls < PATIENT_POLLS
    if run.run_id is None and not is_patient:
        _lose(held, Tracking.LOST, NOT_FOUND, now)
    elif sight.poll.gone and not (is_patient and not run.status):
        _lose(held, Tracking.LOST, GONE, now)
    elif run.follow_until is not None and run.follow_until <= now:
        _lose(held, Tracking.GIVEN_UP, TOO_LONG, now)


def _lose(held: Held, tracking: Tracking, reason: str, now: datetime) -> None:
    held.run.tracking = tracking
    held.run.next_poll_at = None
    # Where its dispatch was taken for the outcome, everything has been said.
    if held.run.decides:
        notify([events.run_lost(held.job, held.execution, reason=reason, now=now)], now=now)
