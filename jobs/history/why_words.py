"""Verdicts as sentences, with times as the job's own clock shows them."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from audit.terms import Gap
from jobs import cron
from jobs.history.why import Finding, Verdict, gap_at

WAITS = "It is due; the scheduler has not started it yet."
QUEUED = "It is queued and starts as soon as there is a place in flight for it."


class Clock(NamedTuple):
    """Writes instants on one day; the date is named only where it is another."""

    zone: ZoneInfo
    day: datetime

    def at(self, moment: datetime, *, seconds: bool = False) -> str:
        local = moment.astimezone(self.zone)
        is_same_day = local.date() == self.day.astimezone(self.zone).date()
        return f"{local:{'' if is_same_day else '%Y-%m-%d '}%H:%M{':%S' if seconds else ''}}"

    def between(self, start: datetime, end: datetime) -> str:
        is_short = end - start < timedelta(minutes=1)
        return f"from {self.at(start, seconds=is_short)} to {self.at(end, seconds=is_short)}"


def sentence(found: Finding, zone: ZoneInfo, *, error: str = "") -> str:
    """Return a sentence or two on the outcome of a fire time and its cause. `error` is the execution's error."""
    return _SENTENCES[found.verdict](found, Clock(zone, found.due_at), error)


def no_scheduler(gap: Gap, clock: Clock) -> str:
    """Return the sentence that says when no scheduler was running."""
    if gap.end is None:
        return f"No scheduler has been running since {clock.at(gap.start)}."
    return f"No scheduler was running {clock.between(gap.start, gap.end)}."


def missed(gaps: list[Gap], first: datetime, last: datetime, zone: ZoneInfo, *, otherwise: str) -> str:
    """Return why the fire times from `first` to `last` were missed, for notices."""
    covering = [gap_at(gaps, moment) for moment in (first, last)]
    if None in covering:
        return otherwise
    clock = Clock(zone, last)
    if first == last:
        return f"No scheduler was running at {clock.at(last)}."
    return " ".join(dict.fromkeys(no_scheduler(gap, clock) for gap in covering if gap is not None))


# --- One function a verdict ------------------------------------------------------------------------------------------

Say = Callable[[Finding, Clock, str], str]


def _ran(found: Finding, clock: Clock, error: str) -> str:
    return f"It ran{_at_seconds(found, clock)}{_answered(found)}."


def _ran_late(found: Finding, clock: Clock, error: str) -> str:
    late = found.run.lateness if found.run else None
    text = f"It ran {_span(late or timedelta())} late{_at_seconds(found, clock)}{_answered(found)}."
    return f"{text} {_leaderless(found, clock)}" if found.since else text


def _retried(found: Finding, clock: Clock, error: str) -> str:
    return f"It ran, at attempt {_attempts(found)}{_answered(found)}. The first was made{_at_seconds(found, clock)}."


def _failed(found: Finding, clock: Clock, error: str) -> str:
    attempts = _attempts(found)
    after = f" after {attempts} attempts" if attempts > 1 else ""
    answer = found.run.response_status if found.run else None
    if answer is None:
        return f"It failed{after}: {_told(error or found.reason, 'no reason is on record')}"
    if 200 <= answer < 300:
        return f"The target answered {answer}{after}, but not as the job expects: {_told(error, 'see the execution')}"
    return f"The target answered {answer}{after}."


def _refused(found: Finding, clock: Clock, error: str) -> str:
    attempts = _attempts(found)
    after = f" after {attempts} attempts" if attempts > 1 else ""
    return f"The target refused it: it answered {found.run.response_status if found.run else 'no'}{after}."


def _run_failed(found: Finding, clock: Clock, error: str) -> str:
    return f"GitHub started the run, and it ended with {found.reason}."


def _running(found: Finding, clock: Clock, error: str) -> str:
    began = found.run.started_at if found.run else None
    if found.run and found.run.status == "success":
        return "GitHub started the run, and it has not ended yet."
    return f"It has been running since {clock.at(began, seconds=True)}." if began else "It is running."


def _waiting(found: Finding, clock: Clock, error: str) -> str:
    if found.since:
        return f"{_leaderless(found, clock)} It runs or is recorded as missed when one is."
    if found.run is None:
        return WAITS
    attempts = _attempts(found)
    return f"Attempt {attempts - 1} failed; attempt {attempts} follows." if attempts > 1 else QUEUED


def _missed_no_leader(found: Finding, clock: Clock, error: str) -> str:
    return _leaderless(found, clock)


def _missed_late(found: Finding, clock: Clock, error: str) -> str:
    return (
        f"A scheduler was running, but could not start it within the job's misfire grace time. {found.reason}".strip()
    )


def _skipped_overlap(found: Finding, clock: Clock, error: str) -> str:
    return "It was skipped, because an earlier execution of the job was still going."


def _skipped_limit(found: Finding, clock: Clock, error: str) -> str:
    return f"It was skipped: {found.reason}"


def _paused(found: Finding, clock: Clock, error: str) -> str:
    return _stopped("Paused", found, clock)


def _frozen(found: Finding, clock: Clock, error: str) -> str:
    return _stopped("Frozen", found, clock)


def _ended(found: Finding, clock: Clock, error: str) -> str:
    end_date = found.definition.end_date if found.definition else "of the job"
    return f"The job's end date {end_date} had passed."


def _unschedulable(found: Finding, clock: Clock, error: str) -> str:
    return f"The job cannot be scheduled: {found.reason}"


def _not_created_yet(found: Finding, clock: Clock, error: str) -> str:
    return f"The job was created only at {_at(found.since, clock)}{_by(found)}."


def _other_schedule(found: Finding, clock: Clock, error: str) -> str:
    then = f' The schedule was "{found.definition.cron_expression}" then' if found.definition else ""
    zone = f" in {found.definition.zone_name}." if found.definition else ""
    return f"The schedule was changed at {_at(found.since, clock)}{_by(found)}{_because(found)}.{then}{zone}"


def _unknown(found: Finding, clock: Clock, error: str) -> str:
    return found.reason or "Whether it ran is not known."


def _upcoming(found: Finding, clock: Clock, error: str) -> str:
    return "It is still to come."


def _not_due(found: Finding, clock: Clock, error: str) -> str:
    before, after = (clock.at(moment) if moment else "never" for moment in found.other)
    named = f' The schedule "{found.definition.cron_expression}" names' if found.definition else " The schedule names"
    return f"No run was due at {clock.at(found.due_at)}.{named} {before} before it and {after} after it."


_SENTENCES: Mapping[Verdict, Say] = {
    Verdict.RAN: _ran,
    Verdict.RAN_LATE: _ran_late,
    Verdict.RETRIED: _retried,
    Verdict.FAILED: _failed,
    Verdict.RUN_FAILED: _run_failed,
    Verdict.RUNNING: _running,
    Verdict.WAITING: _waiting,
    Verdict.MISSED_NO_LEADER: _missed_no_leader,
    Verdict.MISSED_LATE: _missed_late,
    Verdict.SKIPPED_OVERLAP: _skipped_overlap,
    Verdict.SKIPPED_LIMIT: _skipped_limit,
    Verdict.PAUSED: _paused,
    Verdict.FROZEN: _frozen,
    Verdict.ENDED: _ended,
    Verdict.UNSCHEDULABLE: _unschedulable,
    Verdict.NOT_CREATED_YET: _not_created_yet,
    Verdict.OTHER_SCHEDULE: _other_schedule,
    Verdict.REFUSED: _refused,
    Verdict.UNKNOWN: _unknown,
    Verdict.UPCOMING: _upcoming,
    Verdict.NOT_DUE: _not_due,
}


# --- Parts of sentences ----------------------------------------------------------------------------------------------


def _leaderless(found: Finding, clock: Clock) -> str:
    return no_scheduler(Gap(found.since, found.until, found.reason), clock) if found.since else ""


def _stopped(word: str, found: Finding, clock: Clock) -> str:
    since = f" since {clock.at(found.since)}" if found.since else ""
    until = f" until {clock.at(found.until)}" if found.until else ""
    return f"{word}{_by(found)}{since}{until}{_because(found)}."


def _by(found: Finding) -> str:
    return f" by {found.by}" if found.by else ""


def _because(found: Finding) -> str:
    return f", because: {found.reason.rstrip('.')}" if found.reason else ""


def _at(moment: datetime | None, clock: Clock) -> str:
    return clock.at(moment) if moment else "a time that is not on record"


def _at_seconds(found: Finding, clock: Clock) -> str:
    began = found.run.started_at if found.run else None
    return f" at {clock.at(began, seconds=True)}" if began else ""


def _answered(found: Finding) -> str:
    answer = found.run.response_status if found.run else None
    return f", and the target answered {answer}" if answer else ""


def _attempts(found: Finding) -> int:
    return found.run.attempt if found.run else 1


def _told(text: str, otherwise: str) -> str:
    return f"{(text or otherwise).rstrip('.')}."


def _span(late: timedelta) -> str:
    seconds = round(late.total_seconds())
    parts = [
        (seconds // 86400, "d"),
        (seconds % 86400 // 3600, "h"),
        (seconds % 3600 // 60, "min"),
        (seconds % 60, "s"),
    ]
    first = next((place for place, (number, _) in enumerate(parts) if number), len(parts) - 1)
    return " ".join(f"{number} {unit}" for number, unit in parts[first : first + 2] if number) or "0 s"


def zone_of(name: str) -> ZoneInfo:
    """Return the zone to tell times in; UTC where the job's cannot be read."""
    try:
        return cron.zone(name)
    except cron.ZoneError:
        return ZoneInfo("UTC")
