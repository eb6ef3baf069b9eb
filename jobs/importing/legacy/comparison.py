"""When jobs fire there and here, side by side, without firing any."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from django.conf import settings

from jobs import cron
from jobs.calendar import end_of
from jobs.importing.legacy import values
from jobs.importing.legacy.definitions import JOBS
from jobs.importing.legacy.source import LegacySource, Row
from jobs.importing.legacy.tables import LegacyJob
from jobs.importing.weekdays import fire_times_there
from jobs.models import Job, JobPause

SHOWN = 5
# More fire times than a week has minutes.
MAX_FIRE_TIMES = 20_000

Times = tuple[datetime, ...]


class Difference(NamedTuple):
    """What is different about one job: the first fire times that only one of both services has."""

    id: str
    name: str
    what: str
    only_there: tuple[str, ...] = ()
    only_here: tuple[str, ...] = ()


class Comparison(NamedTuple):
    """How many jobs were compared, and those that differ."""

    compared: int
    differences: list[Difference]


def compare(source: LegacySource, *, now: datetime, days: int) -> Comparison:
    """Compare the fire times of the next `days` days of all jobs that are active there.

    A job that is paused here counts as it would fire once it is resumed.
    """
    here = {job.pk: job for job in Job.objects.all()}
    reasons = dict(JobPause.objects.filter(ended_at=None).values_list("job_id", "reason"))
    compared, found = 0, []
    for row in source.rows(LegacyJob):
        key = values.identity(JOBS, row["id"])
        if key is None or not values.flag(row["is_active"], True):
            continue
        compared += 1
        job = here.get(key)
        if job is None:
            found.append(Difference(str(key), values.text(row["name"]) or "", "It is not here."))
            continue
        found += _differences(row, job, now, now + timedelta(days=days), reasons.get(key, ""))
    return Comparison(compared, found)


def _differences(row: Row, job: Job, now: datetime, until: datetime, reason: str) -> Iterator[Difference]:
    zone = ZoneInfo(settings.SCHEDULER_TIMEZONE)
    expression = " ".join((values.text(row["cron_expression"]) or "").split())
    end = values.day(row["end_date"])
    there = _there(expression, zone, now, min(until, end_of(end, zone)) if end else until)
    here = _here(job.cron_expression, job.zone_name, now, min(until, end_of(job.end_date, zone)))
    if there == here:
        return
    only_there, only_here = sorted(set(there) - set(here)), sorted(set(here) - set(there))
    what = f"{expression} there, {job.cron_expression} here: {len(only_there)} only there, {len(only_here)} only here."
    shown = [_shown(times, zone) for times in (only_there, only_here)]
    yield Difference(str(job.pk), job.name, f"{what} {reason}".strip(), *shown)


def _shown(times: list[datetime], zone: ZoneInfo) -> tuple[str, ...]:
    return tuple(f"{moment.astimezone(zone):%a %Y-%m-%d %H:%M}" for moment in times[:SHOWN])


@lru_cache(maxsize=1000)
def _there(expression: str, zone: ZoneInfo, now: datetime, until: datetime) -> Times:
    try:
        times = fire_times_there(expression, zone, after=now, limit=MAX_FIRE_TIMES, until=until)
    except ValueError:
        return ()
    # In one zone: two zones never agree on the hour that a clock change repeats.
    return tuple(moment.astimezone(UTC) for moment in times)


@lru_cache(maxsize=1000)
def _here(expression: str, zone: str, now: datetime, until: datetime) -> Times:
    try:
        return tuple(cron.fire_times_between(expression, zone, after=now, until=until, limit=MAX_FIRE_TIMES))
    except (cron.CronError, cron.ZoneError):
        return ()
