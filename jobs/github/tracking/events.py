"""GitHub reports how its runs go, before the next poll."""

from datetime import datetime

from django.db import transaction

from jobs.github import RunOutcome, RunState, next_poll
from jobs.github.events import RunEvent
from jobs.github.tracking.begin import FOLLOW_FOR
from jobs.github.tracking.conclusion import Held, apply, describe, hold
from jobs.models import GitHubRun, Tracking


def handle_workflow_run_event(event: RunEvent, *, now: datetime) -> int:
    """Apply an event about a run; return how many executions it was about.

    The leader concludes a failure, because it polls for the failed step; everything else is concluded at once.
    """
    known = GitHubRun.objects.filter(run_id=event.state.run_id, repository=event.repository.lower())
    ids = list(known.values_list("pk", flat=True))
    for execution_id in ids:
        with transaction.atomic():
            held = hold(execution_id)
            if held is not None:
                _apply_event(held, event.state, now)
                held.run.save()
    return len(ids)


def _apply_event(held: Held, state: RunState, now: datetime) -> None:
    run = held.run
    if run.tracking == Tracking.NOT_FOLLOWED:
        describe(run, state)
        return
    if state.attempt < run.attempt or (run.tracking == Tracking.CONCLUDED and state.attempt == run.attempt):
        # Late news: GitHub's deliveries come in any order.
        return
    if run.tracking != Tracking.FOLLOWED:
        # It was run again, or it is seen again after all.
        run.tracking, run.follow_until, run.polls = Tracking.FOLLOWED, now + FOLLOW_FOR, 0
        run.conclusion = run.failed_job = run.failed_step = ""
        run.concluded_at = None
        run.next_poll_at = now + next_poll(1, key=str(run.pk))
    if state.outcome in {RunOutcome.FAILED, RunOutcome.CANCELLED}:
        describe(run, state)
        # The tag belongs to what was seen before; the next poll must see the end itself.
        run.etag, run.next_poll_at = "", now
    else:
        apply(held, state, None, now)
