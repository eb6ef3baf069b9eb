"""Running to its end: outcomes become rows and counts, and what follows from them, in one transaction.

A row belongs to the sender whose token it carries: only that one may say what became of it.

Outcome and counts come first. Each effect (GitHub's runs, the count of failures, incidents, notices, deliveries) goes
behind a savepoint: what the database refuses of it is lost, said in the log and to the administrators, and never costs
the outcome.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from datetime import date, datetime
from functools import partial
from itertools import chain
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import prefetch_related_objects

from cronsched.lib import failpoints
from cronsched.lib.db import batches
from cronsched.lib.db.batches import Column, IdIn, Kind
from cronsched.lib.db.effects import Effects
from cronsched.lib.db.outages import piecewise
from jobs.calendar import end_of, end_zone
from jobs.dispatch import github
from jobs.dispatch.attempt import Result
from jobs.dispatch.retries import JOB_STOPPED, TOLD_LATE, NextAttempt, NoFurther, is_last, next_attempt, with_attempt
from jobs.executors.base import storable
from jobs.history import daily_counts
from jobs.history.daily_counts import Counted
from jobs.models import ExecutionType, Job, JobExecution, Status, TriggerType
from jobs.notices import events
from jobs.schedule import failure_streak
from jobs.schedule.failure_streak import Ended
from notifications import incidents
from notifications.message import Message
from notifications.services import loss_notices, notify

logger = logging.getLogger(__name__)

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

    A row that has another outcome already keeps it. A row that is `unknown` gets its true outcome.
    """
    by_id = {result.prepared.execution_id: result for result in results}
    with transaction.atomic(durable=True):
        # Job before execution, the order in which deletions and edits lock them: the other order could deadlock.
        jobs = _lock_jobs({result.prepared.job.id for result in by_id.values()})
        before = _lock_own(by_id, sender)
        effects = Effects()
        by_id |= github.claim_found_runs([by_id[execution_id] for execution_id in before], effects)
        recorded = [_recorded(by_id[row.id], row, jobs, now) for row in before.values()]
        if not recorded:
            return 0
        condition = "job_executions.sender = %s AND job_executions.status IN ('running', 'unknown')"
        token = batches.stored(connection, sender)
        updates = [row[: len(RECORDED)] for row in recorded]
        table = JobExecution._meta.db_table
        batches.update(connection, table, RECORDED, updates, condition=condition, parameters=[token])
        settled = [row for row in recorded if row.status != Status.QUEUED]
        daily_counts.add(_counted(settled, before))
        _follow_up(settled, [by_id[execution_id] for execution_id in before], jobs, effects, now)
    return len(recorded)


class _Locked(NamedTuple):
    """What the row of a job says while it is locked. Enough for most runs: they succeed, as those before did."""

    id: UUID
    name: str
    notify_on_success: bool
    consecutive_failures: int
    is_active: bool
    end_date: date
    updated_at: datetime

    def was_stopped(self, now: datetime) -> bool:
        """Whether the job was paused before its end date had passed: by a person, or for its failures."""
        return not self.is_active and min(self.updated_at, now) < end_of(self.end_date, end_zone())


def _lock_jobs(ids: Set[UUID]) -> dict[UUID, _Locked]:
    jobs = batches.locked(Job.objects.filter(IdIn("id", ids)).order_by("id"), skip=False)
    return {row[0]: _Locked._make(row) for row in batches.read(jobs.values_list(*_Locked._fields))}


class _Running(NamedTuple):
    """What the row of an attempt says before its outcome is written."""

    id: UUID
    status: str
    attempt: int
    started_at: datetime
    earlier_attempts: list[Any]
    trigger_type: str
    execution_type: str | None
    not_before: datetime | None


def _lock_own(results: Mapping[UUID, Result], sender: UUID) -> dict[UUID, _Running]:
    """Lock and return the rows of `sender` that the `results` (by execution) are about."""
    wanted = JobExecution.objects.filter(IdIn("id", list(results)), sender=sender)
    own = batches.locked(wanted.order_by("id"), skip=False)
    rows = (_Running._make(row) for row in batches.read(own.values_list(*_Running._fields)))
    # Asked here and not there: SQLite would rather walk all rows of a status than look up ours.
    return {row.id: row for row in rows if row.status in _UNDER_WAY and _is_awaited(results[row.id], row)}


def _is_awaited(result: Result, row: _Running) -> bool:
    """Whether it is the outcome of the attempt that is out.

    A commit may go through without its answer; then an outcome is brought again, maybe while the next attempt is out.
    """
    return result.prepared.attempt == row.attempt and not is_last(row.earlier_attempts, result)


# Of these the sender may still say what became of them.
_UNDER_WAY = frozenset({Status.RUNNING.value, Status.UNKNOWN.value})


class _Recorded(NamedTuple):
    """The row of an attempt as it is to be: the columns of `RECORDED`, and what else counts and notices need."""

    id: UUID
    status: str
    execution_type: str | None
    target: str | None
    completed_at: datetime | None
    duration_seconds: float | None
    response_status: int | None
    error_message: str | None
    output: str | None
    reason: str | None
    attempt: int
    earlier_attempts: list[Any]
    details: dict[str, Any]
    not_before: datetime | None
    deadline_at: datetime | None
    job_id: UUID
    trigger_type: str
    scheduled_for: datetime | None
    started_at: datetime

    def as_model(self) -> JobExecution:
        """Return it as a model, for those who word it; nothing is saved."""
        return JobExecution(**self._asdict())


def _recorded(result: Result, before: _Running, jobs: Mapping[UUID, _Locked], now: datetime) -> _Recorded:
    prepared, outcome, completed_at = result
    decision = next_attempt(result, first_at=before.started_at)
    if isinstance(decision, NextAttempt) and (obstacle := _obstacle(result, before, jobs, now)):
        decision = NoFurther(obstacle)
    again = decision if isinstance(decision, NextAttempt) else None
    final = again is None
    return _Recorded(
        id=prepared.execution_id,
        status=outcome.status if again is None else Status.QUEUED.value,
        execution_type=outcome.execution_type,
        target=outcome.target,
        completed_at=completed_at if final else None,
        duration_seconds=(completed_at - before.started_at).total_seconds() if final else None,
        response_status=outcome.response_status,
        error_message=_storable(outcome.error_message),
        output=_storable(outcome.output),
        reason=decision.reason if isinstance(decision, NoFurther) else None,
        attempt=prepared.attempt if again is None else again.attempt,
        earlier_attempts=before.earlier_attempts if final else with_attempt(before.earlier_attempts, result),
        details=dict(outcome.details),
        not_before=before.not_before if again is None else again.at,
        deadline_at=None,
        job_id=prepared.job.id,
        trigger_type=before.trigger_type,
        scheduled_for=prepared.fire_time,
        started_at=before.started_at,
    )


def _obstacle(result: Result, before: _Running, jobs: Mapping[UUID, _Locked], now: datetime) -> str | None:
    """Return why there is no further attempt though the job asks for one."""
    if before.status != Status.RUNNING:
        # An outcome that came after the row was called unknown corrects it, no more.
        return TOLD_LATE
    # A pause settles what is queued at that time; nothing would settle what is queued after it.
    job = jobs[result.prepared.job.id]
    is_stopped = before.trigger_type == TriggerType.SCHEDULED and job.was_stopped(now)
    return JOB_STOPPED if is_stopped else None


def _storable(text: str | None) -> str | None:
    return None if text is None else storable(text)


def _counted(settled: Sequence[_Recorded], before: Mapping[UUID, _Running]) -> Iterator[Counted]:
    """Count what was settled; what had been called unknown is taken back first."""
    for execution in settled:
        row = before[execution.id]
        if row.status == Status.UNKNOWN:
            yield Counted(execution.job_id, row.started_at, row.status, row.trigger_type, row.execution_type, None, -1)
        kind, duration = execution.execution_type, execution.duration_seconds
        due_at = execution.scheduled_for
        late = None if due_at is None else (row.started_at - due_at).total_seconds()
        yield Counted(execution.job_id, row.started_at, execution.status, row.trigger_type, kind, duration, 1, late)


def _follow_up(
    settled: Sequence[_Recorded],
    results: Sequence[Result],
    locked: Mapping[UUID, _Locked],
    effects: Effects,
    now: datetime,
) -> None:
    """Carry out what follows from outcomes that are written: GitHub's runs, the counts of failures, the notices."""
    failing = incidents.ongoing({row.job_id for row in settled})
    failed = {row.job_id for row in settled if row.status != Status.SUCCESS}
    troubled = failing | failed | {job.id for job in locked.values() if job.consecutive_failures}
    plain = {
        row.id
        for row in settled
        if row.job_id not in troubled
        and row.execution_type != ExecutionType.GITHUB_ACTIONS
        and not locked[row.job_id].notify_on_success
    }
    jobs = _jobs({row.job_id for row in settled if row.id not in plain}, effects)
    by_execution = {row.id: jobs[row.job_id] for row in settled if row.job_id in jobs and row.id not in plain}
    undecided = github.apply_github_results(results, by_execution, effects, now=now)
    ended = [
        Ended(row.job_id, row.status == Status.SUCCESS)
        for row in settled
        if row.job_id in troubled and row.id not in undecided
    ]
    paused = failure_streak.count(ended, jobs, effects=effects, now=now)

    def word(rows: Sequence[_Recorded]) -> list[Message]:
        return [
            _notice(by_execution[row.id], row.as_model(), row.id not in undecided, now)
            if row.id in by_execution
            else _plain_notice(row, locked[row.job_id].name)
            for row in rows
        ]

    def word_plainly(row: _Recorded, error: Exception) -> list[Message]:
        effects.give_up("A mail or post", row, f"How a run of {locked[row.job_id].name} ended", error)
        return [_plain_notice(row, locked[row.job_id].name)]

    notices = chain.from_iterable(piecewise(settled, word, word_plainly))
    notify([*notices, *paused, *loss_notices(effects.lost, now=now)], now=now)


def _jobs(ids: Set[UUID], effects: Effects) -> dict[UUID, Job]:
    """Return the jobs as models; without those whose row cannot be read."""
    found = effects.carry_out("The notices of a job", sorted(ids), _read_jobs)
    return {job.pk: job for part in found for job in part}


def _read_jobs(ids: Sequence[UUID]) -> list[Job]:
    jobs = batches.instances(Job.objects.filter(IdIn("id", ids)))
    # Not joined: a thousand jobs have few teams and categories, and each is read once.
    prefetch_related_objects(jobs, "category", "pic_team")
    return jobs


def _notice(job: Job, execution: JobExecution, is_decided: bool, now: datetime) -> Message:
    message = events.run_finished(job, execution, now=now)
    # Whether all is well is for the run to say; mails and alarms wait for its end.
    return message if is_decided else replace(message, mail=None, alarm=None)


def _plain_notice(row: _Recorded, name: str) -> Message:
    """Word an outcome in the application only, without a look at its job."""
    if row.status == Status.SUCCESS:
        return events.run_succeeded(row.job_id, name, row.id)
    return events.run_failed(row.job_id, name, row.id, row.error_message)


# --- Whatever the database refuses -----------------------------------------------------------------------------------


def record_each(results: Sequence[Result], *, sender: UUID, now: datetime) -> int:
    """Write `results`, so that one the database refuses keeps none of the others from being written.

    Raises the database's error where it cannot be reached.
    """
    failpoints.reach("before-record")
    write = partial(record, sender=sender, now=now)
    return sum(piecewise(results, write, lambda result, error: _record_plainly(result, error, sender=sender, now=now)))


def _record_plainly(result: Result, error: Exception, *, sender: UUID, now: datetime) -> int:
    """Write how it ended without what the target said, which the database would not take."""
    prepared, outcome, completed_at = result
    logger.error("The result of execution %s could not be stored as it is", prepared.execution_id, exc_info=error)
    plain = replace(
        outcome,
        output=None,
        details={},
        error_message=None if outcome.succeeded else "Request failed: the answer could not be stored",
    )
    # What cannot be stored even so is left to the sweep: better one unknown row than a queue that never moves again.
    write = partial(record, sender=sender, now=now)
    return sum(piecewise([Result(prepared, plain, completed_at)], write, _let_go))


def _let_go(result: Result, error: Exception) -> int:
    logger.error("The result of execution %s is lost", result.prepared.execution_id, exc_info=error)
    return 0
