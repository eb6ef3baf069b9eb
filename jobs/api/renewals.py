"""Endpoints of renewals: extend a job's end date, and see who did so before."""

from collections.abc import Sequence
from typing import Any

from rest_framework import serializers
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import caller
from accounts.permissions import IsWriter
from cronsched.api import openapi
from cronsched.api.bodies import json_object
from cronsched.api.openapi import Answer, Body, Refusal, operation, path_id
from cronsched.api.viewsets import APIViewSet
from cronsched.lib.clock import database_now, utc_text
from jobs import services
from jobs.api.lookup import JOB_NOT_FOUND, find_job
from jobs.end_dates import renewal
from jobs.models import JobRenewal

TAG = "Jobs"
JOB_ID = path_id("job_id", "job")


class NewRenewalSerializer(serializers.Serializer[Any]):
    days = serializers.ChoiceField(renewal.EXTENSIONS)
    reason = serializers.CharField(max_length=renewal.MAX_REASON)


class RenewalSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    job_id = serializers.UUIDField()
    old_end_date = serializers.DateField()
    new_end_date = serializers.DateField()
    reason = serializers.CharField()
    renewed_by = serializers.UUIDField(allow_null=True, help_text="The account; null for a signed link.")
    renewed_by_address = serializers.CharField(allow_null=True, help_text="The mailbox whose signed link was used.")
    created_at = serializers.DateTimeField()


class RenewalAnswerSerializer(serializers.Serializer[Any]):
    message = serializers.CharField()
    renewal = RenewalSerializer()


class RenewalListSerializer(serializers.Serializer[Any]):
    renewals = RenewalSerializer(many=True)


class RenewalViewSet(APIViewSet):
    """Looking is for every account; users renew their own jobs, admins all."""

    token_scopes = {"list": "read", "create": "write"}

    def get_permissions(self) -> Sequence[BasePermission]:
        return [IsAuthenticated() if self.action == "list" else IsWriter()]

    @operation(
        "renew_job",
        tag=TAG,
        summary="Renew a job",
        description="Extends the end date by 30, 90 or 180 days, counted from today where it has passed. How far is"
        " limited by the category. A paused job stays paused.",
        access=openapi.WRITER,
        path=[JOB_ID],
        body=Body(NewRenewalSerializer, {"A quarter": {"days": 90, "reason": "Still needed for the yearly report."}}),
        answers={200: Answer(RenewalAnswerSerializer, {"message": "Job renewed successfully"})},
        refusals=[
            JOB_NOT_FOUND,
            Refusal(403, "Insufficient permissions", "You can only update your own jobs"),
            Refusal(400, "Invalid days", "days must be one of: 30, 90, 180."),
            Refusal(400, "Invalid reason", "A reason is required."),
            Refusal(400, "Invalid reason", "reason must be at most 500 characters."),
            Refusal(
                400, "Extension too long", "Jobs of the category Maintenance may be extended until 2027-01-31 at most."
            ),
        ],
    )
    def create(self, request: Request, job_id: str) -> Response:
        job = find_job(job_id)
        services.check_may(caller(request), job, "update")
        sent = json_object(request)
        renewed = renewal.renew(
            job.pk, days=sent.get("days"), reason=sent.get("reason"), by=caller(request), now=database_now()
        )
        return Response({"message": "Job renewed successfully", "renewal": _shown(renewed)})

    @operation(
        "list_renewals",
        tag=TAG,
        summary="List the renewals of a job",
        description="Newest first.",
        path=[JOB_ID],
        answers={200: Answer(RenewalListSerializer)},
        refusals=[JOB_NOT_FOUND],
    )
    def list(self, request: Request, job_id: str) -> Response:
        renewals = JobRenewal.objects.filter(job=find_job(job_id))
        return Response({"renewals": [_shown(row) for row in renewals]})


def _shown(row: JobRenewal) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "job_id": str(row.job_id),
        "old_end_date": str(row.old_end_date),
        "new_end_date": str(row.new_end_date),
        "reason": row.reason,
        "renewed_by": None if row.renewed_by_id is None else str(row.renewed_by_id),
        "renewed_by_address": row.renewed_by_address or None,
        "created_at": utc_text(row.created_at),
    }
