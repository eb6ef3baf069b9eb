"""The webhook by which GitHub reports how runs end, so that fewer polls are needed."""

from typing import Any

from django.conf import settings
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from cronsched.api import openapi
from cronsched.api.bodies import require_json
from cronsched.api.openapi import BAD_JSON, Answer, Body, Refusal, operation
from cronsched.api.viewsets import APIViewSet
from cronsched.lib.clock import database_now
from cronsched.lib.errors import DomainError, Unauthorized
from jobs.github import is_signed, run_event, tracking
from jobs.github.events import EVENT

NOT_SIGNED = "The signature is missing or wrong."
NO_EVENT = "This is no workflow_run event."


class EventSerializer(serializers.Serializer[Any]):
    """What GitHub sends about a run; more of it than this is not read."""

    action = serializers.CharField(help_text="requested, in_progress or completed.")
    workflow_run = serializers.DictField()
    repository = serializers.DictField()


class ReceivedSerializer(serializers.Serializer[Any]):
    message = serializers.CharField()
    executions = serializers.IntegerField(help_text="Executions that the event was about.")


class GitHubWebhookViewSet(APIViewSet):
    """Open to everybody: the signature proves that a request is GitHub's."""

    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]

    @operation(
        "receive_github_event",
        tag="GitHub",
        summary="Take an event of GitHub",
        description="For a webhook of GitHub with the event `workflow_run`, content type `application/json` and the "
        "secret of `GITHUB_WEBHOOK_SECRET`. The signature is in `X-Hub-Signature-256`, the event's name in "
        "`X-GitHub-Event`. Other events are taken and ignored.",
        access=openapi.PUBLIC,
        body=Body(
            EventSerializer,
            {
                "A run has ended": {
                    "action": "completed",
                    "workflow_run": {"id": 9876543210, "status": "completed", "conclusion": "success"},
                    "repository": {"full_name": "myorg/myrepo"},
                }
            },
            unreadable=BAD_JSON[:1],
        ),
        answers={
            200: Answer(ReceivedSerializer, {"message": "Event taken", "executions": 1}),
            202: Answer(ReceivedSerializer, {"message": "Event ignored", "executions": 0}, "Not about a known run."),
        },
        refusals=[
            Refusal(400, "Invalid payload", NO_EVENT),
            Refusal(401, "Unauthorized", NOT_SIGNED, {"detail": NOT_SIGNED}),
        ],
    )
    def receive(self, request: Request) -> Response:
        body = request.body
        if not is_signed(body, request.headers.get("X-Hub-Signature-256"), settings.GITHUB_WEBHOOK_SECRET):
            raise Unauthorized(NOT_SIGNED)
        executions = 0
        if request.headers.get("X-GitHub-Event") == EVENT:
            require_json(request)
            event = run_event(body)
            if event is None:
                raise DomainError("Invalid payload", NO_EVENT)
            executions = tracking.handle_workflow_run_event(event, now=database_now())
        if not executions:
            return Response({"message": "Event ignored", "executions": 0}, status=202)
        return Response({"message": "Event taken", "executions": executions})
