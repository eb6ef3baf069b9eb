"""The client against real targets: good ones are served quickly, broken and hostile ones end in time and in bounds."""

import gzip
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from ipaddress import ip_network
from queue import SimpleQueue
from typing import Any

import pytest
import trustme

from cronsched.lib.http import (
    AddressRules,
    ClientPolicy,
    HTTPClient,
    Kind,
    OutgoingRequest,
    RequestError,
    loop,
    transfer,
)
from cronsched.lib.http import resolver as resolver_module
from cronsched.lib.tests.servers import OK, Behaviour, Visit, answering, closing_after, target

LOOPBACK = AddressRules(allowed=(ip_network("127.0.0.0/8"),))
SHORT = 0.3
# Far above the deadlines of these tests, far below what their targets would take.
SOON = 5.0
HEAD = b"HTTP/1.1 200 OK\r\n"


def client_to_loopback(names: dict[str, list[str]] | None = None, **policy) -> HTTPClient:
    def resolve(host: str) -> list[str]:
        return (names or {})[host]

    return HTTPClient(ClientPolicy(LOOPBACK, **policy), resolve=resolve)


@pytest.fixture(autouse=True)
def patient_with_idle_connections(monkeypatch):
    """Keep connections for longer than a busy machine may take from one request to the next."""
    monkeypatch.setattr(transfer, "MAX_IDLE_SECONDS", 60)
    monkeypatch.setattr(loop, "QUIET_SECONDS", 60.0)


@pytest.fixture
def client() -> Iterator[HTTPClient]:
    client = client_to_loopback()
    yield client
    client.close()


def failure_of(client: HTTPClient, url: str, *, method: str = "GET", timeout: float = SHORT, **fields) -> RequestError:
    started = time.monotonic()
    with pytest.raises(RequestError) as failure:
        client.send(OutgoingRequest(method, url, timeout=timeout, **fields))
    assert time.monotonic() - started < SOON
    return failure.value


# --- What is sent


def test_a_request_leaves_exactly_as_asked(client):
    with target(answering(OK)) as server:
        request = OutgoingRequest("POST", server.url("/hook?a=b c"), {"Content-Type": "application/json"}, b'{"a": 1}')
        answer = client.send(request)
    assert (answer.status, answer.body, answer.truncated) == (200, b"ok", False)
    assert server.requests == [
        b"POST /hook?a=b%20c HTTP/1.1\r\n"
        b"Host: 127.0.0.1:" + str(server.port).encode() + b"\r\n"
        b"Accept-Encoding: identity\r\n"
        b"User-Agent: cronsched\r\n"
        b"Accept: */*\r\n"
        b"Content-Type: application/json\r\n"
        b"Content-Length: 8\r\n\r\n"
        b'{"a": 1}'
    ]


def test_a_get_has_no_body_and_no_length(client):
    with target(answering(OK)) as server:
        client.send(OutgoingRequest("GET", server.url()))
    assert b"Content-Length" not in server.requests[0]


def test_the_name_is_kept_while_the_vetted_address_is_connected_to():
    client = client_to_loopback({"hooks.test": ["127.0.0.1"]})
    with target(answering(OK)) as server:
        client.send(OutgoingRequest("GET", server.url(host="hooks.test")))
    assert f"Host: hooks.test:{server.port}".encode() in server.requests[0]
    client.close()


def test_credentials_in_a_url_become_a_header_unless_one_is_given(client):
    with target(answering(OK)) as server:
        url = server.url().replace("//", "//user:p%40ss@")
        client.send(OutgoingRequest("GET", url))
        client.send(OutgoingRequest("GET", url, {"Authorization": "Bearer x"}))
    assert b"Authorization: Basic dXNlcjpwQHNz\r\n" in server.requests[0]
    assert b"Basic" not in server.requests[1]
    assert b"Host: 127.0.0.1" in server.requests[0]


def test_the_environment_proxies_and_netrc_are_not_looked_at(client, monkeypatch, tmp_path):
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login user password secret\n")
    with target(answering(OK)) as server:
        assert client.send(OutgoingRequest("GET", server.url())).status == 200
    assert b"Authorization" not in server.requests[0]


@pytest.mark.parametrize(
    "method, headers",
    [
        ("GET / HTTP/1.1\r\nX: y", {}),
        ("", {}),
        ("GET", {"Host": "other.test"}),
        ("POST", {"content-length": "1"}),
        ("POST", {"Transfer-Encoding": "chunked"}),
        ("GET", {"Connection": "close"}),
        ("GET", {"Accept-Encoding": "gzip"}),
        ("GET", {"X-A\r\nX-B": "1"}),
        ("GET", {"X A": "1"}),
        ("GET", {"": "1"}),
        ("GET", {"X-A": "1\r\nX-B: 2"}),
        ("GET", {"X-A": "1\n 2"}),
        ("GET", {"X-A": "1\x00"}),
        ("GET", {"X-A": "名"}),
    ],
)
def test_no_header_or_method_can_change_the_framing(client, method, headers):
    with target(answering(OK)) as server:
        failure = failure_of(client, server.url(), method=method, headers=headers)
    assert (failure.kind, failure.request_sent, failure.retryable) == (Kind.BAD_REQUEST, False, False)
    assert server.connections == 0


def test_a_failure_never_repeats_the_url(client):
    for url in ("http://user:secret@127.0.0.1:x/", "http://user:secret@127.0.0.1:1/token", "http://user:secret@[::1]/"):
        assert "secret" not in failure_of(client, url).reason


# --- Answers


@pytest.mark.parametrize(
    "answer, body",
    [
        (HEAD + b"Content-Length: 5\r\n\r\nhello", b"hello"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nTrailer: 1\r\n\r\n", b"hello"),
        (HEAD + b"Connection: close\r\n\r\nhello", b"hello"),
        (b"HTTP/1.0 200 OK\r\n\r\nhello", b"hello"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (HEAD + b"Content-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"ok"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + OK, b"ok"),
        (HEAD + b"content-length: 2\r\nX-Odd: caf\xe9\r\n\r\nok", b"ok"),
    ],
)
def test_every_framing_of_an_answer_is_read(client, answer, body):
    with target(closing_after(answer)) as server:
        assert client.send(OutgoingRequest("POST", server.url(), body=b"x")).body == body


def test_a_redirect_is_recorded_and_not_followed(client):
    def behave(visit: Visit) -> None:
        while visit.read_request():
            visit.send(b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")

    with target(behave) as server:
        answer = client.send(OutgoingRequest("GET", server.url("/loop")))
    assert (answer.status, answer.location) == (302, "/again")
    assert len(server.requests) == 1


def test_headers_of_an_answer_ignore_case(client):
    with target(answering(HEAD + b"retry-after: 7\r\nContent-Length: 0\r\n\r\n")) as server:
        assert client.send(OutgoingRequest("GET", server.url())).headers["Retry-After"] == "7"


def test_a_body_is_cut_at_the_limit_and_the_connection_given_up(client):
    with target(answering(HEAD + b"Content-Length: 100000\r\n\r\n" + b"x" * 100_000)) as server:
        answer = client.send(OutgoingRequest("GET", server.url(), max_body=1000))
        assert (len(answer.body), answer.truncated) == (1000, True)
        whole = client.send(OutgoingRequest("GET", server.url(), max_body=100_000))
        assert (len(whole.body), whole.truncated) == (100_000, False)
    assert server.connections == 2


def test_an_answer_before_the_whole_request_was_read_counts(client):
    def behave(visit: Visit) -> None:
        visit.sock.recv(1024)
        visit.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        visit.stall()

    with target(behave) as server:
        request = OutgoingRequest("POST", server.url(), body=b"x" * 200_000, timeout=5)
        assert client.send(request).status == 413


# --- Targets that take their time


def dripping_handshake(visit: Visit) -> None:
    visit.sock.recv(1024)
    # The head of a TLS record that announces more than ever comes.
    visit.drip(b"\x16\x03\x03\x40\x00" + b"\x02" * 10_000)


TAKING_THEIR_TIME = {
    "silent": lambda visit: visit.stall(),
    "silent after the request": lambda visit: (visit.read_request(), visit.stall()),
    "dripping status": lambda visit: visit.drip(HEAD * 100),
    "dripping headers": lambda visit: (visit.send(HEAD), visit.drip(b"X-A: b\r\n" * 1000)),
    "dripping body": lambda visit: (visit.send(HEAD + b"Content-Length: 9999\r\n\r\n"), visit.drip(b"x" * 9999)),
    "dripping chunks": lambda visit: (
        visit.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n"),
        visit.drip(b"1\r\nx\r\n" * 1000),
    ),
    "dripping trailers": lambda visit: (
        visit.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"),
        visit.drip(b"X-A: b\r\n" * 1000),
    ),
    "dripping endless body": lambda visit: (visit.send(HEAD + b"\r\n"), visit.drip(b"x" * 9999)),
    "dripping interim answers": lambda visit: visit.drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "stalling in the body": lambda visit: (visit.send(HEAD + b"Content-Length: 10\r\n\r\nhal"), visit.stall()),
}


@pytest.mark.parametrize("behaviour", TAKING_THEIR_TIME)
def test_the_deadline_ends_a_target_that_takes_its_time(client, behaviour):
    with target(TAKING_THEIR_TIME[behaviour]) as server:
        failure = failure_of(client, server.url(), method="POST")
    assert (failure.kind, failure.request_sent, failure.retryable) == (Kind.TIMEOUT, True, True)
    assert failure.reason.startswith("timed out after 0.3 s while ")


@pytest.mark.parametrize("handshake", [dripping_handshake, lambda visit: visit.stall()])
def test_the_deadline_ends_a_handshake(client, handshake):
    with target(handshake) as server:
        failure = failure_of(client, server.url().replace("http:", "https:"))
    assert failure.reason == "timed out after 0.3 s while negotiating TLS"
    assert failure.request_sent is False


def test_the_deadline_ends_a_connection_that_never_comes_about(client):
    # A full backlog drops packets, as a firewall does.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as waiting:
        for _ in range(4):
            filler = waiting.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        failure = failure_of(client, f"http://127.0.0.1:{full.getsockname()[1]}/")
    assert failure.reason == "timed out after 0.3 s while connecting"
    assert failure.request_sent is False


def test_the_deadline_ends_a_target_that_does_not_read(client):
    with target(lambda visit: visit._target.stopped.wait(30)) as server:
        failure = failure_of(client, server.url(), method="POST", body=b"x" * 20_000_000)
    assert failure.reason == "timed out after 0.3 s while sending the request"
    assert failure.request_sent is True


def test_two_hundred_dripping_targets_do_not_delay_a_good_one(client):
    with (
        target(TAKING_THEIR_TIME["dripping headers"]) as bad,
        target(answering(OK)) as good,
        ThreadPoolExecutor(200) as pool,
    ):
        held = [pool.submit(failure_of, client, bad.url(), timeout=2) for _ in range(200)]
        while bad.connections < 200 and not all(failure.done() for failure in held):
            time.sleep(0.01)
        answer = client.send(OutgoingRequest("GET", good.url()))
        kinds = {failure.result().kind for failure in held}
    assert kinds == {Kind.TIMEOUT}
    assert answer.elapsed < 2


def test_a_deadline_that_has_passed_certainly_sent_nothing(client):
    with target(answering(OK)) as server:
        client.send(OutgoingRequest("GET", server.url()))
        failure = failure_of(client, server.url(), timeout=-1)
    assert (failure.kind, failure.request_sent) == (Kind.TIMEOUT, False)
    assert len(server.requests) == 1


def test_a_probe_connects_and_sends_nothing(client):
    said = []
    ended = threading.Event()

    def listen(visit):
        said.append(visit.read_request())
        ended.set()

    with target(listen) as server:
        client.probe(server.url(), timeout=SHORT)
        assert ended.wait(5)
        closed = server.url()
    assert said == [b""]
    with pytest.raises(RequestError, match="connection refused"):
        client.probe(closed, timeout=SHORT)


# --- Targets that break


@pytest.mark.parametrize(
    "behaviour, reason, status",
    [
        (lambda v: None, "the target closed the connection without an answer", None),
        (lambda v: (v.read_request(), v.reset()), "the target closed the connection without an answer", None),
        (lambda v: (v.read_request(), v.send(HEAD + b"Content-Le")), "the answer ended early", 200),
        (lambda v: (v.read_request(), v.send(HEAD + b"Content-Length: 9\r\n\r\nhal")), "the answer ended early", 200),
        (
            lambda v: (v.read_request(), v.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n9\r\nhal")),
            "the answer ended early",
            200,
        ),
        (
            lambda v: (v.read_request(), v.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhal")),
            "the answer ended early",
            200,
        ),
        (
            lambda v: (v.read_request(), v.send(HEAD + b"Content-Length: 9\r\n\r\nhal"), v.reset()),
            "the answer ended early",
            200,
        ),
        (lambda v: (v.read_request(), v.send(b"SSH-2.0-OpenSSH_9.2\r\n")), "the answer is not valid HTTP", None),
        (lambda v: (v.read_request(), v.send(b"HTTP/1.1 abc OK\r\n\r\n")), "the answer is not valid HTTP", None),
        (lambda v: (v.read_request(), v.send(b"HTTP/2 200\r\n\r\n")), "the answer is not valid HTTP", None),
        (lambda v: (v.read_request(), v.send(b"\x00\xff" * 100)), "the answer is not valid HTTP", None),
    ],
)
def test_an_exchange_that_breaks_off_is_a_failure_that_may_have_acted(client, behaviour, reason, status):
    with target(behaviour) as server:
        failure = failure_of(client, server.url(), method="POST", timeout=5)
    assert (failure.reason, failure.status) == (reason, status)
    assert failure.request_sent is True
    assert failure.retryable is True
    assert server.connections == 1


def test_a_closed_port_is_a_failure_that_certainly_did_nothing(client):
    with target(answering(OK)) as server:
        url = server.url()
    failure = failure_of(client, url)
    assert (failure.kind, failure.reason, failure.request_sent) == (Kind.CONNECT, "connection refused", False)


@pytest.mark.parametrize(
    "flood",
    [
        HEAD + b"X-A: b\r\n" * 20_000,
        HEAD + b"X-A: " + b"b" * 200_000,
        HEAD + b"X-A: " + b"b" * 60_000 + b"\r\nX-B: " + b"b" * 60_000 + b"\r\n\r\n",
        b"HTTP/1.1 " + b"2" * 200_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000,
        b"HTTP/1.1 103 Early Hints\r\n\r\n" * 20_000,
    ],
)
def test_a_head_without_end_is_given_up(client, flood):
    with target(closing_after(flood)) as server:
        failure = failure_of(client, server.url(), timeout=5)
    assert (failure.kind, failure.request_sent) == (Kind.TOO_LARGE, True)


def test_more_than_announced_is_not_taken_for_the_next_answer(client):
    forged = HEAD + b"Content-Length: 6\r\n\r\nforged"
    with target(answering(HEAD + b"Content-Length: 2\r\n\r\nok" + forged, OK)) as server:
        first = client.send(OutgoingRequest("GET", server.url()))
        second = client.send(OutgoingRequest("GET", server.url()))
    assert (first.body, second.body) == (b"ok", b"ok")


def test_a_compressed_body_is_expanded_within_the_limit(client):
    bomb = gzip.compress(b"\0" * 10_000_000)
    head = HEAD + b"Content-Encoding: gzip\r\nContent-Length: " + str(len(bomb)).encode() + b"\r\n\r\n"
    with target(answering(head + bomb)) as server:
        answer = client.send(OutgoingRequest("GET", server.url()))
    assert (answer.body, answer.truncated) == (b"\0" * 64 * 1024, True)


HOSTILE_BODIES = {
    "/endless": HEAD + b"\r\n",
    "/huge": HEAD + b"Content-Length: 99999999999999\r\n\r\n",
    "/chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffffffff\r\n",
    "/negative-chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
    "/extension": HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;",
    "/trailer": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n",
    "/header": HEAD,
    "/gzip": HEAD + b"Content-Encoding: gzip\r\nContent-Length: 999999999\r\n\r\n",
}
VISITOR = """
import resource, sys
from datetime import timedelta
from cronsched.lib.http import AddressRules, HTTPClient, RequestError, ClientPolicy, OutgoingRequest

client = HTTPClient(ClientPolicy(AddressRules(allow_private=True)))
def visit(path):
    try:
        client.send(OutgoingRequest("GET", sys.argv[1] + path, timeout=5))
    except RequestError as error:
        assert "timed out" not in error.reason, error.reason
visit("/plain")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[2:]:
    visit(path)
sys.stdout.write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""


def test_no_hostile_answer_makes_the_process_grow_by_twenty_megabytes():
    flood = (b"x: " + b"y" * 60 + b"\r\n") * 16_384

    def behave(visit: Visit) -> None:
        path = visit.read_request().split()[1].decode()
        if path == "/plain":
            visit.send(OK)
            return
        visit.send(HOSTILE_BODIES[path])
        for _ in range(200):
            visit.send(flood)

    with target(behave) as server:
        visitor = [sys.executable, "-c", VISITOR, server.url("")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run([*visitor, *HOSTILE_BODIES], capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 20 * 1024


# --- Connections that are kept


def test_a_connection_is_used_again(client):
    with target(answering(OK)) as server:
        for _ in range(5):
            client.send(OutgoingRequest("POST", server.url(), body=b"x"))
    assert (server.connections, len(server.requests)) == (1, 5)


@pytest.mark.parametrize(
    "answer", [HEAD + b"Connection: close\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n"]
)
def test_a_target_that_closes_is_connected_to_anew(client, answer):
    with target(closing_after(answer)) as server:
        for _ in range(3):
            assert client.send(OutgoingRequest("POST", server.url(), body=b"x")).status == 200
    assert (server.connections, len(server.requests)) == (3, 3)


@pytest.mark.parametrize(
    "announced, connections",
    [
        (b"timeout=1", 3),
        (b"timeout=0, max=100", 3),
        (b"max=5, Timeout = 1", 3),
        (b'timeout="1"', 3),
        (b"timeout=2", 1),
        (b"timeout=" + b"9" * 5000, 1),
        (b"timeout=soon", 1),
        (b"max=1", 1),
    ],
)
def test_a_connection_that_its_target_closes_as_soon_as_we_would_is_not_kept(client, announced, connections):
    answer = HEAD + b"Keep-Alive: " + announced + b"\r\nContent-Length: 0\r\n\r\n"
    with target(answering(answer)) as server:
        for _ in range(3):
            client.send(OutgoingRequest("POST", server.url(), body=b"x"))
    assert server.connections == connections


def test_a_kept_connection_that_was_closed_meanwhile_is_noticed(client):
    closed = threading.Event()

    def behave(visit: Visit) -> None:
        visit.read_request()
        visit.send(OK)
        visit.sock.shutdown(2)
        closed.set()

    with target(behave) as server:
        client.send(OutgoingRequest("POST", server.url(), body=b"1"))
        assert closed.wait(5)
        client.send(OutgoingRequest("POST", server.url(), body=b"2"))
    assert (server.connections, len(server.requests)) == (2, 2)


def test_a_post_that_dies_on_a_kept_connection_is_not_sent_again(client):
    def behave(visit: Visit) -> None:
        visit.read_request()
        visit.send(OK)
        visit.read_request()

    with target(behave) as server:
        client.send(OutgoingRequest("POST", server.url(), body=b"1"))
        failure = failure_of(client, server.url(), method="POST", body=b"2")
    assert failure.request_sent is True
    assert len(server.requests) == 2


def noting_the_end(ended: threading.Event) -> Behaviour:
    """Answer every request, and say when the caller has closed the connection."""

    def behave(visit: Visit) -> None:
        while visit.read_request():
            visit.send(OK)
        ended.set()

    return behave


def test_kept_connections_are_closed_when_nothing_is_in_flight(client, monkeypatch):
    monkeypatch.setattr(loop, "QUIET_SECONDS", 0.05)
    ended = threading.Event()
    with target(noting_the_end(ended)) as server:
        client.send(OutgoingRequest("GET", server.url()))
        assert ended.wait(10)
        client.send(OutgoingRequest("GET", server.url()))
    assert server.connections == 2


def test_no_more_connections_are_kept_than_allowed():
    client = client_to_loopback(idle_connections=2)
    ended = threading.Event()
    with target(noting_the_end(ended)) as one, target(answering(OK)) as two, target(answering(OK)) as three:
        for server in (one, two, three):
            client.send(OutgoingRequest("GET", server.url()))
        assert ended.wait(10)
        for server in (two, three):
            client.send(OutgoingRequest("GET", server.url()))
        assert (one.connections, two.connections, three.connections) == (1, 1, 1)
        client.close()


def test_many_threads_share_the_client(client):
    with target(answering(OK)) as server, ThreadPoolExecutor(50) as pool:
        request = OutgoingRequest("POST", server.url(), body=b"x", timeout=20)
        statuses = list(pool.map(lambda _: client.send(request).status, range(1000)))
    assert statuses == [200] * 1000
    assert len(server.requests) == 1000
    assert server.connections <= 50


METHODS = {"GET": None, "HEAD": None, "OPTIONS": None, "DELETE": None, "POST": b"x", "PUT": b"x", "PATCH": b"x"}
EMPTY = dict.fromkeys(("POST", "PUT", "PATCH", "DELETE"), b"")


def works_and_dies(visit: Visit) -> None:
    """Answer the first request of a connection; take the second, work, and close without an answer."""
    head = visit.read_request()
    visit.send(HEAD + b"Content-Length: 0\r\n\r\n")
    if head:
        visit.read_request()


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("method, body", [*METHODS.items(), *EMPTY.items(), ("DELETE", b"x")])
def test_no_request_is_sent_twice_when_a_kept_connection_dies(authority, ca_file, scheme, method, body):
    client = client_to_loopback({"hooks.test": ["127.0.0.1"]}, ca_file=ca_file)
    tls = server_side(authority.issue_cert("hooks.test")) if scheme == "https" else None
    with target(works_and_dies, tls) as server:
        url = server.url(host="hooks.test")
        assert client.send(OutgoingRequest(method, url, body=body)).status == 200
        failure = failure_of(client, url, method=method, body=body, timeout=10.0)
        arrived, connections = len(server.requests), server.connections
        # The client has learnt that this target closes: each request has a connection of its own from now on.
        assert client.send(OutgoingRequest(method, url, body=body)).status == 200
    assert (failure.kind, failure.request_sent) == (Kind.LOST, True)
    assert failure.reason == "the target closed the connection without an answer"
    assert (arrived, len(server.requests)) == (2, 3)
    # libcurl may connect once more; nothing is sent there.
    assert connections <= 2
    client.close()


def test_a_target_that_closes_every_connection_without_a_word_loses_no_request(client):
    closed = threading.Semaphore(0)

    def behave(visit: Visit) -> None:
        visit.read_request()
        visit.send(OK)
        visit.sock.shutdown(socket.SHUT_RDWR)
        closed.release()

    with target(behave) as server:
        for method in ("GET", "POST", "GET", "DELETE", "HEAD"):
            assert client.send(OutgoingRequest(method, server.url())).status == 200
            assert closed.acquire(timeout=10)
    assert (server.connections, len(server.requests)) == (5, 5)


def test_a_kept_connection_to_an_address_the_name_had_before_is_not_used(monkeypatch):
    monkeypatch.setattr(resolver_module, "REMEMBER_SECONDS", 0.0)
    answers = iter([["127.0.0.1"], ["127.0.0.2"]])
    client = HTTPClient(ClientPolicy(LOOPBACK), resolve=lambda host: next(answers))
    with target(answering(OK)) as one, socket.create_server(("127.0.0.2", one.port)) as two:
        client.send(OutgoingRequest("GET", one.url(host="moves.test")))
        client.submit(OutgoingRequest("GET", one.url(host="moves.test")), lambda result: None)
        two.settimeout(10)
        moved, _ = two.accept()
        assert b"Host: moves.test" in moved.recv(1000)
        moved.close()
    assert len(one.requests) == 1
    client.close()


# --- The thread


def test_results_come_in_the_clients_own_thread_also_for_what_cannot_be_sent(client):
    results: SimpleQueue[tuple[str, Any]] = SimpleQueue()

    def done(result: object) -> None:
        results.put((threading.current_thread().name, result))

    with target(answering(OK)) as server:
        client.submit(OutgoingRequest("GET", server.url()), done)
        name, answer = results.get(timeout=10)
        assert (name, answer.status) == ("http client", 200)
        client.submit(OutgoingRequest("GET", "not a url"), done)
        name, error = results.get(timeout=10)
        assert (name, error.kind) == ("http client", Kind.BAD_REQUEST)
    assert client.in_flight == 0
    assert client.loop_delay.worst >= client.loop_delay.p99 > 0


def test_a_result_that_is_not_taken_harms_no_other_request(client, caplog):
    def done(result: object) -> None:
        raise ValueError("taken badly")

    with target(answering(OK)) as server:
        client.submit(OutgoingRequest("GET", server.url()), done)
        assert client.send(OutgoingRequest("GET", server.url())).status == 200
    assert "taken badly" in caplog.text


def test_waiting_for_an_answer_in_the_clients_own_thread_is_refused(client):
    results: SimpleQueue[str] = SimpleQueue()

    def done(result: object) -> None:
        try:
            client.send(OutgoingRequest("GET", "http://127.0.0.1/"))
        except RuntimeError as error:
            results.put(str(error))

    client.submit(OutgoingRequest("GET", "not a url"), done)
    assert "cannot wait" in results.get(timeout=10)


def test_closing_ends_what_is_in_flight_and_the_client_starts_anew():
    client = client_to_loopback()
    results: SimpleQueue[Any] = SimpleQueue()
    asked = threading.Event()

    def behave(visit: Visit) -> None:
        visit.read_request()
        asked.set()
        visit.stall()

    with target(behave) as silent, target(answering(OK)) as server:
        client.submit(OutgoingRequest("GET", silent.url(), timeout=60.0), results.put)
        assert asked.wait(10)
        client.close(timeout=0.1)
        error = results.get(timeout=0)
        assert (error.kind, error.request_sent, error.retryable) == (Kind.STOPPED, True, True)
        assert client.send(OutgoingRequest("GET", server.url())).status == 200
    client.close()


def test_closing_waits_for_what_may_still_end():
    client = client_to_loopback()
    results: SimpleQueue[Any] = SimpleQueue()
    asked, answer_now = threading.Event(), threading.Event()

    def behave(visit: Visit) -> None:
        visit.read_request()
        asked.set()
        answer_now.wait(10)
        visit.send(OK)

    with target(behave) as server:
        client.submit(OutgoingRequest("GET", server.url()), results.put)
        assert asked.wait(10)
        closing = threading.Thread(target=client.close, kwargs={"timeout": 30.0})
        closing.start()
        answer_now.set()
        closing.join(20)
        assert results.get(timeout=0).status == 200


FORKING = """
import os, sys
from cronsched.lib.http import AddressRules, ClientPolicy, HTTPClient, OutgoingRequest

client = HTTPClient(ClientPolicy(AddressRules(allow_private=True)))
request = OutgoingRequest("POST", sys.argv[1], body=b"x")
assert client.send(request).status == 200
child = os.fork()
assert client.send(request).status == 200
if not child:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert client.send(request).status == 200
"""


def test_a_forked_process_has_connections_of_its_own():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with target(answering(OK)) as server:
        command = [sys.executable, "-c", FORKING, server.url()]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    assert len(server.requests) == 4
    assert server.connections >= 2


# --- Names


def test_a_name_is_asked_for_once_by_many():
    asked = []

    def resolve(host: str) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    client = HTTPClient(ClientPolicy(LOOPBACK), resolve=resolve)
    with target(answering(OK)) as server, ThreadPoolExecutor(20) as pool:
        request = OutgoingRequest("GET", server.url(host="hooks.test"))
        assert {answer.status for answer in pool.map(client.send, [request] * 100)} == {200}
    assert asked == ["hooks.test"]
    client.close()


def test_a_name_server_that_hangs_costs_the_deadline_and_nobody_else():
    hanging = threading.Event()

    def resolve(host: str) -> list[str]:
        if host == "slow.test":
            hanging.wait(30)
        return ["127.0.0.1"]

    client = HTTPClient(ClientPolicy(LOOPBACK), resolve=resolve)
    try:
        with target(answering(OK)) as server:
            failure = failure_of(client, server.url(host="slow.test"))
            assert failure.reason == "timed out after 0.3 s while resolving the host name"
            assert failure.request_sent is False
            assert client.send(OutgoingRequest("GET", server.url(host="quick.test"))).status == 200
    finally:
        hanging.set()
        client.close()


def test_hanging_look_ups_use_a_bounded_number_of_threads(monkeypatch):
    monkeypatch.setattr(resolver_module, "MAX_NEW_THREADS", 4)
    hanging = threading.Event()
    asked = []

    def resolve(host: str) -> list[str]:
        asked.append(host)
        hanging.wait(30)
        return ["127.0.0.1"]

    client = HTTPClient(ClientPolicy(LOOPBACK), resolve=resolve)
    try:
        with ThreadPoolExecutor(20) as pool:
            failures = list(pool.map(lambda n: failure_of(client, f"http://slow{n}.test/"), range(20)))
        assert {failure.kind for failure in failures} == {Kind.TIMEOUT}
        assert len(asked) == 4
    finally:
        hanging.set()


def unanswered(client: HTTPClient) -> int:
    return sum(lookup.addresses is None for lookup in client._resolver._lookups.values())


def test_names_that_hung_before_keep_no_other_name_waiting(monkeypatch):
    monkeypatch.setattr(resolver_module, "MAX_NEW_THREADS", 4)
    monkeypatch.setattr(resolver_module, "SLOW_SECONDS", 0.2)
    monkeypatch.setattr(resolver_module, "REMEMBER_FAILURE_SECONDS", 0.0)
    hanging = threading.Semaphore(0)

    def resolve(host: str) -> list[str]:
        if host.startswith("slow"):
            hanging.acquire(timeout=30)
            raise OSError
        return ["127.0.0.1"]

    client = HTTPClient(ClientPolicy(LOOPBACK), resolve=resolve)
    slow = [f"http://slow{number}.test/" for number in range(4)]
    with target(answering(OK)) as server, ThreadPoolExecutor(8) as pool:
        # The first time nobody can know it.
        assert {failure.kind for failure in pool.map(lambda url: failure_of(client, url), slow)} == {Kind.TIMEOUT}
        hanging.release(4)
        while unanswered(client):
            time.sleep(0.01)
        held = [pool.submit(failure_of, client, url) for url in slow]
        while unanswered(client) < 4:
            time.sleep(0.01)
        assert client.send(OutgoingRequest("GET", server.url(host="good.test"), timeout=SHORT)).status == 200
        assert {failure.result().kind for failure in held} == {Kind.TIMEOUT}
        hanging.release(8)
    client.close()


def test_an_unknown_name_is_a_failure_that_certainly_did_nothing():
    def resolve(host: str) -> list[str]:
        raise OSError

    failure = failure_of(HTTPClient(ClientPolicy(LOOPBACK), resolve=resolve), "http://nobody.test/")
    assert (failure.kind, failure.reason) == (Kind.NOT_RESOLVED, "host name could not be resolved")
    assert failure.request_sent is False


def test_a_name_that_moves_inside_after_it_was_vetted_is_refused(monkeypatch):
    monkeypatch.setattr(resolver_module, "REMEMBER_SECONDS", 0.0)
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])
    client = HTTPClient(ClientPolicy(LOOPBACK), resolve=lambda host: next(answers))
    with target(answering(OK)) as server:
        assert client.send(OutgoingRequest("GET", server.url(host="rebind.test"))).status == 200
        assert failure_of(client, server.url(host="rebind.test")).kind is Kind.REFUSED
    assert len(server.requests) == 1
    client.close()


def test_the_next_address_is_tried_where_nothing_has_left_yet():
    rules = AddressRules(allowed=(ip_network("127.0.0.0/8"), ip_network("::1/128")))
    client = HTTPClient(ClientPolicy(rules), resolve=lambda host: ["::1", "127.0.0.1"])
    with target(answering(OK)) as server:
        assert client.send(OutgoingRequest("POST", server.url(host="both.test"), body=b"x")).status == 200
    client.close()


def test_a_trusted_url_is_not_vetted():
    client = HTTPClient(ClientPolicy())
    with target(answering(OK)) as server:
        assert failure_of(client, server.url()).kind is Kind.REFUSED
        assert client.send(OutgoingRequest("GET", server.url(), vet=False)).status == 200
    client.close()


def test_an_address_that_was_not_vetted_is_not_connected_to(client, monkeypatch):
    """Whatever libcurl may come to believe: the address is compared once more when the socket is opened."""
    monkeypatch.setattr(
        transfer.Transfer, "_pinned", lambda self, location: [f"{location.host}:{location.port}:127.0.0.1"]
    )
    client = client_to_loopback({"hooks.test": ["127.0.0.2"]})
    with target(answering(OK)) as server:
        failure = failure_of(client, server.url(host="hooks.test"))
    assert (failure.kind, failure.request_sent) == (Kind.CONNECT, False)
    assert server.connections == 0
    client.close()


def test_a_name_with_a_thousand_addresses_is_vetted_whole_and_tried_in_part():
    many = [f"127.0.{number // 250}.{number % 250 + 1}" for number in range(1000)]
    client = client_to_loopback({"many.test": many, "one-bad.test": [*many, "10.0.0.1"]})
    with target(answering(OK)) as server:
        assert client.send(OutgoingRequest("GET", server.url(host="many.test"))).status == 200
        assert failure_of(client, server.url(host="one-bad.test")).kind is Kind.REFUSED
    assert len(server.requests) == 1
    client.close()


# --- TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def server_side(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@pytest.mark.parametrize("host, written", [("hooks.test", "hooks.test"), ("hooks.test.", "hooks.test.")])
def test_a_certificate_is_verified_for_the_name_not_the_address(authority, ca_file, host, written):
    client = client_to_loopback({host: ["127.0.0.1"]}, ca_file=ca_file)
    with target(answering(OK), server_side(authority.issue_cert("hooks.test"))) as server:
        for _ in range(2):
            assert client.send(OutgoingRequest("POST", server.url(host=written), body=b"x" * 100_000)).status == 200
    assert server.connections == 1
    client.close()


def test_a_certificate_for_the_address_is_enough_for_the_address(authority, ca_file):
    client = client_to_loopback(ca_file=ca_file)
    with target(answering(OK), server_side(authority.issue_cert("127.0.0.1"))) as server:
        assert client.send(OutgoingRequest("GET", server.url())).status == 200
    client.close()


def bad_certificates(authority: trustme.CA) -> dict[str, trustme.LeafCert]:
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    far_off = datetime(2098, 1, 1, tzinfo=UTC)
    return {
        "unable to get local issuer certificate": trustme.CA().issue_cert("hooks.test"),
        "Hostname mismatch": authority.issue_cert("other.test"),
        "certificate has expired": authority.issue_cert("hooks.test", not_before=long_ago, not_after=long_ago),
        "certificate is not yet valid": authority.issue_cert("hooks.test", not_before=far_off),
    }


@pytest.mark.parametrize(
    "flaw",
    [
        "unable to get local issuer certificate",
        "Hostname mismatch",
        "certificate has expired",
        "certificate is not yet valid",
    ],
)
def test_a_bad_certificate_is_refused_before_anything_is_sent(authority, ca_file, flaw):
    client = client_to_loopback({"hooks.test": ["127.0.0.1"]}, ca_file=ca_file)
    with target(answering(OK), server_side(bad_certificates(authority)[flaw])) as server:
        failure = failure_of(client, server.url(host="hooks.test"), method="POST", timeout=5)
    assert failure.kind is Kind.TLS
    assert failure.reason.startswith(f"TLS certificate is not valid: {flaw}")
    assert failure.request_sent is False
    assert server.requests == []


def test_an_unknown_authority_is_refused_without_configuration(authority):
    client = client_to_loopback({"hooks.test": ["127.0.0.1"]})
    with target(answering(OK), server_side(authority.issue_cert("hooks.test"))) as server:
        assert failure_of(client, server.url(host="hooks.test"), timeout=5).kind is Kind.TLS


def test_plain_http_on_a_tls_port_is_refused(authority, ca_file):
    def behave(visit: Visit) -> None:
        visit.sock.recv(1024)
        visit.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    client = client_to_loopback({"hooks.test": ["127.0.0.1"]}, ca_file=ca_file)
    with target(behave) as plain:
        url = plain.url(host="hooks.test").replace("http:", "https:")
        failure = failure_of(client, url, timeout=5)
    assert (failure.kind, failure.reason, failure.request_sent) == (Kind.TLS, "TLS handshake failed", False)


@pytest.mark.parametrize("behaviour", ["dripping headers", "dripping body", "stalling in the body", "silent"])
def test_the_deadline_holds_above_tls(authority, ca_file, behaviour):
    client = client_to_loopback({"hooks.test": ["127.0.0.1"]}, ca_file=ca_file)
    with target(TAKING_THEIR_TIME[behaviour], server_side(authority.issue_cert("hooks.test"))) as server:
        failure = failure_of(client, server.url(host="hooks.test"), timeout=1)
    assert (failure.kind, failure.request_sent) == (Kind.TIMEOUT, True)
