"""Endpoints of preferences (contract, section 5)."""

from typing import Any

from django.utils import timezone
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import descriptions as describe
from accounts import services
from accounts.authentication import caller
from accounts.models import NotificationPreferences, UiPreferences, User, default_table_columns
from accounts.serializers import PREFERENCE_FLAGS, PreferencesSerializer
from accounts.views.users import profile
from cronsched.api.bodies import json_object, require_json
from cronsched.api.viewsets import APIViewSet
from cronsched.lib.errors import DomainError, Forbidden
from cronsched.lib.input import payload


class PreferencesViewSet(APIViewSet):
    permission_classes = [IsAuthenticated]

    @describe.GET_PREFERENCES
    def retrieve(self, request: Request, user_id: str) -> Response:
        preferences = services.preferences_of(_readable(request, user_id), NotificationPreferences)
        return self._answer("retrieved", preferences)

    @describe.UPDATE_PREFERENCES
    def update(self, request: Request, user_id: str) -> Response:
        user = _writable(request, user_id)
        data = json_object(request)
        sent = [name for name in PREFERENCE_FLAGS if data.get(name) is not None]
        values = {name: payload.flag(data, name, default=False) for name in sent}
        preferences = services.set_preferences(user, NotificationPreferences, values, now=timezone.now())
        return self._answer("updated", preferences)

    def _answer(self, verb: str, preferences: NotificationPreferences) -> Response:
        message = f"Notification preferences {verb} successfully"
        return Response({"message": message, "preferences": PreferencesSerializer(preferences).data})


class UiPreferencesViewSet(APIViewSet):
    permission_classes = [IsAuthenticated]

    @describe.GET_UI_PREFERENCES
    def retrieve(self, request: Request, user_id: str) -> Response:
        return self._answer(services.preferences_of(_readable(request, user_id), UiPreferences))

    @describe.UPDATE_UI_PREFERENCES
    def update(self, request: Request, user_id: str) -> Response:
        user = _writable(request, user_id)
        values = {"jobs_table_columns": _columns(json_object(request))}
        return self._answer(services.set_preferences(user, UiPreferences, values, now=timezone.now()))

    def _answer(self, preferences: UiPreferences) -> Response:
        return Response({"preferences": {"jobs_table_columns": preferences.jobs_table_columns}})


def _columns(data: dict[str, Any]) -> dict[str, bool]:
    """Return the defaults overlaid with the known columns sent; what was stored before does not show through."""
    sent = data.get("jobs_table_columns")
    if sent is None:
        raise DomainError("Missing required fields", '"jobs_table_columns" is required.', field="jobs_table_columns")
    if not isinstance(sent, dict):
        text = '"jobs_table_columns" must be an object.'
        raise DomainError("Invalid payload", text, field="jobs_table_columns")
    return {name: payload.flag(sent, name, default) for name, default in default_table_columns().items()}


def _readable(request: Request, user_id: str) -> User:
    return profile(request, user_id, refusal="Forbidden: Cannot access other users preferences")


def _writable(request: Request, user_id: str) -> User:
    """Return the account whose preferences may be written. Refuses in the contract's order: role, form, existence."""
    refusal = "Forbidden: Cannot update other users preferences"
    by = caller(request)
    if user_id != str(by.id) and not by.is_admin:
        raise Forbidden(refusal)
    require_json(request)
    return profile(request, user_id, refusal=refusal)
