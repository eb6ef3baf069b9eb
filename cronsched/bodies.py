"""Receive the bodies of requests whole, before Django sees the request.

Django reads a body when a view asks for it, and only as far as `Content-Length` says. Left to that,

- a body sent in chunks, which announces no length, counts as none: what it asks of a run would be lost without a word;
- a refused request leaves its body on the connection, which the server then closes without announcing it, so that the
  client's next request on it fails;
- a client that goes silent in the middle of its body holds a thread for as long as the connection lasts, and a few of
  them hold all there are.
"""

from collections.abc import Iterable
from tempfile import SpooledTemporaryFile
from typing import IO, Any, Protocol
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

# Longer ones are kept in a file.
IN_MEMORY_BYTES = 1024 * 1024
PORTION = 64 * 1024
# Who has sent nothing for so long is gone.
SILENCE_SECONDS = 15.0


class Socket(Protocol):
    def gettimeout(self) -> float | None: ...

    def settimeout(self, seconds: float | None, /) -> None: ...


class WholeBodies:
    """Serve `application` with bodies that have arrived.

    What is announced to be longer than `most` bytes is left to be refused unread. Whoever reads a body of which only a
    part arrived gets an `OSError`.
    """

    def __init__(self, application: WSGIApplication, *, most: int) -> None:
        self._application = application
        self._most = most

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        announced = _announced(environ)
        if announced is not None and not 0 < announced <= self._most:
            return self._application(environ, start_response)
        with SpooledTemporaryFile(IN_MEMORY_BYTES) as body:
            try:
                environ["CONTENT_LENGTH"] = str(self._receive(environ, body, announced))
                environ["wsgi.input"] = body
            except OSError as error:
                environ["CONTENT_LENGTH"] = str(announced or 1)
                environ["wsgi.input"] = _Lost(error)
            return self._application(environ, start_response)

    def _receive(self, environ: WSGIEnvironment, body: IO[bytes], announced: int | None) -> int:
        """Fill `body` and return its length. Of one in chunks no more is read than shows that it is too long."""
        line: Socket | None = environ.get("gunicorn.socket")
        usual = line.gettimeout() if line else None
        wanted = self._most + 1 if announced is None else announced
        try:
            if line:
                line.settimeout(SILENCE_SECONDS)
            while portion := environ["wsgi.input"].read(min(wanted - body.tell(), PORTION)):
                body.write(portion)
        finally:
            if line:
                line.settimeout(usual)
        length = body.tell()
        if announced is not None and length < announced:
            raise OSError(f"{length} of {announced} bytes arrived")
        body.seek(0)
        return length


class _Lost:
    """The body of a request that never arrived."""

    def __init__(self, reason: OSError) -> None:
        self._reason = reason

    def read(self, *_: Any) -> bytes:
        raise OSError(str(self._reason))

    readline = read


def _announced(environ: WSGIEnvironment) -> int | None:
    """Return the announced length of the body, None for one in chunks."""
    if environ.get("CONTENT_LENGTH"):
        return int(environ["CONTENT_LENGTH"])
    return None if "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower() else 0
