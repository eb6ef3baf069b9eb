"""What happens to one execution between being owed and being settled: start, execute, record.

    start    queued -> running, by a conditional UPDATE that is committed before anything leaves the house
    execute  calls out: no connection, no model, a frozen request in and a frozen outcome out
    record   running -> success or failed (or back to queued, where the job asks for attempts), with the notices

A row belongs to the sender whose token it carries: only that one may say what became of it. Batches are the rule here;
the one-row case is `run_manually`, which does the same three steps for a person who waits.
"""

import logging
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Coalesce

from accounts.models import User
from cronsched.lib import backoff, batches, crypto
from cronsched.lib.batches import Column, Kind
from cronsched.lib.errors import TooManyRequests
from cronsched.lib.ids import uuid7
from jobs import counters, executors, health, messages
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
from jobs.executors.rules import SuccessRule
from jobs.facts import JobFacts, Overrides
from jobs.models import Job, JobExecution, Overlap, RetryOn, Status, TriggerType
from jobs.options import Secrets, retry_max_age, retry_on
from jobs.plan import end_of
from jobs.schedule import PAUSED, NewExecution, end_zone, give_up, insert_executions
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
    Column("not_before", Kind.INSTANT),
)


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
        prepared, updates, stopped = [], [], []
        for row, job in rows:
            if row.id in later:
                continue
            if row.is_scheduled and not job.is_active and not _ran_out(job, row.scheduled_for, now):
                stopped.append(row.id)
                continue
            item = prepare(
                row.id, job, fire_time=row.scheduled_for, attempt=row.attempt, overrides=row.stored_overrides
            )
            prepared.append(item)
            updates.append(_started(item, now if row.attempt == 1 else row.started_at, sender, now))
        if stopped:
            give_up(JobExecution.objects.filter(id__in=stopped), reason=PAUSED, now=now)
        if updates:
            condition = "job_executions.status = 'queued'"
            batches.update(connection, JobExecution._meta.db_table, STARTED, updates, condition=condition)
    return prepared


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
        None,
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
        list(batches.locked(touched, skip=False).values_list("id", flat=True))
        own = JobExecution.objects.filter(
            id__in=by_id, sender=sender, status__in=(Status.RUNNING, Status.UNKNOWN)
        ).order_by("id")
        fields = ("id", "status", "started_at", "earlier_attempts", "trigger_type", "execution_type")
        before = {row[0]: row for row in batches.locked(own, skip=False).values_list(*fields)}
        recorded = [_recorded(by_id[row[0]], *row[1:5]) for row in before.values()]
        if not recorded:
            return 0
        condition = "job_executions.sender = %s AND job_executions.status IN ('running', 'unknown')"
        token = batches.stored(connection, sender)
        updates = [[getattr(execution, column.name) for column in RECORDED] for execution in recorded]
        table = JobExecution._meta.db_table
        batches.update(connection, table, RECORDED, updates, condition=condition, parameters=[token])
        settled = [execution for execution in recorded if not execution.is_open]
        counters.add(_corrections(settled, before))
        jobs = Job.objects.select_related("category", "pic_team").in_bulk({execution.job_id for execution in settled})
        notices = [messages.run_finished(jobs[execution.job_id], execution, now=now) for execution in settled]
        ended = [(execution.job_id, execution.status == Status.SUCCESS) for execution in settled]
        notify([*notices, *health.count(ended, jobs, now=now)], now=now)
    return len(recorded)


def _corrections(settled: Sequence[JobExecution], before: Mapping[UUID, Sequence[Any]]) -> Iterator[Counted]:
    """Count what was settled; what had been called unknown is taken back first."""
    for execution in settled:
        _, status, started_at, _, trigger, kind = before[execution.pk]
        if status == Status.UNKNOWN:
            yield Counted(execution.job_id, started_at, status, trigger, kind, None, -1)
        duration = execution.duration_seconds
        yield Counted(execution.job_id, started_at, execution.status, trigger, execution.execution_type, duration)


def _recorded(result: Result, status: str, started_at: datetime, earlier: list[Any], trigger: str) -> JobExecution:
    """Return the row as it is to be; it is not saved as a model."""
    prepared, outcome, completed_at = result
    again_at = _next_attempt_at(result, status, started_at)
    final = again_at is None
    return JobExecution(
        id=prepared.execution_id,
        job_id=prepared.job.id,
        status=outcome.status if final else Status.QUEUED.value,
        trigger_type=trigger,
        execution_type=outcome.execution_type,
        target=outcome.target,
        scheduled_for=prepared.fire_time,
        started_at=started_at,
        completed_at=completed_at if final else None,
        duration_seconds=(completed_at - started_at).total_seconds() if final else None,
        response_status=outcome.response_status,
        error_message=_storable(outcome.error_message),
        output=_storable(outcome.output),
        reason=None,
        attempt=prepared.attempt if final else prepared.attempt + 1,
        earlier_attempts=earlier if final else [*earlier, attempt_facts(result)],
        details=dict(outcome.details),
        not_before=again_at,
        deadline_at=None,
    )


def _next_attempt_at(result: Result, status: str, started_at: datetime) -> datetime | None:
    """Return when to try again, None where this attempt was the last."""
    prepared, outcome, completed_at = result
    job = prepared.job
    # An outcome that came after the row was called unknown corrects it, no more.
    if outcome.succeeded or status != Status.RUNNING or prepared.attempt >= job.max_attempts:
        return None
    if not _may_try_again(outcome, retry_on(job.request_options)):
        return None
    key = f"{job.id}/{prepared.fire_time or prepared.execution_id}"
    wait = backoff.delay(prepared.attempt, first=timedelta(seconds=job.backoff_seconds), key=key)
    at = completed_at + max(wait, outcome.retry_after or timedelta())
    return at if at - started_at <= retry_max_age(job.request_options) else None


def _may_try_again(outcome: Outcome, wish: str) -> bool:
    """Whether the job wants another attempt after this failure. What can never go better is not tried again."""
    match wish:
        case RetryOn.ANY:
            return outcome.retryable or outcome.failure is Failure.BAD_ANSWER
        case RetryOn.UNSENT:
            return outcome.retryable and not outcome.request_sent
    return outcome.retryable


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
    has too many such runs out, the run is queued for the leader instead; one with a token of its own waits here for
    its turn, because the token is stored nowhere. Raises `Job.DoesNotExist` for a job that is gone meanwhile.
    """
    facts = _facts(job)
    has_token = overrides is not None and overrides.github_token is not None
    if not _manual_slots.acquire(timeout=settings.MANUAL_RUN_WAIT_SECONDS if has_token else 0):
        if has_token:
            raise TooManyRequests("Too many runs are out at the moment. Try again.", retry_after=BUSY_SECONDS)
        return queue_run(job, overrides=overrides, by=by, now=now)
    run = _ManualRun(prepare(uuid7(), facts, fire_time=None, overrides=overrides), sender=uuid4())
    try:
        run.insert(overrides, now)
    except BaseException:
        _manual_slots.release()
        raise
    threading.Thread(target=run.execute, name="manual run", daemon=True).start()
    run.wait(settings.MANUAL_RUN_WAIT_SECONDS)
    return JobExecution.objects.get(pk=run.prepared.execution_id)


def queue_run(job: Job, *, overrides: Overrides | None = None, by: User | None, now: datetime) -> JobExecution:
    """Record a manual run of `job` as queued, for the leader to send. Raises `Job.DoesNotExist`."""
    facts = _facts(job)
    stored = overrides.stored() if overrides else None
    row = NewExecution(
        uuid7(), facts.id, Status.QUEUED.value, facts.execution_type, facts.target, None, overrides=stored
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

    def insert(self, overrides: Overrides | None, now: datetime) -> None:
        stored = overrides.stored() if overrides else None
        row = running_row(self.prepared, sender=self._sender, now=now, overrides=stored)
        with transaction.atomic(durable=True):
            insert_executions([row], trigger=TriggerType.MANUAL, now=now)

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
