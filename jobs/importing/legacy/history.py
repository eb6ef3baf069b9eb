"""Executions, with the daily counts right afterwards."""

from typing import Any
from uuid import UUID

from jobs.history import daily_counts
from jobs.history.daily_counts import Counted
from jobs.importing.legacy import values
from jobs.importing.legacy.definitions import JOBS
from jobs.importing.legacy.source import Row
from jobs.importing.legacy.state import ImportState, existing
from jobs.importing.legacy.tables import LegacyExecution
from jobs.models import ExecutionType, JobExecution, Status, TriggerType

EXECUTIONS = "job_executions"
MAX_TARGET = 500
MAX_RESPONSE = 2**31 - 1
WAS_RUNNING = "Imported: the older service never recorded how it ended."
# Looked up for each of a million rows.
TRIGGERS, KINDS = frozenset(TriggerType.values), frozenset(ExecutionType.values)
STATUSES = {"success": Status.SUCCESS, "failed": Status.FAILED}
RUNNING = "It was never recorded how it ended: unknown."


def import_executions(state: ImportState) -> None:
    """Import executions, each batch with what it adds to the daily counts."""
    for chunk in state.chunks(state.source.rows(LegacyExecution)):
        keys = [values.identity(EXECUTIONS, row["id"]) for row in chunk]
        there = existing(JobExecution, [key for key in keys if key])
        new = []
        for key, row in zip(keys, chunk, strict=True):
            if execution := _execution(state, key, row, there):
                there.add(execution.pk)
                new.append(execution)
        with state.transaction():
            state.insert(new)
            if not state.options.dry_run:
                daily_counts.add(map(_counted, new))


def _counted(row: JobExecution) -> Counted:
    return Counted(row.job_id, row.started_at, row.status, row.trigger_type, row.execution_type, row.duration_seconds)


def _execution(state: ImportState, key: UUID | None, row: Row, there: set[UUID]) -> JobExecution | None:
    """Return the execution that a row becomes; None where it is here already, or is not to come in."""
    count = state.begin_row(EXECUTIONS)
    if key is None:
        state.leave_out(EXECUTIONS, "", "", "The row has no id.")
        return None
    if key in there:
        count.present += 1
        return None
    job_id = values.identity(JOBS, row["job_id"])
    if job_id is None or job_id not in state.jobs:
        state.leave_out(EXECUTIONS, key, "", "It belongs to no job.", row["job_id"])
        return None
    started_at = values.instant(row["started_at"]) or values.instant(row["completed_at"])
    if started_at is None:
        state.leave_out(EXECUTIONS, key, "", "Its start time cannot be read.", row["started_at"])
        return None
    if state.options.since and started_at < state.options.since:
        return None
    count.imported += 1
    return JobExecution(id=key, job_id=job_id, started_at=started_at, queued_at=started_at, **_facts(state, key, row))


def _facts(state: ImportState, key: UUID, row: Row) -> dict[str, Any]:
    """Return what the row says about the run, as far as it can be stored."""
    response = values.number(row["response_status"])
    return {
        **_outcome(state, key, row),
        **_kind(state, key, row),
        "target": (values.text(row["target"]) or "")[:MAX_TARGET] or None,
        "response_status": int(response) if response is not None and response <= MAX_RESPONSE else None,
        "error_message": values.text(row["error_message"]),
        "output": values.text(row["output"]),
    }


def _outcome(state: ImportState, key: UUID, row: Row) -> dict[str, Any]:
    written = (values.text(row["status"]) or "").lower()
    status = STATUSES.get(written)
    completed_at = values.instant(row["completed_at"])
    facts = {"completed_at": completed_at, "duration_seconds": _duration(row)}
    if status:
        return {**facts, "status": status.value}
    is_running = written == "running"
    decision = RUNNING if is_running else "Its status is not one of the older service's: unknown."
    state.note(EXECUTIONS, key, "", decision, written)
    reason = WAS_RUNNING if is_running else f"Imported: the older service recorded the status {written[:100]!r}."
    # A run whose end is unknown has a moment from which on nothing is expected any more: the import.
    return {**facts, "status": Status.UNKNOWN.value, "reason": reason, "completed_at": completed_at or state.now}


def _duration(row: Row) -> float | None:
    duration = values.number(row["duration_seconds"])
    if duration is not None:
        return duration
    started_at, completed_at = values.instant(row["started_at"]), values.instant(row["completed_at"])
    if started_at is None or completed_at is None or completed_at < started_at:
        return None
    return (completed_at - started_at).total_seconds()


def _kind(state: ImportState, key: UUID, row: Row) -> dict[str, str | None]:
    trigger = (values.text(row["trigger_type"]) or "").lower()
    kind = (values.text(row["execution_type"]) or "").lower()
    if trigger not in TRIGGERS:
        state.note(EXECUTIONS, key, "", "It is not on record what started it: manual.", trigger)
        trigger = TriggerType.MANUAL.value
    if kind and kind not in KINDS:
        state.note(EXECUTIONS, key, "", "Its kind is neither webhook nor GitHub Actions: blank.", kind)
    return {"trigger_type": trigger, "execution_type": kind if kind in KINDS else None}
