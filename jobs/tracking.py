"""Follow the workflow runs that executions started, to the end: what GitHub says there is what users want to know.

A dispatch that was accepted makes a row of `github_runs`, which holds all that following needs; whoever leads goes on
with it. The leader asks (`follow`), in intervals that grow, with ETags, for a limited time. GitHub may also tell
(`hear`); then nobody has to wait for the next look.

How a run ended is told once, counts for the job's health, and frees its place where runs must not overlap. A run that
decides (`decides`) does so instead of its dispatch; the execution's `status` is the dispatch's outcome all the same.

A dispatch whose sender died is `unknown`, but GitHub may have taken it. Its run is looked for in the same way (`seek`):
a row without a run, looked at by whoever leads, for a short time. Where the run is found the dispatch succeeded, and
the run is followed like any other.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction

from cronsched.lib import batches
from cronsched.lib.http import DoorError
from cronsched.lib.outages import piecewise
from jobs import counters, executors, health, messages, pacing
from jobs.executors import GitHubRequest
from jobs.executors.base import MAX_OUTPUT_LENGTH, MAX_TARGET_LENGTH, storable
from jobs.executors.github import (
    CredentialsMissing,
    Listing,
    Poll,
    Repository,
    Runs,
    RunState,
    Verdict,
    likely_names,
    next_poll,
)
from jobs.executors.github.events import RunEvent
from jobs.executors.github.runs import LOOKUP_AFTER, FailedStep
from jobs.facts import DEADLINE_MARGIN
from jobs.models import ExecutionType, GitHubRun, Job, JobExecution, Status, Tracking
from notifications.services import notify

logger = logging.getLogger(__name__)

# A run may wait for an approval for a month; who follows it would rather know that it does.
FOLLOW_FOR = timedelta(days=3)
# Runs of one pass, and how many of them are looked at side by side.
BATCH = 40
WIDTH = 8
TIMEOUT = timedelta(seconds=10)
# Who takes a look has until then before somebody else does.
HOLD = timedelta(seconds=60)
# GitHub does not know its own run for a moment after the dispatch, and lists it later still.
PATIENT_POLLS = 5
# A dispatch left at most this long before its outcome was recorded; for finding a run GitHub did not name.
LOOK_BACK = timedelta(seconds=60)
# Runs of dead senders are looked for so long, where GitHub does not answer, and one after the other: a process that
# dies may leave hundreds, and GitHub counts the questions.
SEEK_FOR = timedelta(minutes=15)
SEEK_GAP = timedelta(seconds=0.5)

NOT_FOUND = "GitHub did not say which run it is, and it could not be told from others"
GONE = "GitHub does not show it any more"
TOO_LONG = "it did not end in time"

NO_RUN = "GitHub was asked: it shows no run of it."
NOT_CERTAIN = "GitHub was asked: of the runs started then none can be told to be this one."
NOT_ANSWERED = "GitHub was asked and gave no answer."


class Started(NamedTuple):
    """A dispatch that GitHub accepted. `details` are what it said of the run."""

    execution_id: UUID
    request: GitHubRequest
    details: dict[str, Any]


def is_wanted(job: Job) -> bool:
    """Whether runs of the job are followed."""
    return settings.TRACK_GITHUB_RUNS if job.track_run is None else job.track_run


def begin(started: Sequence[Started], jobs: Mapping[UUID, Job], *, now: datetime) -> set[UUID]:
    """Keep what GitHub said of the runs it started, and follow those that are wanted; `jobs` by execution.

    Returns the executions whose run decides how they ended. Call it in the transaction that records the dispatch.
    """
    rows = []
    for execution_id, request, details in started:
        run_id = details.get("run_id")
        # A run that brought its own token cannot be looked at without it.
        is_followed = is_wanted(jobs[execution_id]) and request.token is None
        if run_id is None and not is_followed:
            continue
        row = GitHubRun(
            execution_id=execution_id,
            repository=f"{request.owner}/{request.repo}".lower(),
            run_id=run_id,
            url=details.get("run_url") or "",
            created_at=now,
        )
        if is_followed:
            row.tracking = Tracking.FOLLOWED
            row.decides = run_id is not None
            row.next_poll_at = now + next_poll(1, key=str(execution_id))
            row.follow_until = now + FOLLOW_FOR
        rows.append(row)
    # The sender was taken for dead, and speaks after all: its run need not be looked for any more.
    GitHubRun.objects.filter(pk__in=[execution_id for execution_id, _, _ in started]).delete()
    # In one order, so that no two batches wait for each other in a ring.
    rows.sort(key=lambda row: (row.repository, row.run_id or 0))
    piecewise(rows, _insert, _insert_without_run)
    return {row.execution_id for row in rows if row.decides}


def _insert(rows: Sequence[GitHubRun]) -> None:
    with transaction.atomic():
        GitHubRun.objects.bulk_create(rows)


def _insert_without_run(row: GitHubRun, error: Exception) -> None:
    """Keep no more than the address of a run that another execution is taken to have started."""
    if not isinstance(error, IntegrityError):
        raise error
    logger.warning("Run %s of %s belongs to another execution than %s", row.run_id, row.repository, row.execution_id)
    row.run_id, row.tracking, row.decides = None, Tracking.NOT_FOLLOWED, False
    row.next_poll_at = row.follow_until = None
    row.save(force_insert=True)


def claim_found(execution_id: UUID, repository: str, run_id: int, *, now: datetime) -> bool:
    """Keep a run that was found, not named, as that of an execution. False where it belongs to another.

    Two may have found the same one at this moment: only what is written decides. Call it in a transaction that goes on
    to `begin`, or says that nothing was started.
    """
    own = GitHubRun(execution_id=execution_id, repository=repository.lower(), run_id=run_id, created_at=now)
    try:
        with transaction.atomic():
            GitHubRun.objects.filter(pk=execution_id).delete()
            own.save(force_insert=True)
    except IntegrityError:
        return False
    return True


def seek(lost: Iterable[JobExecution], *, now: datetime) -> None:
    """Look for the runs of those of `lost` that are dispatches, as GitHub may have taken them before their sender died.

    Call it in the transaction that calls them unknown. Without a credential nobody can look.
    """
    if not executors.has_github_credential():
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
                next_poll_at=now + len(rows) * SEEK_GAP,
                follow_until=now + SEEK_FOR,
            )
        )
    GitHubRun.objects.bulk_create(rows)


def known_runs(repositories: Iterable[str], *, now: datetime) -> dict[str, frozenset[int]]:
    """Return the runs of late that belong to executions already, by repository (`owner/name`)."""
    names = {name.lower() for name in repositories}
    recent = GitHubRun.objects.filter(repository__in=names, created_at__gt=now - 10 * LOOK_BACK)
    found: dict[str, set[int]] = {}
    for repository, run_id in recent.values_list("repository", "run_id"):
        if run_id is not None:
            found.setdefault(repository, set()).add(run_id)
    return {repository: frozenset(ids) for repository, ids in found.items()}


# --- Asking ----------------------------------------------------------------------------------------------------------


class Look(NamedTuple):
    """What a thread needs to look at a run."""

    execution_id: UUID
    repository: Repository
    workflow: str
    ref: str
    run_id: int | None
    etag: str
    # When the dispatch went out at the earliest, and when it was over at the latest.
    sent_at: datetime
    lost_at: datetime


class Sight(NamedTuple):
    """What a look gave. `candidates` are runs that may be the one that GitHub did not name, of the `workflow`."""

    poll: Poll
    candidates: Sequence[RunState] | None = None
    workflow: str = ""
    failed: FailedStep | None = None


def follow(*, now: datetime, may_act: Callable[[], bool] = lambda: True) -> int:
    """Look at the runs whose time has come; return how many were looked at. Network, outside of transactions."""
    total = 0
    while may_act():
        looks = _take(now)
        if not looks:
            break
        with ThreadPoolExecutor(min(WIDTH, len(looks)), thread_name_prefix="runs") as pool:
            for look, sight in zip(looks, pool.map(lambda look: _look(look, now), looks), strict=True):
                _see(look, sight, now)
        total += len(looks)
        if len(looks) < BATCH:
            break
    return total


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
    looks = [_as_look(run, executions[run.pk]) for run in runs]
    lanes = {look.execution_id: executors.github().lane(look.repository) for look in looks}
    blocked = pacing.blocked(set(lanes.values()), now=now)
    for look in looks:
        if (until := blocked.get(lanes[look.execution_id])) is not None:
            GitHubRun.objects.filter(pk=look.execution_id).exclude(next_poll_at=None).update(next_poll_at=until)
    return [look for look in looks if lanes[look.execution_id] not in blocked]


def _as_look(run: GitHubRun, execution: JobExecution) -> Look:
    owner, _, name = run.repository.partition("/")
    workflow = (execution.target or "").split("/", 2)[-1]
    span = _span(execution)
    if span is None:
        sent_at = max(execution.started_at, run.created_at - LOOK_BACK)
        span = sent_at, sent_at + LOOK_BACK
    return Look(run.pk, Repository(owner, name), workflow, _ref(execution), run.run_id, run.etag, *span)


def _ref(execution: JobExecution) -> str:
    return str((execution.request_snapshot or {}).get("ref", ""))


def _span(execution: JobExecution) -> tuple[datetime, datetime] | None:
    """Return when an attempt without an outcome left at the earliest and was over at the latest."""
    if execution.deadline_at is None:
        return None
    # Not `started_at`, which is the first attempt's.
    timeout = timedelta(seconds=(execution.request_snapshot or {}).get("timeout_seconds", 0))
    return execution.deadline_at - timeout - DEADLINE_MARGIN, execution.deadline_at


def _look(look: Look, now: datetime) -> Sight:
    runs = Runs(executors.github())
    try:
        if look.run_id is None:
            return _candidates(runs, look, now)
        poll = runs.poll(look.repository, look.run_id, etag=look.etag or None, now=now, timeout=TIMEOUT)
    except (DoorError, CredentialsMissing) as error:
        logger.info("Run %s of %s could not be looked at: %s", look.run_id, look.repository.name, error)
        return Sight(Poll(etag=look.etag))
    return Sight(poll, failed=_failed_step(runs, look, poll.state))


def _candidates(runs: Runs, look: Look, now: datetime) -> Sight:
    found, name = Listing(), look.workflow
    # A dispatch whose sender died is known by the name the job gives it.
    for name in likely_names(look.workflow):
        found = runs.find(
            look.repository, name, look.ref, sent_at=look.sent_at, lost_at=look.lost_at, now=now, timeout=TIMEOUT
        )
        if not found.unknown:
            break
    return Sight(Poll(wait=found.wait), candidates=found.runs, workflow=name)


def _failed_step(runs: Runs, look: Look, state: RunState | None) -> FailedStep | None:
    if state is None or look.run_id is None or state.verdict not in {Verdict.FAILED, Verdict.CANCELLED}:
        return None
    try:
        return runs.failed_step(look.repository, look.run_id, timeout=TIMEOUT)
    except (DoorError, CredentialsMissing):
        # That it failed is worth telling without saying where.
        return None


def _see(look: Look, sight: Sight, now: datetime) -> None:
    """Write down what a look gave, and conclude the run where it has ended."""
    with transaction.atomic():
        held = _held(look.execution_id)
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
            pacing.block({executors.github().lane(look.repository): sight.poll.wait}, now=now)
        if sight.candidates is not None:
            _choose(held, look, sight, now)
        elif sight.poll.state is not None:
            _apply(held, sight.poll.state, sight.failed, now)
            run.etag = sight.poll.etag or ""
        if held.execution.status == Status.UNKNOWN:
            if _is_sought_in_vain(held, sight, now):
                run.delete()
                return
        elif run.tracking == Tracking.FOLLOWED:
            _give_up_if_hopeless(held, sight, now)
        run.save()


def _choose(held: "Held", look: Look, sight: Sight, now: datetime) -> None:
    """Take the one run that can only be this one's."""
    own = _free(held.run, sight.candidates or ())
    is_sought = held.execution.status == Status.UNKNOWN
    if len(own) != 1 or (is_sought and _has_rival(look)):
        return
    run, (state,) = held.run, own
    if not _claim(run, state.run_id):
        return
    run.run_id, run.url, run.status = state.run_id, state.url, state.status
    if is_sought:
        _settle(held, look, sight.workflow, now)


def _free(run: GitHubRun, candidates: Sequence[RunState]) -> list[RunState]:
    """Return those of `candidates` that belong to no other execution."""
    others = GitHubRun.objects.filter(run_id__in=[state.run_id for state in candidates]).exclude(pk=run.pk)
    taken = set(others.filter(repository=run.repository).values_list("run_id", flat=True))
    return [state for state in candidates if state.run_id not in taken]


def _claim(run: GitHubRun, run_id: int) -> bool:
    """Write that this is the run. False where another execution took it at this moment; the next look sees that."""
    try:
        with transaction.atomic():
            GitHubRun.objects.filter(pk=run.pk).update(run_id=run_id)
    except IntegrityError:
        return False
    return True


def _has_rival(look: Look) -> bool:
    """Whether another dispatch was out then whose run is not known either: the one that was found may be that one's."""
    target = _stem(f"{look.repository.owner}/{look.repository.name}/{look.workflow}")
    until = look.lost_at + LOOKUP_AFTER
    others = JobExecution.objects.filter(execution_type=ExecutionType.GITHUB_ACTIONS).exclude(pk=look.execution_id)
    unsettled = others.filter(status__in=(Status.RUNNING, Status.UNKNOWN), deadline_at__gte=look.sent_at)
    # Older Enterprise servers accept without saying which run it is.
    accepted = others.filter(status=Status.SUCCESS, run__run_id=None, started_at__lte=until)
    accepted = accepted.filter(started_at__gte=look.sent_at - LOOK_BACK)
    for other in (*unsettled, *accepted):
        span = _span(other) if other.status != Status.SUCCESS else None
        is_of_that_time = span is None or span[0] <= until
        if is_of_that_time and _stem(other.target or "") == target and _ref(other) == look.ref:
            return True
    return False


def _stem(target: str) -> str:
    """Return a target without the spellings that name the same workflow."""
    return target.lower().removesuffix(".yml").removesuffix(".yaml")


def _settle(held: "Held", look: Look, workflow: str, now: datetime) -> None:
    """Say that the dispatch succeeded after all, unless somebody knows better by now; and follow its run as usual."""
    execution, run = held.execution, held.run
    unknown = JobExecution.objects.filter(pk=execution.pk, status=Status.UNKNOWN)
    before = counters.of(unknown, sign=-1)
    sent = execution.request_snapshot or {}
    execution.status, execution.reason, execution.completed_at = Status.SUCCESS, None, now
    execution.target = storable(f"{sent['owner']}/{sent['repo']}/{workflow}", MAX_TARGET_LENGTH)
    execution.output = storable(f"Workflow triggered successfully on branch {look.ref}", MAX_OUTPUT_LENGTH)
    execution.details = {"lookup": "run found", "run_id": run.run_id, "run_url": run.url}
    # How long GitHub took to accept it nobody knows, so that the duration stays blank.
    settled = ("status", "reason", "completed_at", "target", "output", "details")
    if not unknown.update(**{name: getattr(execution, name) for name in settled}):
        run.run_id, run.url, run.status = None, "", ""
        return
    counters.add([*before, *counters.of(JobExecution.objects.filter(pk=execution.pk))])
    message = messages.run_finished(held.job, execution, now=now)
    run.decides = is_wanted(held.job)
    if run.decides:
        # Whether all is well is for the run to say.
        run.polls, run.next_poll_at, run.follow_until = 0, now, now + FOLLOW_FOR
        notify([replace(message, mail=None, alarm=None)], now=now)
    else:
        run.tracking, run.next_poll_at = Tracking.NOT_FOLLOWED, None
        notify([message, *health.count([(held.job.pk, True)], {held.job.pk: held.job}, now=now)], now=now)


def _is_sought_in_vain(held: "Held", sight: Sight, now: datetime) -> bool:
    """Whether the run of a dead sender is not worth another look. What was learnt then stands in the reason."""
    run, candidates = held.run, sight.candidates
    is_over = run.follow_until is not None and run.follow_until <= now
    if not is_over and (candidates is None or run.polls < PATIENT_POLLS):
        return False
    if candidates is None:
        found = NOT_ANSWERED
    else:
        found = NOT_CERTAIN if _free(run, candidates) else NO_RUN
    unknown = JobExecution.objects.filter(pk=run.pk, status=Status.UNKNOWN)
    unknown.update(reason=" ".join(filter(None, (held.execution.reason, found))))
    return True


def _give_up_if_hopeless(held: "Held", sight: Sight, now: datetime) -> None:
    run = held.run
    is_patient = run.polls < PATIENT_POLLS
    if run.run_id is None and not is_patient:
        _lose(held, Tracking.LOST, NOT_FOUND, now)
    elif sight.poll.gone and not (is_patient and not run.status):
        _lose(held, Tracking.LOST, GONE, now)
    elif run.follow_until is not None and run.follow_until <= now:
        _lose(held, Tracking.GIVEN_UP, TOO_LONG, now)


def _lose(held: "Held", tracking: Tracking, reason: str, now: datetime) -> None:
    held.run.tracking = tracking
    held.run.next_poll_at = None
    # Where its dispatch was taken for the outcome, everything has been said.
    if held.run.decides:
        notify([messages.run_lost(held.job, held.execution, reason=reason, now=now)], now=now)


# --- Being told ------------------------------------------------------------------------------------------------------


def hear(event: RunEvent, *, now: datetime) -> int:
    """Take in what GitHub told about a run; return how many executions it was about.

    A failure is concluded by the leader, who asks where it failed; everything else at once.
    """
    known = GitHubRun.objects.filter(run_id=event.state.run_id, repository=event.repository.lower())
    ids = list(known.values_list("pk", flat=True))
    for execution_id in ids:
        with transaction.atomic():
            held = _held(execution_id)
            if held is not None:
                _hear(held, event.state, now)
                held.run.save()
    return len(ids)


def _hear(held: "Held", state: RunState, now: datetime) -> None:
    run = held.run
    if run.tracking == Tracking.NOT_FOLLOWED:
        _describe(run, state)
        return
    if state.attempt < run.attempt or (run.tracking == Tracking.CONCLUDED and state.attempt == run.attempt):
        # Late news: GitHub's deliveries come in any order.
        return
    if run.tracking != Tracking.FOLLOWED:
        # Somebody ran it again, or it is seen again after all.
        run.tracking, run.follow_until, run.polls = Tracking.FOLLOWED, now + FOLLOW_FOR, 0
        run.conclusion = run.failed_job = run.failed_step = ""
        run.concluded_at = None
        run.next_poll_at = now + next_poll(1, key=str(run.pk))
    if state.verdict in {Verdict.FAILED, Verdict.CANCELLED}:
        _describe(run, state)
        # The tag belongs to what was seen before; whoever looks next must see the end itself.
        run.etag, run.next_poll_at = "", now
    else:
        _apply(held, state, None, now)


# --- The end ---------------------------------------------------------------------------------------------------------


class Held(NamedTuple):
    """A run with what belongs to it; the rows of the job and the run are held by the transaction."""

    run: GitHubRun
    execution: JobExecution
    job: Job


def _held(execution_id: UUID) -> Held | None:
    """Hold a run, None where it is gone. The job comes first, as for everybody who writes both."""
    job_id = JobExecution.objects.filter(pk=execution_id).values_list("job_id", flat=True).first()
    if job_id is None:
        return None
    list(batches.locked(Job.objects.filter(pk=job_id), skip=False).values_list("pk"))
    run = batches.locked(GitHubRun.objects.filter(pk=execution_id), skip=False).first()
    job = Job.objects.select_related("category", "pic_team").filter(pk=job_id).first()
    execution = JobExecution.objects.filter(pk=execution_id).first()
    return Held(run, execution, job) if run and execution and job else None


def _describe(run: GitHubRun, state: RunState) -> None:
    run.status = state.status[:50]
    run.conclusion = (state.conclusion or "")[:50]
    run.attempt = state.attempt
    run.url = state.url or run.url


def _apply(held: Held, state: RunState, failed: FailedStep | None, now: datetime) -> None:
    """Bring the run up to what GitHub says, and conclude it where that is its end."""
    run = held.run
    _describe(run, state)
    if not state.is_completed or state.verdict is Verdict.NEEDS_APPROVAL:
        return
    if failed is not None:
        run.failed_job, run.failed_step = failed.job, failed.step
    run.tracking, run.next_poll_at, run.concluded_at = Tracking.CONCLUDED, None, now
    is_well = state.verdict in {Verdict.SUCCEEDED, Verdict.SKIPPED}
    notices = []
    if run.decides or not is_well:
        where = " / ".join(filter(None, (run.failed_job, run.failed_step))) or None
        notices.append(
            messages.run_concluded(
                held.job,
                held.execution,
                conclusion=run.conclusion or run.status,
                url=run.url,
                failed_step=where,
                now=now,
            )
        )
    # A dispatch that was taken for the outcome has counted as a success.
    if run.decides or not is_well:
        notices += health.count([(held.job.pk, is_well)], {held.job.pk: held.job}, now=now)
    notify(notices, now=now)
