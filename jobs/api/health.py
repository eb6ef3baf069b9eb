"""Is the service alive, and can it work? For people, monitors and load balancers; nobody needs a token."""

from datetime import datetime
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_safe
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from cronsched.api import openapi
from cronsched.api.errors import utc_text
from cronsched.api.openapi import Answer, operation
from cronsched.api.viewsets import APIViewSet
from cronsched.lib.clock import database_now
from cronsched.lib.probe import Probe
from jobs.scheduler.leadership import NOBODY, SchedulerStatus, read_status

# Load balancers rarely wait longer than five seconds.
PATIENCE_SECONDS = 2.0


def ask_database() -> SchedulerStatus:
    return read_status(now=database_now())


_probe = Probe(ask_database)


class HealthSerializer(serializers.Serializer[Any]):
    status = serializers.CharField(help_text="`healthy`, or `degraded` while the database does not answer.")
    service = serializers.CharField()
    version = serializers.CharField()
    timestamp = serializers.DateTimeField()
    api = serializers.CharField()
    scheduler_running = serializers.BooleanField(help_text="Whether some process leads and renewed its lease in time.")
    scheduled_jobs_count = serializers.IntegerField()
    docs_url = serializers.CharField()


def health_object(found: SchedulerStatus | None, *, now: datetime) -> dict[str, Any]:
    """Word the answer; `found` is None if the database does not answer."""
    scheduler = found or NOBODY
    return {
        "status": "degraded" if found is None else "healthy",
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
        summary="Tell whether the service works",
        description="Always 200, so that a page can show what is wrong. Load balancers ask `/readyz`.",
        access=openapi.PUBLIC,
        answers={
            200: Answer(
                HealthSerializer,
                {
                    "status": "healthy",
                    "service": "Cron Job Scheduler",
                    "version": "2.0.0",
                    "timestamp": "2026-01-15T10:30:00.000Z",
                    "api": "v2",
                    "scheduler_running": True,
                    "scheduled_jobs_count": 12,
                    "docs_url": "/docs",
                },
            )
        },
    )
    def list(self, request: Request) -> Response:
        return Response(health_object(_probe.ask(patience=PATIENCE_SECONDS), now=timezone.now()))


@require_safe
def alive(request: HttpRequest) -> JsonResponse:
    """Answer as long as the process can answer at all."""
    return JsonResponse({"status": "alive"})


@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """Answer 200 if requests can be served, 503 while the database does not answer."""
    if _probe.ask(patience=PATIENCE_SECONDS) is None:
        body = {"error": "Not ready", "message": "The database does not answer."}
        return JsonResponse(body, status=HTTPStatus.SERVICE_UNAVAILABLE)
    return JsonResponse({"status": "ready"})
