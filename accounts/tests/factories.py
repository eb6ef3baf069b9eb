"""Accounts and signed-in clients for tests of every app."""

from datetime import datetime
from itertools import count
from typing import Any

from django.utils import timezone
from rest_framework.test import APIClient

from accounts.api_tokens import SCOPES, NewToken, create
from accounts.models import LoginSession, Role, User
from accounts.services import start_session
from accounts.tokens import AccessToken

PASSWORD = "correct horse battery"

_numbers = count(1)


def make_user(username: str | None = None, *, role: str = Role.USER, password: str = PASSWORD, **fields: Any) -> User:
    username = username or f"person{next(_numbers)}"
    fields.setdefault("email", f"{username}@example.com")
    return User.objects.create_user(username, password=password, role=role, **fields)


def make_session(user: User, *, now: datetime | None = None) -> LoginSession:
    session = start_session(user, now=now or timezone.now())
    assert session is not None
    return session


def token_for(user: User) -> str:
    """Sign `user` in and return the access token."""
    return str(AccessToken.issue(make_session(user), now=timezone.now()))


class JSONClient(APIClient):
    """Sends JSON unless told otherwise, as the existing frontend does."""

    default_format = "json"


def api_client(user: User | None = None) -> JSONClient:
    """Return a client that is signed in as `user`; without one it sends no token."""
    client = JSONClient()
    if user is not None:
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {token_for(user)}")
    return client


def make_token(owner: User, *scopes: str, **fields: Any) -> NewToken:
    """Return an API token of `owner`, with its secret; without `scopes` it has all."""
    sent = {"name": "a script", "scopes": list(scopes or SCOPES), **fields}
    return create(sent, owner=owner, by=owner, now=timezone.now())


def token_client(secret: str, **extra: Any) -> JSONClient:
    """Return a client that sends an API token."""
    client = JSONClient(**extra)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client
