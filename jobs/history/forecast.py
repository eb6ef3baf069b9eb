"""What is to come: how many runs a minute or an hour, and where they meet a limit (beyond.md, section 5).

Pure: `forecast_loads` reads the jobs and the limits.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from jobs import cron

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
TICK = timedelta(microseconds=1)
# More hot buckets than these say nothing new.
MAX_HOT = 100

Minutes = Mapping[datetime, int]


class Load(NamedTuple):
    """Jobs that fire together: how many, how long they take in all, and how many dispatch with which credential."""

    expression: str
    zone_name: str
    # The first instant after their end date, where that comes in time.
    ends_at: datetime | None
    jobs: int
    seconds: float
    dispatches: Mapping[str, int]


class Limits(NamedTuple):
    github_dispatches_per_minute: int
    github_dispatches_per_hour: int
    max_in_flight: int


class Bucket(NamedTuple):
    at: datetime
    runs: int
    github_dispatches: int
    expected_seconds: float


class Hot(NamedTuple):
    at: datetime
    runs: int
    reason: str


class Forecast(NamedTuple):
    buckets: Sequence[Bucket]
    hot: Sequence[Hot]


def forecast(loads: Iterable[Load], *, start: datetime, end: datetime, unit: timedelta, limits: Limits) -> Forecast:
    """Return what is due from `start`, a whole minute, on and before `end`, by `unit`; the hottest buckets apart."""
    runs: Counter[datetime] = Counter()
    seconds: defaultdict[datetime, float] = defaultdict(float)
    dispatches: defaultdict[str, Counter[datetime]] = defaultdict(Counter)
    for load in loads:
        times = _times(load, start, end)
        for moment in times:
            runs[moment] += load.jobs
            seconds[moment] += load.seconds
        for credential, number in load.dispatches.items():
            counted = dispatches[credential]
            for moment in times:
                counted[moment] += number
    of_github = sum(dispatches.values(), Counter[datetime]())
    ats = [start + number * unit for number in range(-(-(end - start) // unit))]
    sums = [_summed(values, start, unit) for values in (runs, of_github, seconds)]
    buckets = [
        Bucket(at, int(sums[0].get(place, 0)), int(sums[1].get(place, 0)), round(sums[2].get(place, 0.0), 1))
        for place, at in enumerate(ats)
    ]
    return Forecast(buckets, _hot(buckets, runs, dispatches, start=start, unit=unit, limits=limits))


def _times(load: Load, start: datetime, end: datetime) -> Sequence[datetime]:
    until = end if load.ends_at is None else min(end, load.ends_at)
    if until <= start:
        return ()
    try:
        found = cron.fire_times_between(load.expression, load.zone_name, after=start - TICK, until=until - TICK)
        return list(found)
    except (cron.CronError, cron.ZoneError):
        return ()


def _summed(values: Mapping[datetime, float], start: datetime, unit: timedelta) -> Mapping[int, float]:
    """Return the sums of `values` by the number of their bucket."""
    found: defaultdict[int, float] = defaultdict(float)
    for moment, value in values.items():
        found[(moment - start) // unit] += value
    return found


def _hot(
    buckets: Sequence[Bucket],
    runs: Minutes,
    dispatches: Mapping[str, Minutes],
    *,
    start: datetime,
    unit: timedelta,
    limits: Limits,
) -> Sequence[Hot]:
    """Return the buckets in which a limit is met, with the reason; of very many those with the most runs."""
    reasons: defaultdict[int, list[str]] = defaultdict(list)
    for place, number in _peaks(runs, start, unit).items():
        if number > limits.max_in_flight:
            reasons[place].append(
                f"{number} runs are due in one minute; {limits.max_in_flight} may be in flight at once."
            )
    for counted in dispatches.values():
        per_minute, per_hour = limits.github_dispatches_per_minute, limits.github_dispatches_per_hour
        for place, number in _peaks(counted, start, unit).items():
            if number > per_minute:
                text = f"{number} dispatches with one GitHub credential are due in one minute; {per_minute} may leave."
                reasons[place].append(text)
        for place, total in _summed(counted, start, unit).items():
            if unit == HOUR and total > per_hour:
                text = f"{total:.0f} dispatches with one GitHub credential are due in one hour; {per_hour} may leave."
                reasons[place].append(text)
    hot = [Hot(buckets[place].at, buckets[place].runs, " ".join(texts)) for place, texts in reasons.items()]
    hottest = sorted(hot, key=lambda one: (-one.runs, one.at))[:MAX_HOT]
    return sorted(hottest, key=lambda one: one.at)


def _peaks(minutes: Minutes, start: datetime, unit: timedelta) -> Mapping[int, int]:
    """Return the busiest minute of each bucket."""
    found: dict[int, int] = {}
    for moment, number in minutes.items():
        place = (moment - start) // unit
        found[place] = max(found.get(place, 0), number)
    return found
