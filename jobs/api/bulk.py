"""The endpoint of acts on many jobs (beyond the contract)."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import caller
from accounts.idempotency import KEY_REFUSALS, idempotent
from accounts.permissions import IsWriter
from cronsched.api import openapi
from cronsched.api.bodies import json_object
from cronsched.api.openapi import Answer, Body, Refusal, operation
from cronsched.api.viewsets import APIViewSet
from cronsched.lib.clock import database_now
from cronsched.lib.errors import Forbidden
from jobs import bulk_acts
from jobs.api.descriptions import JOB, JOBS
from jobs.models import OnResume

BATCH_ID = "3c1e7d0f-6d0b-4d6e-9a53-2f1f0b6c9d11"
OUTCOMES = [bulk_acts.DONE, bulk_acts.UNCHANGED, bulk_acts.REFUSED]


class BulkSerializer(serializers.Serializer[Any]):
    action = serializers.ChoiceField(list(bulk_acts.ACTIONS))
    ids = serializers.ListField(child=serializers.UUIDField(), required=False, allow_null=True)
    filter = serializers.DictField(
        child=serializers.CharField(), required=False, allow_null=True, help_text="As the list of jobs takes."
    )
    batch_id = serializers.UUIDField(required=False, allow_null=True, help_text="To resume what one pause has paused.")
    reason = serializers.CharField(required=False, allow_null=True, max_length=500)
    until = serializers.DateTimeField(required=False, allow_null=True)
    on_resume = serializers.ChoiceField(OnResume.choices, required=False)
    missed = serializers.ChoiceField(OnResume.choices, required=False)
    days = serializers.IntegerField(required=False, help_text="To extend: 30, 90 or 180.")
    owner = serializers.CharField(required=False, help_text="To hand over: id or name of an account.")
    category = serializers.CharField(required=False, help_text="To move.")
    pic_team = serializers.CharField(required=False, help_text="To move.")


class OutcomeSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    outcome = serializers.ChoiceField([(name, name) for name in OUTCOMES])
    message = serializers.CharField()


class BulkAnswerSerializer(serializers.Serializer[Any]):
    action = serializers.CharField()
    batch_id = serializers.UUIDField(
        allow_null=True, help_text="Of a pause: a resume with this id resumes the jobs that it paused."
    )
    counts = serializers.DictField(child=serializers.IntegerField())
    results = OutcomeSerializer(many=True)


class BulkViewSet(APIViewSet):
    """Users act on their own jobs, admins on all. A refusal for one job does not stop the others."""

    token_scopes = {"act": "write"}
    permission_classes = [IsWriter]

    @operation(
        "act_on_jobs",
        tag=JOBS,
        summary="Act on many jobs",
        description="Pauses, resumes, runs, extends, hands over, moves or deletes jobs named by `ids` or `filter`, each"
        " on its own. A token needs the scope `write`, to run jobs `run`.",
        access=openapi.WRITER,
        body=Body(
            BulkSerializer,
            {
                "Pause a team's jobs": {"action": "pause", "filter": {"pic_team": "devops"}, "reason": "Outage"},
                "Wake those again": {"action": "resume", "batch_id": BATCH_ID, "missed": "last"},
            },
        ),
        answers={
            200: Answer(
                BulkAnswerSerializer,
                {
                    "action": "pause",
                    "batch_id": BATCH_ID,
                    "counts": {"done": 1, "unchanged": 0, "refused": 0},
                    "results": [{"id": JOB["id"], "outcome": "done", "message": "Done."}],
                },
            )
        },
        refusals=[
            Refusal(400, "Invalid action", f"action must be one of: {', '.join(bulk_acts.ACTIONS)}."),
            Refusal(400, "Invalid ids", "Name the jobs either by ids or by filter."),
            Refusal(400, "Invalid filter", "filter does not know colour."),
            Refusal(400, "Too many jobs", f"One act is for at most {bulk_acts.MAX_JOBS} jobs."),
            *KEY_REFUSALS,
        ],
    )
    @idempotent
    def act(self, request: Request) -> Response:
        sent = json_object(request)
        _check_scope(request, sent)
        act = bulk_acts.read(sent, by=caller(request), now=database_now())
        outcomes = bulk_acts.carry_out(act, bulk_acts.chosen(sent, act))
        results = [outcome._asdict() for outcome in outcomes]
        batch_id = None if act.batch_id is None else str(act.batch_id)
        counts = bulk_acts.summary(outcomes)
        return Response({"action": sent["action"], "batch_id": batch_id, "counts": counts, "results": results})


def _check_scope(request: Request, sent: dict[str, Any]) -> None:
    """Refuse to run jobs for an API token that may only change them."""
    scopes = getattr(request.auth, "scopes", None)
    if sent.get("action") == "run" and scopes is not None and "run" not in scopes:
        raise Forbidden("Insufficient scope", 'This token lacks the scope "run".')
