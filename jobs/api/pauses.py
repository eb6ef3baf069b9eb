"""Endpoints that pause and resume one job, with a reason (beyond the contract)."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import caller
from accounts.permissions import IsWriter
from cronsched.api import openapi
from cronsched.api.bodies import json_object
from cronsched.api.openapi import Answer, Body, Refusal, operation
from cronsched.api.viewsets import APIViewSet
from cronsched.lib.clock import database_now
from jobs import services
from jobs.api import descriptions
from jobs.api.descriptions import JOB, JOB_ID, JOBS
from jobs.api.lookup import JOB_NOT_FOUND, find_job, shown_job
from jobs.api.serializers import ActedSerializer
from jobs.models import OnResume
from jobs.schedule import pauses
from jobs.schedule.pauses import MAX_REASON, read_reason, read_terms

NOT_YOURS = Refusal(403, "Insufficient permissions", "You can only update your own jobs")
BAD_REASON = Refusal(400, "Invalid reason", pauses.REASON_TOO_LONG)


class PauseSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(required=False, allow_null=True, max_length=MAX_REASON)
    until = serializers.DateTimeField(required=False, allow_null=True, help_text="When it resumes by itself.")
    on_resume = serializers.ChoiceField(OnResume.choices, required=False, help_text="What is then made up for.")


class ResumeSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(required=False, allow_null=True, max_length=MAX_REASON)
    missed = serializers.ChoiceField(
        OnResume.choices, required=False, help_text="What is made up for. Default: as the pause says."
    )


class PauseViewSet(APIViewSet):
    """Users pause their own jobs, admins all. What changes nothing writes nothing."""

    token_scopes = {"pause": "write", "resume": "write"}

    permission_classes = [IsWriter]

    @operation(
        "pause_job",
        tag=JOBS,
        summary="Pause a job",
        description="Says why, and if it is to resume by itself, when and what it then makes up for. A paused job"
        " stays as it is.",
        access=openapi.WRITER,
        path=[JOB_ID],
        body=Body(PauseSerializer, {"Until a day": {"reason": "Target is moved", "until": "2099-01-23T08:00:00Z"}}),
        answers={200: Answer(ActedSerializer, {"message": "Job paused", "job": descriptions.PAUSED_JOB})},
        refusals=[
            JOB_NOT_FOUND,
            NOT_YOURS,
            BAD_REASON,
            Refusal(400, "Invalid until", "until must lie in the future."),
            Refusal(400, "Invalid on_resume", "on_resume must be one of: skip, last, all."),
        ],
    )
    def pause(self, request: Request, job_id: str) -> Response:
        now, job = database_now(), find_job(job_id)
        services.check_may(caller(request), job, "update")
        terms = read_terms(json_object(request, empty_is_object=True))
        acted = services.pause_job(job.pk, by=caller(request), now=now, terms=terms)
        message = "Job paused" if acted.changed else "Job was paused already"
        return Response({"message": message, "job": shown_job(job_id, now)})

    @operation(
        "resume_job",
        tag=JOBS,
        summary="Resume a job",
        description="Makes up for none, the last or all of the runs that the pause kept back.",
        access=openapi.WRITER,
        path=[JOB_ID],
        body=Body(ResumeSerializer, {"The last run": {"reason": "Target is back", "missed": "last"}}),
        answers={200: Answer(ActedSerializer, {"message": "Job resumed", "job": JOB})},
        refusals=[
            JOB_NOT_FOUND,
            NOT_YOURS,
            BAD_REASON,
            Refusal(400, "Invalid missed", "missed must be one of: skip, last, all."),
            Refusal(400, "Invalid missed", pauses.TOO_MANY),
        ],
    )
    def resume(self, request: Request, job_id: str) -> Response:
        now, job = database_now(), find_job(job_id)
        services.check_may(caller(request), job, "update")
        sent = json_object(request, empty_is_object=True)
        missed = pauses.read_choice(sent.get("missed"), "missed", "") or None
        acted = services.resume_job(job.pk, by=caller(request), now=now, reason=read_reason(sent), missed=missed)
        message = "Job resumed" if acted.changed else "Job was active already"
        return Response({"message": message, "job": shown_job(job_id, now)})
