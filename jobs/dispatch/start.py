"""Queued to running: rows are taken for a sender, and only what is committed may leave."""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from django.db import connection, transaction
from django.db.models.functions import Coalesce

from cronsched.lib.db import batches
from cronsched.lib.db.batches import Column, IdIn, Kind
from jobs.calendar import end_of, end_zone
from jobs.dispatch import executors
from jobs.dispatch.attempt import Prepared, prepare
from jobs.dispatch.executors import NoTarget, Unsendable, snapshot, target_of
from jobs.executors.base import storable
from jobs.github import GitHubRequest, rate_limits, tracking
from jobs.history import daily_counts, snapshots
from jobs.history.reasons import PAUSED
from jobs.models import JobExecution, Overlap, Status, TriggerType
from jobs.schedule.due import NewExecution, followed_executions
from jobs.schedule.reschedule import give_up
from jobs.schedule.scheduled_job import Overrides, ScheduledJob
from jobs.targets.limits import Wanted, origin_of

STARTED = (
    Column("id", Kind.UUID),
    Column("execution_type", Kind.TEXT),
    Column("target", Kind.TEXT),
    Column("started_at", Kind.INSTANT),
    Column("deadline_at", Kind.INSTANT),
    Column("request_snapshot", Kind.JSON),
    Column("shared_request_id", Kind.UUID),
    Column("status", Kind.TEXT),
    Column("sender", Kind.UUID),
)
# What a run may wait for a place at least, however little lateness its job allows.
SHORTEST_WAIT = timedelta(minutes=1)
PLANNED = (Column("id", Kind.UUID), Column("not_before", Kind.INSTANT))


class _Queued(NamedTuple):
    id: UUID
    status: str
    not_before: datetime | None
    attempt: int
    trigger_type: str
    scheduled_for: datetime | None
    target: str | None
    queued_at: datetime
    started_at: datetime
    earlier_attempts: list[Any]
    overrides: dict[str, Any] | None

    @property
    def is_scheduled(self) -> bool:
        return self.trigger_type == TriggerType.SCHEDULED

    @property
    def stored_overrides(self) -> Overrides | None:
        return Overrides.read(self.overrides)

    @property
    def has_left(self) -> bool:
        """Whether it was sent before. What GitHub turned away is still at its first attempt."""
        return self.attempt > 1 or bool(self.earlier_attempts)

    def is_ready(self, now: datetime) -> bool:
        return self.status == Status.QUEUED and (self.not_before is None or self.not_before <= now)


def start(
    execution_ids: Iterable[UUID],
    *,
    sender: UUID,
    now: datetime,
    taking: Callable[[list[UUID]], None] = lambda ids: None,
    admit: Callable[[UUID, Wanted], bool] = lambda key, wanted: True,
) -> list[Prepared]:
    """Take the queued ones of `execution_ids` for `sender` and return what may be sent.

    `admit` is asked for a place for each row; a row without one stays queued. `taking` is called with the ids of the
    others before they are committed. A row that could not start in time is among them, as a request that fails with
    that reason: it is never sent. Rows that another took, that wait for their time or whose row or job another
    transaction has locked are left out. Scheduled runs of a paused job are settled instead.
    """
    with transaction.atomic(durable=True):
        rows = _lock_ready(set(execution_ids), now)
        later = blocked_by_overlap((row.id, row.trigger_type, job.id, job.overlap) for row, job in rows)
        ready_now, stopped = [], []
        for row, job in rows:
            if row.id in later:
                continue
            if row.is_scheduled and not job.is_active and not _ran_out(job, row.scheduled_for, now):
                stopped.append(row.id)
                continue
            too_late = is_too_late(row, overlap=job.overlap, grace_seconds=job.misfire_grace_seconds, now=now)
            # What will not be sent needs no place.
            if not too_late and not admit(row.id, Wanted(job.owner, origin_of(row.target))):
                continue
            item = prepare(
                row.id, job, fire_time=row.scheduled_for, attempt=row.attempt, overrides=row.stored_overrides
            )
            if too_late:
                item = _too_late(item)
            ready_now.append((item, row.started_at if row.has_left else now))
        prepared, turns = acquire_dispatch_slots([item for item, _ in ready_now], now=now)
        taking([item.execution_id for item in prepared])
        leaving = [(item, at) for item, at in ready_now if item.execution_id not in turns]
        split = [snapshots.split(item.job.id, snapshot(item.request)) for item, _ in leaving]
        snapshots.keep((shared for _, shared in split), now=now)
        updates = [_started(item, at, sent, sender, now) for (item, at), sent in zip(leaving, split, strict=True)]
        _write_queued(STARTED, updates)
        _write_queued(PLANNED, list(turns.items()))
        # Rate limit buckets are locked before the daily counts, in the order of a claim.
        if stopped:
            give_up(JobExecution.objects.filter(id__in=stopped), reason=PAUSED, now=now)
    return prepared


class _MayWait(Protocol):
    @property
    def trigger_type(self) -> str: ...
    @property
    def queued_at(self) -> datetime: ...
    @property
    def not_before(self) -> datetime | None: ...


def is_too_late(row: _MayWait, *, overlap: str, grace_seconds: int, now: datetime) -> bool:
    """Whether a queued row has waited for a place for longer than it may, from when it might have started.

    A run that queues behind others of its job waits for them, not for a place.
    """
    if overlap == Overlap.QUEUE and row.trigger_type == TriggerType.SCHEDULED:
        return False
    return now - max(row.queued_at, row.not_before or row.queued_at) > _start_within(grace_seconds)


def _start_within(grace_seconds: int) -> timedelta:
    return max(timedelta(seconds=grace_seconds), SHORTEST_WAIT)


def _too_late(item: Prepared) -> Prepared:
    if isinstance(item.request, NoTarget):
        return item
    kind, target = target_of(item.request)
    seconds = _start_within(item.job.misfire_grace_seconds).total_seconds()
    reason = f"it could not be started within {seconds:g} s: there was no place in flight for it, or no scheduler"
    return item._replace(request=Unsendable(kind or "", target or "", reason))


def _lock_ready(ids: Set[UUID], now: datetime) -> list[tuple[_Queued, ScheduledJob]]:
    """Lock the rows of `ids` and of their jobs, and return those that may be started, oldest first."""
    width = len(_Queued._fields)
    found = batches.locked(JobExecution.objects.filter(IdIn("id", ids)).order_by("id"))
    columns = (*_Queued._fields, *[f"job__{name}" for name in ScheduledJob._fields])
    rows = [
        (_Queued._make(row[:width]), ScheduledJob._make(row[width:]))
        for row in batches.read(found.values_list(*columns))
    ]
    # Asked here and not there: SQLite would rather walk all rows of a status than look up ours.
    return [(row, job) for row, job in rows if row.is_ready(now)]


def acquire_dispatch_slots(
    prepared: Sequence[Prepared], *, now: datetime
) -> tuple[list[Prepared], dict[UUID, datetime]]:
    """Return what of `prepared` may leave now, and for what has to wait for its turn at GitHub when that will be.

    Call it in the transaction that lets them leave.
    """
    asked = [(item.execution_id, bucket) for item in prepared if (bucket := executors.bucket(item.request))]
    if not asked:
        return list(prepared), {}
    turns = rate_limits.acquire(asked, now=now)
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


def blocked_by_overlap(rows: Iterable[tuple[UUID, str, UUID, str]]) -> set[UUID]:
    """Return which of `rows` (execution, trigger, job, overlap) have to wait for an earlier execution of their job.

    Those are scheduled runs of jobs that queue: one goes at a time, the oldest first. Manual runs never wait.
    """
    queueing = {
        execution_id: job_id
        for execution_id, trigger, job_id, overlap in rows
        if overlap == Overlap.QUEUE and trigger == TriggerType.SCHEDULED
    }
    if not queueing:
        return set()
    first: dict[UUID, UUID] = {}
    jobs = set(queueing.values())
    going = JobExecution.objects.open().filter(job_id__in=jobs)
    # "running" sorts after "queued": what is under way stands before everything that waits.
    going = going.order_by("job_id", "-status", Coalesce("scheduled_for", "queued_at"), "id")
    for execution_id, job_id in going.values_list("id", "job_id"):
        first.setdefault(job_id, execution_id)
    # A run that goes on at GitHub stands before everything.
    first |= dict(followed_executions(jobs))
    return {execution_id for execution_id, job_id in queueing.items() if first.get(job_id) != execution_id}


def _ran_out(job: ScheduledJob, fire_time: datetime | None, now: datetime) -> bool:
    """Whether the job is paused because its end date has passed, and this fire time came before that.

    A person who pauses a job settles its queued runs in the same transaction, and what was out at that moment gets no
    further attempt; so such a row cannot be meant here.
    """
    ends_at = end_of(job.end_date, end_zone())
    return fire_time is not None and fire_time < ends_at <= now


def _started(
    item: Prepared,
    started_at: datetime,
    sent: tuple[dict[str, Any] | None, snapshots.Shared | None],
    sender: UUID,
    now: datetime,
) -> Sequence[Any]:
    kind, target = target_of(item.request)
    own, shared = sent
    return (
        item.execution_id,
        kind,
        target,
        started_at,
        item.job.deadline(now),
        own,
        shared and shared.id,
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
        deadline_at=prepared.job.deadline(now),
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
        message = f"Request failed: {storable(reason)}"
        # Its own time may be what cannot be read.
        if queued.update(status=Status.FAILED, error_message=message, started_at=now, completed_at=now):
            daily_counts.add(daily_counts.of(JobExecution.objects.filter(id=execution_id)))
