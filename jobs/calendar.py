"""The calendar in which end dates are meant: the scheduler's zone."""

from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from django.conf import settings

NOON = time(12)


def zone_label(day: date) -> str:
    """Return what texts call the scheduler's zone on `day`: its abbreviation (`JST`, `CEST`).

    Many zones have only a number for one; the zone's own name says more (contract, D44).
    """
    label = datetime.combine(day, NOON, tzinfo=ZoneInfo(settings.SCHEDULER_TIMEZONE)).strftime("%Z")
    return settings.SCHEDULER_TIMEZONE if label.lstrip("+-").isdigit() else label
