"""Finds the account and session of the `Authorization` header."""

import logging
from datetime import datetime

from django.db.models import UUIDField
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from accounts import api_tokens, sessions
from accounts.models import ApiToken, LoginSession, User
from accounts.throttle import reported_address
from accounts.tokens import EXPIRED, AccessToken, SessionToken
from cronsched.lib.db.prepared import Param, PreparedQuery
from cronsched.lib.errors import Unauthorized

logger = logging.getLogger("cronsched.security")

USER_NOT_FOUND = "User not found"
USER_INACTIVE = "User account is deactivated"
REVOKED = "Token has been revoked"

_SESSION = PreparedQuery(
    lambda: LoginSession.objects.select_related("user").filter(
        id=Param("id", UUIDField()), user=Param("user", UUIDField())
    )
)


def bearer_token(request: Request) -> str | None:
    """Return what follows `Bearer` in the header, None without a header, with another scheme or with nothing after."""
    scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").strip().partition(" ")
    return (token.strip() or None) if scheme.lower() == "bearer" else None


def open_session(text: str, kind: type[SessionToken], *, now: datetime) -> LoginSession:
    """Return the open session, with its account, that the token `text` of type `kind` belongs to.

    One query where all is well. Raises `Unauthorized` with the contract's text otherwise.
    """
    token = kind.read(text, now=now)
    session = _SESSION.first(id=token.session_id, user=token.user_id)
    user = session.user if session else User.objects.filter(id=token.user_id).first()
    if user is None:
        raise Unauthorized(USER_NOT_FOUND)
    if not user.is_active:
        raise Unauthorized(USER_INACTIVE)
    if session is None:
        raise Unauthorized(REVOKED)
    if sessions.is_over(session, now=now):
        raise Unauthorized(EXPIRED)
    return session


class SessionTokenAuthentication(BaseAuthentication):
    """Accept access tokens and API tokens. `request.auth` is the session or the token, `request.user` its account."""

    def authenticate(self, request: Request) -> tuple[User, LoginSession | ApiToken] | None:
        text = bearer_token(request)
        if text is None:
            return None
        if api_tokens.is_api_token(text):
            address = reported_address(request._request)
            token = api_tokens.authenticate(text, address=address, now=timezone.now())
            return token.owner, token
        now = timezone.now()
        try:
            session = open_session(text, AccessToken, now=now)
        except Unauthorized as refusal:
            # One that has run out is every client's daily life.
            level = logging.INFO if refusal.message == EXPIRED else logging.WARNING
            logger.log(level, "A token was refused, from %s: %s", reported_address(request._request), refusal.message)
            raise
        sessions.note_use(session, now=now)
        return session.user, session

    def authenticate_header(self, request: Request) -> str:
        # Without it a missing token would be answered with 403.
        return "Bearer"


def caller(request: Request) -> User:
    """Return the account of a request that has passed the permission check."""
    assert isinstance(request.user, User)
    return request.user


def current_session(request: Request) -> LoginSession:
    """Return the session of a request that has passed the permission check."""
    assert isinstance(request.auth, LoginSession)
    return request.auth
