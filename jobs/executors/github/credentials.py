"""Where the token for a call comes from."""

import hashlib
from typing import Protocol


class CredentialsMissing(Exception):
    """No token can be had. The text is for the user."""


class Credentials(Protocol):
    """Gives tokens for calls about a repository."""

    def token(self, owner: str, repo: str, *, ends_at: float) -> str | None:
        """Return a token, None where none is configured. May call GitHub: raises DoorError, CredentialsMissing."""

    def withdraw(self, token: str) -> bool:
        """Take note that GitHub refused `token`. True if `token()` may now give a better one."""

    def lane(self, owner: str, repo: str) -> str:
        """Return the name of the credential that GitHub counts a call against; never the credential itself."""


class StaticToken:
    """One token for everything: `GITHUB_TOKEN`. Blank means not configured."""

    def __init__(self, token: str) -> None:
        self._token = token

    def token(self, owner: str, repo: str, *, ends_at: float) -> str | None:
        return self._token or None

    def withdraw(self, token: str) -> bool:
        return False

    def lane(self, owner: str, repo: str) -> str:
        return lane_of(self._token)


def lane_of(token: str) -> str:
    """Return a name for `token` that does not give it away."""
    return "token:" + hashlib.blake2b(token.encode(), digest_size=8, person=b"github-lane").hexdigest()
