"""Endpoints of one's sessions (beyond the contract): seen and ended by people, never by an API token."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import sessions
from accounts.authentication import caller, current_session
from accounts.models import LoginSession, SessionKind
from cronsched.api.openapi import Answer, Refusal, operation, path_id
from cronsched.api.viewsets import APIViewSet
from cronsched.lib.clock import utc_text

TAG = "Sign-in"
SESSION = {
    "id": "3c1e7d0f-6d0b-4d6e-9a53-2f1f0b6c9d11",
    "kind": "console",
    "created_at": "2026-01-15T12:00:00.000Z",
    "last_seen_at": "2026-01-15T12:34:00.000Z",
    "expires_at": "2026-01-29T12:00:00.000Z",
    "address": "192.0.2.7",
    "user_agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
    "current": False,
}
OWNER = OpenApiParameter("owner", str, description="Id of an account; administrators only.")
REFUSED_OWNER = (
    Refusal(400, "Invalid owner", "owner must be the id of an account."),
    Refusal(403, "Insufficient permissions", "Admin access required"),
)


class SessionSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    kind = serializers.ChoiceField(SessionKind.choices)
    created_at = serializers.DateTimeField()
    last_seen_at = serializers.DateTimeField(allow_null=True, help_text="To the minute.")
    expires_at = serializers.DateTimeField(help_text="When it ends unless it is refreshed before.")
    address = serializers.CharField(allow_null=True)
    user_agent = serializers.CharField(allow_null=True, help_text="The browser's or script's name of itself, cut.")
    current = serializers.BooleanField(help_text="Whether the list was asked for by this session.")


class SessionListSerializer(serializers.Serializer[Any]):
    sessions = SessionSerializer(many=True)


class SessionEndedSerializer(serializers.Serializer[Any]):
    message = serializers.CharField()


class SessionsEndedSerializer(serializers.Serializer[Any]):
    message = serializers.CharField()
    ended = serializers.IntegerField()


class OwnSessionsViewSet(APIViewSet):
    """Every account sees and ends its own sessions, administrators those of all."""

    permission_classes = [IsAuthenticated]

    @operation(
        "list_sessions",
        tag=TAG,
        summary="List the open sessions",
        description="The open sessions over the API and at the console, newest first.",
        query=[OWNER],
        answers={200: Answer(SessionListSerializer, {"sessions": [SESSION]})},
        refusals=REFUSED_OWNER,
    )
    def list(self, request: Request) -> Response:
        found = sessions.listed(caller(request), owner=_owner(request), now=timezone.now())
        current = current_session(request)
        return Response({"sessions": [_session_object(session, current) for session in found]})

    @operation(
        "end_session",
        tag=TAG,
        summary="End a session",
        description="Its tokens answer 401 from then on; a browser is signed out by its next page.",
        path=[path_id("session_id", "session")],
        answers={200: Answer(SessionEndedSerializer, {"message": "Session ended"})},
        refusals=[Refusal(404, "Session not found", f"No session found with ID: {SESSION['id']}")],
    )
    def destroy(self, request: Request, session_id: str) -> Response:
        sessions.end(session_id, by=caller(request), now=timezone.now())
        return Response({"message": "Session ended"})

    @operation(
        "end_other_sessions",
        tag=TAG,
        summary="End all other sessions",
        description="All but the one that asks; with `owner` all of that account.",
        query=[OWNER],
        answers={200: Answer(SessionsEndedSerializer, {"message": "Sessions ended", "ended": 2})},
        refusals=REFUSED_OWNER,
    )
    def end_others(self, request: Request) -> Response:
        but = current_session(request).pk
        ended = sessions.end_others(caller(request), but=but, owner=_owner(request), now=timezone.now())
        return Response({"message": "Sessions ended", "ended": ended})


def _owner(request: Request) -> str:
    return str(request.query_params.get("owner", "")).strip()


def _session_object(session: LoginSession, current: LoginSession) -> dict[str, Any]:
    return {
        "id": str(session.pk),
        "kind": session.kind,
        "created_at": utc_text(session.created_at),
        "last_seen_at": utc_text(session.last_seen_at),
        "expires_at": utc_text(session.expires_at),
        "address": session.address or None,
        "user_agent": session.user_agent or None,
        "current": session.pk == current.pk,
    }
