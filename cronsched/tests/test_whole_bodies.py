"""Bodies are received before Django sees the request: in chunks, refused, cut off or never sent."""

import io
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.wsgi import get_wsgi_application
from gunicorn.http.body import Body, ChunkedReader, LengthReader
from gunicorn.http.unreader import SocketUnreader

from cronsched import bodies
from cronsched.bodies import WholeBodies

MOST = 1000
Line = tuple[socket.socket, socket.socket]


class Application:
    """Reads what it is given, or refuses it unread."""

    def __init__(self, *, reads: bool = True) -> None:
        self.reads = reads
        self.got: bytes | None = None

    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        if self.reads:
            self.got = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        return []


@pytest.fixture
def line() -> Iterator[Line]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def serve(application: Application, line: Line, sent: bytes, **environ: Any) -> bytes:
    """Serve one request whose body `sent` is on the line; return what is left there for the next one."""
    ours, theirs = line
    theirs.sendall(sent)
    unreader = SocketUnreader(ours)
    if "CONTENT_LENGTH" in environ:
        body = Body(LengthReader(unreader, int(environ["CONTENT_LENGTH"])))
    else:
        body = Body(ChunkedReader(None, unreader))
    environ |= {"wsgi.input": body, "gunicorn.socket": ours}
    list(WholeBodies(application, most=MOST)(environ, lambda *_: None))
    theirs.sendall(b"next")
    return unreader.read(len(b"next"))


def test_a_body_in_chunks_is_read_like_any_other(line):
    application = Application()
    left = serve(application, line, b"2\r\n{}\r\n3\r\n   \r\n0\r\n\r\n", HTTP_TRANSFER_ENCODING="chunked")
    assert (application.got, left) == (b"{}   ", b"next")


def test_of_a_body_in_endless_chunks_no_more_is_read_than_shows_that_it_is_too_long(line):
    application = Application()
    serve(application, line, b"258\r\n" + b"x" * 600 + b"\r\n258\r\n" + b"x" * 600, HTTP_TRANSFER_ENCODING="chunked")
    assert application.got is not None
    assert len(application.got) == MOST + 1


def test_a_refused_body_does_not_stand_before_the_next_request(line):
    assert serve(Application(reads=False), line, b"x" * MOST, CONTENT_LENGTH=str(MOST)) == b"next"


def test_what_is_announced_as_too_long_is_left_unread(line):
    ours, theirs = line
    theirs.sendall(b"x")
    environ = {"wsgi.input": ours, "gunicorn.socket": ours, "CONTENT_LENGTH": str(MOST + 1)}
    list(WholeBodies(Application(reads=False), most=MOST)(environ, lambda *_: None))
    assert ours.recv(10) == b"x"


def test_a_client_that_goes_silent_is_given_up(line, monkeypatch):
    monkeypatch.setattr(bodies, "SILENCE_SECONDS", 0.05)
    began = time.monotonic()
    with pytest.raises(OSError, match="timed out"):
        serve(Application(), line, b"half", CONTENT_LENGTH="8")
    assert time.monotonic() - began < 5
    assert line[0].gettimeout() is None


def test_a_body_that_was_cut_off_is_not_taken_for_all_of_it(line):
    line[1].sendall(b"half")
    line[1].shutdown(socket.SHUT_WR)
    body = Body(LengthReader(SocketUnreader(line[0]), 8))
    application = WholeBodies(Application(), most=MOST)
    with pytest.raises(OSError, match="4 of 8 bytes arrived"):
        application({"wsgi.input": body, "gunicorn.socket": line[0], "CONTENT_LENGTH": "8"}, lambda *_: None)


def test_a_client_that_went_away_is_refused_without_a_stir(db, caplog):
    seen: list[str] = []

    def start_response(status: str, *_: Any) -> Any:
        seen.append(status)

    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/api/v2/auth/login",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": "8",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "wsgi.input": io.BytesIO(b"half"),
        "wsgi.url_scheme": "http",
    }
    answer = WholeBodies(get_wsgi_application(), most=MOST)(environ, start_response)
    assert (seen, b"".join(answer)[:22]) == (["400 Bad Request"], b'{"error":"Bad request"')
    assert "Unexpected" not in caplog.text
