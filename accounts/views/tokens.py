"""Endpoints of API tokens (beyond the contract): made, listed and ended by people, never by a token."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import api_tokens
from accounts.authentication import caller
from accounts.models import ApiToken
from cronsched.api import openapi
from cronsched.api.bodies import json_object
from cronsched.api.openapi import Answer, Body, Refusal, operation, path_id
from cronsched.api.viewsets import APIViewSet
from cronsched.lib.clock import utc_text
from cronsched.lib.input import query

TAG = "API tokens"
TOKEN = {
    "id": "3c1e7d0f-6d0b-4d6e-9a53-2f1f0b6c9d11",
    "name": "deploy pipeline",
    "prefix": "cron_k3v9q0x7m2ab",
    "scopes": ["read", "run"],
    "expires_at": "2027-01-15T00:00:00.000Z",
    "allowed_ips": ["192.0.2.0/24"],
    "last_used_at": None,
    "last_used_ip": None,
    "created_at": "2026-01-15T12:00:00.000Z",
}
NEW = {name: TOKEN[name] for name in ("name", "scopes", "expires_at", "allowed_ips")}
SHOWN_ONCE = "cron_k3v9q0x7m2ab_shown-only-this-once"
SCOPES = [(scope, scope) for scope in api_tokens.SCOPES]


class NewTokenSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=api_tokens.MAX_NAME)
    scopes = serializers.ListField(child=serializers.ChoiceField(SCOPES), min_length=1)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)
    allowed_ips = serializers.ListField(
        required=False, allow_null=True, child=serializers.CharField(), help_text="Networks (CIDR); none: everywhere."
    )


class TokenSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    prefix = serializers.CharField(help_text="What its secret begins with.")
    scopes = serializers.ListField(child=serializers.ChoiceField(SCOPES))
    expires_at = serializers.DateTimeField(allow_null=True)
    allowed_ips = serializers.ListField(child=serializers.CharField())
    last_used_at = serializers.DateTimeField(allow_null=True, help_text="To the minute.")
    last_used_ip = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()


class TokenMadeSerializer(serializers.Serializer[Any]):
    token = TokenSerializer()
    secret = serializers.CharField(help_text="Shown this once; only a digest is stored.")


class TokenListSerializer(serializers.Serializer[Any]):
    tokens = TokenSerializer(many=True)


class TokenDeletedSerializer(serializers.Serializer[Any]):
    message = serializers.CharField()


class TokenViewSet(APIViewSet):
    """Every account has tokens of its own; administrators see and end all."""

    permission_classes = [IsAuthenticated]

    @operation(
        "create_token",
        tag=TAG,
        summary="Create an API token",
        description="The token acts as its owner, with fewer rights: `read` reads, `write` changes jobs, `run` runs and"
        " tests them. The secret is sent as bearer token. It is shown in this answer only.",
        body=Body(NewTokenSerializer, {"A pipeline": NEW}),
        answers={201: Answer(TokenMadeSerializer, {"token": TOKEN, "secret": SHOWN_ONCE}, "Created.")},
        refusals=[
            Refusal(400, "Invalid name", "name is required, with at most 100 characters."),
            Refusal(400, "Invalid scopes", "scopes must be a list of: read, write, run."),
            Refusal(400, "Invalid expires_at", "expires_at must lie in the future."),
            Refusal(400, "Invalid allowed_ips", api_tokens.BAD_NETWORKS),
            Refusal(400, "Too many tokens", f"An account may have at most {api_tokens.MAX_PER_ACCOUNT} tokens."),
        ],
    )
    def create(self, request: Request) -> Response:
        by = caller(request)
        made = api_tokens.create(json_object(request), owner=by, by=by, now=timezone.now())
        return Response({"token": token_object(made.token), "secret": made.secret}, status=201)

    @operation(
        "list_tokens",
        tag=TAG,
        summary="List API tokens",
        description="One's own, newest first. Administrators also those of an account or of all.",
        query=[
            OpenApiParameter("owner", str, description="Id of an account; administrators only."),
            openapi.flag("all", text="The tokens of all accounts; administrators only."),
        ],
        answers={200: Answer(TokenListSerializer, {"tokens": [TOKEN]})},
        refusals=[
            Refusal(400, "Invalid owner", "owner must be the id of an account."),
            Refusal(403, "Insufficient permissions", "Admin access required"),
            openapi.bad_boolean("all"),
        ],
    )
    def list(self, request: Request) -> Response:
        everybody = query.read(request.query_params, all=query.Flag())["all"]
        owner = request.query_params.get("owner", "").strip()
        tokens = api_tokens.listed(caller(request), owner=owner, everybody=everybody)
        return Response({"tokens": [token_object(token) for token in tokens]})

    @operation(
        "delete_token",
        tag=TAG,
        summary="End an API token",
        path=[path_id("token_id", "token")],
        answers={200: Answer(TokenDeletedSerializer, {"message": "Token deleted"})},
        refusals=[Refusal(404, "Token not found", f"No token found with ID: {TOKEN['id']}")],
    )
    def destroy(self, request: Request, token_id: str) -> Response:
        api_tokens.end(token_id, by=caller(request), now=timezone.now())
        return Response({"message": "Token deleted"})


def token_object(token: ApiToken) -> dict[str, Any]:
    """Return a token as the API shows it, without its secret."""
    return {
        "id": str(token.pk),
        "name": token.name,
        "prefix": f"{api_tokens.MARK}{token.prefix}",
        "scopes": token.scopes,
        "expires_at": utc_text(token.expires_at),
        "allowed_ips": token.allowed_ips,
        "last_used_at": utc_text(token.last_used_at),
        "last_used_ip": token.last_used_ip or None,
        "created_at": utc_text(token.created_at),
    }
