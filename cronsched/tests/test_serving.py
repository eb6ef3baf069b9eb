"""The web process and clients that do not behave: its limits, its refusals and its end."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import requests

from cronsched.lib import draining
from cronsched.lib.config import env
from cronsched.serving import server as serving
from cronsched.serving.limits import Limits
from cronsched.serving.listener import CannotListen, listen
from cronsched.serving.server import Server, adjustments
from cronsched.serving.supervisor import SILENCE_SECONDS, Supervisor
from cronsched.tests.processes import ROOT, free_port, web_process

LOGIN = "/api/v2/auth/login"
MEGABYTE = 1024 * 1024
PATIENCE = 10.0


def ask(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


def answer(line: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Read one answer off a connection."""
    line.settimeout(PATIENCE)
    with line.makefile("rb") as file:
        status = int(file.readline().split()[1])
        headers = {}
        while text := file.readline().decode().strip():
            name, _, value = text.partition(": ")
            headers[name] = value
        return status, headers, file.read(int(headers.get("Content-Length", 0)))


def is_closed(line: socket.socket) -> bool:
    """Return whether the server closes the connection while this waits, whatever it has sent before."""
    line.settimeout(PATIENCE)
    try:
        while line.recv(65536):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


# --- In this process -------------------------------------------------------------------------------------------------


class Application:
    """Answers `/big` with megabytes, `/wait` once it is let, and everything else with the body it got."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.may_answer = threading.Event()

    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        body = environ["wsgi.input"].read()
        if environ["PATH_INFO"] == "/big":
            body = b"x" * 2 * MEGABYTE
        if environ["PATH_INFO"] == "/wait":
            self.asked.set()
            self.may_answer.wait(PATIENCE)
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]


class Service:
    def __init__(self, limits: Limits, *, drain_seconds: float, threads: int) -> None:
        self.application = Application()
        self.port = free_port()
        listener = listen("127.0.0.1", self.port)
        adj = adjustments(threads=threads, max_body_bytes=100_000)
        self.server = Server(self.application, listener, adj, limits)
        self._thread = threading.Thread(
            target=self.server.serve, kwargs={"drain_seconds": drain_seconds, "beat": lambda: None}
        )
        self._thread.start()
        self.lines = ExitStack()

    def connect(self, sent: bytes = b"") -> socket.socket:
        line = self.lines.enter_context(socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE))
        line.sendall(sent)
        return line

    def end(self) -> None:
        self.application.may_answer.set()
        self.server.stop()
        self._thread.join(PATIENCE)
        self.server.task_dispatcher.shutdown()
        self.server.trigger.close()
        for connection in list(self.server.active_channels.values()):
            connection.handle_close()
        self.lines.close()

    def has_ended(self) -> bool:
        self._thread.join(PATIENCE)
        return not self._thread.is_alive()


Serve = Callable[..., Service]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    monkeypatch.setattr(serving, "LOOK_SECONDS", 0.02)
    services: list[Service] = []

    def start(*, drain_seconds: float = PATIENCE, threads: int = 2, **limits: Any) -> Service:
        known = {"connections": 100, "per_address": 0, "trusted": []}
        services.append(Service(Limits(**{**known, **limits}), drain_seconds=drain_seconds, threads=threads))
        return services[-1]

    yield start
    for service in services:
        service.end()


@pytest.mark.parametrize(
    ("sent", "limit"),
    [
        (b"", "silent_seconds"),
        (b"GET / HTTP/1.1\r\nHo", "slow_seconds"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf", "slow_seconds"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nha", "slow_seconds"),
        (ask("/big"), "slow_seconds"),
        (ask("/small"), "idle_seconds"),
    ],
    ids=["silent", "in the head", "in the body", "in a chunk", "not reading", "idle"],
)
def test_a_connection_that_does_not_move_is_closed(serve, sent, limit):
    service = serve(**{limit: 0.1})
    line = service.connect()
    # As much as the kernels keep of an answer must not be all of it.
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.sendall(sent)
    waited = threading.Event()
    while service.server.active_channels and not waited.wait(0.01):
        pass
    assert is_closed(line)


def test_a_byte_now_and_then_buys_no_time(serve):
    service = serve(slow_seconds=0.3)
    line = service.connect(b"GET / HTTP/1.1\r\nX-Slow: ")
    began = time.monotonic()
    with suppress(ConnectionError):
        while time.monotonic() - began < PATIENCE:
            line.sendall(b"x")
            threading.Event().wait(0.02)
    assert time.monotonic() - began < PATIENCE


def test_a_client_that_reads_on_gets_all_of_a_long_answer_however_long_it_takes(serve):
    service = serve(slow_seconds=1.0)
    line = service.connect(ask("/big"))
    pause, length = threading.Event(), 0
    began = time.monotonic()
    while length < 2 * MEGABYTE:
        length += len(line.recv(MEGABYTE // 32))
        pause.wait(0.03)
    assert time.monotonic() - began > 1.0, "as fast as that it proves nothing"


def test_while_the_application_works_nobody_is_too_slow(serve):
    service = serve(slow_seconds=0.05, silent_seconds=0.05, idle_seconds=0.05)
    line = service.connect(ask("/wait"))
    assert service.application.asked.wait(PATIENCE)
    threading.Event().wait(0.3)
    service.application.may_answer.set()
    assert answer(line)[0] == 200


def test_clients_that_do_not_read_hold_no_thread_and_little_memory(serve, monkeypatch):
    monkeypatch.setattr("cronsched.serving.connections.ANSWERS_IN_MEMORY_BYTES", 4 * MEGABYTE)
    service = serve(threads=2)
    lines = [service.connect(ask("/big")) for _ in range(20)]
    assert answer(service.connect(ask("/small")))[0] == 200
    in_memory = sum(connection.memory for connection in service.server.active_channels.values())
    assert in_memory <= 4 * MEGABYTE
    # What was put into files meanwhile is whole all the same.
    assert [len(answer(line)[2]) for line in lines] == [2 * MEGABYTE] * 20


def test_beyond_the_limit_those_that_move_least_make_room(serve):
    service = serve(connections=5)
    first = service.connect()
    others = [service.connect() for _ in range(4)]
    assert answer(service.connect(ask("/small")))[0] == 200
    assert is_closed(first)
    assert [answer(line)[0] for line in others if not line.sendall(ask("/small"))] == [200] * 4


def test_one_address_has_its_own_limit(serve):
    service = serve(per_address=2)
    busy = [service.connect(ask("/wait")) for _ in range(2)]
    assert service.application.asked.wait(PATIENCE)
    while sum(bool(connection.requests) for connection in service.server.active_channels.values()) < 2:
        threading.Event().wait(0.01)
    status, headers, _ = answer(service.connect())
    assert (status, headers["Retry-After"]) == (429, "10")
    service.application.may_answer.set()
    assert [answer(line)[0] for line in busy] == [200, 200]
    # One that only waits gives way to the next.
    assert answer(service.connect(ask("/small")))[0] == 200


def test_proxies_and_this_machine_speak_for_many(serve):
    service = serve(per_address=2, trusted=env.LOOPBACK)
    lines = [service.connect() for _ in range(10)]
    assert [answer(line)[0] for line in lines if not line.sendall(ask("/small"))] == [200] * 10


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 200000\r\n\r\n", 413),
        (ask("/" + "x" * 5000), 414),
        (b"GET /" + b"x" * 20_000, 414),
        (ask("/", *(f"X-{number}: {'x' * 1000}" for number in range(20))), 431),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
    ],
)
def test_what_is_no_request_is_refused_in_the_shape_of_the_api(serve, sent, status):
    got, headers, body = answer(serve().connect(sent))
    assert (got, headers["Content-Type"], headers["Connection"]) == (status, "application/json", "close")
    assert {"error", "message"} <= set(json.loads(body))
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert headers["X-Request-Id"]


def test_only_allowed_origins_read_a_refusal(serve, settings):
    settings.CORS_ALLOW_ALL_ORIGINS, settings.CORS_ALLOWED_ORIGINS = False, ["https://app.example.com"]
    service = serve()
    for origin, allowed in (("https://app.example.com", "https://app.example.com"), ("https://evil.example", None)):
        head = f"POST / HTTP/1.1\r\nOrigin: {origin}\r\nContent-Length: 200000\r\n\r\n"
        assert answer(service.connect(head.encode()))[1].get("Access-Control-Allow-Origin") == allowed


def test_a_refusal_arrives_though_the_body_is_still_being_sent(serve):
    line = serve().connect(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20000000\r\n\r\n")
    for _ in range(100):
        line.sendall(b"x" * 100_000)
    assert answer(line)[0] == 413


def test_a_body_is_asked_for_where_the_client_waits_to_be(serve):
    service = serve()
    line = service.connect(b"POST / HTTP/1.1\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
    line.settimeout(PATIENCE)
    assert line.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    line.sendall(b"body")
    assert answer(line)[2] == b"body"
    # Nothing to ask for: too long, or none to come.
    too_long = service.connect(b"POST / HTTP/1.1\r\nContent-Length: 200000\r\nExpect: 100-continue\r\n\r\n")
    assert answer(too_long)[0] == 413
    assert answer(service.connect(ask("/", "Expect: 100-continue")))[0] == 200


def test_a_stop_lets_what_is_in_flight_end(serve):
    service = serve()
    idle, busy = service.connect(ask("/small")), service.connect(ask("/wait"))
    assert answer(idle)[0] == 200
    assert service.application.asked.wait(PATIENCE)
    service.server.stop()
    assert is_closed(idle)
    with pytest.raises(ConnectionRefusedError):
        service.connect()
    service.application.may_answer.set()
    status, headers, _ = answer(busy)
    assert (status, headers["Connection"]) == (200, "close")
    assert service.has_ended()


def test_a_stop_does_not_wait_for_ever(serve, caplog):
    service = serve(drain_seconds=0.1)
    service.connect(ask("/wait"))
    assert service.application.asked.wait(PATIENCE)
    service.server.stop()
    assert service.has_ended()
    assert "1 request(s) did not end in time" in caplog.text


def test_what_outlives_its_request_is_waited_for(serve, monkeypatch, caplog):
    monkeypatch.setattr(draining, "_hooks", [])
    given: list[float] = []

    @draining.on_drain
    def fails(seconds: float) -> None:
        raise RuntimeError

    draining.on_drain(given.append)
    service = serve(drain_seconds=3.0)
    service.server.stop()
    assert service.has_ended()
    assert 0 < given[0] <= 3.0
    assert "failed while the process was stopping" in caplog.text


def test_idle_clients_are_let_go_before_what_outlives_its_request_is_waited_for(serve, monkeypatch):
    monkeypatch.setattr(draining, "_hooks", [])
    may_end = threading.Event()

    @draining.on_drain
    def waits(seconds: float) -> None:
        assert may_end.wait(seconds)

    service = serve()
    client = service.connect(ask("/"))
    assert client.recv(1000).startswith(b"HTTP/1.1 200")
    service.server.stop()
    try:
        assert client.recv(1000) == b""
    finally:
        may_end.set()
    assert service.has_ended()


def test_a_port_that_is_taken_is_named():
    port = free_port()
    with closing(listen("127.0.0.1", port)), pytest.raises(CannotListen, match=f"Port {port} on 127.0.0.1"):
        listen("127.0.0.1", port)


# --- Processes -------------------------------------------------------------------------------------------------------

# Answers with the id of its process, at once or after a byte comes through the pipe it is given.
PROGRAM = """
import os, sys
import django
django.setup()
from cronsched.serving.limits import Limits
from cronsched.serving.listener import listen
from cronsched.serving import server as serving
from cronsched.serving.supervisor import SIGNALS, Supervisor
import signal
port, pipe, processes = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
listener = listen("127.0.0.1", port)

def application(environ, start_response):
    if environ["PATH_INFO"] == "/wait":
        open(pipe + ".asked", "w").close()
        open(pipe).read()
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]

def work(parent, told):
    limits = Limits(connections=100, per_address=0, trusted=[])
    server = serving.Server(application, listener, serving.adjustments(threads=2, max_body_bytes=100), limits)
    serving.end_at_signal(server)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    server.serve(drain_seconds=20, beat=serving.beat_of(parent, told))

sys.exit(Supervisor(processes, work, listener=listener, drain_seconds=20).run())
"""


class Family:
    """A parent and the processes that serve."""

    def __init__(self, folder: Path, processes: int) -> None:
        self.port, self.pipe = free_port(), folder / "pipe"
        os.mkfifo(self.pipe)
        arguments = [sys.executable, "-c", PROGRAM, str(self.port), str(self.pipe), str(processes)]
        self.parent = subprocess.Popen(arguments, cwd=ROOT)
        self.child = self.ask()

    def ask(self) -> int:
        """Return the id of the process that answers, as soon as one does."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with suppress(requests.ConnectionError):
                return int(requests.get(f"http://127.0.0.1:{self.port}/", timeout=PATIENCE).text)
            threading.Event().wait(0.02)
        raise AssertionError("no process answers")

    def begin_waiting(self) -> socket.socket:
        line = socket.create_connection(("127.0.0.1", self.port))
        line.sendall(ask("/wait"))
        until(Path(f"{self.pipe}.asked").exists)
        return line

    def let_answer(self) -> None:
        with self.pipe.open("w"):
            pass


def test_a_process_that_takes_long_to_end_is_killed_and_told_of_once(caplog, monkeypatch):
    killed = list[int]()
    monkeypatch.setattr("cronsched.serving.supervisor.os.kill", lambda pid, number: killed.append(pid))
    with closing(listen("127.0.0.1", free_port())) as listener:
        supervisor = Supervisor(1, lambda *_: None, listener=listener, drain_seconds=1)
        (slot,) = supervisor._slots
        slot.pid, slot.heard_at = 4711, time.monotonic() - SILENCE_SECONDS - 1
        supervisor._end_silent()
        supervisor._end_silent()
    assert killed == [4711]
    assert [record.getMessage() for record in caplog.records] == [
        "Web process 4711 has stood still for 60 s and is killed"
    ]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


def lives(pid: int) -> bool:
    with suppress(ProcessLookupError, FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@contextmanager
def family(folder: Path, processes: int = 1) -> Iterator[Family]:
    made = Family(folder, processes)
    try:
        yield made
    finally:
        made.parent.kill()
        made.parent.wait(PATIENCE)
        until(lambda: not lives(made.child))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_requests_end(tmp_path, number):
    with family(tmp_path) as service, service.begin_waiting() as line:
        service.parent.send_signal(number)
        # What a terminal or a supervisor sends to all of a group is no second signal.
        os.kill(service.child, number)
        service.let_answer()
        assert answer(line)[2] == str(service.child).encode()
        assert service.parent.wait(PATIENCE) == 0


def test_a_second_signal_ends_at_once(tmp_path):
    with family(tmp_path) as service, service.begin_waiting():
        service.parent.terminate()
        until(lambda: refuses(service.port))
        service.parent.terminate()
        assert service.parent.wait(PATIENCE) == 128 + signal.SIGTERM
        assert not lives(service.child)


def refuses(port: int) -> bool:
    with socket.socket() as line:
        return line.connect_ex(("127.0.0.1", port)) != 0


def test_a_process_that_dies_is_replaced(tmp_path):
    with family(tmp_path) as service:
        os.kill(service.child, signal.SIGKILL)
        until(lambda: not lives(service.child))
        successor = service.ask()
        assert successor != service.child
        service.parent.terminate()
        assert service.parent.wait(PATIENCE) == 0


def test_no_process_outlives_its_parent(tmp_path):
    with family(tmp_path) as service:
        service.parent.kill()
        until(lambda: not lives(service.child))


def test_several_processes_share_the_socket(tmp_path):
    with family(tmp_path, processes=2) as service:
        os.kill(service.child, signal.SIGSTOP)
        try:
            other = service.ask()
        finally:
            os.kill(service.child, signal.SIGCONT)
        assert other != service.child
        service.parent.terminate()
        assert service.parent.wait(PATIENCE) == 0


# --- The service -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    folder = tmp_path_factory.mktemp("web")
    with web_process(folder / "web.log", DATABASE_URL=f"sqlite:///{folder}/web.sqlite3") as url:
        yield "127.0.0.1", int(url.rpartition(":")[2])


STOPPED = {
    "in the body": f"POST {LOGIN} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf".encode(),
    "in the head": f"POST {LOGIN} HTTP/1.1\r\nHo".encode(),
    "before the head": b"",
    "before the answer": ask("/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js"),
    "before a made answer": ask("/openapi.json"),
}


@pytest.mark.parametrize("sent", STOPPED.values(), ids=STOPPED)
def test_clients_that_stop_keep_nobody_else_from_being_answered(address, sent):
    with ExitStack() as stack:
        for _ in range(100):
            line = stack.enter_context(socket.create_connection(address))
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            line.sendall(sent)
        # Less than any of them is waited for.
        assert requests.get(f"http://127.0.0.1:{address[1]}/healthz", timeout=PATIENCE).status_code == 200


def test_many_sign_ins_at_once_leave_room_for_others(tmp_path, migrated_file):
    file = tmp_path / "web.sqlite3"
    file.write_bytes(migrated_file.read_bytes())
    statuses: list[int] = []

    def sign_in(url: str, number: int) -> None:
        person = {"username": f"nobody{number}", "password": "wrong password"}
        statuses.append(requests.post(f"{url}{LOGIN}", json=person, timeout=60).status_code)

    with web_process(tmp_path / "web.log", DATABASE_URL=f"sqlite:///{file}") as url:
        threads = [threading.Thread(target=sign_in, args=(url, number)) for number in range(64)]
        for thread in threads:
            thread.start()
        answered_meanwhile = 0
        while any(thread.is_alive() for thread in threads):
            assert requests.get(f"{url}/api/v2/health", timeout=PATIENCE).status_code == 200
            answered_meanwhile += 1
        for thread in threads:
            thread.join()
    assert answered_meanwhile > 1
    assert set(statuses) == {401, 429}
    # One or two hash and four wait; hashing takes long enough for the others to come meanwhile.
    assert statuses.count(401) < 32


def test_a_body_in_chunks_arrives(address):
    connection = HTTPConnection(address[0], address[1], timeout=PATIENCE)
    sent = [b'{"username": "admin", ', b'"password": "short"}']
    connection.request("POST", LOGIN, iter(sent), {"Content-Type": "application/json"}, encode_chunked=True)
    response = connection.getresponse()
    assert (response.status, list(json.load(response)["details"])) == (422, ["password"])
    connection.close()


def test_a_connection_lives_on_after_a_body_that_was_too_large(address):
    connection = HTTPConnection(address[0], address[1], timeout=PATIENCE)
    connection.request("POST", LOGIN, b"x" * 2_000_000, {"Content-Type": "application/json"})
    response = connection.getresponse()
    assert (response.status, json.load(response)["error"]) == (413, "Payload too large")
    line = connection.sock
    connection.request("HEAD", "/healthz")
    assert connection.getresponse().status == 200
    assert connection.sock is line
    connection.close()


@pytest.mark.parametrize("header", ["SCRIPT_NAME", "Script-Name", "X-Script-Name", "Path-Info", "Remote-User"])
def test_no_header_moves_the_service(address, header):
    response = requests.get(f"http://127.0.0.1:{address[1]}/docs", headers={header: "/evil"}, timeout=PATIENCE)
    assert response.status_code == 200
    assert "/evil" not in response.text


def test_the_port_of_another_service_is_refused_in_one_line(address, tmp_path):
    done = subprocess.run(
        [sys.executable, "manage.py", "serve"],
        cwd=ROOT,
        env={**os.environ, "PORT": str(address[1]), "DATABASE_URL": f"sqlite:///{tmp_path}/web.sqlite3"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert f"Port {address[1]} on 127.0.0.1 cannot be used (Address already in use)" in done.stderr
