"""Decides, for one job and one instant, which fire times are due and which of them run. Pure: no clock, no database.

A job carries the first fire time that has no row yet. Everything from there to now is due and ends in exactly one of
two lists, `runs` and `missed`, so that no fire time is lost without a record. How late a run may start is the job's
misfire grace time; how many of several late ones are run is its catch-up choice.
"""

from datetime import date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from cronsched.lib.backoff import spread
from jobs import cron
from jobs.calendar import end_of
from jobs.history import reasons
from jobs.models import CatchUp, Overlap

# A change of leader takes up to 20 s. A delay of so many seconds does not count as late for catch-up `none`.
LEEWAY = timedelta(seconds=30)
# Sends without faults start within so many seconds (G6); a shorter grace time could not be kept.
PROMPT = timedelta(seconds=2)
# More misses than this in one outage become one row.
MAX_SINGLE_MISSES = 10
# With `all` a week of minutes may be due: they are claimed in portions, so that no transaction grows with the outage.
MAX_RUNS = 100
# Executions of one job that may wait for an earlier one to end.
MAX_WAITING = 100

_TICK = timedelta(microseconds=1)


class Timing(NamedTuple):
    """What a job's row says about when it runs. `next_fire_at` is the first fire time without a row."""

    cron_expression: str
    zone_name: str
    next_fire_at: datetime
    end_date: date
    catch_up: str
    grace_seconds: int


class Missed(NamedTuple):
    """One row for `number` fire times that are not run: all from `first` to `last`."""

    last: datetime
    first: datetime
    number: int


class Plan(NamedTuple):
    """What is due now, oldest first, and when the job is due again.

    `expired` means that a fire time has come after the end date: the job is to be paused. `next_fire_at` may lie in
    the past where there is more to claim than one portion holds.
    """

    runs: tuple[datetime, ...]
    missed: tuple[Missed, ...]
    next_fire_at: datetime | None
    expired: bool


def plan(timing: Timing, *, now: datetime, end_zone: ZoneInfo) -> Plan:
    """Return what is due of `timing` at `now`. End dates are dates of `end_zone`.

    The cost does not grow with the length of an outage. Raises CronError and ZoneError.
    """
    expression, zone = timing.cron_expression, cron.zone(timing.zone_name)
    before_first = timing.next_fire_at - _TICK
    last_instant = min(now, end_of(timing.end_date, end_zone) - _TICK)
    runs = _runs(timing, zone, before_first, last_instant, now)
    missed_until = runs[0] - _TICK if runs else last_instant
    missed = _missed(expression, zone, before_first, missed_until)
    handled_until = runs[-1] if len(runs) == MAX_RUNS else now
    next_fire_at = cron.next_fire_time(expression, zone, after=handled_until)
    expired = last_instant < now and cron.count_fire_times(expression, zone, after=last_instant, until=now) > 0
    return Plan(runs, missed, next_fire_at, expired and handled_until == now)


def not_before(job_id: object, fire_time: datetime, spread_seconds: int) -> datetime | None:
    """Return the instant within `spread_seconds` at which this fire time of this job is sent, None for at once."""
    if not spread_seconds:
        return None
    return fire_time + timedelta(seconds=spread_seconds * spread(f"{job_id}/{fire_time.timestamp():.0f}"))


def overlap_refusal(policy: str, going: int) -> str | None:
    """Return why a fire time is skipped while `going` earlier executions are open, None where it goes in."""
    if policy == Overlap.SKIP and going:
        return reasons.STILL_GOING
    if policy == Overlap.QUEUE and going >= MAX_WAITING:
        return reasons.too_many_waiting(going)
    return None


def _runs(
    timing: Timing, zone: ZoneInfo, before_first: datetime, last_instant: datetime, now: datetime
) -> tuple[datetime, ...]:
    grace = timedelta(seconds=timing.grace_seconds)
    late_by = max(min(grace, LEEWAY) if timing.catch_up == CatchUp.NONE else grace, PROMPT)
    after = max(before_first, now - late_by - _TICK)
    if after >= last_instant:
        return ()
    expression = timing.cron_expression
    if timing.catch_up == CatchUp.ALL:
        found = cron.fire_times_between(expression, zone, after=after, until=last_instant, limit=MAX_RUNS)
        return tuple(found)
    last = cron.previous_fire_time(expression, zone, at=last_instant)
    return (last,) if last is not None and last > after else ()


def _missed(expression: str, zone: ZoneInfo, after: datetime, until: datetime) -> tuple[Missed, ...]:
    if after >= until:
        return ()
    count = cron.count_fire_times(expression, zone, after=after, until=until)
    if count <= MAX_SINGLE_MISSES:
        moments = cron.fire_times_between(expression, zone, after=after, until=until)
        return tuple(Missed(moment, moment, 1) for moment in moments)
    first = cron.next_fire_time(expression, zone, after=after)
    last = cron.previous_fire_time(expression, zone, at=until)
    assert first is not None
    assert last is not None
    return (Missed(last, first, count),)
