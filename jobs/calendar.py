"""The calendar in which end dates are meant: the scheduler's zone."""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings

from jobs import cron

NOON = time(12)


def zone_label(day: date) -> str:
    """Return what texts call the scheduler's zone on `day`: its abbreviation (`JST`, `CEST`).

    Where the abbreviation is only a number, the zone's name is returned (contract, D44).
    """
    label = datetime.combine(day, NOON, tzinfo=ZoneInfo(settings.SCHEDULER_TIMEZONE)).strftime("%Z")
    return settings.SCHEDULER_TIMEZONE if label.lstrip("+-").isdigit() else label


def end_zone() -> ZoneInfo:
    """Return the zone whose calendar end dates are read in (contract, section 15)."""
    return cron.zone(settings.SCHEDULER_TIMEZONE)


def end_of(end_date: date, zone: ZoneInfo) -> datetime:
    """Return the first instant after `end_date` in `zone`: a job runs on the day itself."""
    if end_date >= date.max - timedelta(days=2):
        return datetime.max.replace(tzinfo=zone) - timedelta(days=2)
    following = end_date + timedelta(days=1)
    return datetime(following.year, following.month, following.day, tzinfo=zone)
