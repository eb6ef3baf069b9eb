"""The proxy passes on what it gets, and swallows answers to a COMMIT alone."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from jobs.tests.chaos.proxy import Proxy


class Echo:
    """A server that answers everything by itself, and keeps it."""

    def __init__(self) -> None:
        self.received = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=[connection], daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            while part := connection.recv(1024):
                self.received += part
                connection.sendall(part)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    made = Proxy(echo.port)
    yield made
    made.close()


def talk(proxy: Proxy, text: bytes) -> bytes:
    """Return the answer, blank where the connection ends without one."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as connection:
        connection.sendall(text)
        try:
            return connection.recv(1024)
        except ConnectionResetError:
            return b""


def test_what_is_asked_is_answered(proxy: Proxy):
    assert talk(proxy, b"SELECT 1") == b"SELECT 1"
    assert talk(proxy, b"COMMIT") == b"COMMIT"


def test_the_answer_to_a_commit_is_swallowed_after_the_commit(proxy: Proxy, echo: Echo):
    proxy.swallow(1)
    assert talk(proxy, b"SET AUTOCOMMIT = 0") == b"SET AUTOCOMMIT = 0"
    assert talk(proxy, b"COMMIT") == b""
    assert echo.received == b"SET AUTOCOMMIT = 0COMMIT"
    assert talk(proxy, b"COMMIT") == b"COMMIT", "one and no more"
    assert proxy.swallowed == 1


def test_a_shut_proxy_ends_connections_and_refuses_new_ones(proxy: Proxy):
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as connection:
        connection.sendall(b"SELECT 1")
        assert connection.recv(1024) == b"SELECT 1"
        proxy.shut()
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", proxy.port), timeout=20)
        with suppress(ConnectionResetError):
            assert connection.recv(1024) == b""
    proxy.open()
    assert talk(proxy, b"SELECT 2") == b"SELECT 2"
