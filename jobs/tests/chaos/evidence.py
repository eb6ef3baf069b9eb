"""What a run leaves behind, as plain values: what was asked of jobs, what arrived, what rows said, what befell whom."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from jobs.tests.cron.oracles import Minutes, fire_times_by_brute_force

MINUTE = timedelta(minutes=1)


class Mode(StrEnum):
    """How the target answers; part of a job's URL."""

    OK = "ok"
    SLOW = "slow"
    ERROR = "error"
    REFUSAL = "refusal"
    FLAKY = "flaky"
    RESET = "reset"
    HANG = "hang"
    DRIP = "drip"


# --- Jobs ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Definition:
    """What a job says between two changes. The revision travels in its URL, so that each request names it."""

    revision: int
    expression: str
    zone: str
    mode: Mode = Mode.OK
    is_active: bool = True
    catch_up: str = "latest"
    overlap: str = "allow"
    grace_seconds: int = 3600
    timeout_seconds: int = 3
    max_attempts: int = 1
    spread_seconds: int = 0
    # The first instant after the end date, where that comes within the run.
    ends_at: datetime | None = None

    def names(self, start: datetime, stop: datetime) -> list[datetime]:
        """Return the fire times in [start, stop], whole minutes by the oracle; none while paused or after the end."""
        if not self.is_active:
            return []
        named = _named(self.expression, self.zone, *_hours(start, stop))
        return [moment for moment in named if start <= moment <= stop and (not self.ends_at or moment < self.ends_at)]


def _hours(start: datetime, stop: datetime) -> tuple[datetime, datetime]:
    """Round outwards, so that few stretches of time are asked about and each is answered once."""
    hour = timedelta(hours=1)
    first = start.replace(minute=0, second=0, microsecond=0)
    return first, stop.replace(minute=0, second=0, microsecond=0) + hour


@cache
def _minutes(zone: str, start: datetime, stop: datetime) -> Minutes:
    return Minutes(ZoneInfo(zone), start, stop)


@cache
def _named(expression: str, zone: str, start: datetime, stop: datetime) -> tuple[datetime, ...]:
    return tuple(fire_times_by_brute_force(expression, _minutes(zone, start, stop)))


@dataclass(frozen=True)
class Change:
    """One change of a job that took effect somewhere between question and answer. Without a definition: its end."""

    definition: Definition | None
    asked_at: datetime
    answered_at: datetime


@dataclass
class JobLog:
    """All that was done to one job, in order. A `broken` one was spoilt in the database and nothing is due of it."""

    id: UUID
    name: str
    changes: list[Change]
    is_broken: bool = False

    @property
    def has_ended(self) -> bool:
        """Whether its end date has passed, so that it may not be changed any more."""
        definition = self.changes[-1].definition
        return definition is not None and definition.ends_at is not None

    @property
    def deleted(self) -> Change | None:
        last = self.changes[-1]
        return last if last.definition is None else None

    def spans(self) -> Iterator[tuple[Definition, Change, Change | None]]:
        """Yield each definition with the change that brought it and the one that took it away."""
        for change, following in zip(self.changes, [*self.changes[1:], None], strict=True):
            if change.definition is not None:
                yield change.definition, change, following

    def due_times(self, until: datetime) -> dict[datetime, Definition]:
        """Return the fire times that must have a row: named by a definition that certainly held then."""
        found: dict[datetime, Definition] = {}
        for definition, began, ended in self._spans_that_owe():
            last = min(until, ended.asked_at) if ended else until
            found |= dict.fromkeys(definition.names(began.answered_at, last), definition)
            found.pop(began.answered_at, None)
        return found

    def possible(self, until: datetime) -> set[datetime]:
        """Return the fire times that may have a row: named by a definition that held or was just coming or going."""
        return {
            moment
            for definition, began, ended in self._spans_that_owe()
            for moment in definition.names(began.asked_at, min(until, ended.answered_at) if ended else until)
        }

    def _spans_that_owe(self) -> Iterator[tuple[Definition, Change, Change | None]]:
        return iter(()) if self.is_broken else self.spans()


# --- Requests --------------------------------------------------------------------------------------------------------


class Seen(NamedTuple):
    """What the row of a request said just after the request arrived. Without a status there was no row."""

    at: datetime
    status: str | None
    attempt: int | None


@dataclass
class Arrival:
    """One request as the target received it. `answer` is the status, once all of the answer was written."""

    at: datetime
    execution_id: UUID
    job_id: UUID
    attempt: int
    fire_time: datetime | None
    revision: int
    mode: Mode
    answer: int | None = None
    answered_at: datetime | None = None
    seen: Seen | None = None

    def __str__(self) -> str:
        fire_time = f"{self.fire_time:%H:%M}" if self.fire_time else "manual"
        return f"request of {self.execution_id} ({fire_time}, attempt {self.attempt}) at {self.at:%H:%M:%S.%f}"


# --- Rows, from the audit --------------------------------------------------------------------------------------------


class RowState(NamedTuple):
    """An execution's row as one statement left it. `seq` orders all that the audit saw."""

    seq: int
    at: datetime
    kind: str
    id: UUID
    job_id: UUID
    status: str
    trigger: str = "scheduled"
    scheduled_for: datetime | None = None
    attempt: int = 1
    sender: UUID | None = None
    reason: str | None = None
    missed_from: datetime | None = None
    missed_count: int | None = None
    response_status: int | None = None
    error_message: str | None = None


class LeaseState(NamedTuple):
    """The lease's row as one statement left it. A blank holder: no process leads."""

    seq: int
    at: datetime
    holder: str
    fence: int


class JobState(NamedTuple):
    """A job's row at the end of the run."""

    id: UUID
    is_active: bool
    next_fire_at: datetime | None
    schedule_error: str


class CountRow(NamedTuple):
    """How many settled executions of a status a job has, in the history and by the daily counts. No job: all jobs."""

    job_id: UUID | None
    status: str
    in_history: int
    counted: int


class WhyVerdict(NamedTuple):
    """What the service says of one fire time of a job, asked when all is over."""

    job_id: UUID
    due_at: datetime
    verdict: str


# --- Processes and the database --------------------------------------------------------------------------------------


@dataclass
class Life:
    """One scheduler process from start to end, and what the harness did to it."""

    instance: str
    started_at: datetime
    failpoints: str = ""
    # When it had imported everything and stood by for the first time.
    ready_at: datetime | None = None
    terminated_at: datetime | None = None
    # When it was told for the second time, amid its drain.
    insisted_at: datetime | None = None
    killed_at: datetime | None = None
    ended_at: datetime | None = None
    exit_code: int | None = None
    # The tokens by which it sends, as its journals name them.
    senders: set[UUID] = field(default_factory=set)
    # The second instant is None while it is still stopped.
    stops: list[tuple[datetime, datetime | None]] = field(default_factory=list)
    # When its host was cut off from the database.
    cuts: list[tuple[datetime, datetime | None]] = field(default_factory=list)
    # A Celery worker: it sends, and never leads.
    is_worker: bool = False

    @property
    def absences(self) -> list[tuple[datetime, datetime | None]]:
        """When it could do nothing in the database, by stops and by cuts."""
        return [*self.stops, *self.cuts]

    @property
    def lost_at(self) -> datetime | None:
        """When it ended or was told to."""
        moments = [moment for moment in (self.terminated_at, self.killed_at, self.ended_at) if moment is not None]
        return min(moments, default=None)

    def was_there(self, moment: datetime) -> bool:
        """Whether it had not ended, nor been told to, at that moment."""
        return self.lost_at is None or self.lost_at > moment

    def is_undisturbed(self, start: datetime, stop: datetime) -> bool:
        """Whether it stood by, led or worked all through [start, stop], with nothing done to it."""
        if self.ready_at is None or self.ready_at > start or (self.lost_at is not None and self.lost_at <= stop):
            return False
        return not any(since <= stop and (until is None or until >= start) for since, until in self.absences)

    def is_sound(self, start: datetime, stop: datetime) -> bool:
        """Whether it was undisturbed and as shipped: one with fail points sends and records when it likes."""
        return not self.failpoints and self.is_undisturbed(start, stop)


class Outage(NamedTuple):
    """A time in which something was amiss, usually with the database."""

    what: str
    start: datetime
    stop: datetime

    def touches(self, start: datetime, stop: datetime) -> bool:
        return self.start <= stop and self.stop >= start


class ServerError(NamedTuple):
    """A call of the API that was answered by 500 or worse, or not at all."""

    asked_at: datetime
    answered_at: datetime
    text: str
    # None where there was no answer.
    status: int | None = None


class Probe(NamedTuple):
    """A small change asked for over and over, to see from when on the API answers well again."""

    asked_at: datetime
    answered_at: datetime
    is_good: bool


class Resync(NamedTuple):
    """A call for a reconcile. `ran_at` is when the one began whose summary was the answer; None: no answer."""

    asked_at: datetime
    answered_at: datetime
    ran_at: datetime | None


@dataclass
class Evidence:
    """All of a run. What was due until `until` must be settled; the processes got time for that."""

    until: datetime
    jobs: Sequence[JobLog] = ()
    arrivals: Sequence[Arrival] = ()
    rows: Sequence[RowState] = ()
    leases: Sequence[LeaseState] = ()
    final_jobs: Sequence[JobState] = ()
    counts: Sequence[CountRow] = ()
    verdicts: Sequence[WhyVerdict] = ()
    lives: Sequence[Life] = ()
    # Processes that were to do one pass and end.
    passes: Sequence[Life] = ()
    # Processes that were still there when all had been told to end.
    left_behind: Sequence[str] = ()
    # How many jobs came by CSV files.
    uploaded: int = 0
    # While these went on, and for a while after, the database may have failed anybody.
    outages: Sequence[Outage] = ()
    # These are no excuse for anything.
    faults: Sequence[Outage] = ()
    probes: Sequence[Probe] = ()
    # Answers to a COMMIT that the proxy swallowed.
    swallowed: int = 0
    # How many manual runs and rows of files one owner asked for at once.
    flooded: int = 0
    # Web workers that were told to end.
    web_stops: Sequence[datetime] = ()
    web_kills: Sequence[datetime] = ()
    server_errors: Sequence[ServerError] = ()
    resyncs: Sequence[Resync] = ()
    # Requests that reached the target without the headers of a job.
    strangers: Sequence[str] = ()
    # How long the machine let the harness itself wait for a processor at worst, by the minute.
    stalls: dict[datetime, float] = field(default_factory=dict)

    def stall(self, start: datetime, stop: datetime) -> float:
        """Return the worst wait for a processor in seconds in the minutes of [start, stop]."""
        return max(
            (seconds for minute, seconds in self.stalls.items() if start - MINUTE <= minute <= stop), default=0.0
        )


def at(text: str) -> datetime:
    """Read an instant of the audit: ISO, in UTC where it does not say."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
