"""Receive the bodies of requests whole, before Django sees the request, and have no endless patience with clients.

Django reads a body when a view asks for it, and only as far as `Content-Length` says. Left to that,

- a body sent in chunks, which announces no length, counts as none: what it asks of a run would be lost without a word;
- a refused request leaves its body on the connection, which the server then closes without announcing it, so that the
  client's next request on it fails;
- a client that goes silent in the middle of its body, or sends a byte now and then, holds a thread for as long as it
  likes, and a few of them hold all there are.
"""

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from socket import SHUT_RDWR
from tempfile import SpooledTemporaryFile
from typing import IO, Any, Protocol
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

logger = logging.getLogger(__name__)

# Longer ones are kept in a file.
IN_MEMORY_BYTES = 1024 * 1024
PORTION = 16 * 1024
# How long a portion or the head of a request may take, and how long while too many threads wait for theirs.
PATIENCE_SECONDS = 20.0
HURRIED_SECONDS = 1.0
LOOK_SECONDS = 0.25


class Socket(Protocol):
    def shutdown(self, how: int, /) -> None: ...


class WholeBodies:
    """Serve `application` with bodies that have arrived.

    What is announced to be longer than `most` bytes is left to be refused unread. Whoever reads a body of which only a
    part arrived gets an `OSError`. While more than `at_once` threads wait for clients, the slowest of these lose their
    connection.
    """

    def __init__(self, application: WSGIApplication, *, most: int, at_once: int) -> None:
        self._application = application
        self._most = most
        self.patience = Patience(at_once)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        announced = _announced(environ)
        if announced is not None and not 0 < announced <= self._most:
            return self._application(environ, start_response)
        with SpooledTemporaryFile(IN_MEMORY_BYTES) as body:
            try:
                environ["CONTENT_LENGTH"] = str(self._receive(environ, body, announced))
                environ["wsgi.input"] = body
            except BodyLost as error:
                environ["CONTENT_LENGTH"] = str(announced or 1)
                environ["wsgi.input"] = _Unreadable(error)
            return self._application(environ, start_response)

    def _receive(self, environ: WSGIEnvironment, body: IO[bytes], announced: int | None) -> int:
        """Fill `body` and return its length. Of one in chunks no more is read than shows that it is too long."""
        wanted = self._most + 1 if announced is None else announced
        while portion := self._read(environ, min(wanted - body.tell(), PORTION)):
            body.write(portion)
        length = body.tell()
        if announced is not None and length < announced:
            raise BodyLost(f"{length} of {announced} bytes arrived")
        body.seek(0)
        return length

    def _read(self, environ: WSGIEnvironment, size: int) -> bytes:
        line: Socket | None = environ.get("gunicorn.socket")
        try:
            if line is None:
                return bytes(environ["wsgi.input"].read(size))
            with self.patience.with_client(line):
                return bytes(environ["wsgi.input"].read(size))
        except OSError as error:
            raise BodyLost(str(error)) from error


class BodyLost(Exception):
    """The body of a request did not arrive. No `OSError`: a full disk here is no fault of the client's."""


class Patience:
    """Knows for whom threads are waiting, and ends the wait for those who are too slow.

    A time limit of the connection itself would begin anew with each byte.
    """

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._lock = threading.Lock()
        # Since when each client has been waited for, the longest wait first.
        self._since: dict[Socket, float] = {}
        self._watch: threading.Thread | None = None

    @contextmanager
    def with_client(self, line: Socket) -> Iterator[None]:
        """Wait for a portion inside. Raises `OSError` if the client was given up meanwhile."""
        self.begin(line)
        try:
            yield
        finally:
            in_time = self.end(line)
        if not in_time:
            raise OSError("the client was too slow")

    def begin(self, line: Socket) -> None:
        with self._lock:
            self._since[line] = time.monotonic()
            if self._watch is None:
                # Not earlier: a server may load the application in one process and serve it in another.
                self._watch = threading.Thread(target=self._look, name="slow clients", daemon=True)
                self._watch.start()

    def end(self, line: Socket) -> bool:
        """Return whether the client was still being waited for."""
        with self._lock:
            return self._since.pop(line, None) is not None

    def give_up_slow(self, now: float) -> int:
        """Cut the connections that have been waited for too long; return how many."""
        count = 0
        with self._lock:
            for line, since in list(self._since.items()):
                if now - since < (HURRIED_SECONDS if len(self._since) > self._at_once else PATIENCE_SECONDS):
                    break
                del self._since[line]
                count += 1
                # Both ways: after an answer the rest of the body would be taken for the next request. It may be
                # gone already.
                with suppress(OSError):
                    line.shutdown(SHUT_RDWR)
        return count

    def _look(self) -> None:
        while True:
            time.sleep(LOOK_SECONDS)
            if count := self.give_up_slow(time.monotonic()):
                logger.info("Gave up %s request(s) that came too slowly", count)


class _Unreadable:
    """What stands for a body that was lost."""

    def __init__(self, reason: BodyLost) -> None:
        self._reason = reason

    def read(self, *_: Any) -> bytes:
        raise OSError(str(self._reason))

    readline = read


def _announced(environ: WSGIEnvironment) -> int | None:
    """Return the announced length of the body, None for one in chunks."""
    if environ.get("CONTENT_LENGTH"):
        return int(environ["CONTENT_LENGTH"])
    return None if "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower() else 0
