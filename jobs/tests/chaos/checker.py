"""Judge a run by its evidence. Nothing here asks the service anything: the plan, the target and the audit are enough.

Each check yields findings; a sound service gives none. Statements of the audit carry the time at which they ran, which
is never later than their commit. A check that compares them with other instants therefore errs towards silence.
"""

import signal
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple
from uuid import UUID

from jobs.tests.chaos.evidence import (
    Arrival,
    Change,
    Definition,
    Evidence,
    JobLog,
    LeaseState,
    Life,
    Mode,
    Outage,
    RowState,
)

FINAL = frozenset({"success", "failed", "missed", "skipped", "unknown"})
NEVER_SENT = frozenset({"missed", "skipped"})
# What may follow what in one row. A row that is `unknown` may still learn the truth from its own sender.
BORN = frozenset({"queued", "running", "missed", "skipped"})
FOLLOWS = {
    "queued": frozenset({"queued", "running", "skipped", "failed"}),
    "running": frozenset({"running", "success", "failed", "unknown", "queued"}),
    "unknown": frozenset({"unknown", "success", "failed"}),
}
# What a sender writes itself; `unknown` is written by another process.
SIGNS = frozenset({"running", "success", "failed"})
RETRYABLE = frozenset({Mode.ERROR, Mode.FLAKY, Mode.RESET, Mode.HANG, Mode.DRIP, Mode.SLOW})

# Promise G6, in seconds, and what a measurement may add to it: our own looks and the clock of the audit.
TAKEOVER_AFTER_LOSS = 20.0
TAKEOVER_AFTER_SIGTERM = 5.0
PROMPT = 2.0
TOLERANCE = 1.0
# So long before, a standby must have been there: it looks at the lease once a second.
STANDING_BY = timedelta(seconds=2)
# Connections that were made before an outage may still be handed out for a while after it.
AFTERMATH = timedelta(seconds=10)
# From the end of a fault to the first fire and to the first good answer of the API.
RECOVERY = 10.0
CLOCK = "clock"
# How far SQLite's clock is set, at most.
CLOCK_STEP = timedelta(seconds=60)
# A run that could not start at its time is late by the promise only after this (grace of jobs that run nothing late).
LEEWAY = timedelta(seconds=30)


class Finding(NamedTuple):
    """Something that must not happen, and where."""

    kind: str
    text: str


@dataclass
class Report:
    """What a run came to: findings (none, if all is well) and figures that say how much was tried."""

    findings: list[Finding]
    figures: dict[str, str] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        counted = Counter(finding.kind for finding in self.findings)
        return {kind: counted[kind] for kind in CHECKS}

    def table(self) -> str:
        """Return counts and figures as lines of two columns."""
        counts = self.counts
        sums = {name.upper(): str(sum(counts[kind] for kind in kinds)) for name, kinds in SUMS.items()}
        lines = {**sums, **{kind: str(count) for kind, count in counts.items()}, "": "", **self.figures}
        return "\n".join(f"{name:<34} {value}".rstrip() for name, value in lines.items())

    def complaints(self, most: int = 8) -> str:
        """Return the findings as lines, at most so many of a kind."""
        lines = []
        for kind, number in self.counts.items():
            texts = [finding.text for finding in self.findings if finding.kind == kind]
            lines += [f"{kind}: {text}" for text in texts[:most]]
            lines += [f"{kind}: and {number - most} more"] if number > most else []
        return "\n".join(lines)


class Attempt(NamedTuple):
    execution_id: UUID
    number: int


def standing(row: RowState) -> tuple[str, int, UUID | None]:
    return row.status, row.attempt, row.sender


class Record:
    """The evidence, sorted for asking."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.jobs = {job.id: job for job in evidence.jobs}
        self.histories: dict[UUID, list[RowState]] = defaultdict(list)
        for row in sorted(evidence.rows):
            self.histories[row.id].append(row)
        self.arrivals: dict[Attempt, list[Arrival]] = defaultdict(list)
        for arrival in evidence.arrivals:
            self.arrivals[Attempt(arrival.execution_id, arrival.attempt)].append(arrival)
        self.leases = sorted(evidence.leases)

    @cached_property
    def finals(self) -> list[RowState]:
        """Each execution as it last was; of a deleted one, as it was before."""
        return [history[-1] for history in self.histories.values()]

    @cached_property
    def scheduled(self) -> dict[UUID, list[RowState]]:
        """The executions of each job's fire times."""
        found = defaultdict(list)
        for row in self.finals:
            if row.trigger == "scheduled":
                found[row.job_id].append(row)
        return found

    @cached_property
    def started(self) -> dict[Attempt, RowState]:
        """The statement by which each attempt left: the last one, where another sends what a dead sender did not."""
        found: dict[Attempt, RowState] = {}
        for history in self.histories.values():
            for before, row in pairwise([None, *history]):
                is_start = before is None or standing(before) != standing(row)
                if row.status == "running" and row.kind != "delete" and is_start:
                    found[Attempt(row.id, row.attempt)] = row
        return found

    @cached_property
    def lives_by_sender(self) -> dict[UUID, Life]:
        """Which process a sender's token belongs to: whose journal it names, or who led when it first appeared."""
        found: dict[UUID, Life] = {}
        for life in self.evidence.lives:
            for sender in life.senders:
                found.setdefault(sender, life)
        for row in sorted(self.started.values()):
            if row.sender is not None and row.sender not in found and row.trigger == "scheduled":
                life = self.leader_at_seq(row.seq)
                if life is not None:
                    found[row.sender] = life
        return found

    def lease_at(self, moment: datetime) -> LeaseState | None:
        index = bisect_right(self.leases, moment, key=lambda lease: lease.at)
        return self.leases[index - 1] if index else None

    def leads(self, life: Life, moment: datetime) -> bool:
        lease = self.lease_at(moment)
        return lease is not None and self.life_of(lease.holder) is life

    def leader_at_seq(self, seq: int) -> Life | None:
        index = bisect_right(self.leases, seq, key=lambda lease: lease.seq)
        return self.life_of(self.leases[index - 1].holder) if index else None

    def life_of(self, holder: str) -> Life | None:
        return next((life for life in self.evidence.lives if life.instance and life.instance in holder), None)

    def outage_between(self, start: datetime, stop: datetime) -> bool:
        return any(outage.touches(start, stop) for outage in self.evidence.outages)

    def was_clock_off(self, moment: datetime) -> bool:
        """Whether the clock by which times come due was wrong then, or what was done by it may still be felt."""
        return any(
            outage.what == CLOCK and outage.touches(moment - CLOCK_STEP, moment + CLOCK_STEP)
            for outage in self.evidence.outages
        )

    def definition_of(self, job: JobLog, revision: int) -> tuple[Definition, Change, Change | None] | None:
        return next((span for span in job.spans() if span[0].revision == revision), None)

    def revision_of(self, row: RowState) -> Definition | None:
        """Return the definition by which a row's last request was sent; without a request, the first that fits."""
        job = self.jobs.get(row.job_id)
        if job is None:
            return None
        sent = self.arrivals.get(Attempt(row.id, row.attempt)) or self.arrivals.get(Attempt(row.id, 1))
        if sent and (span := self.definition_of(job, sent[0].revision)):
            return span[0]
        return next((definition for definition, _, _ in job.spans()), None)

    def was_disturbed(self, sender: UUID | None, start: datetime, stop: datetime) -> bool:
        """Whether the process of `sender` was stopped, stalled by a fail point or ended in that time."""
        life = self.lives_by_sender.get(sender) if sender else None
        return life is not None and not life.is_sound(start, stop)

    @cached_property
    def signs(self) -> dict[UUID, tuple[datetime, datetime]]:
        """When each sender first and last did something itself: started an attempt, or wrote what came of one."""
        found: dict[UUID, tuple[datetime, datetime]] = {}
        for history in self.histories.values():
            for before, row in pairwise([None, *history]):
                is_step = before is None or (before.status, before.attempt) != (row.status, row.attempt)
                if row.sender is not None and row.status in SIGNS and is_step and row.kind != "delete":
                    first, last = found.get(row.sender, (row.at, row.at))
                    found[row.sender] = min(first, row.at), max(last, row.at)
        return found

    def may_be_pass(self, sender: UUID | None) -> bool:
        """Whether a sender may be a process that did but one pass: it is known only from that time."""
        if sender not in self.signs or any(sender in life.senders for life in self.evidence.lives):
            return False
        first, last = self.signs[sender]
        return any(
            life.started_at <= first and (life.ended_at is None or last <= life.ended_at)
            for life in self.evidence.passes
        )


# --- Rows: one per fire time -----------------------------------------------------------------------------------------


def missing(record: Record) -> Iterator[str]:
    """Fire times without a row. Of a deleted job only those that were passed over: the rest went with it."""
    for job in record.evidence.jobs:
        rows = record.scheduled.get(job.id, [])
        possible = job.possible(record.evidence.until)
        covered = {moment for row in rows for moment in fire_times_of(row, possible)}
        due = sorted(job.due_times(record.evidence.until))
        if job.deleted:
            last = max(covered, default=None)
            due = [moment for moment in due if last is not None and moment < last]
        for moment in due:
            if moment not in covered:
                yield f"{job.name} has no row for {moment:%H:%M}"


def fire_times_of(row: RowState, possible: Iterable[datetime]) -> list[datetime]:
    """Return the fire times a row stands for: its own, or for many misses in one all those in between."""
    assert row.scheduled_for is not None
    if row.missed_from is None:
        return [row.scheduled_for]
    return [moment for moment in possible if row.missed_from <= moment <= row.scheduled_for]


def doubled_rows(record: Record) -> Iterator[str]:
    """Fire times that stand in two rows, and rows that count more or fewer misses than they stand for."""
    for job in record.evidence.jobs:
        rows = record.scheduled.get(job.id, [])
        possible = job.possible(record.evidence.until)
        times = Counter(moment for row in rows for moment in fire_times_of(row, possible))
        for moment, number in times.items():
            if number > 1:
                yield f"{job.name} has {number} rows for {moment:%H:%M}"
        due = job.due_times(record.evidence.until)
        for row in rows:
            if row.missed_from is not None:
                most, least = len(fire_times_of(row, possible)), len(fire_times_of(row, due))
                if not least <= (row.missed_count or 0) <= most:
                    yield f"{job.name}: {row.missed_count} misses in one row that stands for {least} to {most}"


def phantom(record: Record) -> Iterator[str]:
    """Rows and requests for times that no definition in force named."""
    possible = {job.id: job.possible(record.evidence.until + timedelta(hours=1)) for job in record.evidence.jobs}
    names = {job.id: job.name for job in record.evidence.jobs}
    for job_id, rows in record.scheduled.items():
        for row in rows:
            if row.scheduled_for not in possible.get(job_id, ()) and not record.was_clock_off(row.at):
                yield f"{names.get(job_id, job_id)}: {row.status} row for {row.scheduled_for}"
    for arrival in record.evidence.arrivals:
        if arrival.fire_time is None or record.was_clock_off(arrival.at):
            continue
        if arrival.fire_time not in possible.get(arrival.job_id, ()):
            yield f"{names.get(arrival.job_id, arrival.job_id)}: {arrival}"


def illegal(record: Record) -> Iterator[str]:
    """Rows that took a step they must not take: out of a final status, or by another than their sender."""
    for history in record.histories.values():
        first = history[0]
        if first.kind == "insert" and first.status not in BORN:
            yield f"row {first.id} began as {first.status}"
        for before, after in pairwise(history):
            if after.kind != "update" or before.status == after.status:
                continue
            if after.status not in FOLLOWS.get(before.status, ()):
                yield f"row {after.id} went from {before.status} to {after.status} at {after.at:%H:%M:%S}"
            elif before.status in {"running", "unknown"} and after.sender not in {before.sender, None}:
                yield f"row {after.id} was settled as {after.status} by another than its sender"


def open_rows(record: Record) -> Iterator[str]:
    """Rows that are still queued or running although there was time for all of them."""
    for row in record.finals:
        due = row.scheduled_for or row.at
        if row.status not in FINAL and row.kind != "delete" and due <= record.evidence.until:
            yield f"row {row.id} of {row.scheduled_for} is still {row.status} (attempt {row.attempt})"


def unscheduled(record: Record) -> Iterator[str]:
    """Jobs whose `next_fire_at` is not what their definition names, and broken ones that do not say so."""
    for state in record.evidence.final_jobs:
        job = record.jobs.get(state.id)
        if job is None or job.deleted:
            continue
        if job.is_broken:
            if state.next_fire_at is not None or not state.schedule_error:
                yield f"{job.name} cannot be computed, but says {state.next_fire_at} {state.schedule_error!r}"
            continue
        definition = job.changes[-1].definition
        assert definition is not None
        if job.has_ended and state.is_active:
            yield f"{job.name} has ended at {definition.ends_at}, but is active"
        if job.has_ended or not definition.is_active:
            if state.next_fire_at is not None:
                yield f"{job.name} is at rest, but due at {state.next_fire_at}"
        elif state.next_fire_at is None:
            yield f"{job.name} is active, but never due ({state.schedule_error})"
        elif not definition.names(state.next_fire_at, state.next_fire_at):
            yield f"{job.name} is due at {state.next_fire_at}, which its expression does not name"


def miscounted(record: Record) -> Iterator[str]:
    """Daily counts that are not what the history holds."""
    for row in record.evidence.counts:
        if row.in_history != row.counted:
            whose = f"job {row.job_id}" if row.job_id else "all jobs"
            yield f"{whose}: {row.in_history} {row.status} in the history, {row.counted} counted"


# --- Why: each fire time with the verdict that its causes ask for -----------------------------------------------------

# Gone for so long, or there for so long before and after, a leader certainly did not lead or did: it renews its lease
# each 5 s, and one that stands still loses it after 15 s.
GONE_FOR = timedelta(seconds=7)
THERE_FOR = timedelta(seconds=25)
TAKING_OVER = timedelta(seconds=2)
LATE_VERDICT = 10.0
BY_REASON = {
    "The job was paused": "paused",
    "An earlier execution": "skipped_overlap",
    "waiting already": "skipped_limit",
}


def wrong_verdicts(record: Record) -> Iterator[str]:
    """Fire times of which the service tells something else than what befell them, or nothing."""
    told_of: dict[UUID, dict[datetime, str]] = defaultdict(dict)
    for told in record.evidence.verdicts:
        told_of[told.job_id][told.due_at] = told.verdict
    for job_id, told_at in told_of.items():
        job = record.jobs[job_id]
        possible, covered = job.possible(record.evidence.until), set()
        for row in record.scheduled.get(job_id, []):
            for moment in fire_times_of(row, possible):
                covered.add(moment)
                if record.was_clock_off(moment):
                    continue
                right = right_verdicts(record, job, row, moment)
                if moment <= record.evidence.until - timedelta(minutes=1) and told_at.get(moment) not in right:
                    expected = " or ".join(sorted(right))
                    yield f"{job.name} at {moment:%H:%M} is told as {told_at.get(moment)}, not {expected}"
        for moment in paused_times(job, record.evidence.until) - covered:
            if told_at.get(moment) != "paused":
                yield f"{job.name} was paused at {moment:%H:%M}, but is told as {told_at.get(moment)}"


def right_verdicts(record: Record, job: JobLog, row: RowState, moment: datetime) -> set[str]:
    """Return what may be told of a fire time, by its row and by what was done to processes and jobs."""
    if row.status == "success":
        return {"retried"} if row.attempt > 1 else right_lateness(record, job, row, moment)
    if row.status == "failed":
        return {"refused"} if row.response_status and 300 <= row.response_status < 500 else {"failed"}
    if row.status == "skipped":
        said = {verdict for part, verdict in BY_REASON.items() if part in (row.reason or "")}
        return said or set(BY_REASON.values())
    if row.status == "missed":
        led = somebody_led(record, moment)
        return {None: {"missed_late", "missed_no_leader"}, True: {"missed_late"}, False: {"missed_no_leader"}}[led]
    return {row.status}


def right_lateness(record: Record, job: JobLog, row: RowState, moment: datetime) -> set[str]:
    started = record.started.get(Attempt(row.id, 1))
    if started is None:
        return {"ran", "ran_late"}
    late = (started.at - moment).total_seconds()
    spread = max(definition.spread_seconds for definition, _, _ in job.spans())
    if late < LATE_VERDICT - TOLERANCE:
        return {"ran"}
    return {"ran_late"} if late > LATE_VERDICT + spread + TOLERANCE else {"ran", "ran_late"}


def somebody_led(record: Record, moment: datetime) -> bool | None:
    """Whether there certainly was a leader at a moment, or certainly none; None where it was in the balance."""
    lease = record.lease_at(moment)
    life = record.life_of(lease.holder) if lease else None
    start, stop = moment - THERE_FOR, moment + THERE_FOR
    if life is not None and life.is_undisturbed(start, stop) and record.leads(life, start) and record.leads(life, stop):
        is_calm = not record.outage_between(start, stop) and record.evidence.stall(start, stop) < PROMPT
        return True if is_calm else None
    if life is None or record.lease_at(moment + TAKING_OVER) != lease:
        return None
    gone_at = min((at for at in (life.killed_at, life.ended_at) if at is not None), default=None)
    return False if gone_at is not None and gone_at <= moment - GONE_FOR else None


def paused_times(job: JobLog, until: datetime) -> set[datetime]:
    """Return the times that the expression names while the job certainly was paused."""
    found: set[datetime] = set()
    for definition, began, ended in job.spans():
        if not definition.is_active and (definition.ends_at is None):
            last = min(until - timedelta(minutes=1), ended.asked_at) if ended else until - timedelta(minutes=1)
            named = replace(definition, is_active=True).names(began.answered_at, last)
            found |= set(named) - {began.answered_at, last}
    return found


# --- Requests: at most one, never early, never without its row -------------------------------------------------------


def doubled_requests(record: Record) -> Iterator[str]:
    """Fire times and attempts of which two requests were accepted."""
    by_fire_time: dict[tuple[UUID, datetime], set[UUID]] = defaultdict(set)
    for arrival in record.evidence.arrivals:
        if arrival.fire_time is not None:
            by_fire_time[arrival.job_id, arrival.fire_time].add(arrival.execution_id)
    for (_, fire_time), ids in by_fire_time.items():
        if len(ids) > 1:
            yield f"{fire_time:%H:%M} was sent as {len(ids)} executions: {sorted(map(str, ids))}"
    for attempt, arrivals in record.arrivals.items():
        if len(arrivals) > 1:
            yield f"{len(arrivals)} times the {arrivals[0]}"
        most = max_attempts(record, arrivals[0])
        if most is not None and attempt.number > most:
            yield f"more than {most} attempts: {arrivals[0]}"


def max_attempts(record: Record, arrival: Arrival) -> int | None:
    """Return how many attempts a request's run may have: the most that any definition since its first allows."""
    job = record.jobs.get(arrival.job_id)
    return max((definition.max_attempts for definition, _, _ in job.spans()), default=1) if job else None


def early(record: Record) -> Iterator[str]:
    """Requests that arrived before their fire time."""
    for arrival in record.evidence.arrivals:
        if arrival.fire_time is not None and arrival.at < arrival.fire_time and not record.was_clock_off(arrival.at):
            yield f"{(arrival.fire_time - arrival.at).total_seconds():.3f} s too early: {arrival}"


def uncommitted(record: Record) -> Iterator[str]:
    """Requests that arrived before their row was committed as running."""
    for arrival in record.evidence.arrivals:
        started = record.started.get(Attempt(arrival.execution_id, arrival.attempt))
        if started is not None and started.at > arrival.at:
            yield f"started {(started.at - arrival.at).total_seconds():.3f} s after the {arrival}"
        elif arrival.seen is not None and not was_running(arrival) and not was_deleted(record, arrival):
            yield f"its row said {arrival.seen.status} at the {arrival}"


def was_running(arrival: Arrival) -> bool:
    """Whether the row that was seen had been started for this attempt, and perhaps settled since."""
    seen = arrival.seen
    assert seen is not None
    if seen.status is None or seen.attempt is None:
        return False
    return seen.attempt > arrival.attempt or (seen.attempt == arrival.attempt and seen.status != "queued")


def was_deleted(record: Record, arrival: Arrival) -> bool:
    """Whether the row was not there because the job was being deleted."""
    job = record.jobs.get(arrival.job_id)
    assert arrival.seen is not None
    return bool(job and job.deleted and job.deleted.asked_at <= arrival.seen.at)


def unrecorded(record: Record) -> Iterator[str]:
    """Requests whose row says that nothing was sent, or that have none."""
    for attempt, arrivals in record.arrivals.items():
        history = record.histories.get(attempt.execution_id)
        if history is None:
            yield f"no row for the {arrivals[0]}"
        elif history[-1].status in NEVER_SENT or attempt not in record.started:
            yield f"the row says {history[-1].status} (attempt {history[-1].attempt}) of the {arrivals[0]}"


def stale(record: Record) -> Iterator[str]:
    """Sends that started by a definition after the answer that had replaced, paused or deleted it."""
    for attempt, arrivals in record.arrivals.items():
        job, started = record.jobs.get(arrivals[0].job_id), record.started.get(attempt)
        if job is None or started is None:
            continue
        span = record.definition_of(job, arrivals[0].revision)
        if span is None:
            yield f"{job.name}: revision {arrivals[0].revision} was never its own: {arrivals[0]}"
            continue
        _, began, ended = span
        if ended is not None and started.at > ended.answered_at:
            yield f"{job.name}: {started.at - ended.answered_at} after a change was answered: {arrivals[0]}"
        if started.at < began.asked_at:
            yield f"{job.name}: {began.asked_at - started.at} before it was asked for: {arrivals[0]}"


# --- Results: what the row says is what happened ---------------------------------------------------------------------


def lying(record: Record) -> Iterator[str]:
    """Results that are not what the target saw."""
    for row in record.finals:
        arrivals = record.arrivals.get(Attempt(row.id, row.attempt), [])
        answers = {arrival.answer for arrival in arrivals}
        if row.status == "success":
            if row.response_status not in answers or not 200 <= (row.response_status or 0) < 300:
                yield f"row {row.id} says success with {row.response_status}; the target answered {answers or 'none'}"
        elif row.status == "failed" and not was_given_up(row):
            if row.response_status is not None:
                if row.response_status not in answers or 200 <= row.response_status < 300:
                    yield f"row {row.id} says {row.response_status}; the target answered {answers or 'none'}"
            elif not may_have_failed(record, row, arrivals):
                yield f"row {row.id} says {row.error_message!r}; the target answered {answers or 'none'}"


def was_given_up(row: RowState) -> bool:
    """Whether a row that waited for another attempt was settled because its job was paused."""
    return row.attempt > 1 and bool(row.reason)


def may_have_failed(record: Record, row: RowState, arrivals: list[Arrival]) -> bool:
    """Whether "no answer" can be true: the target gave none in time, or the sender was not there to read it."""
    started = record.started.get(Attempt(row.id, row.attempt))
    if started is None:
        return False
    if record.was_disturbed(row.sender, started.at, row.at):
        return True
    if not arrivals:
        says = row.error_message or ""
        return "timed out" in says.lower() or ("sender died before it was sent" in says and is_dead(record, row))
    definition = record.revision_of(row)
    timeout = timedelta(seconds=definition.timeout_seconds if definition else 3)
    answered_at = [arrival.answered_at for arrival in arrivals if arrival.answer is not None]
    return not any(moment and moment - started.at < timeout for moment in answered_at)


def is_dead(record: Record, row: RowState) -> bool:
    """Whether the sender of a row had ended by then. A web process, which sends manual runs, has no life on record."""
    life = record.lives_by_sender.get(row.sender) if row.sender else None
    return life is None or (life.ended_at is not None and life.ended_at <= row.at)


def unjustified(record: Record) -> Iterator[str]:
    """Rows that say unknown, missed or skipped and had no right to, or do not say why."""
    for row in record.finals:
        if row.status in {"unknown", "missed", "skipped"} and not row.reason:
            yield f"row {row.id} is {row.status} without a reason"
    for row in record.finals:
        if row.status == "unknown" and not sender_was_lost(record, row):
            yield f"row {row.id} is unknown, but its sender lived and had the database ({row.reason})"
    for job in record.evidence.jobs:
        for row in record.scheduled.get(job.id, []):
            if record.was_clock_off(record.histories[row.id][0].at):
                continue
            if row.status == "missed" and not may_be_missed(job, record.histories[row.id][0]):
                yield f"{job.name} missed {row.scheduled_for:%H:%M} at {row.at:%H:%M:%S} ({row.reason})"
            if row.status == "skipped" and not may_be_skipped(record, job, row):
                yield f"{job.name} skipped {row.scheduled_for:%H:%M} at {row.at:%H:%M:%S} ({row.reason})"


def forgotten(record: Record) -> Iterator[str]:
    """Runs that were given up although their job asks for another attempt after such a failure."""
    for row in record.finals:
        job, arrivals = record.jobs.get(row.job_id), record.arrivals.get(Attempt(row.id, row.attempt), [])
        if row.status != "failed" or row.kind == "delete" or job is None or not arrivals:
            continue
        least = min(definition.max_attempts for definition, _, _ in job.spans())
        may_rest = row.reason or any(state.status == "unknown" for state in record.histories[row.id])
        if row.attempt < least and arrivals[0].mode in RETRYABLE and not may_rest and not was_at_rest(job, row.at):
            yield f"row {row.id} failed at attempt {row.attempt} of {least}: {arrivals[0]}"


def was_at_rest(job: JobLog, moment: datetime) -> bool:
    """Whether a job was, or may have been, paused at that moment."""
    return any(
        not definition.is_active and began.asked_at <= moment and (ended is None or ended.answered_at >= moment)
        for definition, began, ended in job.spans()
    )


def sender_was_lost(record: Record, row: RowState) -> bool:
    """Whether the sender died, or the database was away, between the start of the attempt and the verdict.

    The verdict counts, not the fault: a process that was only stopped comes back and says what became of its request.
    An outage excuses a request that never left, because its start was committed and the answer to that was lost. One
    that did leave has an outcome, and a sender that lives on keeps it until the database is back.
    """
    attempt = Attempt(row.id, row.attempt)
    started = record.started.get(attempt)
    if started is None:
        return False
    life = record.lives_by_sender.get(row.sender) if row.sender else None
    has_left, lives_on = attempt in record.arrivals, life is not None and life.was_there(record.evidence.until)
    if record.may_be_pass(row.sender):
        # It waits for the database no longer than a drain.
        lives_on = False
    if record.outage_between(started.at - timedelta(seconds=1), row.at) and not (has_left and lives_on):
        return True
    if life is not None and not has_left and was_cut(life, started.at - timedelta(seconds=1), row.at):
        return True
    if row.trigger == "manual" and any(started.at <= moment <= row.at for moment in record.evidence.web_kills):
        return True
    return life is not None and life.ended_at is not None and started.at <= life.ended_at <= row.at


def was_cut(life: Life, start: datetime, stop: datetime) -> bool:
    """Whether a process's host was cut off from the database at some time in [start, stop]."""
    return any(since <= stop and (until is None or until >= start) for since, until in life.cuts)


def may_be_missed(job: JobLog, inserted: RowState) -> bool:
    """Whether a fire time was too late when it was claimed: by the grace time, or because a later one was due."""
    assert inserted.scheduled_for is not None
    late = inserted.at - inserted.scheduled_for
    for definition, began, ended in job.spans():
        if began.asked_at > inserted.at or (ended is not None and ended.answered_at < inserted.scheduled_for):
            continue
        if late > timedelta(seconds=definition.grace_seconds):
            return True
        if definition.catch_up == "none" and late > LEEWAY:
            return True
        later = definition.names(inserted.scheduled_for, inserted.at)
        if definition.catch_up == "latest" and any(moment > inserted.scheduled_for for moment in later):
            return True
    return False


def may_be_skipped(record: Record, job: JobLog, row: RowState) -> bool:
    """Whether a fire time had to give way: to an earlier execution, or because its job was paused or deleted."""
    assert row.scheduled_for is not None
    inserted = record.histories[row.id][0]
    pauses = (change for change in job.changes if change.definition is None or not change.definition.is_active)
    if any(change.answered_at >= row.scheduled_for and change.asked_at <= row.at for change in pauses):
        return True
    if not any(definition.overlap != "allow" for definition, _, _ in job.spans()):
        return False
    # Manual runs do not wait for others, but others wait for them.
    return any(
        history[0].job_id == job.id
        and history[0].id != row.id
        and (is_open_at(history, inserted.seq) or was_claimed_with(history[0], inserted))
        for history in record.histories.values()
    )


def was_claimed_with(first: RowState, inserted: RowState) -> bool:
    """Whether a row began as the run of an earlier fire time in the same claim, which writes first what gives way."""
    if first.scheduled_for is None or inserted.scheduled_for is None or first.status in FINAL:
        return False
    after = (first.at - inserted.at).total_seconds()
    return first.scheduled_for < inserted.scheduled_for and 0 <= after <= TOLERANCE


def is_open_at(history: list[RowState], seq: int) -> bool:
    """Whether a row was queued or running just before the audit's `seq`."""
    before = [row for row in history if row.seq < seq]
    return bool(before) and before[-1].status not in FINAL and before[-1].kind != "delete"


def overlapping(record: Record) -> Iterator[str]:
    """Runs that went beside another although their job never allowed it."""
    for job in record.evidence.jobs:
        policies = {definition.overlap for definition, _, _ in job.spans()}
        if "allow" in policies:
            continue
        going: set[UUID] = set()
        rows = sorted(row for final in record.scheduled.get(job.id, []) for row in record.histories[final.id])
        for row in rows:
            if row.status == "running" and row.kind != "delete":
                going.add(row.id)
                if len(going) > 1:
                    yield f"{job.name} ran {len(going)} at once at {row.at:%H:%M:%S}"
            else:
                going.discard(row.id)


# --- Time and processes ----------------------------------------------------------------------------------------------


class Takeover(NamedTuple):
    """How long no process led after a leader was lost, and how long that may be."""

    life: Life
    lost_at: datetime
    seconds: float
    limit: float


def takeovers(record: Record) -> Iterator[Takeover]:
    """Yield the losses of a leader in which a standby and the database were in order: those the promise is about.

    Fail points of a standby do not matter, because none of them is in the way of the lease."""
    for life in record.evidence.lives:
        for lost_at, limit in losses(life):
            lease = record.lease_at(lost_at)
            if lease is None or record.life_of(lease.holder) is not life:
                continue
            taken_at = next_term(record, lease)
            if taken_at is None and lost_at + timedelta(seconds=limit) > record.evidence.until:
                continue
            end = taken_at or record.evidence.until
            judged_until = min(end, lost_at + timedelta(seconds=limit))
            standbys = (other for other in record.evidence.lives if other is not life and not other.is_worker)
            if not any(other.is_undisturbed(lost_at - STANDING_BY, judged_until) for other in standbys):
                continue
            if record.outage_between(lost_at - AFTERMATH, judged_until):
                continue
            yield Takeover(life, lost_at, (end - lost_at).total_seconds(), limit)


def losses(life: Life) -> Iterator[tuple[datetime, float]]:
    """Yield when a process stopped leading, and by when another must lead."""
    ends = [(since, TAKEOVER_AFTER_LOSS) for since, _ in life.absences]
    if life.terminated_at is not None:
        ends.append((life.terminated_at, TAKEOVER_AFTER_SIGTERM))
    elif life.ended_at is not None:
        ends.append((life.killed_at or life.ended_at, TAKEOVER_AFTER_LOSS))
    # Killed while stopped or cut off: no process has led since then.
    for number, (moment, limit) in enumerate(sorted(ends)):
        if number == 0 or not any(
            since < moment and (until is None or until >= moment) for since, until in life.absences
        ):
            yield moment, limit


def next_lease(record: Record, lease: LeaseState) -> LeaseState | None:
    later = (other for other in record.leases if other.seq > lease.seq and other.fence > lease.fence and other.holder)
    return next(later, None)


def next_term(record: Record, lease: LeaseState) -> datetime | None:
    term = next_lease(record, lease)
    return term.at if term else None


def late_takeovers(record: Record) -> Iterator[str]:
    """Losses of a leader after which no process led in time."""
    for takeover in takeovers(record):
        end = takeover.lost_at + timedelta(seconds=takeover.seconds)
        allowed = takeover.limit + TOLERANCE + record.evidence.stall(takeover.lost_at, end)
        if takeover.seconds > allowed:
            yield f"{takeover.seconds:.1f} s after {takeover.life.instance} was lost at {takeover.lost_at:%H:%M:%S}"
    for row, seconds, limit in first_fires(record):
        if seconds > limit + TOLERANCE + record.evidence.stall(row.at - timedelta(seconds=seconds), row.at):
            yield f"{seconds:.1f} s without a leader until {row.scheduled_for:%H:%M} was claimed: row {row.id}"


def first_fires(record: Record) -> Iterator[tuple[RowState, float, float]]:
    """Yield the first rows of fire times that came without a leader, with their delay and how long that may be.

    Only where all was well with the new leader until then: to lead in time is not enough, it is to fire in time.
    """
    for takeover in takeovers(record):
        lease = record.lease_at(takeover.lost_at)
        term = next_lease(record, lease) if lease else None
        leader = record.life_of(term.holder) if term else None
        judged_until = takeover.lost_at + timedelta(seconds=takeover.limit)
        if term is None or leader is None or not leader.is_sound(term.at, judged_until):
            continue
        if record.outage_between(takeover.lost_at - AFTERMATH, judged_until):
            continue
        for history in record.histories.values():
            row = history[0]
            if row.scheduled_for is None or row.trigger != "scheduled" or row.at < term.at:
                continue
            job = record.jobs.get(row.job_id)
            if takeover.lost_at <= row.scheduled_for <= term.at and job and knows(job, takeover.lost_at):
                yield row, (row.at - takeover.lost_at).total_seconds(), takeover.limit


def knows(job: JobLog, moment: datetime) -> bool:
    """Whether a job was there at that moment."""
    return job.changes[0].answered_at <= moment


class Lateness(NamedTuple):
    """How late a fire time was dealt with: after its time, and after the last thing that was in its way.

    `what` is its first request, or its row where nothing was sent because it was too late.
    """

    what: Arrival | RowState
    moment: datetime
    seconds: float
    undisturbed: float
    was_disturbed: bool


def latenesses(record: Record) -> Iterator[Lateness]:
    """Yield the lateness of all first requests and misses that had nothing to wait for but the scheduler."""
    disturbances = sorted(disturbed_at(record))
    for arrival in record.evidence.arrivals:
        if arrival.fire_time is not None and arrival.attempt == 1:
            started = record.started.get(Attempt(arrival.execution_id, 1))
            sender = record.lives_by_sender.get(started.sender) if started and started.sender else None
            yield from lateness(record, arrival, arrival.at, arrival.fire_time, disturbances, sender)
    for row in record.finals:
        if row.status == "missed" and row.scheduled_for is not None:
            # Who is too late for a fire time because of its own idleness must not get away with calling it missed.
            yield from lateness(record, row, record.histories[row.id][0].at, row.scheduled_for, disturbances, None)


def lateness(
    record: Record,
    what: Arrival | RowState,
    moment: datetime,
    fire_time: datetime,
    disturbances: list[datetime],
    sender: Life | None,
) -> Iterator[Lateness]:
    """Yield how late `what` came at `moment`; nothing where it had to wait for an earlier run."""
    job = record.jobs.get(what.job_id)
    if job is None or any(definition.overlap == "queue" for definition, _, _ in job.spans()):
        return
    place = max(timedelta(seconds=definition.spread_seconds) for definition, _, _ in job.spans())
    ready_at = max(fire_time + place, job.changes[0].answered_at)
    index = bisect_right(disturbances, moment)
    in_the_way = [*disturbances[max(0, index - 1) : index], *(at for at in events(sender) if at <= moment)]
    last = max(in_the_way, default=ready_at)
    yield Lateness(
        what,
        moment,
        (moment - fire_time).total_seconds(),
        (moment - max(ready_at, last)).total_seconds(),
        last > fire_time - timedelta(seconds=TAKEOVER_AFTER_LOSS),
    )


def events(life: Life | None) -> Iterator[datetime]:
    """Yield what befell a process, from its start to its end."""
    if life is None:
        return
    changes = (life.started_at, life.ready_at, life.terminated_at, life.killed_at, life.ended_at)
    yield from (moment for moment in changes if moment is not None)
    yield from (moment for absence in life.absences for moment in absence if moment is not None)


def disturbed_at(record: Record) -> Iterator[datetime]:
    """Yield the instants after which the promise of a prompt start counts anew.

    What befalls a standby is no excuse while another leads, or in ten minutes of faults nothing would ever be late.
    """
    vacancies = list(vacant(record))
    for life in record.evidence.lives:
        for moment in events(life):
            if any(start <= moment <= stop for start, stop in vacancies) or record.leads(life, moment):
                yield moment
    for outage in record.evidence.outages:
        yield from (outage.start, outage.stop, outage.stop + AFTERMATH)
    for before, after in pairwise(record.leases):
        leader = record.life_of(before.holder)
        # A leader with a fail point stalls when it likes. One that lost its lease unharmed had a slow database.
        if after.fence > before.fence or (leader is not None and leader.failpoints):
            yield after.at


def vacant(record: Record) -> Iterator[tuple[datetime, datetime]]:
    """Yield the times without a leader: before the first term, and from each loss of a leader to the next term."""
    first = next((lease.at for lease in record.leases if lease.holder), record.evidence.until)
    yield min((life.started_at for life in record.evidence.lives), default=first), first
    for life in record.evidence.lives:
        for lost_at, _ in losses(life):
            lease = record.lease_at(lost_at)
            if lease is not None and record.life_of(lease.holder) is life:
                yield lost_at, next_term(record, lease) or record.evidence.until


def late_starts(record: Record) -> Iterator[str]:
    """Fire times that were dealt with long after everything was in order again."""
    for late in latenesses(record):
        stall = record.evidence.stall(late.moment - timedelta(seconds=late.undisturbed), late.moment)
        if late.undisturbed <= TAKEOVER_AFTER_LOSS + TOLERANCE + stall:
            continue
        if isinstance(late.what, RowState):
            yield f"missed {late.undisturbed:.1f} s after all was well: row {late.what.id} of {late.what.scheduled_for}"
        elif not is_stalled(record, late.what):
            yield f"{late.undisturbed:.1f} s after all was well: {late.what}"


def is_stalled(record: Record, arrival: Arrival) -> bool:
    """Whether the request was sent by a process whose fail points keep threads waiting."""
    started = record.started.get(Attempt(arrival.execution_id, arrival.attempt))
    life = record.lives_by_sender.get(started.sender) if started and started.sender else None
    if started is None or life is None or life.failpoints:
        return True
    return record.was_disturbed(started.sender, started.at, arrival.at) or not life.is_sound(arrival.at, arrival.at)


def own_ends(record: Record) -> Iterator[str]:
    """Processes that ended without a signal of the harness."""
    for life in record.evidence.lives:
        if life.ended_at is None or life.killed_at is not None or life.terminated_at is not None:
            continue
        if "kill" not in life.failpoints or life.exit_code != -9:
            yield f"{life.instance} ended by itself with {life.exit_code} at {life.ended_at:%H:%M:%S}"


def unclean_stops(record: Record) -> Iterator[str]:
    """Processes that did not end with 0 when they were told to. One that still imports simply ends."""
    for life in record.evidence.lives:
        if life.terminated_at is None or life.killed_at is not None or life.ended_at is None:
            continue
        died_on_the_way = "kill" in life.failpoints and life.exit_code == -9
        was_ready = life.ready_at is not None and life.ready_at <= life.terminated_at
        had_no_time = life.insisted_at is not None and life.exit_code == 128 + signal.SIGTERM
        if life.exit_code != 0 and was_ready and not died_on_the_way and not had_no_time:
            yield f"{life.instance} was told to stop at {life.terminated_at:%H:%M:%S} and ended with {life.exit_code}"
    for life in record.evidence.passes:
        ended_at = life.ended_at or record.evidence.until
        if life.exit_code != 0 and not record.outage_between(life.started_at - AFTERMATH, ended_at):
            yield f"{life.instance} was to do one pass at {life.started_at:%H:%M:%S} and ended with {life.exit_code}"


def left_behind(record: Record) -> Iterator[str]:
    """Processes that outlived their scheduler and all patience."""
    yield from record.evidence.left_behind


def wrong_resyncs(record: Record) -> Iterator[str]:
    """Resyncs answered by a reconcile from before the call, or not at all although a process led all the time."""
    for resync in record.evidence.resyncs:
        when = f"{resync.asked_at:%H:%M:%S}"
        if resync.ran_at is not None:
            if resync.ran_at < resync.asked_at - timedelta(seconds=TOLERANCE):
                yield f"{when}: answered by the reconcile of {resync.ran_at:%H:%M:%S}"
            continue
        start, stop = resync.asked_at - AFTERMATH, resync.answered_at
        before, after = record.lease_at(start), record.lease_at(stop)
        leader = record.life_of(before.holder) if before else None
        if before is None or after is None or leader is None or before.fence != after.fence:
            continue
        if leader.is_sound(start, stop) and not record.outage_between(start, stop):
            yield f"{when}: no answer, but {leader.instance} led"


def server_errors(record: Record) -> Iterator[str]:
    """Calls of the API that failed although the web process and the database had been there for a while.

    What must be said of a database that is away is 503, with a time to try again; 500 is never right.
    """
    ends = [*record.evidence.web_kills, *record.evidence.web_stops]
    for error in record.evidence.server_errors:
        was_ended = any(error.asked_at - AFTERMATH <= end <= error.answered_at for end in ends)
        is_excused = was_ended or record.outage_between(error.asked_at - AFTERMATH, error.answered_at)
        if error.status == 500 or not is_excused:
            yield f"{error.asked_at:%H:%M:%S} {error.text}"


class Recovery(NamedTuple):
    """How long after a fault's end a job was fired and the API answered well; None where something else intervened."""

    fault: Outage
    fire: float | None
    answer: float | None


def recoveries(record: Record) -> Iterator[Recovery]:
    evidence = record.evidence
    fires = sorted(
        (arrival.at, arrival.fire_time)
        for arrival in evidence.arrivals
        if arrival.fire_time is not None and arrival.attempt == 1 and waits_for_nothing(record, arrival.job_id)
    )
    for fault in sorted((*evidence.outages, *evidence.faults), key=lambda fault: fault.stop):
        last = fault.stop + timedelta(seconds=RECOVERY + TOLERANCE)
        others = [other for other in evidence.outages if other is not fault]
        if last > evidence.until or any(other.touches(fault.stop, last) for other in others):
            continue
        fire = answer = None
        first = next(((at, due) for at, due in fires if at >= fault.stop and at >= due), None)
        if first is not None and first[1] <= fault.stop:
            expected: datetime | None = fault.stop
        else:
            expected = first_due(record, fault.stop)
        if expected is not None:
            # Without any it is as late as the run was long.
            fired_at = first[0] if first is not None else evidence.until
            by = max(last, min(fired_at, expected + timedelta(seconds=RECOVERY + TOLERANCE)))
            lease = record.lease_at(fault.stop)
            leader = record.life_of(lease.holder) if lease else None
            is_led = leader is not None and leader.is_sound(fault.start, by)
            if is_led and by <= evidence.until and not any(other.touches(fault.stop, by) for other in others):
                fire = max(0.0, (fired_at - expected).total_seconds())
        ends = [*evidence.web_kills, *evidence.web_stops]
        if evidence.probes and not any(fault.stop - AFTERMATH <= end <= last for end in ends):
            good = (probe.answered_at for probe in evidence.probes if probe.is_good and probe.answered_at >= fault.stop)
            answer = (next(good, evidence.until) - fault.stop).total_seconds()
        yield Recovery(fault, fire, answer)


def first_due(record: Record, moment: datetime) -> datetime | None:
    """Return the first time after `moment` at which a job must fire, none that a clock set ahead brought too early."""
    arrivals = (one for one in record.evidence.arrivals if one.fire_time is not None and one.at < one.fire_time)
    early = {(one.job_id, one.fire_time) for one in arrivals}
    dues = (
        due
        for job in record.evidence.jobs
        if waits_for_nothing(record, job.id)
        for due in job.due_times(record.evidence.until)
        if due > moment and (job.id, due) not in early
    )
    return min(dues, default=None)


def waits_for_nothing(record: Record, job_id: UUID) -> bool:
    """Whether a job is fired as soon as it is due: without a place in a spread, and beside its own earlier runs."""
    job = record.jobs.get(job_id)
    return job is not None and all(not one.spread_seconds and one.overlap == "allow" for one, _, _ in job.spans())


def late_recoveries(record: Record) -> Iterator[str]:
    """Faults after whose end nothing was fired, or no call answered well, for longer than it may be."""
    for fault, fire, answer in recoveries(record):
        allowed = RECOVERY + TOLERANCE + record.evidence.stall(fault.stop, fault.stop + timedelta(seconds=RECOVERY))
        for what, seconds in (("fire", fire), ("good answer", answer)):
            if seconds is not None and seconds > allowed:
                yield f"{seconds:.1f} s from the end of {fault.what} at {fault.stop:%H:%M:%S} to the first {what}"


class Truth(NamedTuple):
    """What the target knows of an attempt whose row was left in doubt, or which was given to a second sender."""

    what: str
    requests: int
    was_answered: bool


def truths(record: Record) -> Iterator[Truth]:
    for row in record.finals:
        if row.status == "unknown" and row.kind != "delete":
            yield truth(record, "unknown", Attempt(row.id, row.attempt))
    for row_id, history in record.histories.items():
        senders = defaultdict(set)
        for row in history:
            if row.status == "running" and row.sender is not None:
                senders[row.attempt].add(row.sender)
        yield from (truth(record, "sent by another", Attempt(row_id, n)) for n, who in senders.items() if len(who) > 1)


def truth(record: Record, what: str, attempt: Attempt) -> Truth:
    arrivals = record.arrivals.get(attempt, [])
    return Truth(what, len(arrivals), any(arrival.answer is not None for arrival in arrivals))


def strangers(record: Record) -> Iterator[str]:
    """Requests that no job can have sent."""
    yield from record.evidence.strangers


CHECKS: dict[str, Callable[[Record], Iterator[str]]] = {
    "missing rows": missing,
    "doubled rows": doubled_rows,
    "doubled requests": doubled_requests,
    "early requests": early,
    "phantom fires": phantom,
    "stale sends": stale,
    "uncommitted sends": uncommitted,
    "unrecorded requests": unrecorded,
    "lying results": lying,
    "unjustified results": unjustified,
    "illegal steps of a row": illegal,
    "rows left open": open_rows,
    "overlapping runs": overlapping,
    "wrong next_fire_at": unscheduled,
    "forgotten attempts": forgotten,
    "wrong counts": miscounted,
    "wrong verdicts": wrong_verdicts,
    "late takeovers": late_takeovers,
    "late starts": late_starts,
    "late recoveries": late_recoveries,
    "processes that ended by themselves": own_ends,
    "unclean stops": unclean_stops,
    "processes left behind": left_behind,
    "failed API calls": server_errors,
    "wrong resyncs": wrong_resyncs,
    "requests of strangers": strangers,
}


# The three sums that matter most.
SUMS = {
    "lost": ("missing rows", "rows left open", "forgotten attempts", "unrecorded requests"),
    "doubled": ("doubled rows", "doubled requests"),
    "false statuses": ("lying results", "unjustified results", "wrong counts", "wrong verdicts"),
}


def check(evidence: Evidence) -> Report:
    """Return all that is wrong with a run, and its figures."""
    record = Record(evidence)
    findings = [Finding(kind, text) for kind, find in CHECKS.items() for text in find(record)]
    return Report(findings, figures(record))


def figures(record: Record) -> dict[str, str]:
    """Return how much was tried, so that zeros mean something."""
    evidence = record.evidence
    statuses = Counter(row.status for row in record.finals)
    changes = sum(len(job.changes) for job in evidence.jobs)
    ends = Counter(kind for life in evidence.lives for kind in ends_of(life, evidence.until))
    deadly = Counter(deadly_points(evidence.lives))
    found = {
        "fire times due": str(sum(len(job.due_times(evidence.until)) for job in evidence.jobs)),
        "rows": f"{len(record.finals)} ({', '.join(f'{number} {name}' for name, number in statuses.most_common())})",
        "requests": f"{len(evidence.arrivals)} ({sum(a.seen is not None for a in evidence.arrivals)} rows looked at)",
        "verdicts asked for": str(len(evidence.verdicts)),
        "jobs, changes over the API": f"{len(evidence.jobs)} ({evidence.uploaded} by CSV), {changes}",
        "processes started": f"{len(evidence.lives)} ({sum(bool(life.failpoints) for life in evidence.lives)} rigged)",
        "processes lost": ", ".join(f"{number} {name}" for name, number in ends.most_common()) or "none",
        "passes of --once": str(len(evidence.passes)),
        "senders": str(len(record.signs)),
        "killed at fail points": ", ".join(f"{number} {point}" for point, number in deadly.items()) or "none",
        "resyncs": f"{len(evidence.resyncs)} ({sum(one.ran_at is not None for one in evidence.resyncs)} answered)",
        "web workers": f"{len(evidence.web_kills)} killed, {len(evidence.web_stops)} stopped amid manual runs",
        "answers to COMMIT swallowed": str(evidence.swallowed),
        "runs and rows of the flood": str(evidence.flooded),
        "terms of leadership": str(len({lease.fence for lease in record.leases if lease.holder})),
    }
    for name, limit in (("kill or stop", TAKEOVER_AFTER_LOSS), ("SIGTERM", TAKEOVER_AFTER_SIGTERM)):
        seconds = [takeover.seconds for takeover in takeovers(record) if takeover.limit == limit]
        found[f"takeover after {name}"] = f"{len(seconds)} judged, {spread(seconds)}"
    fires = [seconds for _, seconds, _ in first_fires(record)]
    found["first fires after a loss"] = f"{len(fires)} judged, {spread(fires)}"
    # What was due before there was a process says nothing about them.
    began = min((life.started_at for life in evidence.lives), default=evidence.until)
    late = [
        one
        for one in latenesses(record)
        if isinstance(one.what, Arrival)
        and one.moment - timedelta(seconds=one.seconds) > began
        and not record.was_clock_off(one.moment)
    ]
    found["lateness, nothing in the way"] = spread([one.seconds for one in late if not one.was_disturbed])
    found["lateness after what disturbed"] = spread([max(0.0, one.undisturbed) for one in late])
    found["lateness, all"] = spread([one.seconds for one in late])
    floods = [fault for fault in evidence.faults if fault.what == "flood"]
    amid = [one for one in late if any(flood.touches(one.moment, one.moment) for flood in floods)]
    honest = [max(0.0, one.undisturbed) for one in amid if not is_flooders(record, one.what)]
    found["lateness of others amid a flood"] = spread(honest)
    found |= target_truths(record) | recovery_figures(record)
    found["machine's worst stall"] = f"{max(evidence.stalls.values(), default=0.0):.2f} s"
    return found


def is_flooders(record: Record, what: Arrival | RowState) -> bool:
    return record.jobs[what.job_id].name.startswith("Job of ")


def target_truths(record: Record) -> dict[str, str]:
    """Return what the target knows of all that was left in doubt, and of all that was sent by a second sender."""
    found = {}
    for what in ("unknown", "sent by another"):
        told = Counter((one.requests, one.was_answered) for one in truths(record) if one.what == what)
        parts = {
            "never arrived": told[0, False],
            "arrived, unanswered": sum(n for (requests, answered), n in told.items() if requests == 1 and not answered),
            "arrived and answered": sum(n for (requests, answered), n in told.items() if requests == 1 and answered),
            "arrived twice": sum(n for (requests, _), n in told.items() if requests > 1),
        }
        found[f"target on: {what}"] = ", ".join(f"{number} {part}" for part, number in parts.items())
    return found


def recovery_figures(record: Record) -> dict[str, str]:
    """Return for each kind of fault how many there were and the longest ways back to a fire and to a good answer."""
    ways = list(recoveries(record))
    found = {}
    for what in sorted({fault.what for fault in (*record.evidence.outages, *record.evidence.faults)}):
        number = sum(fault.what == what for fault in (*record.evidence.outages, *record.evidence.faults))
        parts = [f"{number}"]
        for name, place in (("first fire", 1), ("good answer", 2)):
            seconds = [way[place] for way in ways if way.fault.what == what and way[place] is not None]
            parts.append(f"{name} {max(seconds):.1f} s" if seconds else f"{name} not judged")
        found[f"fault: {what}"] = ", ".join(parts)
    return found


def ends_of(life: Life, until: datetime) -> Iterator[str]:
    yield from ("stopped" for _ in life.stops)
    yield from ("cut off" for _ in life.cuts)
    if life.terminated_at is not None and life.terminated_at <= until:
        yield "terminated twice" if life.insisted_at is not None else "terminated"
    elif life.killed_at is not None:
        yield "killed"
    elif life.terminated_at is None and life.ended_at is not None:
        yield "killed at a fail point" if life.failpoints else "ended by itself"


def deadly_points(lives: Iterable[Life]) -> Iterator[str]:
    """Yield the fail points at which processes died."""
    for life in lives:
        if "kill" in life.failpoints and life.killed_at is None and life.exit_code == -signal.SIGKILL:
            yield life.failpoints.partition("=")[0]


def spread(seconds: list[float]) -> str:
    """Return median, 99th percentile and maximum of a list of seconds."""
    if not seconds:
        return "none"
    ordered = sorted(seconds)
    p50, p99 = (ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.99))
    return f"p50 {p50:.2f} s, p99 {p99:.2f} s, max {ordered[-1]:.2f} s"
