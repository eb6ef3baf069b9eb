"""The page "Calendar": the coming week by the hour, its minutes on a click, and the limits that are met."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from accounts.console import account
from accounts.models import User
from cronsched.console import ConsoleAdmin
from cronsched.lib.clock import database_now
from cronsched.lib.errors import DomainError
from cronsched.lib.input.ranges import read_instant
from jobs.api.forecast import FILTERS, read_forecast
from jobs.calendar import end_zone
from jobs.history.forecast import HOUR, Forecast, Limits
from jobs.history.why_question import FIRST_YEAR, LAST_YEAR
from taxonomy.models import JobCategory, PicTeam

# Today and a week: whatever day it is, the next one of that name is among them.
DAYS = 8


class Cell(NamedTuple):
    """One hour of one day. `heat` is its share of the busiest hour, from 0 to 1; `hot` says which limit is met."""

    at: datetime
    runs: int
    heat: str
    hot: str
    query: str
    label: str


class CalendarPage(ConsoleAdmin):
    """Adds the page to the site, before the pages of single jobs."""

    def get_urls(self) -> list[URLPattern]:
        page = path("calendar/", self.admin_site.admin_view(self.calendar_view), name="jobs_calendar")
        return [page, *super().get_urls()]

    def calendar_view(self, request: HttpRequest) -> HttpResponse:
        now, zone = database_now(), end_zone()
        asked = {name: request.GET.get(name, "").replace("\x00", "").strip() for name in FILTERS}
        context = {
            **self.admin_site.each_context(request),
            "title": "Calendar",
            "page_name": "Calendar",
            "zone": zone.key,
            "asked": asked,
            "teams": PicTeam.objects.order_by("name"),
            "categories": JobCategory.objects.order_by("name"),
        }
        try:
            context |= _week(asked, zone, by=account(request), now=now)
            if hour := request.GET.get("hour", "").strip():
                context |= _minutes(asked, _hour(hour), zone, by=account(request), now=now)
        except DomainError as refusal:
            context["error"] = refusal.message or refusal.error
        return TemplateResponse(request, "console/calendar.html", context)


def _week(asked: Mapping[str, str], zone: ZoneInfo, *, by: User, now: datetime) -> dict[str, Any]:
    """Return the coming week by hour and day of the zone's calendar, and the limits."""
    today = now.astimezone(zone).date()
    start, end = _midnight(today, zone), _midnight(today + timedelta(days=DAYS), zone)
    found, bounds = read_forecast(_range(start, end) | {**asked, "by": "hour"}, by=by, now=now)
    days = [today + timedelta(days=number) for number in range(DAYS)]
    cells = _cells(found, asked, zone)
    hours = [(hour, [cells.get((day, hour), []) for day in days]) for hour in range(24)]
    return {"days": days, "hours": hours, "limits": _limits(bounds), "hot": _hot(found, zone)}


def _cells(found: Forecast, asked: Mapping[str, str], zone: ZoneInfo) -> Mapping[tuple[date, int], list[Cell]]:
    """Return the buckets by day and hour of the wall clock, which may show an hour twice or not at all."""
    busiest = max((bucket.runs for bucket in found.buckets), default=0) or 1
    hot = {one.at: one.reason for one in found.hot}
    cells: defaultdict[tuple[date, int], list[Cell]] = defaultdict(list)
    for bucket in found.buckets:
        local = bucket.at.astimezone(zone)
        query = urlencode({**{name: text for name, text in asked.items() if text}, "hour": bucket.at.isoformat()})
        label = f"{local:%a %d %b, %H:00}: {bucket.runs} runs"
        heat = f"{bucket.runs / busiest:.2f}"
        cells[local.date(), local.hour].append(Cell(bucket.at, bucket.runs, heat, hot.get(bucket.at, ""), query, label))
    return cells


def _hour(text: str) -> datetime:
    """Return the hour that was clicked on. Raises `DomainError`."""
    hour = read_instant(text, "hour")
    if not FIRST_YEAR <= hour.year <= LAST_YEAR:
        raise DomainError("Invalid hour", f"hour must lie between {FIRST_YEAR} and {LAST_YEAR}.", field="hour")
    return hour


def _minutes(asked: Mapping[str, str], hour: datetime, zone: ZoneInfo, *, by: User, now: datetime) -> dict[str, Any]:
    """Return the minutes of an hour in which something is due."""
    found, _ = read_forecast(_range(hour, hour + HOUR) | {**asked, "by": "minute"}, by=by, now=now)
    hot = {one.at: one.reason for one in found.hot}
    rows = [
        [f"{bucket.at.astimezone(zone):%H:%M}", bucket.runs, bucket.github_dispatches, hot.get(bucket.at, "-")]
        for bucket in found.buckets
        if bucket.runs
    ]
    headers = ["Minute", "Runs", "GitHub dispatches", "Limit"]
    return {"hour": f"{hour.astimezone(zone):%A %d %B, %H:%M}", "minutes": {"headers": headers, "rows": rows}}


def _hot(found: Forecast, zone: ZoneInfo) -> dict[str, Any]:
    rows = [[f"{one.at.astimezone(zone):%a %d %b, %H:00}", one.runs, one.reason] for one in found.hot]
    return {"headers": ["Hour", "Runs", "Limit that is met"], "rows": rows}


def _limits(bounds: Limits) -> str:
    return (
        f"GitHub takes {bounds.github_dispatches_per_minute} dispatches a minute from one credential; at most"
        f" {bounds.max_in_flight} requests are in flight at once. Runs over a limit wait."
    )


def _range(start: datetime, end: datetime) -> dict[str, str]:
    return {"from": start.isoformat(timespec="seconds"), "to": end.isoformat(timespec="seconds")}


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone)
