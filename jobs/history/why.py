"""Why a job ran, or did not, at each time that its expression named (beyond.md, section 4).

Pure: plain facts in, one verdict per time out; no clock, no database. `why_facts` reads the facts, `why_words` makes
sentences of the verdicts.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from audit.terms import Gap
from jobs import cron
from jobs.calendar import end_of
from jobs.history import reasons
from jobs.models import Status

# A start more than this after its time (and the job's spread) is late; a change of leader after SIGTERM takes less.
LATE_AFTER = timedelta(seconds=10)
# A leader that stops right after a renewal has not claimed what came due in between.
LAST_PASS = timedelta(seconds=2)
TICK = timedelta(microseconds=1)
MINUTE = timedelta(minutes=1)
PRUNED = "No execution of it is on record: it was deleted, or is older than executions are kept."


class Verdict(StrEnum):
    RAN = "ran"
    RAN_LATE = "ran_late"
    RETRIED = "retried"
    FAILED = "failed"
    RUN_FAILED = "run_failed"
    RUNNING = "running"
    WAITING = "waiting"
    MISSED_NO_LEADER = "missed_no_leader"
    MISSED_LATE = "missed_late"
    SKIPPED_OVERLAP = "skipped_overlap"
    SKIPPED_LIMIT = "skipped_limit"
    PAUSED = "paused"
    FROZEN = "frozen"
    ENDED = "ended"
    UNSCHEDULABLE = "unschedulable"
    NOT_CREATED_YET = "not_created_yet"
    OTHER_SCHEDULE = "other_schedule"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    UPCOMING = "upcoming"
    # Of a single time that was asked for.
    NOT_DUE = "not_due"


# --- The facts -------------------------------------------------------------------------------------------------------


class Definition(NamedTuple):
    """What the job's definition said from `since` on, and who had brought that about."""

    since: datetime
    cron_expression: str
    zone_name: str
    end_date: date
    is_active: bool = True
    spread_seconds: int = 0
    by: str = ""
    reason: str = ""

    @property
    def schedule(self) -> tuple[str, str]:
        return self.cron_expression, self.zone_name


class Hold(NamedTuple):
    """A time in which nothing was to run: a pause or a freeze. `end` None: it has none yet."""

    verdict: Verdict
    start: datetime
    end: datetime | None
    by: str = ""
    reason: str = ""

    def covers(self, due_at: datetime) -> bool:
        return self.start <= due_at and (self.end is None or due_at <= self.end)


class Run(NamedTuple):
    """The execution of a fire time; with `missed_from`, of all fire times from that one on."""

    scheduled_for: datetime
    status: str
    attempt: int = 1
    response_status: int | None = None
    started_at: datetime | None = None
    reason: str | None = None
    missed_from: datetime | None = None

    @property
    def lateness(self) -> timedelta | None:
        if self.started_at is None or self.status in (Status.QUEUED, Status.MISSED, Status.SKIPPED):
            return None
        return self.started_at - self.scheduled_for


_MISSED_FROM = Run._fields.index("missed_from")


@dataclass(frozen=True)
class Facts:
    """All that is known of a job in the time asked about.

    `definitions` are the oldest first: the first holds for all time before the second, the last is today's. `runs` are
    rows in the order of `Run._fields`: of a month there are too many to make a `Run` of each. `conclusions` are those
    of GitHub runs that did not end well, blank for one that goes on. `next_fire_at` is the first fire time that no
    scheduler has dealt with.
    """

    now: datetime
    created_at: datetime
    definitions: Sequence[Definition]
    end_zone: ZoneInfo
    created_by: str = ""
    runs: Sequence[tuple[Any, ...]] = ()
    conclusions: Mapping[datetime, str] = field(default_factory=dict)
    holds: Sequence[Hold] = ()
    gaps: Sequence[Gap] = ()
    next_fire_at: datetime | None = None
    schedule_error: str = ""
    grace_seconds: int = 3600

    @property
    def today(self) -> Definition:
        return self.definitions[-1]

    @cached_property
    def by_time(self) -> Mapping[datetime, tuple[Any, ...]]:
        return {row[0]: row for row in self.runs}

    @cached_property
    def collapsed(self) -> Sequence[Run]:
        """The rows that stand for many missed fire times, oldest first."""
        return sorted(Run._make(row) for row in self.runs if row[_MISSED_FROM] is not None)

    def run_of(self, due_at: datetime) -> Run | None:
        """Return the execution of a fire time: its own, or the row that stands for many missed ones."""
        if (row := self.by_time.get(due_at)) is not None:
            return Run._make(row)
        place = bisect_right(self.collapsed, due_at, key=lambda run: run.scheduled_for)
        run = self.collapsed[place] if place < len(self.collapsed) else None
        return run if run is not None and run.missed_from is not None and run.missed_from <= due_at else None


# --- What comes of them ----------------------------------------------------------------------------------------------


class Finding(NamedTuple):
    """Why it ran, or did not, at `due_at`.

    `by`, `since`, `until` and `reason` describe the cause: who paused and since when, or how long no leader ran.
    `other` are the due times before and after one that is `not_due`.
    """

    due_at: datetime
    verdict: Verdict
    by: str = ""
    since: datetime | None = None
    until: datetime | None = None
    reason: str = ""
    run: Run | None = None
    definition: Definition | None = None
    other: tuple[datetime | None, datetime | None] = (None, None)


class Answer(NamedTuple):
    """`counts` cover all named times; `findings` are the newest of them, newest first."""

    counts: Mapping[Verdict, int]
    findings: Sequence[Finding]

    @property
    def is_truncated(self) -> bool:
        return sum(self.counts.values()) > len(self.findings)


class Named(NamedTuple):
    """A time that the definition of `then` named, or today's, or both."""

    due_at: datetime
    definition: Definition
    then: bool
    today: bool


class Stretch(NamedTuple):
    """The named times of one definition's span, ascending. `then` and `today` None: each was named by both."""

    definition: Definition
    times: Sequence[datetime]
    then: Set[datetime] | None = None
    today: Set[datetime] | None = None

    def named(self, due_at: datetime) -> Named:
        then = self.then is None or due_at in self.then
        return Named(due_at, self.definition, then, self.today is None or due_at in self.today)


def why(facts: Facts, *, start: datetime, end: datetime, limit: int) -> Answer:
    """Return the verdict on each time from `start` on and before `end` that an expression named."""
    stretches = list(named_times(facts, start=start, end=end))
    counts: Counter[Verdict] = Counter()
    for stretch in stretches:
        counts.update(_counted(facts, stretch))
    newest = ((stretch, due_at) for stretch in reversed(stretches) for due_at in reversed(stretch.times))
    return Answer(counts, [_judged(facts, stretch.named(due_at)) for stretch, due_at in islice(newest, limit)])


def _counted(facts: Facts, stretch: Stretch) -> Counter[Verdict]:
    """Count the verdicts. Rows that can be judged by their own columns are judged once per kind."""
    rows, conclusions = facts.by_time, facts.conclusions
    allowed = _allowed(stretch.definition)
    numbers: dict[Kind, int] = {}
    others = []
    for due_at in stretch.times:
        row = rows.get(due_at)
        if row is None or due_at in conclusions:
            others.append(due_at)
            continue
        _, status, attempt, answer, started_at, *_rest = row
        kind = status, attempt > 1, answer, started_at is not None and started_at - due_at > allowed
        numbers[kind] = numbers.get(kind, 0) + 1
    verdicts = {kind: _by_itself(kind) for kind in numbers}
    counts = Counter[Verdict]()
    for kind, verdict in verdicts.items():
        if verdict is not None:
            counts[verdict] += numbers[kind]
    if None in verdicts.values():
        others += [at for at in stretch.times if at in rows and rows[at][1] in NEED_MORE and at not in conclusions]
    counts.update([_judged(facts, stretch.named(due_at)).verdict for due_at in others])
    return counts


def why_at(facts: Facts, moment: datetime) -> Finding:
    """Return the verdict on the minute of `moment`; `not_due` where no expression named it."""
    due_at = moment.replace(second=0, microsecond=0)
    for stretch in named_times(facts, start=due_at, end=due_at + MINUTE):
        if stretch.times:
            return _judged(facts, stretch.named(due_at))
    definition = next(span[0] for span in _spans(facts) if span[2] is None or due_at <= span[2])
    try:
        before = cron.previous_fire_time(*definition.schedule, at=due_at)
        after = cron.next_fire_time(*definition.schedule, after=due_at)
    except (cron.CronError, cron.ZoneError) as error:
        return Finding(due_at, Verdict.UNSCHEDULABLE, reason=str(error), definition=definition)
    return Finding(due_at, Verdict.NOT_DUE, definition=definition, other=(before, after))


def uncomputable(facts: Facts) -> str:
    """Return why no fire time can be computed from today's definition, blank where they can."""
    try:
        cron.next_fire_time(*facts.today.schedule, after=facts.now)
    except (cron.CronError, cron.ZoneError) as error:
        return str(error)
    return ""


# --- Named times -----------------------------------------------------------------------------------------------------


def named_times(facts: Facts, *, start: datetime, end: datetime) -> Iterator[Stretch]:
    """Yield the times from `start` on and before `end` that the definition in force named, or that today's names."""
    for definition, since, until in _spans(facts):
        after = max(start - TICK, since) if since else start - TICK
        last = min(end - TICK, until) if until else end - TICK
        if after >= last:
            continue
        then = _times(definition, after, last)
        if definition.schedule == facts.today.schedule:
            yield Stretch(definition, then)
        else:
            today = _times(facts.today, after, last)
            yield Stretch(definition, sorted({*then, *today}), frozenset(then), frozenset(today))


def _spans(facts: Facts) -> Iterator[tuple[Definition, datetime | None, datetime | None]]:
    """Yield each definition with the instant after which it held and the last at which it did."""
    changes = [definition.since for definition in facts.definitions[1:]]
    yield from zip(facts.definitions, [None, *changes], [*changes, None], strict=True)


def _times(definition: Definition, after: datetime, until: datetime) -> Sequence[datetime]:
    try:
        return list(cron.fire_times_between(*definition.schedule, after=after, until=until))
    except (cron.CronError, cron.ZoneError):
        return []


# --- Verdicts --------------------------------------------------------------------------------------------------------


# The columns by which a row can be judged alone: status, further attempt, answer, lateness.
Kind = tuple[str, bool, int | None, bool]
# Rows of these statuses need further facts.
NEED_MORE = frozenset({Status.MISSED.value, Status.SKIPPED.value})


def _by_itself(kind: Kind) -> Verdict | None:
    """Return the verdict on a row of that kind; None where more has to be known."""
    status, is_retry, answer, is_late = kind
    if status in NEED_MORE:
        return None
    if status == Status.SUCCESS:
        return Verdict.RETRIED if is_retry else Verdict.RAN_LATE if is_late else Verdict.RAN
    if status == Status.FAILED:
        return Verdict.REFUSED if answer is not None and 300 <= answer < 500 else Verdict.FAILED
    return {Status.QUEUED: Verdict.WAITING, Status.RUNNING: Verdict.RUNNING}.get(Status(status), Verdict.UNKNOWN)


def _allowed(definition: Definition) -> timedelta:
    """Return how late a run may start without being late."""
    return LATE_AFTER + timedelta(seconds=definition.spread_seconds)


def _judged(facts: Facts, named: Named) -> Finding:
    run = facts.run_of(named.due_at)
    found = _without_run(facts, named) if run is None else _with_run(facts, named, run)
    return found._replace(definition=named.definition)


def _with_run(facts: Facts, named: Named, run: Run) -> Finding:
    late = run.lateness
    is_late = late is not None and late > _allowed(named.definition)
    verdict = _by_itself((run.status, run.attempt > 1, run.response_status, is_late))
    if verdict is None:
        return (_missed if run.status == Status.MISSED else _skipped)(facts, named, run)
    found = Finding(named.due_at, verdict, reason=run.reason or "", run=run)
    conclusion = facts.conclusions.get(run.scheduled_for) if run.status in (Status.SUCCESS, Status.UNKNOWN) else None
    if conclusion:
        return found._replace(verdict=Verdict.RUN_FAILED, reason=conclusion)
    if conclusion == "" and run.status == Status.SUCCESS:
        return found._replace(verdict=Verdict.RUNNING)
    return _because_of(gap_at(facts.gaps, named.due_at), found) if verdict == Verdict.RAN_LATE else found


def _missed(facts: Facts, named: Named, run: Run) -> Finding:
    found = Finding(named.due_at, Verdict.MISSED_LATE, reason=run.reason or "", run=run)
    gap = gap_at(facts.gaps, named.due_at)
    return found if gap is None else _because_of(gap, found._replace(verdict=Verdict.MISSED_NO_LEADER))


def _skipped(facts: Facts, named: Named, run: Run) -> Finding:
    reason = run.reason or ""
    found = Finding(named.due_at, Verdict.UNKNOWN, reason=reason, run=run)
    if reason == reasons.PAUSED:
        # It was due and waited when the job was paused.
        holds = (hold for hold in facts.holds if hold.end is None or hold.end >= named.due_at)
        hold = min(holds, key=lambda hold: hold.start, default=None)
        return found._replace(verdict=Verdict.PAUSED) if hold is None else _held(found, hold)
    if reason == reasons.STILL_GOING:
        return found._replace(verdict=Verdict.SKIPPED_OVERLAP)
    return found._replace(verdict=Verdict.SKIPPED_LIMIT) if reasons.is_too_many_waiting(reason) else found


def _without_run(facts: Facts, named: Named) -> Finding:
    """Return the verdict on a time without an execution: the first cause that explains it."""
    due_at, definition = named.due_at, named.definition
    found = Finding(due_at, Verdict.UNKNOWN, reason=PRUNED)
    if due_at <= facts.created_at:
        return Finding(due_at, Verdict.NOT_CREATED_YET, facts.created_by, facts.created_at)
    if not named.then:
        return _edited(facts, named)
    ends_at = end_of(definition.end_date, facts.end_zone)
    if due_at >= ends_at:
        return Finding(due_at, Verdict.ENDED, since=ends_at)
    if hold := next((hold for hold in facts.holds if hold.covers(due_at)), None):
        return _held(found, hold)
    if not definition.is_active:
        paused = _deactivated(facts, definition)
        return Finding(due_at, Verdict.PAUSED, paused.by, paused.since, reason=paused.reason)
    if facts.schedule_error and definition.schedule == facts.today.schedule:
        return Finding(due_at, Verdict.UNSCHEDULABLE, reason=facts.schedule_error)
    if due_at > facts.now:
        return Finding(due_at, Verdict.UPCOMING)
    return _not_dealt_with(facts, named, found)


def _not_dealt_with(facts: Facts, named: Named, found: Finding) -> Finding:
    """Return the verdict on a past time that should have run and has no execution."""
    is_unclaimed = facts.next_fire_at is not None and facts.next_fire_at <= named.due_at
    gap = gap_at(facts.gaps, named.due_at)
    if is_unclaimed and facts.now - named.due_at <= timedelta(seconds=facts.grace_seconds):
        return _because_of(gap, Finding(named.due_at, Verdict.WAITING))
    if gap is not None:
        return _because_of(gap, Finding(named.due_at, Verdict.MISSED_NO_LEADER))
    if is_unclaimed:
        return Finding(named.due_at, Verdict.WAITING)
    return found if named.today else _edited(facts, named)


def _edited(facts: Facts, named: Named) -> Finding:
    """Return who changed the schedule, where only the one of then or only today's names the time."""
    later = [definition for definition in facts.definitions if definition.since > named.definition.since]
    changed = next((one for one in later if one.schedule != named.definition.schedule), facts.today)
    if not named.then:
        changed = next((one for one in later if one.schedule == facts.today.schedule), changed)
    return Finding(named.due_at, Verdict.OTHER_SCHEDULE, changed.by, changed.since, reason=changed.reason)


def _deactivated(facts: Facts, inactive: Definition) -> Definition:
    """Return the definition that took the job off: the first of those at rest up to `inactive`."""
    found = inactive
    for definition in reversed(facts.definitions[: facts.definitions.index(inactive)]):
        if definition.is_active:
            break
        found = definition
    return found


def _held(found: Finding, hold: Hold) -> Finding:
    return found._replace(verdict=hold.verdict, by=hold.by, since=hold.start, until=hold.end, reason=hold.reason)


def _because_of(gap: Gap | None, found: Finding) -> Finding:
    return found if gap is None else found._replace(since=gap.start, until=gap.end, reason=gap.reason)


def gap_at(gaps: Sequence[Gap], due_at: datetime) -> Gap | None:
    """Return the one of `gaps`, oldest first, that holds a fire time; None where a leader ran."""
    place = bisect_right(gaps, due_at + LAST_PASS, key=lambda gap: gap.start)
    gap = gaps[place - 1] if place else None
    return gap if gap is not None and (gap.end is None or due_at < gap.end) else None
