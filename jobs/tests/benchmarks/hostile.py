"""Holds connections that do not behave, until its standard input is closed: `hostile.py PORT SILENT SLOW UNREAD`.

A connection the service closes is opened again. Prints `held` once all have been opened, and at the end how many times
it had to open one again.
"""

import selectors
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

HEAD = b"POST /api/v2/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BIG = (
    b"GET /static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n",
)
MOVE_SECONDS = 1.0


class Behaviour(Protocol):
    def begin(self, line: socket.socket) -> None: ...
    def move(self, line: socket.socket) -> None: ...


class Silent:
    def begin(self, line: socket.socket) -> None:
        """Say nothing."""

    move = begin


@dataclass
class SlowToWrite:
    """Begins a head, or a body, and adds a byte each second."""

    begun: bytes

    def begin(self, line: socket.socket) -> None:
        line.send(self.begun)

    def move(self, line: socket.socket) -> None:
        line.send(b"x")


@dataclass
class SlowToRead:
    """Asks for much and reads a byte each second."""

    request: bytes

    def begin(self, line: socket.socket) -> None:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.send(self.request)

    def move(self, line: socket.socket) -> None:
        line.recv(1)


class Crowd:
    def __init__(self, port: int, behaviours: list[Behaviour]) -> None:
        self._port = port
        self._behaviours = behaviours
        self._lines: list[socket.socket | None] = [None] * len(behaviours)
        self.opened = 0

    def move(self) -> None:
        """Let every connection make its move, and open those that are closed."""
        for number, behaviour in enumerate(self._behaviours):
            line = self._lines[number]
            try:
                if line is None:
                    self._open(number, behaviour)
                else:
                    _refuse_closed(line)
                    behaviour.move(line)
            except BlockingIOError:
                continue
            except OSError:
                self._close(number)

    def _open(self, number: int, behaviour: Behaviour) -> None:
        line = socket.create_connection(("127.0.0.1", self._port), timeout=30)
        line.setblocking(False)
        self._lines[number] = line
        self.opened += 1
        behaviour.begin(line)

    def _close(self, number: int) -> None:
        if line := self._lines[number]:
            line.close()
        self._lines[number] = None


def _refuse_closed(line: socket.socket) -> None:
    """Raise `ConnectionResetError` where the service has closed the connection."""
    with suppress(BlockingIOError):
        if not line.recv(1, socket.MSG_PEEK):
            raise ConnectionResetError


def main() -> None:
    port, silent, slow, unread = map(int, sys.argv[1:])
    bodies = HEAD + b"Content-Length: 1000\r\n\r\n{", HEAD + b"X-Slow: "
    behaviours: list[Behaviour] = [Silent() for _ in range(silent)]
    behaviours += [SlowToWrite(bodies[number % 2]) for number in range(slow)]
    behaviours += [SlowToRead(BIG[number % 2]) for number in range(unread)]
    crowd = Crowd(port, behaviours)
    crowd.move()
    print("held", flush=True)
    first = crowd.opened
    with selectors.DefaultSelector() as selector:
        selector.register(sys.stdin, selectors.EVENT_READ)
        until = time.monotonic() + MOVE_SECONDS
        while not selector.select(max(0.0, until - time.monotonic())):
            crowd.move()
            until = time.monotonic() + MOVE_SECONDS
    print(crowd.opened - first, flush=True)


if __name__ == "__main__":
    main()
