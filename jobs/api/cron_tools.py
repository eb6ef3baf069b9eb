"""Endpoints that answer questions about cron expressions (contract, section 7)."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, ClassVar

from django.conf import settings
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from cronsched.api.bodies import json_object
from cronsched.api.viewsets import ANY_SCOPE, QUESTIONS, APIViewSet
from cronsched.lib.errors import DomainError
from cronsched.lib.input import payload
from jobs import cron
from jobs.api import descriptions as describe
from jobs.api.serializers import local_text
from jobs.definitions import scheduling_options

EXPRESSION_KEYS = ("expression", "cron_expression")
DEFAULT_COUNT = 5
MAX_COUNT = 20


class CronToolsViewSet(APIViewSet):
    """For every account that may read."""

    token_scopes = {"validate": ANY_SCOPE, "preview": ANY_SCOPE}

    rate_of: ClassVar[Mapping[str, str | None]] = {"validate": QUESTIONS, "preview": QUESTIONS}

    @describe.VALIDATE_CRON
    def validate(self, request: Request) -> Response:
        return Response(verdict(json_object(request)))

    @describe.PREVIEW_CRON
    def preview(self, request: Request) -> Response:
        return Response(preview(json_object(request), now=timezone.now()))


def verdict(sent: Mapping[str, Any]) -> dict[str, Any]:
    """Return whether the expression in `sent` is valid and what it says. Never refuses: that is the answer."""
    expression = next((value for value in _expressions(sent) if value), "")
    shown = {"cron_expression": expression if isinstance(expression, str) else ""}
    try:
        schedule = cron.parse(expression)
    except cron.CronError as error:
        hint = {"hint": error.hint} if error.hint else {}
        failure = {"valid": False, "error": "Invalid cron expression", "message": error.message}
        return {**failure, **shown, "description": None, **hint}
    success = {"valid": True, "message": "Valid cron expression"}
    return {**success, **shown, "description": cron.describe(schedule), "warnings": list(schedule.warnings)}


def preview(sent: Mapping[str, Any], *, now: datetime) -> dict[str, Any]:
    """Return the next fire times of the expression in `sent`. Raises `DomainError` for what cannot be previewed."""
    expression = next((text for key in EXPRESSION_KEYS if (text := payload.text(sent, key))), "")
    schedule = scheduling_options.check_cron(expression)
    count = _count(sent.get("count"))
    zone = scheduling_options.check_zone(payload.text(sent, "timezone") or settings.SCHEDULER_TIMEZONE)
    moments = list(cron.fire_times_between(schedule, zone, after=now, until=None, limit=count))
    next_runs = [local_text(moment, zone) for moment in moments]
    notes = cron.coming_clock_changes(schedule, cron.zone(zone), moments, now=now)
    return {
        "cron_expression": expression,
        "timezone": zone,
        "count": len(next_runs),
        "next_runs": next_runs,
        "warnings": [*schedule.warnings, *notes],
    }


def _expressions(sent: Mapping[str, Any]) -> Iterator[Any]:
    for key in EXPRESSION_KEYS:
        value = sent.get(key)
        yield value.strip() if isinstance(value, str) else value


def _count(value: Any) -> int:
    """Return how many fire times are wanted: whole numbers count as they are, decimals without their fraction."""
    if isinstance(value, str):
        value = value.strip()
    if value is None or value == "":
        return DEFAULT_COUNT
    try:
        number = value if isinstance(value, int) else int(float(value))
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or isinstance(value, bool):
        raise DomainError("Invalid count", "count must be an integer.", field="count")
    return min(max(number, 0), MAX_COUNT) if number else DEFAULT_COUNT
