"""The target: a loopback server in a process of its own, so that it takes no processor time from the sender's process.

    http://127.0.0.1:PORT/<mode>/<number>       mode: now, slow (takes 5 s), hang (no answer) or drip (a byte now
                                                and then, no end)

It writes down when the head of each request was there, and which number it carried. `Target` starts it and asks it.
"""

import asyncio
import gc
import json
import subprocess
import sys
import time
from typing import NamedTuple, Self

from cronsched.tests.processes import ROOT

SLOW_SECONDS = 5.0
DRIP_SECONDS = 0.5
BACKLOG = 4096
END_OF_HEAD = b"\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nOK"
ENDLESS = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100000\r\n\r\n"


class Arrival(NamedTuple):
    """A request: its mode and number, and when it came (seconds since the epoch)."""

    mode: str
    number: int
    at: float


class Target:
    """The server's process. Used as a context manager; the server ends with it, or with the process that made it."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.port = int(self._line())
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def url(self, mode: str, number: int | str) -> str:
        return f"http://127.0.0.1:{self.port}/{mode}/{number}"

    def count(self) -> int:
        """Return how many requests came since the last `take`."""
        return int(self._ask("count"))

    def take(self) -> list[Arrival]:
        """Return the requests that came since the last call, in their order."""
        return [Arrival(mode, number, at) for mode, number, at in json.loads(self._ask("take"))]

    def wait_for(self, number: int, *, until: float) -> bool:
        """Wait for `number` requests since the last `take`; False where they had not come at `until` (epoch)."""
        while self.count() < number:
            if time.time() > until:
                return False
            time.sleep(0.1)
        return True

    def _ask(self, command: str) -> str:
        assert self._process.stdin
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline()


# --- In the server's process -----------------------------------------------------------------------------------------

arrivals: list[tuple[bytes, float]] = []


class Conversation(asyncio.Protocol):
    """One connection, kept open as long as the sender likes."""

    def __init__(self) -> None:
        self._received = b""
        self._path = b""
        # Bytes of the body that belongs to the head read last; None before a head.
        self._body: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        now = time.time()
        self._received += data
        while self._received and self._take_one(now):
            pass

    def _take_one(self, now: float) -> bool:
        """Take one request off what was received; False where the rest of it has yet to come."""
        if self._body is None:
            head, end, rest = self._received.partition(END_OF_HEAD)
            if not end:
                return False
            self._received = rest
            self._path = head.split(b" ", 2)[1]
            self._body = _length(head)
            arrivals.append((self._path, now))
        if len(self._received) < self._body:
            return False
        self._received = self._received[self._body :]
        self._body = None
        self._answer()
        return True

    def _answer(self) -> None:
        if self._path.startswith(b"/now/"):
            self._transport.write(ANSWER)
        elif self._path.startswith(b"/slow/"):
            asyncio.get_running_loop().call_later(SLOW_SECONDS, self._write, ANSWER)
        elif not self._path.startswith(b"/hang/"):
            self._write(ENDLESS)
            self._drip()

    def _drip(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(b".")
            asyncio.get_running_loop().call_later(DRIP_SECONDS, self._drip)

    def _write(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


def _length(head: bytes) -> int:
    _, found, after = head.lower().partition(b"\r\ncontent-length:")
    return int(after.partition(b"\r\n")[0]) if found else 0


def obey() -> None:
    """Answer the commands on standard input until it ends."""
    for line in sys.stdin:
        if line.strip() == "count":
            print(len(arrivals), flush=True)
            continue
        taken = arrivals[:]
        del arrivals[: len(taken)]
        print(json.dumps([(*_parts(path), at) for path, at in taken]), flush=True)


def _parts(path: bytes) -> tuple[str, int]:
    _, mode, number = path.decode("latin-1").split("/")
    return mode, int(number)


async def serve() -> None:
    # A collector that stops the world in the middle of a herd would be charged to the sender.
    gc.disable()
    server = await asyncio.get_running_loop().create_server(Conversation, "127.0.0.1", 0, backlog=BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(obey)


if __name__ == "__main__":
    asyncio.run(serve())
