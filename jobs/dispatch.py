"""What happens to one execution between being owed and being settled: start, execute, record.

    start    queued -> running, by a conditional UPDATE that is committed before anything leaves the house
    execute  calls out: no connection, no model, a frozen request in and a frozen outcome out
    record   running -> success or failed (or back to queued, where the job asks for attempts), with the notices

A row belongs to the sender whose token it carries: only that one may say what became of it. Batches are the rule here;
the one-row case is `run_manually`, which does the same three steps for a person who waits.
"""

import logging
import math
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q, prefetch_related_objects
from django.db.models.functions import Coalesce

from accounts.models import User
from cronsched.lib import backoff, batches, crypto
from cronsched.lib.batches import Column, Kind
from cronsched.lib.clock import uptime
from cronsched.lib.errors import TooManyRequests
from cronsched.lib.ids import uuid7
from jobs import counters, executors, health, messages, pacing, tracking
from jobs.counters import Counted
from jobs.executors import (
    GitHubRequest,
    NoTarget,
    Outcome,
    Request,
    Run,
    Unsendable,
    WebhookRequest,
    ref_of_run,
    snapshot,
    target_of,
)
from jobs.executors.base import Failure, shown_url, storable
from jobs.executors.github.api import RATE_LIMIT_WAIT
from jobs.executors.rules import SuccessRule
from jobs.facts import JobFacts, Overrides
from jobs.models import GitHubRun, Job, JobExecution, Overlap, RetryOn, Status, Tracking, TriggerType
from jobs.options import Secrets, retry_max_age, retry_on
from jobs.plan import end_of
from jobs.schedule import PAUSED, NewExecution, end_zone, give_up, insert_executions
from jobs.tracking import Started
from notifications.message import Message
from notifications.services import notify

logger = logging.getLogger(__name__)

# How long after its timeout an attempt may still be on its way to the row before somebody else calls it unknown.
DEADLINE_MARGIN = timedelta(seconds=5)
# Manual runs that are out at the same time in one web process.
MANUAL_IN_FLIGHT = 64
# What a caller is told to wait where not even one more can be taken.
BUSY_SECONDS = 10


class Prepared(NamedTuple):
    """A request that may leave now: its row is committed as `running` for its sender."""

    execution_id: UUID
    job: JobFacts
    request: Request
    attempt: int = 1
    fire_time: datetime | None = None


class Result(NamedTuple):
    """What one attempt came to, and when."""

    prepared: Prepared
    outcome: Outcome
    completed_at: datetime


# --- Start -----------------------------------------------------------------------------------------------------------

STARTED = (
    Column("id", Kind.UUID),
    Column("execution_type", Kind.TEXT),
    Column("target", Kind.TEXT),
    Column("started_at", Kind.INSTANT),
    Column("deadline_at", Kind.INSTANT),
    Column("request_snapshot", Kind.JSON),
    Column("status", Kind.TEXT),
    Column("sender", Kind.UUID),
)
PLANNED = (Column("id", Kind.UUID), Column("not_before", Kind.INSTANT))


class _Queued(NamedTuple):
    id: UUID
    attempt: int
    trigger_type: str
    scheduled_for: datetime | None
    started_at: datetime
    overrides: dict[str, Any] | None

    @property
    def is_scheduled(self) -> bool:
        return self.trigger_type == TriggerType.SCHEDULED

    @property
    def stored_overrides(self) -> Overrides | None:
        return Overrides(**self.overrides) if self.overrides else None


def prepare(
    execution_id: UUID,
    job: JobFacts,
    *,
    fire_time: datetime | None,
    attempt: int = 1,
    overrides: Overrides | None = None,
) -> Prepared:
    """Put together what is sent for an execution, from the definition as it stands now."""
    definition = job.overridden(overrides) if overrides else job
    token = overrides.github_token if overrides else None
    run = Run(job.id, job.name, execution_id, fire_time, attempt)
    return Prepared(execution_id, job, _request(definition, run, token), attempt, fire_time)


def _request(job: JobFacts, run: Run, token: str | None) -> Request:
    timeout = timedelta(seconds=job.timeout_seconds)
    if job.is_github:
        assert job.github_owner
        assert job.github_repo
        assert job.github_workflow_name
        return GitHubRequest(
            owner=job.github_owner,
            repo=job.github_repo,
            workflow=job.github_workflow_name,
            job_name=job.name,
            ref=ref_of_run(job.metadata),
            inputs=job.metadata,
            token=token,
            timeout=timeout,
            run=run,
        )
    if not job.target_url:
        return NoTarget(job.name)
    plain = WebhookRequest(url=job.target_url, metadata=job.metadata, timeout=timeout, run=run)
    return _with_options(plain, job) if job.request_options else plain


def _with_options(request: WebhookRequest, job: JobFacts) -> Request:
    options = job.request_options
    try:
        secrets = Secrets.opened(job.sealed_secrets)
    except crypto.Undecipherable:
        # Without them it would be another request: unsigned, or without its credentials.
        reason = "the job's secrets cannot be decrypted; set its secret headers and signing secret anew"
        return Unsendable("webhook", shown_url(request.url), reason)
    return replace(
        request,
        method=options.get("webhook_method") or "",
        headers=options.get("webhook_headers") or {},
        secret_headers=secrets.headers,
        body=options.get("webhook_body") or "",
        success=SuccessRule.of(options.get("success_statuses") or "", options.get("success_contains") or ""),
        signing_secrets=secrets.signing,
    )


def deadline(job: JobFacts, now: datetime) -> datetime:
    return now + timedelta(seconds=job.timeout_seconds) + DEADLINE_MARGIN


def start(execution_ids: Iterable[UUID], *, sender: UUID, now: datetime) -> list[Prepared]:
    """Take the queued ones of `execution_ids` for `sender` and return what may be sent.

    Rows that another took, that wait for their time or whose row or job somebody holds at the moment are left out
    without a word. Scheduled runs of a paused job are settled instead.
    """
    with transaction.atomic(durable=True):
        queued = JobExecution.objects.filter(id__in=list(execution_ids), status=Status.QUEUED).order_by()
        ready = queued.filter(Q(not_before=None) | Q(not_before__lte=now))
        job_fields = [f"job__{name}" for name in JobFacts._fields]
        rows = [
            (_Queued._make(row[: len(_Queued._fields)]), JobFacts._make(row[len(_Queued._fields) :]))
            for row in batches.read(batches.locked(ready).values_list(*_Queued._fields, *job_fields))
        ]
        later = out_of_turn((row.id, row.trigger_type, job.id, job.overlap) for row, job in rows)
        ready_now, stopped = [], []
        for row, job in rows:
            if row.id in later:
                continue
            if row.is_scheduled and not job.is_active and not _ran_out(job, row.scheduled_for, now):
                stopped.append(row.id)
                continue
            item = prepare(
                row.id, job, fire_time=row.scheduled_for, attempt=row.attempt, overrides=row.stored_overrides
            )
            ready_now.append((item, now if row.attempt == 1 else row.started_at))
        if stopped:
            give_up(JobExecution.objects.filter(id__in=stopped), reason=PAUSED, now=now)
        prepared, turns = take_turns([item for item, _ in ready_now], now=now)
        updates = [_started(item, at, sender, now) for item, at in ready_now if item.execution_id not in turns]
        _write_queued(STARTED, updates)
        _write_queued(PLANNED, list(turns.items()))
    return prepared


def take_turns(prepared: Sequence[Prepared], *, now: datetime) -> tuple[list[Prepared], dict[UUID, datetime]]:
    """Return what of `prepared` may leave now, and for what has to wait for its turn at GitHub when that will be.

    Call it in the transaction that lets them leave.
    """
    asked = [(item.execution_id, lane) for item in prepared if (lane := executors.lane(item.request))]
    if not asked:
        return list(prepared), {}
    turns = pacing.take(asked, now=now)
    leaving = [item for item in prepared if item.execution_id not in turns]
    requests = [item.request for item in leaving if isinstance(item.request, GitHubRequest)]
    known = tracking.known_runs((f"{request.owner}/{request.repo}" for request in requests), now=now)
    return [_with_known_runs(item, known) for item in leaving], turns


def _with_known_runs(item: Prepared, known: Mapping[str, frozenset[int]]) -> Prepared:
    if not isinstance(item.request, GitHubRequest):
        return item
    runs = known.get(f"{item.request.owner}/{item.request.repo}".lower(), frozenset())
    return item._replace(request=replace(item.request, known_runs=runs)) if runs else item


def _write_queued(columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> None:
    if rows:
        condition = "job_executions.status = 'queued'"
        batches.update(connection, JobExecution._meta.db_table, columns, rows, condition=condition)


def out_of_turn(rows: Iterable[tuple[UUID, str, UUID, str]]) -> set[UUID]:
    """Return which of `rows` (execution, trigger, job, overlap) have to wait for an earlier execution of their job.

    Those are scheduled runs of jobs that queue: one goes at a time, the oldest first. Runs by hand wait for nobody.
    """
    queueing = {
        execution_id: job_id
        for execution_id, trigger, job_id, overlap in rows
        if overlap == Overlap.QUEUE and trigger == TriggerType.SCHEDULED
    }
    if not queueing:
        return set()
    first: dict[UUID, UUID] = {}
    going = JobExecution.objects.open().filter(job_id__in=set(queueing.values()))
    # "running" sorts after "queued": what is under way stands before everything that waits.
    going = going.order_by("job_id", "-status", Coalesce("scheduled_for", "queued_at"), "id")
    for execution_id, job_id in going.values_list("id", "job_id"):
        first.setdefault(job_id, execution_id)
    # A run that goes on at GitHub stands before everything.
    followed = JobExecution.objects.filter(run__tracking=Tracking.FOLLOWED, job_id__in=set(queueing.values()))
    first |= {job_id: execution_id for execution_id, job_id in followed.values_list("id", "job_id")}
    return {execution_id for execution_id, job_id in queueing.items() if first.get(job_id) != execution_id}


def _ran_out(job: JobFacts, fire_time: datetime | None, now: datetime) -> bool:
    """Whether the job is paused because its end date has passed, and this fire time came before that.

    A person who pauses a job settles its queued runs in the same transaction, so such a row cannot be meant here.
    """
    ends_at = end_of(job.end_date, end_zone())
    return fire_time is not None and fire_time < ends_at <= now


def _started(item: Prepared, started_at: datetime, sender: UUID, now: datetime) -> Sequence[Any]:
    kind, target = target_of(item.request)
    return (
        item.execution_id,
        kind,
        target,
        started_at,
        deadline(item.job, now),
        snapshot(item.request),
        Status.RUNNING.value,
        sender,
    )


def running_row(
    prepared: Prepared, *, sender: UUID, now: datetime, overrides: dict[str, Any] | None = None
) -> NewExecution:
    """Return the row of a run that `sender` may send once it is committed."""
    kind, target = target_of(prepared.request)
    return NewExecution(
        prepared.execution_id,
        prepared.job.id,
        Status.RUNNING.value,
        kind,
        target,
        prepared.fire_time,
        sender=sender,
        deadline_at=deadline(prepared.job, now),
        request_snapshot=snapshot(prepared.request),
        overrides=overrides,
    )


def planned_row(prepared: Prepared, turn: datetime) -> NewExecution:
    """Return the row of a run that waits for its turn."""
    kind, target = target_of(prepared.request)
    return NewExecution(
        prepared.execution_id,
        prepared.job.id,
        Status.QUEUED.value,
        kind,
        target,
        prepared.fire_time,
        not_before=turn,
    )


def fail_unsent(execution_id: UUID, reason: str, *, now: datetime) -> None:
    """Settle a queued row that cannot be turned into a request, so that it is not tried for ever."""
    with transaction.atomic():
        queued = JobExecution.objects.filter(id=execution_id, status=Status.QUEUED)
        if queued.update(status=Status.FAILED, error_message=f"Request failed: {storable(reason)}", completed_at=now):
            counters.add(counters.of(JobExecution.objects.filter(id=execution_id)))


# --- Execute ---------------------------------------------------------------------------------------------------------


def execute(prepared: Prepared) -> Outcome:
    """Call out once. Never raises: whatever goes wrong is an outcome, or the row would wait for it for ever."""
    try:
        return executors.run(prepared.request)
    except Exception:
        # An executor's own bug. The traceback belongs to the log, the row says that it was not the target.
        logger.exception("Execution %s ended in an internal error", prepared.execution_id)
        job = prepared.job
        message = "Request failed: internal error"
        return Outcome("failed", job.execution_type, job.target, error_message=message, request_sent=True)


# --- Record ----------------------------------------------------------------------------------------------------------

RECORDED = (
    Column("id", Kind.UUID),
    Column("status", Kind.TEXT),
    Column("execution_type", Kind.TEXT),
    Column("target", Kind.TEXT),
    Column("completed_at", Kind.INSTANT),
    Column("duration_seconds", Kind.REAL),
    Column("response_status", Kind.INTEGER),
    Column("error_message", Kind.TEXT),
    Column("output", Kind.TEXT),
    Column("reason", Kind.TEXT),
    Column("attempt", Kind.INTEGER),
    Column("earlier_attempts", Kind.JSON),
    Column("details", Kind.JSON),
    Column("not_before", Kind.INSTANT),
    Column("deadline_at", Kind.INSTANT),
)


def record(results: Iterable[Result], *, sender: UUID, now: datetime) -> int:
    """Write the outcomes of rows that still belong to `sender`, with their notices; return how many were written.

    A row that somebody settled otherwise keeps what it says. One that was called `unknown` gets its true outcome.
    """
    by_id = {result.prepared.execution_id: result for result in results}
    with transaction.atomic(durable=True):
        # Job before execution, as whoever deletes or edits a job takes them: the other way round two could wait for
        # each other.
        touched = Job.objects.filter(id__in={result.prepared.job.id for result in by_id.values()}).order_by("id")
        batches.read(batches.locked(touched, skip=False).values_list("id"))
        own = JobExecution.objects.filter(
            id__in=by_id, sender=sender, status__in=(Status.RUNNING, Status.UNKNOWN)
        ).order_by("id")
        running = batches.read(batches.locked(own, skip=False).values_list(*_Running._fields))
        before = {row[0]: _Running._make(row) for row in running}
        by_id |= _contested(by_id[execution_id] for execution_id in before)
        recorded = [_recorded(by_id[row.id], row) for row in before.values()]
        if not recorded:
            return 0
        condition = "job_executions.sender = %s AND job_executions.status IN ('running', 'unknown')"
        token = batches.stored(connection, sender)
        updates = [[getattr(execution, column.name) for column in RECORDED] for execution in recorded]
        table = JobExecution._meta.db_table
        batches.update(connection, table, RECORDED, updates, condition=condition, parameters=[token])
        settled = [execution for execution in recorded if not execution.is_open]
        counters.add(_corrections(settled, before))
        jobs = {job.pk: job for job in batches.instances(Job.objects.filter(id__in={row.job_id for row in settled}))}
        # Not joined: a thousand jobs have few teams and categories, and each is read once.
        prefetch_related_objects(list(jobs.values()), "category", "pic_team")
        undecided = _heed_github([by_id[execution_id] for execution_id in before], settled, jobs, now)
        notices = [_notice(jobs[row.job_id], row, row.pk not in undecided, now) for row in settled]
        ended = [(row.job_id, row.status == Status.SUCCESS) for row in settled if row.pk not in undecided]
        notify([*notices, *health.count(ended, jobs, now=now)], now=now)
    return len(recorded)


class _Running(NamedTuple):
    """What the row of an attempt says before its outcome is written."""

    id: UUID
    status: str
    started_at: datetime
    earlier_attempts: list[Any]
    trigger_type: str
    execution_type: str | None
    not_before: datetime | None


def _notice(job: Job, execution: JobExecution, is_decided: bool, now: datetime) -> Message:
    message = messages.run_finished(job, execution, now=now)
    # Whether all is well is for the run to say; mails and alarms wait for its end.
    return message if is_decided else replace(message, mail=None, alarm=None)


# --- What GitHub said ---


def _heed_github(
    results: Sequence[Result], settled: Sequence[JobExecution], jobs: Mapping[UUID, Job], now: datetime
) -> set[UUID]:
    """Follow the runs that were started, and keep away from GitHub where it asked for that.

    Returns the executions whose outcome is for their run to decide.
    """
    dispatches = [(result, result.prepared.request) for result in results]
    dispatched = [(result, request) for result, request in dispatches if isinstance(request, GitHubRequest)]
    if not dispatched:
        return set()
    waits = {
        _lane(request): result.outcome.retry_after or RATE_LIMIT_WAIT
        for result, request in dispatched
        if result.outcome.failure is Failure.RATE_LIMITED
    }
    pacing.block(waits, now=now)
    pacing.unblock({_lane(request) for result, request in dispatched if result.outcome.succeeded} - set(waits))
    is_settled = {execution.pk for execution in settled}
    started = [
        Started(result.prepared.execution_id, request, dict(result.outcome.details))
        for result, request in dispatched
        if result.outcome.succeeded and result.prepared.execution_id in is_settled
    ]
    by_execution = {execution.pk: jobs[execution.job_id] for execution in settled}
    return tracking.begin(started, by_execution, now=now)


def _lane(request: GitHubRequest) -> str:
    lane = executors.lane(request)
    assert lane is not None
    return lane


def _contested(results: Iterable[Result]) -> dict[UUID, Result]:
    """Return, as failures, the dispatches that nobody answered and whose run was found but belongs to another."""
    found = {
        result.prepared.execution_id: result
        for result in results
        if result.outcome.details.get("lookup") == "run found" and isinstance(result.prepared.request, GitHubRequest)
    }
    if not found:
        return {}
    run_ids = {result.outcome.details["run_id"] for result in found.values()}
    taken = set(GitHubRun.objects.filter(run_id__in=run_ids).values_list("run_id", flat=True))
    contested = {}
    for execution_id, result in found.items():
        run_id = result.outcome.details["run_id"]
        if run_id in taken:
            reason = "no answer, and the run that was found belongs to another execution"
            outcome = replace(
                result.outcome,
                status="failed",
                output=None,
                error_message=f"Request failed: {reason}",
                failure=Failure.NO_ANSWER,
                reason=reason,
                details={"lookup": "run of another execution found"},
            )
            contested[execution_id] = result._replace(outcome=outcome)
        taken.add(run_id)
    return contested


def _corrections(settled: Sequence[JobExecution], before: Mapping[UUID, _Running]) -> Iterator[Counted]:
    """Count what was settled; what had been called unknown is taken back first."""
    for execution in settled:
        row = before[execution.pk]
        if row.status == Status.UNKNOWN:
            yield Counted(execution.job_id, row.started_at, row.status, row.trigger_type, row.execution_type, None, -1)
        kind, duration = execution.execution_type, execution.duration_seconds
        yield Counted(execution.job_id, row.started_at, execution.status, row.trigger_type, kind, duration)


def _recorded(result: Result, before: _Running) -> JobExecution:
    """Return the row as it is to be; it is not saved as a model."""
    prepared, outcome, completed_at = result
    again = _next_attempt(result, before)
    final = again is None
    return JobExecution(
        id=prepared.execution_id,
        job_id=prepared.job.id,
        status=outcome.status if again is None else Status.QUEUED.value,
        trigger_type=before.trigger_type,
        execution_type=outcome.execution_type,
        target=outcome.target,
        scheduled_for=prepared.fire_time,
        started_at=before.started_at,
        completed_at=completed_at if final else None,
        duration_seconds=(completed_at - before.started_at).total_seconds() if final else None,
        response_status=outcome.response_status,
        error_message=_storable(outcome.error_message),
        output=_storable(outcome.output),
        reason=None,
        attempt=prepared.attempt if again is None else again.attempt,
        earlier_attempts=before.earlier_attempts if final else _with_attempt(before.earlier_attempts, result),
        details=dict(outcome.details),
        not_before=before.not_before if again is None else again.at,
        deadline_at=None,
    )


class _Again(NamedTuple):
    """The next attempt: when, and its number."""

    at: datetime
    attempt: int


def _next_attempt(result: Result, before: _Running) -> _Again | None:
    """Return when to try again, None where this attempt was the last."""
    prepared, outcome, completed_at = result
    job = prepared.job
    # An outcome that came after the row was called unknown corrects it, no more.
    if outcome.succeeded or before.status != Status.RUNNING:
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
    return _Again(at, number) if at - before.started_at <= retry_max_age(job.request_options) else None


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


def _with_attempt(earlier: Sequence[dict[str, Any]], result: Result) -> list[dict[str, Any]]:
    """Return the attempts that are over. One that GitHub turned away several times is one of them."""
    facts = attempt_facts(result)
    kept = list(earlier)
    if kept and kept[-1]["attempt"] == facts["attempt"]:
        facts["times"] = kept.pop().get("times", 1) + 1
    return [*kept, facts]


def attempt_facts(result: Result) -> dict[str, Any]:
    """Return what is kept of an attempt that is followed by another."""
    outcome = result.outcome
    return {
        "attempt": result.prepared.attempt,
        "completed_at": result.completed_at.astimezone(UTC).isoformat(),
        "response_status": outcome.response_status,
        "error_message": _storable(outcome.error_message),
    }


def _storable(text: str | None) -> str | None:
    return None if text is None else storable(text)


# --- By hand ---------------------------------------------------------------------------------------------------------

_manual_slots = threading.BoundedSemaphore(MANUAL_IN_FLIGHT)


def run_manually(job: Job, *, overrides: Overrides | None, by: User | None, now: datetime) -> JobExecution:
    """Run `job` in this process and return its execution: final, or as it is when the bounded wait ends.

    Works without a scheduler. After the wait the run goes on and is recorded by its own thread. Where this process
    has too many such runs out, or its turn at GitHub is too far away, the run is queued for the leader instead; one
    with a token of its own waits here for its turn, because the token is stored nowhere. Raises `Job.DoesNotExist` for
    a job that is gone meanwhile, `TooManyRequests` where the run can neither leave nor be queued.
    """
    facts = _facts(job)
    has_token = overrides is not None and overrides.github_token is not None
    if not _manual_slots.acquire(timeout=settings.MANUAL_RUN_WAIT_SECONDS if has_token else 0):
        if has_token:
            raise TooManyRequests("Too many runs are out at the moment. Try again.", retry_after=BUSY_SECONDS)
        return queue_run(job, overrides=overrides, by=by, now=now)
    run = _ManualRun(prepare(uuid7(), facts, fire_time=None, overrides=overrides), sender=uuid4())
    began = uptime()
    try:
        patience = timedelta(seconds=settings.MANUAL_RUN_WAIT_SECONDS / 2)
        turn = pacing.patiently(partial(run.insert, overrides), now=now, patience=patience)
    except BaseException:
        _manual_slots.release()
        raise
    if turn is not None:
        _manual_slots.release()
        if has_token:
            seconds = math.ceil((turn - now).total_seconds())
            raise TooManyRequests(
                "GitHub takes no more dispatches with this token now. Try again.", retry_after=seconds
            )
        return queue_run(job, overrides=overrides, by=by, now=now, not_before=turn)
    threading.Thread(target=run.execute, name="manual run", daemon=True).start()
    run.wait(settings.MANUAL_RUN_WAIT_SECONDS - (uptime() - began))
    return JobExecution.objects.get(pk=run.prepared.execution_id)


def queue_run(
    job: Job,
    *,
    overrides: Overrides | None = None,
    by: User | None,
    now: datetime,
    not_before: datetime | None = None,
) -> JobExecution:
    """Record a manual run of `job` as queued, for the leader to send. Raises `Job.DoesNotExist`."""
    facts = _facts(job)
    definition = facts.overridden(overrides) if overrides else facts
    row = NewExecution(
        uuid7(),
        facts.id,
        Status.QUEUED.value,
        definition.execution_type,
        definition.target,
        None,
        not_before=not_before,
        overrides=overrides.stored() if overrides else None,
    )
    insert_executions([row], trigger=TriggerType.MANUAL, now=now)
    return JobExecution.objects.get(pk=row.id)


def _facts(job: Job) -> JobFacts:
    found = JobFacts.read(Job.objects.filter(pk=job.pk))
    if not found:
        raise Job.DoesNotExist
    return found[0]


class _ManualRun:
    """One run by hand. Whoever is there when the outcome comes records it: the caller who waits, else the thread."""

    def __init__(self, prepared: Prepared, *, sender: UUID) -> None:
        self.prepared = prepared
        self._sender = sender
        self._lock = threading.Lock()
        self._arrived = threading.Event()
        self._caller_waits = True
        self._result: Result | None = None

    def insert(self, overrides: Overrides | None, now: datetime) -> datetime | None:
        """Write the row, after which the run may leave; or return when its turn will be, where that is not now."""
        stored = overrides.stored() if overrides else None
        with transaction.atomic(durable=True):
            leaving, turns = take_turns([self.prepared], now=now)
            for self.prepared in leaving:
                row = running_row(self.prepared, sender=self._sender, now=now, overrides=stored)
                insert_executions([row], trigger=TriggerType.MANUAL, now=now)
        return turns.get(self.prepared.execution_id)

    def execute(self) -> None:
        """Run in the thread: call out, and record where nobody waits any more."""
        try:
            result = Result(self.prepared, execute(self.prepared), datetime.now(UTC))
            with self._lock:
                self._result = result
                alone = not self._caller_waits
                self._arrived.set()
            if alone:
                self._record(result)
        finally:
            connection.close()
            _manual_slots.release()

    def wait(self, seconds: float) -> None:
        """Wait for the outcome and record it; after `seconds` leave that to the thread."""
        self._arrived.wait(seconds)
        with self._lock:
            self._caller_waits = False
            result = self._result
        if result is not None:
            self._record(result)

    def _record(self, result: Result) -> None:
        record([result], sender=self._sender, now=result.completed_at)
