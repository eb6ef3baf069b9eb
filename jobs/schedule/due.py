"""Turns due jobs into executions: a row for every fire time that came, and the next value of `next_fire_at`.

The claim pass of the scheduler calls `plan_due_jobs` for batches, `reschedule` for one job before its definition
changes: `next_fire_at` never moves on without a record of what lies before it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import chain
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models import Count

from audit import terms
from audit.terms import Gap
from cronsched.lib.db import batches
from cronsched.lib.db.batches import Column, Kind
from cronsched.lib.db.effects import Effects
from cronsched.lib.ids import uuid7
from jobs import cron
from jobs.calendar import end_zone
from jobs.history import daily_counts, snapshots, why_words
from jobs.history.daily_counts import Counted
from jobs.history.reasons import LATE
from jobs.history.why import MINUTE
from jobs.models import LEASE_TTL, GitHubRun, Job, JobExecution, Overlap, Status, Tracking, TriggerType
from jobs.notices import events
from jobs.schedule.plan import Missed, Plan, Timing, not_before, overlap_refusal, plan
from jobs.schedule.scheduled_job import ScheduledJob
from notifications.message import Message
from notifications.services import loss_notices, notify

ERROR_LENGTH = 500


class NewExecution(NamedTuple):
    """A row of `job_executions` to be inserted; the fields are those of `INSERTED`."""

    id: UUID
    job_id: UUID
    status: str
    execution_type: str | None
    target: str | None
    scheduled_for: datetime | None
    completed_at: datetime | None = None
    reason: str | None = None
    missed_from: datetime | None = None
    missed_count: int | None = None
    not_before: datetime | None = None
    sender: UUID | None = None
    deadline_at: datetime | None = None
    request_snapshot: dict[str, Any] | None = None
    overrides: dict[str, Any] | None = None
    shared_request_id: UUID | None = None


INSERTED = (
    Column("id", Kind.UUID),
    Column("job_id", Kind.UUID),
    Column("status", Kind.TEXT),
    Column("execution_type", Kind.TEXT),
    Column("target", Kind.TEXT),
    Column("scheduled_for", Kind.INSTANT),
    Column("completed_at", Kind.INSTANT),
    Column("reason", Kind.TEXT),
    Column("missed_from", Kind.INSTANT),
    Column("missed_count", Kind.INTEGER),
    Column("not_before", Kind.INSTANT),
    Column("sender", Kind.UUID),
    Column("deadline_at", Kind.INSTANT),
    Column("request_snapshot", Kind.JSON),
    Column("overrides", Kind.JSON),
    Column("shared_request_id", Kind.UUID),
)
ADVANCED = (Column("id", Kind.UUID), Column("next_fire_at", Kind.INSTANT), Column("schedule_error", Kind.TEXT))


class PlannedRun(NamedTuple):
    """A run that is due. `can_start` is False where it waits: for its place in the spread, or for an earlier run."""

    job: ScheduledJob
    fire_time: datetime
    not_before: datetime | None
    can_start: bool


@dataclass(slots=True)
class DueBatch:
    """What is to be written for due jobs: rows to insert, and when each job is due again.

    `runs` are to be sent, `others` are the rows of what is not. `missed` says per job what is not run. `expired` jobs
    are to be paused, `broken` ones cannot be computed.
    """

    runs: list[PlannedRun] = field(default_factory=list)
    others: list[NewExecution] = field(default_factory=list)
    moves: list[tuple[UUID, datetime | None, str]] = field(default_factory=list)
    missed: list[tuple[UUID, tuple[Missed, ...]]] = field(default_factory=list)
    expired: list[ScheduledJob] = field(default_factory=list)
    broken: list[tuple[ScheduledJob, str]] = field(default_factory=list)


def plan_due_jobs(due: Iterable[ScheduledJob], *, now: datetime) -> DueBatch:
    """Decide about every fire time of `due` jobs up to `now`. The caller holds the jobs' rows and writes the result."""
    due = list(due)
    batch = DueBatch()
    going = open_executions(job.id for job in due if job.overlap != Overlap.ALLOW)
    # Jobs of a herd have one plan.
    plans: dict[Any, Plan] = {}
    for job in due:
        timing = job.timing
        planned = plans.get(timing)
        if planned is None:
            try:
                planned = plans[timing] = _plan(job, now)
            except (cron.CronError, cron.ZoneError) as error:
                _give_up(batch, job, error)
                continue
        _add(batch, job, planned, going, now)
    return batch


def plan_runs(job: ScheduledJob, planned: Plan, *, now: datetime) -> DueBatch:
    """Decide about the fire times of one job that `planned` names, by its rule about overlaps."""
    batch = DueBatch()
    _add(batch, job, planned, open_executions([job.id]), now)
    return batch


def _plan(job: ScheduledJob, now: datetime) -> Plan:
    assert job.next_fire_at is not None
    timing = Timing(
        job.cron_expression,
        job.zone_name,
        job.next_fire_at,
        job.end_date,
        job.catch_up,
        job.misfire_grace_seconds,
    )
    return plan(timing, now=now, end_zone=end_zone())


def open_executions(jobs: Iterable[UUID]) -> Counter[UUID]:
    """Count the executions of each job that are queued, running, waiting for a retry or followed at GitHub."""
    wanted = set(jobs)
    if not wanted:
        return Counter()
    rows = JobExecution.objects.open().filter(job_id__in=wanted).order_by()
    going = Counter(dict(rows.values_list("job_id").annotate(count=Count("id"))))
    going.update(job_id for job_id, _ in followed_executions(wanted))
    return going


def followed_executions(jobs: Set[UUID]) -> list[tuple[UUID, UUID]]:
    """Return job and execution of each run of `jobs` that is followed at GitHub.

    Of all that are followed, which are never many, theirs are picked out: SQLite would look for them in the whole
    history of each job.
    """
    followed = GitHubRun.objects.filter(tracking=Tracking.FOLLOWED).values_list("execution__job_id", "execution_id")
    return [(job_id, execution_id) for job_id, execution_id in followed if job_id in jobs]


def _add(batch: DueBatch, job: ScheduledJob, planned: Plan, going: Counter[UUID], now: datetime) -> None:
    for missed in planned.missed:
        many = missed.number > 1
        row = settled_row(job, Status.MISSED, missed.last, now, LATE)
        if many:
            row = row._replace(missed_from=missed.first, missed_count=missed.number)
        batch.others.append(row)
    for fire_time in planned.runs:
        refusal = overlap_refusal(job.overlap, going[job.id])
        if refusal is not None:
            batch.others.append(settled_row(job, Status.SKIPPED, fire_time, now, refusal))
            continue
        wait = not_before(job.id, fire_time, job.spread_seconds)
        can_start = (wait is None or wait <= now) and not (job.overlap == Overlap.QUEUE and going[job.id])
        batch.runs.append(PlannedRun(job, fire_time, wait, can_start))
        if job.overlap != Overlap.ALLOW:
            going[job.id] += 1
    if planned.missed:
        batch.missed.append((job.id, planned.missed))
    if planned.expired:
        batch.expired.append(job)
    batch.moves.append((job.id, None if planned.expired else planned.next_fire_at, ""))


def _give_up(batch: DueBatch, job: ScheduledJob, error: Exception) -> None:
    reason = str(error)[:ERROR_LENGTH]
    batch.broken.append((job, reason))
    batch.moves.append((job.id, None, reason))


def settled_row(job: ScheduledJob, status: Status, fire_time: datetime, now: datetime, reason: str) -> NewExecution:
    return NewExecution(uuid7(), job.id, status.value, job.execution_type, job.target, fire_time, now, reason)


def queued_row(run: PlannedRun) -> NewExecution:
    """Return the row of a run that waits."""
    job = run.job
    row = NewExecution(uuid7(), job.id, Status.QUEUED.value, job.execution_type, job.target, run.fire_time)
    return row if run.not_before is None else row._replace(not_before=run.not_before)


def write(batch: DueBatch, runs: Sequence[NewExecution], *, now: datetime) -> set[UUID]:
    """Insert what `batch` came to, with `runs` as the rows of its runs; return the ids that went in.

    Fire times that have a row already are left out. The caller holds the rows of the jobs, so that no other process
    inserts the same fire time meanwhile. What is missed is announced once per job and outage, as it is claimed once.
    """
    rows = [*batch.others, *runs]
    written = insert_executions(rows, trigger=TriggerType.SCHEDULED, now=now)
    daily_counts.add(
        Counted(row.job_id, now, row.status, TriggerType.SCHEDULED, row.execution_type, None)
        for row in batch.others
        if row.id in written
    )
    if batch.missed:
        _tell_of_misses(batch, written, now)
    return written


def _tell_of_misses(batch: DueBatch, written: set[UUID], now: datetime) -> None:
    effects = Effects()
    word = partial(_missed_notices, batch, written, now)
    notices = effects.carry_out("The notice of what a job missed", batch.missed, word, named=lambda item: str(item[0]))
    notify([*chain.from_iterable(notices), *loss_notices(effects.lost, now=now)], now=now)


def _missed_notices(
    batch: DueBatch, written: set[UUID], now: datetime, part: Sequence[tuple[UUID, tuple[Missed, ...]]]
) -> list[Message]:
    ids = {
        (row.job_id, row.scheduled_for): row.id
        for row in batch.others
        if row.status == Status.MISSED and row.id in written
    }
    jobs = Job.objects.select_related("category", "pic_team").in_bulk([job_id for job_id, _ in part])
    gaps = _gaps([missed for _, missed in part], now)
    return [
        events.missed(
            jobs[job_id],
            first=missed[0].first,
            last=missed[-1].last,
            count=sum(part.number for part in missed),
            reason=why_words.missed(
                gaps, missed[0].first, missed[-1].last, why_words.zone_of(jobs[job_id].zone_name), otherwise=LATE
            ),
            execution_id=ids[job_id, missed[-1].last],
            now=now,
        )
        for job_id, missed in part
        if (job_id, missed[-1].last) in ids
    ]


def _gaps(missed: Sequence[tuple[Missed, ...]], now: datetime) -> list[Gap]:
    """Return the times without a leader that may be the reason why these were missed."""
    first, last = min(part[0].first for part in missed), max(part[-1].last for part in missed)
    return terms.gaps(first, last + MINUTE, now=now, silent_after=LEASE_TTL.total_seconds())


def insert_executions(rows: Sequence[NewExecution], *, trigger: TriggerType, now: datetime) -> set[UUID]:
    """Insert `rows`, leaving out fire times that have a row already; return the ids that went in."""
    if not rows:
        return set()
    split = [snapshots.split(row.job_id, row.request_snapshot) for row in rows]
    snapshots.keep((shared for _, shared in split), now=now)
    rows = [
        row if shared is None else row._replace(request_snapshot=own, shared_request_id=shared.id)
        for row, (own, shared) in zip(rows, split, strict=True)
    ]
    same = [
        (Column("trigger_type", Kind.TEXT), trigger.value),
        (Column("queued_at", Kind.INSTANT), now),
        (Column("started_at", Kind.INSTANT), now),
        (Column("attempt", Kind.INTEGER), 1),
        (Column("earlier_attempts", Kind.JSON), []),
        (Column("details", Kind.JSON), {}),
    ]
    unless_exists = ("job_id", "scheduled_for") if trigger == TriggerType.SCHEDULED else ()
    table = JobExecution._meta.db_table
    inserted = batches.insert(connection, table, INSERTED, rows, same=same, unless_exists=unless_exists)
    ids = {row.id for row in rows}
    if inserted == len(rows):
        return ids
    return set(JobExecution.objects.filter(id__in=ids).values_list("id", flat=True))


def advance_schedules(moves: Sequence[tuple[UUID, datetime | None, str]]) -> None:
    """Store when each job is due again."""
    if moves:
        batches.update(connection, Job._meta.db_table, ADVANCED, moves)
