"""Is the service alive, and can it work? For people, monitors and load balancers; no token is needed."""

import logging
from datetime import datetime
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.db import Error, connection
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_safe
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from cronsched.api import openapi
from cronsched.api.openapi import Answer, operation
from cronsched.api.viewsets import APIViewSet
from cronsched.lib.clock import database_now, uptime, utc_text
from cronsched.lib.db.outages import NO_TABLES, first_line, is_outage, lacks_tables
from cronsched.lib.db.writing import missing_migrations, try_to_write
from cronsched.lib.probe import Probe
from jobs.scheduler.leadership import NOT_RUNNING, SchedulerStatus, read_status

logger = logging.getLogger(__name__)

# Load balancers rarely wait longer than five seconds.
PATIENCE_SECONDS = 2.0
# A working database is probed with a write at most this often, however many clients ask.
GOOD_SECONDS = 2.0
AWAY = "The database does not answer."
NOT_WRITABLE = "The database cannot be written."
SENDS_ALONE = "Celery's workers or their broker are away: the leading scheduler sends by itself."
NOT_MIGRATED = f"The database cannot be used: {NO_TABLES}"


def ask_database() -> SchedulerStatus:
    return read_status(now=database_now())


class Readiness:
    """Finds out what keeps requests from being served, and logs it when that changes."""

    def __init__(self) -> None:
        self._probe = Probe(self._look)
        self._told = ""
        self._good_until = 0.0

    def problem(self) -> str:
        """Return what is wrong with the database, blank where nothing is. Callers see only this text."""
        if uptime() < self._good_until:
            return ""
        found = self._probe.ask(patience=PATIENCE_SECONDS)
        return AWAY if found is None else found

    def _look(self) -> str:
        found, cause = self._try()
        if found != self._told:
            logger.warning("%s%s", found or "The database can be written again.", f" ({cause})" if cause else "")
        self._told = found
        self._good_until = 0.0 if found else uptime() + GOOD_SECONDS
        return found

    def _try(self) -> tuple[str, str]:
        try:
            try_to_write(connection)
            return (NOT_MIGRATED if missing_migrations(connection) else ""), ""
        except Error as error:
            connection.close()
            if not is_outage(error):
                raise
            return (NOT_MIGRATED if lacks_tables(error) else NOT_WRITABLE), first_line(error)


_status = Probe(ask_database)
_readiness = Readiness()


class HealthSerializer(serializers.Serializer[Any]):
    status = serializers.CharField(
        help_text="`healthy`, or `degraded` while the database does not answer or cannot be written, or while the"
        " broker or all workers of `EXECUTION_BACKEND=celery` are away."
    )
    service = serializers.CharField()
    version = serializers.CharField()
    timestamp = serializers.DateTimeField()
    api = serializers.CharField()
    scheduler_running = serializers.BooleanField(help_text="Whether some process leads and renewed its lease in time.")
    scheduled_jobs_count = serializers.IntegerField()
    docs_url = serializers.CharField()


def health_object(found: SchedulerStatus | None, *, is_ready: bool, now: datetime) -> dict[str, Any]:
    """Return the body of the answer; `found` is None if the database does not answer."""
    scheduler = found or NOT_RUNNING
    return {
        "status": "healthy" if found is not None and is_ready and not found.sends_alone else "degraded",
        "service": settings.SERVICE_NAME,
        "version": settings.VERSION,
        "timestamp": utc_text(now),
        "api": "v2",
        "scheduler_running": scheduler.running,
        "scheduled_jobs_count": scheduler.scheduled_jobs,
        "docs_url": "/docs",
    }


class HealthViewSet(APIViewSet):
    # A bad token is ignored, so it is not even read.
    authentication_classes = []
    permission_classes = [AllowAny]

    @operation(
        "get_health",
        tag="Service",
        summary="Report whether the service works",
        description="Always 200, so that a page can show what is wrong. Load balancers ask `/readyz`.",
        access=openapi.PUBLIC,
        answers={
            200: Answer(
                HealthSerializer,
                {"status": "healthy", "service": "Cron Job Scheduler", "api": "v2", "docs_url": "/docs"},
            )
        },
    )
    def list(self, request: Request) -> Response:
        found = _status.ask(patience=PATIENCE_SECONDS)
        is_ready = found is not None and _readiness.problem() == ""
        return Response(health_object(found, is_ready=is_ready, now=timezone.now()))


@require_safe
def alive(request: HttpRequest) -> JsonResponse:
    """Answer as long as the process can answer at all."""
    return JsonResponse({"status": "alive"})


@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """Answer 200 if requests can be served, 503 while the database does not answer or cannot be written.

    The answer has a `warning` while the leading scheduler alone sends what Celery's workers should send.
    """
    if problem := _readiness.problem():
        return JsonResponse({"error": "Not ready", "message": problem}, status=HTTPStatus.SERVICE_UNAVAILABLE)
    found = _status.ask(patience=PATIENCE_SECONDS)
    return JsonResponse({"status": "ready", **({"warning": SENDS_ALONE} if found and found.sends_alone else {})})
