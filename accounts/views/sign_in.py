"""Endpoints of sessions: sign in, refresh, verify, sign out (contract, section 4)."""

from typing import Any
from urllib.parse import parse_qsl

from django.conf import settings
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import descriptions as describe
from accounts import services
from accounts.authentication import bearer_token, caller, current_session
from accounts.serializers import LoginFormSerializer, LoginSerializer, UserSerializer, validated
from accounts.throttle import client_address
from accounts.tokens import INVALID
from cronsched.api.bodies import json_object
from cronsched.api.viewsets import APIViewSet
from cronsched.lib.errors import DomainError, Problem, SchemaError, Unauthorized

FORM = "application/x-www-form-urlencoded"
# The form has six fields; a longer one is no sign-in.
MAX_FORM_FIELDS = 100


class SignInViewSet(APIViewSet):
    """The endpoints of signing in. A token that is sent with them is ignored."""

    authentication_classes: list[type[BaseAuthentication]] = []
    permission_classes: list[type[BasePermission]] = []

    @describe.LOGIN
    def login(self, request: Request) -> Response:
        data = validated(LoginSerializer, schema_object(request))
        return self._signed_in(request, data.get("username") or data["email"], data["password"])

    @describe.LOGIN_FORM
    def login_form(self, request: Request) -> Response:
        data = validated(LoginFormSerializer, form_fields(request))
        return self._signed_in(request, data["username"], data["password"])

    @describe.REFRESH
    def refresh(self, request: Request) -> Response:
        pair = services.refresh(bearer_token(request) or _token_in_body(request), now=timezone.now())
        return Response(
            {
                "access_token": pair.access,
                "refresh_token": pair.refresh,
                "token_type": "bearer",
                "expires_in": settings.ACCESS_TOKEN_SECONDS,
            }
        )

    def _signed_in(self, request: Request, identifier: str, password: str) -> Response:
        address = client_address(request)
        user, tokens = services.sign_in(identifier, password, address=address, now=timezone.now())
        return Response(
            {
                "success": True,
                "message": "Login successful",
                "token_type": "bearer",
                "access_token": tokens.access,
                "refresh_token": tokens.refresh,
                "user": UserSerializer(user).data,
            }
        )


class SessionViewSet(APIViewSet):
    """What a signed-in caller asks about itself."""

    permission_classes = [IsAuthenticated]

    @describe.ME
    def me(self, request: Request) -> Response:
        return Response(UserSerializer(caller(request)).data)

    @describe.VERIFY
    def verify(self, request: Request) -> Response:
        user = caller(request)
        return Response(
            {
                "valid": True,
                "user_id": str(user.id),
                "username": user.username,
                "role": user.role,
                "message": "Token is valid",
            }
        )

    @describe.LOGOUT
    def logout(self, request: Request) -> Response:
        services.sign_out(current_session(request), now=timezone.now())
        return Response(
            {
                "success": True,
                "message": "Logout successful",
                "detail": "Please discard your tokens on the client side",
            }
        )


def schema_object(request: Request) -> dict[str, Any]:
    """Return the JSON object in the body; what is none breaks the schema (422) instead of being a bad request."""
    try:
        return json_object(request)
    except DomainError as error:
        raise SchemaError("body", [Problem(None, error.message or error.error, "json_invalid")]) from error


def form_fields(request: Request) -> dict[str, str]:
    """Return the fields of a form-encoded body, none for another content type. Raises `SchemaError`."""
    if FORM not in request.META.get("CONTENT_TYPE", "").lower():
        return {}
    try:
        text = request.body.decode()
        return dict(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FORM_FIELDS))
    except ValueError:
        raise SchemaError("body", [Problem(None, "Form data could not be read", "form_invalid")]) from None


def _token_in_body(request: Request) -> str:
    """Return `refresh_token` of the body. The existing frontend sends `null`, so that any other body is no error."""
    try:
        token = json_object(request).get("refresh_token")
    except DomainError:
        token = None
    if token is None or token == "":
        raise Unauthorized("Not authenticated")
    if not isinstance(token, str):
        raise Unauthorized(INVALID)
    return token.strip()
