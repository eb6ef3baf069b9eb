"""Where the token for a call comes from."""

import hashlib
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http import HTTPMethod, HTTPStatus
from typing import NamedTuple, Protocol

import jwt

from cronsched.lib.http import Kind, RequestError
from jobs.executors.base import utc_now
from jobs.github.api import Transport, json_of, path_of

# An installation token lives an hour; a call must not begin with one that ends under way.
REFRESH_BEFORE = timedelta(minutes=5)
MAX_LANE_LENGTH = 100


class CredentialsMissing(Exception):
    """No token can be had. The text is for the user."""


class Credentials(Protocol):
    """Gives tokens for calls about a repository."""

    def token(self, owner: str, repo: str, *, ends_at: float) -> str | None:
        """Return a token, None where none is configured. May call GitHub: raises RequestError, CredentialsMissing."""

    def withdraw(self, token: str) -> bool:
        """Take note that GitHub refused `token`. True if `token()` may now give a better one."""

    def bucket(self, owner: str, repo: str) -> str:
        """Return the name of the credential that GitHub counts a call against; never the credential itself."""


class StaticToken:
    """One token for everything: `GITHUB_TOKEN`. Blank means not configured."""

    def __init__(self, token: str) -> None:
        self._token = token

    def token(self, owner: str, repo: str, *, ends_at: float) -> str | None:
        return self._token or None

    def withdraw(self, token: str) -> bool:
        return False

    def bucket(self, owner: str, repo: str) -> str:
        return token_bucket(self._token)


def token_bucket(token: str) -> str:
    """Return a name for `token` that does not give it away."""
    # Rows bear these names, so that `person` never changes.
    return "token:" + hashlib.blake2b(token.encode(), digest_size=8, person=b"github-lane").hexdigest()


class AppTokens:
    """Tokens of a GitHub App: minted per installation, kept until shortly before they expire. Thread-safe.

    Without an installation id the one of the repository is looked up. GitHub grants each installation limits of its
    own, so an installation is a bucket.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        app_id: str,
        private_key: str,
        installation_id: int | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._transport = transport
        self._app_id = app_id
        self._private_key = private_key
        self._installation_id = installation_id
        self._clock = clock
        # One request for a token at a time: a herd needs one token, not one each.
        self._lock = threading.Lock()
        self._installations: dict[tuple[str, str], int] = {}
        self._tokens: dict[int, _Minted] = {}

    def token(self, owner: str, repo: str, *, ends_at: float) -> str | None:
        if not self._lock.acquire(timeout=max(0.0, ends_at - time.monotonic())):
            raise RequestError(Kind.TIMEOUT, "timed out while waiting for a token of the GitHub App")
        try:
            installation = self._installation(owner, repo, ends_at)
            minted = self._tokens.get(installation)
            if minted is None or minted.expires_at - REFRESH_BEFORE <= self._clock():
                minted = self._tokens[installation] = self._mint(installation, ends_at)
            return minted.token
        finally:
            self._lock.release()

    def withdraw(self, token: str) -> bool:
        with self._lock:
            stale = [installation for installation, minted in self._tokens.items() if minted.token == token]
            for installation in stale:
                del self._tokens[installation]
        return bool(stale)

    def bucket(self, owner: str, repo: str) -> str:
        # Before the first call the installation is not known; an owner has one installation of an app. Cut, because
        # jobs from before GitHub's limit was checked may name an owner longer than the column.
        return f"app:{self._app_id}:{self._installation_id or owner.lower()}"[:MAX_LANE_LENGTH]

    def _installation(self, owner: str, repo: str, ends_at: float) -> int:
        if self._installation_id is not None:
            return self._installation_id
        key = (owner.lower(), repo.lower())
        if key not in self._installations:
            answer = self._transport.send(
                HTTPMethod.GET, path_of("repos", owner, repo, "installation"), self._jwt(), ends_at=ends_at
            )
            found = json_of(answer).get("id")
            if answer.status != HTTPStatus.OK or not isinstance(found, int):
                raise CredentialsMissing(f"GitHub App is not installed on {owner}/{repo} (status {answer.status})")
            self._installations[key] = found
        return self._installations[key]

    def _mint(self, installation: int, ends_at: float) -> "_Minted":
        path = path_of("app", "installations", installation, "access_tokens")
        answer = self._transport.send(HTTPMethod.POST, path, self._jwt(), ends_at=ends_at)
        told = json_of(answer)
        try:
            if answer.status != HTTPStatus.CREATED:
                raise ValueError
            return _Minted(str(told["token"]), datetime.fromisoformat(told["expires_at"]).astimezone(UTC))
        except (KeyError, TypeError, ValueError):
            raise CredentialsMissing(f"GitHub App got no installation token (status {answer.status})") from None

    def _jwt(self) -> str:
        now = self._clock()
        # Dated back, because GitHub refuses a token from its future; ten minutes is the longest it takes.
        claims = {"iat": now - timedelta(seconds=60), "exp": now + timedelta(minutes=9), "iss": self._app_id}
        try:
            return jwt.encode(claims, self._private_key, algorithm="RS256")
        except (ValueError, TypeError, jwt.PyJWTError):
            raise CredentialsMissing("GitHub App key is not a usable RSA private key") from None


class _Minted(NamedTuple):
    token: str
    expires_at: datetime
