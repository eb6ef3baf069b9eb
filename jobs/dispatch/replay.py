"""Finish what dead senders of this host left behind: what never left is queued again, what came back is recorded.

Only what was out when its sender died stays unknown. Each step is a conditional statement on the sender's token, so it
may be done twice, or by two processes at once.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from cronsched.lib.db import batches
from cronsched.lib.db.batches import IdIn
from cronsched.lib.db.outages import piecewise
from jobs.dispatch.attempt import Prepared, Result, prepare
from jobs.dispatch.dead_senders import DeadSender, dead_senders
from jobs.dispatch.journal import Answer, folder
from jobs.dispatch.record import record
from jobs.dispatch.unknown import call_unknown
from jobs.executors.base import Failure, Outcome
from jobs.github import GitHubRequest
from jobs.models import JobExecution, Status
from jobs.schedule.scheduled_job import Overrides, ScheduledJob

logger = logging.getLogger(__name__)

BATCH = 500
OUT = "The sender died while the request was out."
MAYBE_OUT = "The sender died, and its journal does not say whether the request had left."
NEVER_LEFT = "the sender died before it was sent, and no other process could send it"


def replay_dead_senders(*, now: datetime) -> int:
    """Settle what the dead senders of this host left open; return how many rows were changed.

    Raises the database's error where it cannot be reached; then the journals stay.
    """
    total = 0
    for dead in dead_senders(folder()):
        changed = _replay(dead, now=now)
        if changed:
            logger.warning("Sender %s has died: %d of its runs were settled or queued again", dead.token, changed)
        if dead.is_settled:
            dead.remove()
        total += changed
    return total


def _replay(dead: DeadSender, *, now: datetime) -> int:
    never_left, unsure = (dead.taken, set()) if dead.is_complete else (set(), dead.taken | dead.lone)
    lone = dead.lone - unsure
    return (
        _each(dead.answers, partial(_record_answers, dead, now=now))
        + _each(never_left, partial(_queue_again, dead.token))
        + _each(never_left | lone, partial(_fail_unsent, dead.token, lone, now=now))
        + _each(dead.sent, partial(_call_unknown, dead.token, reason=OUT, now=now))
        + _each(unsure, partial(_call_unknown, dead.token, reason=MAYBE_OUT, now=now))
    )


def _each(ids: Iterable[UUID], act: Callable[[Sequence[UUID]], int]) -> int:
    """Act on batches of `ids`; a row that cannot be read or written keeps none of the others back."""
    every = sorted(ids)
    batch = (every[start : start + BATCH] for start in range(0, len(every), BATCH))
    return sum(sum(piecewise(part, act, _left_alone)) for part in batch)


def _left_alone(execution_id: UUID, error: Exception) -> int:
    logger.error("Execution %s of a dead sender is left to its deadline", execution_id, exc_info=error)
    return 0


def _own(token: UUID, ids: Sequence[UUID], *statuses: Status) -> Any:
    return JobExecution.objects.filter(IdIn("id", ids), sender=token, status__in=statuses)


def _queue_again(token: UUID, ids: Sequence[UUID]) -> int:
    """Queue rows that were committed as running and never sent."""
    return int(_own(token, ids, Status.RUNNING).update(status=Status.QUEUED, sender=None, deadline_at=None))


def _fail_unsent(token: UUID, lone: Collection[UUID], ids: Sequence[UUID], *, now: datetime) -> int:
    """Record as never sent the rows that no process can send any more, or that became `unknown` meanwhile."""
    rows = _own(token, ids, Status.UNKNOWN) | _own(token, [key for key in ids if key in lone], Status.RUNNING)
    results = []
    for prepared in _prepared(rows):
        kind, target = prepared.job.execution_type, prepared.job.target
        message = f"Request failed: {NEVER_LEFT}"
        outcome = Outcome("failed", kind, target, error_message=message, failure=Failure.INVALID, reason=NEVER_LEFT)
        results.append(Result(prepared, outcome, now))
    return record(results, sender=token, now=now) if results else 0


def _record_answers(dead: DeadSender, ids: Sequence[UUID], *, now: datetime) -> int:
    rows = _own(dead.token, ids, Status.RUNNING, Status.UNKNOWN)
    results = [_result(prepared, dead.answers[prepared.execution_id]) for prepared in _prepared(rows)]
    return record(results, sender=dead.token, now=now) if results else 0


def _result(prepared: Prepared, answer: Answer) -> Result:
    return Result(prepared._replace(attempt=answer.attempt), answer.outcome, answer.completed_at)


def _call_unknown(token: UUID, ids: Sequence[UUID], *, reason: str, now: datetime) -> int:
    return call_unknown(_own(token, ids, Status.RUNNING), reason=reason, now=now)


ROW = ("id", "scheduled_for", "attempt", "overrides", "request_snapshot")


def _prepared(rows: Any) -> list[Prepared]:
    """Put together what was sent, as far as recording its outcome needs it."""
    width = len(ROW)
    columns = (*ROW, *[f"job__{name}" for name in ScheduledJob._fields])
    found = batches.read(rows.order_by("id").values_list(*columns))
    return [_as_sent(row[:width], ScheduledJob._make(row[width:])) for row in found]


def _as_sent(row: Sequence[Any], job: ScheduledJob) -> Prepared:
    execution_id, fire_time, attempt, overrides, sent = row
    made = Overrides.read(overrides)
    prepared = prepare(execution_id, job, fire_time=fire_time, attempt=attempt, overrides=made)
    if isinstance(prepared.request, GitHubRequest) and isinstance(sent, Mapping):
        # The job may name another workflow by now.
        names = {name: sent[name] for name in ("owner", "repo", "workflow", "ref") if name in sent}
        prepared = prepared._replace(request=replace(prepared.request, **names))
    return prepared
