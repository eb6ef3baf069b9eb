"""The endpoint that tells what is to come (beyond.md, section 5)."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import caller
from accounts.models import User
from cronsched.api import openapi
from cronsched.api.openapi import Answer, Refusal, operation
from cronsched.api.viewsets import APIViewSet
from cronsched.lib.clock import database_now, utc_text
from cronsched.lib.errors import DomainError
from jobs.definitions.job_filter import filtered
from jobs.definitions.validation import local_date
from jobs.history.forecast import HOUR, MAX_HOT, MINUTE, Forecast, Limits, forecast
from jobs.history.forecast_loads import limits, read_loads
from jobs.history.why_question import read_range
from jobs.models import ExecutionType, Job, JobQuerySet

TAG = "Forecast"


class Unit(NamedTuple):
    """The unit by which runs are counted, with the default and the greatest range."""

    length: timedelta
    default: timedelta
    most: timedelta
    too_long: str


UNITS = {
    "minute": Unit(MINUTE, timedelta(hours=2), timedelta(days=2), "By minute the range must be at most 2 days."),
    "hour": Unit(HOUR, timedelta(days=7), timedelta(days=31), "By hour the range must be at most 31 days."),
}
BAD_UNIT = f"by must be one of: {', '.join(UNITS)}."
# The names of the filters here, and what the list of jobs calls them.
FILTERS = {"team": "pic_team", "category": "category", "repo": "repo", "owner": "owner", "target": "target"}


class BucketSerializer(serializers.Serializer[Any]):
    at = serializers.DateTimeField(help_text="Its beginning.")
    runs = serializers.IntegerField()
    github_dispatches = serializers.IntegerField()
    expected_seconds = serializers.FloatField(help_text="Seconds that the runs take together, as the latest did.")


class LimitsSerializer(serializers.Serializer[Any]):
    github_dispatches_per_minute = serializers.IntegerField(help_text="Of one credential; the gap between two counts.")
    max_in_flight = serializers.IntegerField()


class HotSerializer(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    runs = serializers.IntegerField()
    reason = serializers.CharField()


class ForecastSerializer(serializers.Serializer[Any]):
    buckets = BucketSerializer(many=True)
    limits = LimitsSerializer()
    hot = HotSerializer(many=True, help_text=f"Buckets that meet a limit; the {MAX_HOT} with the most runs.")


EXAMPLE = {
    "buckets": [{"at": "2026-01-15T09:00:00.000Z", "runs": 72, "github_dispatches": 65, "expected_seconds": 31.4}],
    "limits": {"github_dispatches_per_minute": 60, "max_in_flight": 2000},
    "hot": [
        {
            "at": "2026-01-15T09:00:00.000Z",
            "runs": 72,
            "reason": "65 dispatches with one GitHub credential are due in one minute; 60 may leave.",
        }
    ],
}


class ForecastViewSet(APIViewSet):
    token_scopes = {"show": "read"}

    permission_classes = [IsAuthenticated]

    @operation(
        "get_forecast",
        tag=TAG,
        summary="Tell what is to come",
        description="How many runs are due by minute or hour, from now or `from` on: 7 days by hour, 2 hours by minute"
        " unless said otherwise; at most 31 days by hour, 2 days by minute. Paused jobs are left out.",
        query=[
            openapi.FROM,
            openapi.TO,
            OpenApiParameter("by", str, enum=[*UNITS, ""], description="Length of a bucket; by default an hour."),
            OpenApiParameter("team", str, description="Slug or name of a PIC team."),
            OpenApiParameter("category", str, description="Slug or name of a category."),
            OpenApiParameter("repo", str, description="`owner/repository` or the name of a repository."),
            OpenApiParameter("owner", str, description="`me`, `none`, `inactive` or the id of an account."),
            OpenApiParameter("target", str, description=f"`{'` or `'.join(ExecutionType.values)}`."),
        ],
        answers={200: Answer(ForecastSerializer, EXAMPLE)},
        refusals=[
            *openapi.BAD_RANGE,
            *(Refusal(400, "Invalid date range", unit.too_long) for unit in UNITS.values()),
            Refusal(400, "Invalid by", BAD_UNIT),
            Refusal(400, "Invalid team", "team must be the slug or name of a PIC team."),
            Refusal(400, "Invalid owner", "owner must be me, none, inactive or the id of an account."),
        ],
    )
    def show(self, request: Request) -> Response:
        now = database_now()
        found, bounds = read_forecast(request.query_params, by=caller(request), now=now)
        return Response(forecast_object(found, bounds))


def read_forecast(params: Mapping[str, str], *, by: User, now: datetime) -> tuple[Forecast, Limits]:
    """Return the forecast that `params` ask for, and the limits. Raises `DomainError` (400)."""
    name = params.get("by", "").strip().lower() or "hour"
    if name not in UNITS:
        raise DomainError("Invalid by", BAD_UNIT, field="by")
    unit = UNITS[name]
    start, end = _range(params, unit, now)
    bounds = limits()
    loads = read_loads(_jobs(params, by=by, now=now), end=end, now=now)
    return forecast(loads, start=start, end=end, unit=unit.length, limits=bounds), bounds


def _range(params: Mapping[str, str], unit: Unit, now: datetime) -> tuple[datetime, datetime]:
    """Return the range, which begins on a whole minute; by hour and without a `from`, on a whole hour."""
    begin = now.replace(second=0, microsecond=0)
    begin = begin.replace(minute=0) if unit.length == HOUR else begin
    start, end = read_range(params, now=begin, default=unit.default, most=unit.most, too_long=unit.too_long)
    return start.replace(second=0, microsecond=0), end


def _jobs(params: Mapping[str, str], *, by: User, now: datetime) -> JobQuerySet:
    jobs = Job.objects.all()
    for name, known_as in FILTERS.items():
        try:
            jobs = filtered(jobs, {known_as: params.get(name, "")}, by=by, today=local_date(now))
        except DomainError as error:
            message = (error.message or "").replace(known_as, name, 1)
            raise DomainError(f"Invalid {name}", message, field=name) from None
    return jobs


def forecast_object(found: Forecast, bounds: Limits) -> dict[str, Any]:
    """Return a forecast as the API shows it."""
    return {
        "buckets": [{**bucket._asdict(), "at": utc_text(bucket.at)} for bucket in found.buckets],
        "limits": {
            "github_dispatches_per_minute": bounds.github_dispatches_per_minute,
            "max_in_flight": bounds.max_in_flight,
        },
        "hot": [{**hot._asdict(), "at": utc_text(hot.at)} for hot in found.hot],
    }
