"""Bodies are received before Django sees the request: in chunks, refused, cut off or never sent."""

import io
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from typing import Any

import pytest
import requests
from django.core.wsgi import get_wsgi_application
from gunicorn.http.body import Body, ChunkedReader, LengthReader
from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers.gthread import DEFAULT_WORKER_DATA_TIMEOUT

from cronsched import bodies, wsgi
from cronsched.bodies import Patience, WholeBodies
from cronsched.tests.processes import web_process

MOST = 1000
LOGIN = "/api/v2/auth/login"
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
    list(WholeBodies(application, most=MOST, at_once=1)(environ, lambda *_: None))
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
    list(WholeBodies(Application(reads=False), most=MOST, at_once=1)(environ, lambda *_: None))
    assert ours.recv(10) == b"x"


def test_a_client_that_goes_silent_is_given_up(line, monkeypatch):
    monkeypatch.setattr(bodies, "PATIENCE_SECONDS", 0.05)
    with pytest.raises(OSError, match="too slow"):
        serve(Application(), line, b"half", CONTENT_LENGTH="8")
    # Otherwise the rest, when it came, would be taken for the next request.
    assert line[1].recv(1) == b""


def test_a_disk_that_is_full_is_not_the_clients_fault(line, monkeypatch):
    class FullDisk(io.BytesIO):
        def write(self, _: Any) -> int:
            raise OSError("No space left on device")

    monkeypatch.setattr(bodies, "SpooledTemporaryFile", lambda _: FullDisk())
    application = Application(reads=False)
    with pytest.raises(OSError, match="No space left"):
        serve(application, line, b"whole", CONTENT_LENGTH="5")


class Client:
    """A connection on which a thread waits for a portion."""

    def __init__(self, patience: Patience) -> None:
        self.connected = True
        self._wait = patience.with_client(self)
        self._wait.__enter__()

    def shutdown(self, how: int) -> None:
        self.connected = False

    def sends(self) -> None:
        self._wait.__exit__(None, None, None)


def test_while_few_wait_each_has_time():
    patience = Patience(at_once=2)
    clients = [Client(patience) for _ in range(2)]
    assert patience.give_up_slow(time.monotonic() + bodies.HURRIED_SECONDS) == 0
    assert patience.give_up_slow(time.monotonic() + bodies.PATIENCE_SECONDS) == len(clients)


def test_while_many_wait_those_who_have_waited_longest_make_room():
    patience = Patience(at_once=2)
    clients = [Client(patience) for _ in range(5)]
    assert patience.give_up_slow(time.monotonic()) == 0, "who has only just come is given a moment"
    assert patience.give_up_slow(time.monotonic() + bodies.HURRIED_SECONDS) == 3
    assert [client.connected for client in clients] == [False] * 3 + [True] * 2


def test_what_comes_after_a_client_was_given_up_does_not_count():
    patience = Patience(at_once=1)
    client = Client(patience)
    patience.give_up_slow(time.monotonic() + bodies.PATIENCE_SECONDS)
    with pytest.raises(OSError, match="too slow"):
        client.sends()


def test_each_portion_begins_the_wait_anew():
    patience = Patience(at_once=1)
    steady, slow = Client(patience), Client(patience)
    steady.sends()
    again = Client(patience)
    assert patience.give_up_slow(time.monotonic() + bodies.HURRIED_SECONDS) == 1
    assert (slow.connected, again.connected) == (False, True)


def test_a_body_that_was_cut_off_is_not_taken_for_all_of_it(line):
    line[1].sendall(b"half")
    line[1].shutdown(socket.SHUT_WR)
    body = Body(LengthReader(SocketUnreader(line[0]), 8))
    application = WholeBodies(Application(), most=MOST, at_once=1)
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
    answer = WholeBodies(get_wsgi_application(), most=MOST, at_once=1)(environ, start_response)
    assert (seen, b"".join(answer)[:22]) == (["400 Bad Request"], b'{"error":"Bad request"')
    assert "Unexpected" not in caplog.text


# --- As it is served -------------------------------------------------------------------------------------------------


def test_the_service_receives_bodies_whole():
    assert isinstance(wsgi.application, WholeBodies)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    folder = tmp_path_factory.mktemp("web")
    with web_process(folder / "web.log", DATABASE_URL=f"sqlite:///{folder}/web.sqlite3") as url:
        yield "127.0.0.1", int(url.rpartition(":")[2])


@pytest.mark.parametrize(
    "sent",
    [
        f"POST {LOGIN} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf",
        f"POST {LOGIN} HTTP/1.1\r\nHo",
        "",
    ],
    ids=["in the body", "in the head", "before the head"],
)
def test_clients_that_stop_keep_nobody_else_from_being_answered(address, sent):
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(socket.create_connection(address)).sendall(sent.encode())
        began = time.monotonic()
        answer = requests.get(f"http://127.0.0.1:{address[1]}/healthz", timeout=bodies.PATIENCE_SECONDS / 2)
    assert answer.status_code == 200
    # Less than gunicorn itself waits for a first byte.
    assert time.monotonic() - began < DEFAULT_WORKER_DATA_TIMEOUT


def test_a_body_in_chunks_arrives(address):
    connection = HTTPConnection(address[0], address[1], timeout=10)
    sent = [b'{"username": "admin", ', b'"password": "short"}']
    connection.request("POST", LOGIN, iter(sent), {"Content-Type": "application/json"}, encode_chunked=True)
    answer = connection.getresponse()
    assert (answer.status, list(json.load(answer)["details"])) == (422, ["password"])
    connection.close()


def test_a_connection_lives_on_after_a_body_that_was_too_large(address):
    connection = HTTPConnection(address[0], address[1], timeout=10)
    connection.request("POST", LOGIN, b"x" * 2_000_000, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    assert (answer.status, json.load(answer)["error"]) == (413, "Payload too large")
    line = connection.sock
    connection.request("GET", "/healthz")
    assert connection.getresponse().status == 200
    assert connection.sock is line
    connection.close()
