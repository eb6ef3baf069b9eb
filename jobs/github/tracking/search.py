"""Finds the run of a dispatch for which GitHub returned no id, among those it lists.

Older Enterprise servers accept a dispatch and do not say which run they started for it.

A dispatch whose sender died is `unknown`, but GitHub may have accepted it. Its run is looked for in the same way: from
`start_run_lookup` on a row without a run is polled by the leader for a short time. Where the run is found the dispatch
succeeded, and the run is followed like any other.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from cronsched.lib.db import limits
from cronsched.lib.db.effects import Effects
from jobs.executors.base import MAX_OUTPUT_LENGTH, MAX_TARGET_LENGTH, storable
from jobs.github.configured import has_github_credential
from jobs.github.runs import LOOKUP_AFTER
from jobs.github.tracking.begin import FOLLOW_FOR, is_wanted
from jobs.github.tracking.conclusion import Held
from jobs.github.tracking.ownership import claim, free
from jobs.github.tracking.poll import LOOK_BACK, PATIENT_POLLS, PollRequest, PollResult, ref_of, span_of
from jobs.history import daily_counts
from jobs.models import ExecutionType, GitHubRun, JobExecution, Status, Tracking
from jobs.notices import events
from jobs.schedule import failure_streak
from jobs.schedule.failure_streak import Ended
from notifications.services import loss_notices, notify

# For how long runs of dead senders are looked for where GitHub does not answer, one after the other: a process that
# dies may leave hundreds, and GitHub counts the questions.
LOOKUP_FOR = timedelta(minutes=15)
LOOKUP_GAP = timedelta(seconds=0.5)

NO_RUN = "GitHub was asked: it shows no run of it."
NOT_CERTAIN = "GitHub was asked: of the runs started then none can be identified as this one."
NOT_ANSWERED = "GitHub was asked and gave no answer."


def start_run_lookup(lost: Iterable[JobExecution], *, now: datetime) -> None:
    """Begin to look up the runs of those of `lost` that are dispatches: GitHub may have accepted them.

    Call it in the transaction that calls them unknown. Without a credential nothing is looked for.
    """
    if not has_github_credential():
        return
    rows: list[GitHubRun] = []
    for execution in lost:
        sent = execution.request_snapshot or {}
        is_dispatch = execution.execution_type == ExecutionType.GITHUB_ACTIONS and {"owner", "repo"} <= sent.keys()
        if not is_dispatch or execution.deadline_at is None:
            continue
        rows.append(
            GitHubRun(
                execution=execution,
                repository=f"{sent['owner']}/{sent['repo']}".lower(),
                tracking=Tracking.FOLLOWED,
                created_at=now,
                next_poll_at=now + len(rows) * LOOKUP_GAP,
                follow_until=now + LOOKUP_FOR,
            )
        )
    limits.check_all(rows)
    GitHubRun.objects.bulk_create(rows)


def match_run(held: Held, request: PollRequest, result: PollResult, now: datetime) -> None:
    """Take the run if it is the only candidate."""
    own = free(held.run, result.candidates or ())
    is_sought = held.execution.status == Status.UNKNOWN
    if len(own) != 1 or (is_sought and has_ambiguous_dispatch(request)):
        return
    run, (state,) = held.run, own
    if not claim(run, state.run_id):
        return
    run.run_id, run.url, run.status = state.run_id, state.url, state.status
    if is_sought:
        _settle(held, request, result.workflow, now)


def has_ambiguous_dispatch(request: PollRequest) -> bool:
    """Whether another dispatch was out then whose run is not known either: the one that was found may be that one's."""
    target = _stem(f"{request.repository.owner}/{request.repository.name}/{request.workflow}")
    until = request.lost_at + LOOKUP_AFTER
    others = JobExecution.objects.filter(execution_type=ExecutionType.GITHUB_ACTIONS).exclude(pk=request.execution_id)
    unsettled = others.filter(status__in=(Status.RUNNING, Status.UNKNOWN), deadline_at__gte=request.sent_at)
    # Older Enterprise servers accept without saying which run it is.
    accepted = others.filter(status=Status.SUCCESS, run__run_id=None, started_at__lte=until)
    accepted = accepted.filter(started_at__gte=request.sent_at - LOOK_BACK)
    for other in (*unsettled, *accepted):
        span = span_of(other) if other.status != Status.SUCCESS else None
        is_of_that_time = span is None or span[0] <= until
        if is_of_that_time and _stem(other.target or "") == target and ref_of(other) == request.ref:
            return True
    return False


def _stem(target: str) -> str:
    """Return a target without the spellings that name the same workflow."""
    return target.lower().removesuffix(".yml").removesuffix(".yaml")


def _settle(held: Held, request: PollRequest, workflow: str, now: datetime) -> None:
    """Record that the dispatch succeeded, unless it has another outcome by now, and follow its run as usual."""
    execution, run = held.execution, held.run
    unknown = JobExecution.objects.filter(pk=execution.pk, status=Status.UNKNOWN)
    before = daily_counts.of(unknown, sign=-1)
    sent = execution.request_snapshot or {}
    execution.status, execution.reason, execution.completed_at = Status.SUCCESS, None, now
    execution.target = storable(f"{sent['owner']}/{sent['repo']}/{workflow}", MAX_TARGET_LENGTH)
    execution.output = storable(f"Workflow triggered successfully on branch {request.ref}", MAX_OUTPUT_LENGTH)
    execution.details = {"lookup": "run found", "run_id": run.run_id, "run_url": run.url}
    # How long GitHub took to accept it is not known, so that the duration stays blank.
    settled = ("status", "reason", "completed_at", "target", "output", "details")
    if not unknown.update(**{name: getattr(execution, name) for name in settled}):
        run.run_id, run.url, run.status = None, "", ""
        return
    daily_counts.add([*before, *daily_counts.of(JobExecution.objects.filter(pk=execution.pk))])
    message = events.run_finished(held.job, execution, now=now)
    run.decides = is_wanted(held.job)
    if run.decides:
        # Whether all is well is for the run to say.
        run.polls, run.next_poll_at, run.follow_until = 0, now, now + FOLLOW_FOR
        notify([replace(message, mail=None, alarm=None)], now=now)
    else:
        run.tracking, run.next_poll_at = Tracking.NOT_FOLLOWED, None
        effects, ended = Effects(), Ended(held.job.pk, is_well=True)
        paused = failure_streak.count([ended], {held.job.pk: held.job}, effects=effects, now=now)
        notify([message, *paused, *loss_notices(effects.lost, now=now)], now=now)


def is_lookup_over(held: Held, result: PollResult, now: datetime) -> bool:
    """Whether the lookup for a dead sender's dispatch is over. The reason then says what was found."""
    run, candidates = held.run, result.candidates
    is_over = run.follow_until is not None and run.follow_until <= now
    if not is_over and (candidates is None or run.polls < PATIENT_POLLS):
        return False
    if candidates is None:
        found = NOT_ANSWERED
    else:
        found = NOT_CERTAIN if free(run, candidates) else NO_RUN
    unknown = JobExecution.objects.filter(pk=run.pk, status=Status.UNKNOWN)
    unknown.update(reason=" ".join(filter(None, (held.execution.reason, found))))
    return True
