"""The bearer tokens of the API: their claims and their checks (contract, sections 2 and 3).

A token only names a session and an account; whether these still exist is asked of the database on every request
(`accounts.authentication`). The clock is an argument throughout.
"""

from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from uuid import UUID

import jwt
from django.conf import settings
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import TokenBackendError, TokenError
from rest_framework_simplejwt.tokens import Token

from accounts import sessions
from accounts.models import LoginSession
from cronsched.lib.errors import Unauthorized
from cronsched.lib.ids import known_id

if TYPE_CHECKING:
    from jwt.types import Options

INVALID = "Invalid token"
EXPIRED = "Token has expired"
WRONG_TYPE = "Invalid token type"

# The claims that hold the id of a row.
IDS = ("sub", "sid")


class Signer(TokenBackend):
    """HS256 and nothing else. Checks the signature only: the library would read the wall clock for `exp` and `iat`."""

    def decode(self, token: Any, verify: bool = True) -> dict[str, Any]:
        options: Options = {"verify_exp": False, "verify_iat": False, "verify_aud": False}
        try:
            return jwt.decode(token, self.get_verifying_key(token), algorithms=[self.algorithm], options=options)
        except jwt.InvalidTokenError as error:
            raise TokenBackendError(str(error)) from error


@lru_cache(maxsize=2)
def signer(key: str) -> Signer:
    return Signer("HS256", key)


class SessionToken(Token):
    """A token of one `LoginSession`. Subclasses fix the type and how long it lasts."""

    # The base class wants one; `issue` sets the real expiry, from the settings and the time it is told.
    lifetime = timedelta(0)

    @property
    def token_backend(self) -> Signer:
        return signer(settings.JWT_SECRET_KEY)

    @classmethod
    def lasts(cls) -> timedelta:
        raise NotImplementedError

    @classmethod
    def issue(cls, session: LoginSession, *, now: datetime) -> Self:
        """Make a token for `session`, its claims taken from the account as it is now."""
        token = cls()
        token.set_iat(at_time=now)
        token.set_exp(from_time=now, lifetime=min(cls.lasts(), sessions.time_left(session, now=now)))
        user = session.user
        token.payload |= {"sub": str(user.id), "role": user.role, "email": user.email, "sid": str(session.id)}
        return token

    @classmethod
    def read(cls, text: str, *, now: datetime) -> Self:
        """Return the token `text` stands for. Raises `Unauthorized` if it cannot be used here and now."""
        try:
            token = cls(text)  # type: ignore[arg-type]  # the library annotates its own encoded tokens wrongly
        except TokenError as error:
            raise Unauthorized(INVALID) from error
        token.check_claims(now)
        return token

    def verify(self) -> None:
        """Leave the claims to `check_claims`, which is told the time and has a text for each of them."""

    def check_claims(self, now: datetime) -> None:
        expiry, kind = self.payload.get("exp"), self.payload.get("type")
        # bool is an int to Python, but not an instant.
        if not isinstance(expiry, int) or isinstance(expiry, bool):
            raise Unauthorized(INVALID)
        if expiry <= now.timestamp():
            raise Unauthorized(EXPIRED)
        if kind not in (AccessToken.token_type, RefreshToken.token_type):
            raise Unauthorized(INVALID)
        if kind != self.token_type:
            raise Unauthorized(WRONG_TYPE)
        if not all(isinstance(self.payload.get(claim), str) and known_id(self.payload[claim]) for claim in IDS):
            raise Unauthorized(INVALID)

    @property
    def session_id(self) -> UUID:
        return UUID(self.payload["sid"])

    @property
    def user_id(self) -> UUID:
        return UUID(self.payload["sub"])


class AccessToken(SessionToken):
    token_type = "access"  # noqa: S105 - the value of a claim

    @classmethod
    def lasts(cls) -> timedelta:
        return timedelta(seconds=settings.ACCESS_TOKEN_SECONDS)

    @classmethod
    def issue(cls, session: LoginSession, *, now: datetime) -> Self:
        token = super().issue(session, now=now)
        token["fresh"] = True
        return token


class RefreshToken(SessionToken):
    token_type = "refresh"  # noqa: S105 - the value of a claim

    @classmethod
    def lasts(cls) -> timedelta:
        return timedelta(seconds=settings.REFRESH_TOKEN_SECONDS)


class TokenPair(NamedTuple):
    """What a sign-in or a refresh hands out, encoded."""

    access: str
    refresh: str


def issue_pair(session: LoginSession, *, now: datetime) -> TokenPair:
    return TokenPair(str(AccessToken.issue(session, now=now)), str(RefreshToken.issue(session, now=now)))
