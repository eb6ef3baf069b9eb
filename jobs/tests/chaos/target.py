"""The target: a loopback server that answers as a request's URL says and writes down everything it receives.

    http://HOST:PORT/<mode>/<revision>

It runs in a thread of its own and is never disturbed: what it has not written down did not arrive.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from datetime import UTC, datetime
from typing import Self
from uuid import UUID

from jobs.tests.chaos.evidence import Arrival, Mode, at

SLOW_SECONDS = 0.8
DRIP_SECONDS = 0.2
# Longer than any job waits.
HANG_SECONDS = 120.0
MAX_HEAD_BYTES = 64 * 1024
BACKLOG = 4096


class Target:
    """Records requests in `arrivals`, in the order they came. `strangers` are those without our headers."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.host = host
        self.arrivals: list[Arrival] = []
        self.strangers: list[str] = []
        self.port = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="target")
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event

    def url(self, mode: Mode, revision: int) -> str:
        return f"http://{self.host}:{self.port}/{mode}/{revision}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._talk, self.host, 0, backlog=BACKLOG, limit=MAX_HEAD_BYTES)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        talks = asyncio.all_tasks() - {asyncio.current_task()}
        for talk in talks:
            talk.cancel()
        await asyncio.gather(*talks, return_exceptions=True)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's requests until either side has enough."""
        try:
            while (arrival := await self._receive(reader)) is not None:
                if not await self._answer(arrival, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            # The sender died or lost patience; what it sent is written down.
            pass
        finally:
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                writer.close()
                await writer.wait_closed()

    async def _receive(self, reader: asyncio.StreamReader) -> Arrival | None:
        """Read one request; None at the end of the connection and for one that is not a job's."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return None
        now = datetime.now(UTC)
        request_line, headers = parse_head(head)
        await reader.readexactly(int(headers.get("content-length", 0)))
        try:
            arrival = read_arrival(request_line, headers, now)
        except (KeyError, ValueError):
            self.strangers.append(request_line)
            return None
        self.arrivals.append(arrival)
        return arrival

    async def _answer(self, arrival: Arrival, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer as the mode says; False where the connection is of no use afterwards."""
        match arrival.mode:
            case Mode.RESET:
                reset(writer)
                return False
            case Mode.HANG:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(1), HANG_SECONDS)
                return False
            case Mode.DRIP:
                await drip(writer)
                return False
            case Mode.SLOW:
                await asyncio.sleep(SLOW_SECONDS)
        await reply(writer, arrival)
        return True


def parse_head(head: bytes) -> tuple[str, dict[str, str]]:
    """Return the request line and the headers by their lower-case names."""
    lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines[1:])
    return lines[0], {name.strip().lower(): value.strip() for name, _, value in pairs}


def read_arrival(request_line: str, headers: dict[str, str], now: datetime) -> Arrival:
    """Return the request as a job's. Raises KeyError or ValueError for what no job sends."""
    _, path, _ = request_line.split(" ")
    _, mode, revision = path.split("/")
    fire_time = headers.get("x-cron-scheduled-for")
    return Arrival(
        at=now,
        execution_id=UUID(headers["x-cron-execution-id"]),
        job_id=UUID(headers["x-cron-job-id"]),
        attempt=int(headers["x-cron-attempt"]),
        fire_time=at(fire_time) if fire_time else None,
        revision=int(revision),
        mode=Mode(mode),
    )


def status_of(arrival: Arrival) -> int:
    match arrival.mode:
        case Mode.ERROR:
            return 503
        case Mode.REFUSAL:
            return 404
        case Mode.FLAKY:
            return 503 if arrival.attempt == 1 else 200
    return 200


async def reply(writer: asyncio.StreamWriter, arrival: Arrival) -> None:
    """Answer in full. Written down first, because the sender may be faster than we are."""
    arrival.answer, arrival.answered_at = status_of(arrival), datetime.now(UTC)
    body = f"answer {arrival.answer}".encode()
    head = f"HTTP/1.1 {arrival.answer} Answer\r\nContent-Length: {len(body)}\r\n\r\n"
    try:
        writer.write(head.encode() + body)
        await writer.drain()
    except ConnectionError:
        arrival.answer = arrival.answered_at = None
        raise


async def drip(writer: asyncio.StreamWriter) -> None:
    """Promise a long body and send it a byte at a time, until the reader goes."""
    writer.write(b"HTTP/1.1 200 Answer\r\nContent-Length: 100000\r\n\r\n")
    for _ in range(int(HANG_SECONDS / DRIP_SECONDS)):
        writer.write(b".")
        await writer.drain()
        await asyncio.sleep(DRIP_SECONDS)


def reset(writer: asyncio.StreamWriter) -> None:
    """Close the connection with RST, so that the sender gets an error instead of an end."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
