"""Endpoints about the scheduler process, as seen from the web (contract, section 14)."""

from typing import Any

from django.db.models import Case, When
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import IsAdmin
from cronsched.api import openapi
from cronsched.api.openapi import Answer, Refusal, operation
from cronsched.api.viewsets import APIViewSet
from cronsched.lib.clock import database_now, utc_text
from jobs.models import Sender, SenderKind
from jobs.scheduler.leadership import NO_SCHEDULER, read_status, resync

TAG = "Scheduler"


class StatusSerializer(serializers.Serializer[Any]):
    scheduler_running = serializers.BooleanField(help_text="Whether some process leads and renewed its lease in time.")
    scheduler_is_leader = serializers.BooleanField(help_text="The same value, for existing clients.")
    scheduled_jobs_count = serializers.IntegerField(help_text="Jobs with a next fire time; no internal chores.")
    last_resync_at = serializers.DateTimeField(allow_null=True, help_text="Start of the last reconcile.")


class ResyncSerializer(serializers.Serializer[Any]):
    message = serializers.CharField()
    ran_at = serializers.DateTimeField()
    db_jobs_total = serializers.IntegerField()
    db_jobs_active = serializers.IntegerField(help_text="Active and not past the end date.")
    scheduled_now = serializers.IntegerField(help_text="Every entry of the scheduler, internal chores included.")
    scheduled_added = serializers.IntegerField()
    scheduled_removed = serializers.IntegerField()
    expired_auto_paused = serializers.IntegerField()
    orphaned_removed = serializers.IntegerField()
    invalid_cron = serializers.IntegerField(help_text="Active jobs that cannot be scheduled.")


class SenderSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    host = serializers.CharField()
    kind = serializers.ChoiceField(
        SenderKind.choices, help_text="`local` leads, `standby` helps where the leader has no place left."
    )
    started_at = serializers.DateTimeField()
    seen_at = serializers.DateTimeField(help_text="Its last heartbeat; one comes every 5 s.")
    in_flight = serializers.IntegerField(help_text="Requests in flight, or about to be sent, at that time.")
    limit = serializers.IntegerField(help_text="How many it may have in flight: its MAX_IN_FLIGHT.")


class SendersSerializer(serializers.Serializer[Any]):
    senders = SenderSerializer(many=True)


class SchedulerViewSet(APIViewSet):
    token_scopes = {"status": "read", "senders": "read", "resync": "write"}

    permission_classes = [IsAdmin]

    @operation(
        "get_scheduler_status",
        tag=TAG,
        summary="Read the scheduler's status",
        access=openapi.ADMIN,
        answers={200: Answer(StatusSerializer)},
    )
    def status(self, request: Request) -> Response:
        found = read_status(now=database_now())
        return Response(
            {
                "scheduler_running": found.running,
                "scheduler_is_leader": found.running,
                "scheduled_jobs_count": found.scheduled_jobs,
                "last_resync_at": utc_text(found.last_reconcile_at),
            }
        )

    @operation(
        "get_senders",
        tag=TAG,
        summary="List the processes that send",
        description="The leader first. One without a heartbeat for 15 s counts as dead and is removed within seconds.",
        access=openapi.ADMIN,
        answers={200: Answer(SendersSerializer)},
    )
    def senders(self, request: Request) -> Response:
        found = Sender.objects.order_by(
            Case(When(kind=SenderKind.LOCAL, then=0), default=1), "host", "started_at", "token"
        )
        return Response({"senders": [_shown(sender) for sender in found]})

    @operation(
        "resync_scheduler",
        tag=TAG,
        summary="Make the schedule match the jobs now",
        description="Waits for a reconcile that began after the call, at most ten seconds.",
        access=openapi.ADMIN,
        answers={200: Answer(ResyncSerializer, {"message": "Scheduler resync completed"})},
        refusals=[Refusal(409, "Conflict", NO_SCHEDULER, {"detail": NO_SCHEDULER})],
    )
    def resync(self, request: Request) -> Response:
        found = resync()
        return Response({"message": "Scheduler resync completed", **found.last_reconcile})


def _shown(sender: Sender) -> dict[str, Any]:
    return {
        "id": str(sender.token),
        "host": sender.host,
        "kind": sender.kind,
        "started_at": utc_text(sender.started_at),
        "seen_at": utc_text(sender.seen_at),
        "in_flight": sender.in_flight,
        "limit": sender.limit,
    }
