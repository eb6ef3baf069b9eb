"""GitHub with credentials: the calls of the dispatcher, the tracker and the target check."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from cronsched.lib.http import RequestError, Response
from jobs.github.api import Transport, path_of
from jobs.github.credentials import Credentials, CredentialsMissing, token_bucket


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository and, where a run brings its own, the token to use for it (stored nowhere)."""

    owner: str
    name: str
    token: str | None = field(default=None, repr=False)


class GitHub:
    """Thread-safe."""

    def __init__(self, transport: Transport, credentials: Credentials) -> None:
        self._transport = transport
        self._credentials = credentials

    def bucket(self, repository: Repository) -> str:
        """Return the name of the credential whose limits a call to `repository` counts against."""
        if repository.token:
            return token_bucket(repository.token)
        return self._credentials.bucket(repository.owner, repository.name)

    def send(
        self,
        method: str,
        repository: Repository,
        *segments: str | int,
        query: str = "",
        ends_at: float,
        body: Mapping[str, Any] | None = None,
        etag: str | None = None,
        max_body: int | None = None,
    ) -> Response:
        """Call `/repos/{owner}/{repo}/{segments}`. Raises RequestError, CredentialsMissing."""
        path = path_of("repos", repository.owner, repository.name, *segments) + query
        token = self._token(repository, ends_at)
        answer = self._transport.send(method, path, token, ends_at=ends_at, body=body, etag=etag, max_body=max_body)
        if answer.status == HTTPStatus.UNAUTHORIZED and self._credentials.withdraw(token):
            # An installation token can end before its time. The refused call did nothing, so it may be made again.
            token = self._token(repository, ends_at)
            answer = self._transport.send(method, path, token, ends_at=ends_at, body=body, etag=etag, max_body=max_body)
        return answer

    def _token(self, repository: Repository, ends_at: float) -> str:
        try:
            token = repository.token or self._credentials.token(repository.owner, repository.name, ends_at=ends_at)
        except RequestError as error:
            # Whatever reached GitHub was the question for a token, not the call.
            raise RequestError(error.kind, f"no token from GitHub: {error.reason}") from error
        if not token:
            raise CredentialsMissing("GitHub token not configured")
        return token
