"""One process of the web service: waitress on a socket that several processes share, with limits and a drain."""

import logging
import os
import resource
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any
from wsgiref.types import WSGIApplication

from waitress.adjustments import Adjustments
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher
from waitress.wasyncore import poll2

from cronsched.lib import draining
from cronsched.lib.addresses import one_client
from cronsched.lib.clock import uptime
from cronsched.serving.connections import Connection, Waiting
from cronsched.serving.limits import (
    AHEAD_BYTES,
    ANSWER_IN_MEMORY_BYTES,
    BODY_IN_MEMORY_BYTES,
    MAX_HEAD_BYTES,
    Limits,
)

logger = logging.getLogger(__name__)

# How often connections are judged, and how long the loop sleeps at most.
LOOK_SECONDS = 1.0
DRAINING_LOOK_SECONDS = 0.1
# Connections accepted in one turn of the loop; the other processes that listen to the socket get theirs.
ACCEPTED_AT_ONCE = 16
BACKLOG = 1024
# Files a process opens beside its connections: database, log, pipes, libraries.
OTHER_FILES = 256
TOO_MANY = b"HTTP/1.1 429 Too Many Requests\r\nConnection: close\r\nRetry-After: 10\r\nContent-Length: 0\r\n\r\n"


def adjustments(*, threads: int, max_body_bytes: int) -> Adjustments:
    return Adjustments(
        threads=threads,
        ident="cronsched",
        # `cronsched.middleware.TrustedProxies` decides whose headers count.
        clear_untrusted_proxy_headers=False,
        max_request_header_size=MAX_HEAD_BYTES,
        # waitress refuses what is as long as the limit.
        max_request_body_size=max_body_bytes + 1,
        inbuf_overflow=BODY_IN_MEMORY_BYTES,
        outbuf_overflow=ANSWER_IN_MEMORY_BYTES,
        outbuf_high_watermark=AHEAD_BYTES,
        backlog=BACKLOG,
    )


class Server(TcpWSGIServer):
    """Serves until `stop` is called, and then until nothing is in flight or `drain_seconds` have passed."""

    channel_class = Connection

    def __init__(self, application: WSGIApplication, listener: socket.socket, adj: Adjustments, limits: Limits) -> None:
        self._limits = limits
        self._limit = min(limits.connections, open_files() - OTHER_FILES)
        self._next_look = 0.0
        self._by_address: Counter[str] = Counter()
        self._memory = 0
        self.abandoned: list[Connection] = []
        self._beat: Callable[[], None] = lambda: None
        self._is_stopping = self.is_draining = False
        dispatcher = ThreadedTaskDispatcher()
        dispatcher.set_thread_count(adj.threads)
        name = (listener.family, listener.type, listener.proto, listener.getsockname())
        super().__init__(
            application, {}, True, listener, dispatcher=dispatcher, adj=adj, sockinfo=name, bind_socket=False
        )

    # --- The loop ----------------------------------------------------------------------------------------------------

    def serve(self, *, drain_seconds: float, beat: Callable[[], None]) -> None:
        """Serve until `stop`. `beat` is called about once a second; if it raises `ParentGone`, this is a `stop`."""
        self._beat = beat
        while not self._is_stopping:
            self._turn(LOOK_SECONDS)
        self._drain(until=uptime() + drain_seconds)

    def stop(self) -> None:
        """Make `serve` end. May be called by a signal handler."""
        self._is_stopping = True
        self.pull_trigger()

    def _drain(self, *, until: float) -> None:
        self.is_draining, self.accepting = True, False
        self.del_channel()
        self.socket.close()
        while self._in_flight() and uptime() < until:
            self._look(time.monotonic())
            self._turn(DRAINING_LOOK_SECONDS)
        if left := self._in_flight():
            logger.warning("%d request(s) did not end in time and are given up", left)
        # Close those found idle just now: a client that sends a request meanwhile is refused at once, and does not wait
        # until the manual runs have ended.
        self._turn(0)
        draining.drain(until=until)

    def _turn(self, seconds: float) -> None:
        """Do what there is to do, after waiting for that for `seconds` at most."""
        poll2(seconds, self._map)
        # A client that reads nothing never lets its connection be written to, so no event would close it.
        while self.abandoned:
            self.abandoned.pop().handle_close()

    def _in_flight(self) -> int:
        """Close the connections that wait for a next request and return how many do not."""
        count = 0
        for connection in self._connections():
            if connection.waits_for in (Waiting.FIRST_BYTE, Waiting.NEXT_REQUEST, Waiting.GOODBYE):
                connection.will_close = True
            else:
                count += 1
        return count

    def _look(self, now: float) -> None:
        try:
            self._beat()
        except ParentGone:
            self._is_stopping = True
        overdue: Counter[Waiting] = Counter()
        memory = 0
        for connection in self._connections():
            memory += connection.memory
            if waited_for := connection.overdue(now, self._limits):
                overdue[waited_for] += 1
                connection.abandon()
        self._memory = memory
        del overdue[Waiting.NEXT_REQUEST]
        for waited_for, count in overdue.items():
            logger.info("Closed %d connection(s) that waited too long for %s", count, waited_for.value)

    def _connections(self) -> list[Connection]:
        return [connection for connection in self.active_channels.values() if not connection.will_close]

    def take_memory(self, size: int, limit: int) -> bool:
        """Return whether `size` more bytes of answers may be kept in memory. Counted anew with each look."""
        if self._memory + size > limit:
            return False
        self._memory += size
        return True

    # --- Accepting ---------------------------------------------------------------------------------------------------

    def readable(self) -> bool:
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            self._look(now)
        return bool(self.accepting)

    def handle_accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                accepted = self.accept()
                if accepted is None:
                    return
                self._admit(*accepted)
            except OSError as error:
                # It went away meanwhile, or no number is left for another file.
                logger.warning("A connection could not be accepted: %s", error)
                self._make_room(self._connections())
                return

    def _admit(self, sock: socket.socket, address: tuple[Any, ...]) -> None:
        counted_as = one_client(address[0]) if self._limits.counts(address[0]) else None
        if not self._has_room(counted_as):
            sock.setblocking(False)
            sock.send(TOO_MANY)
            sock.close()
            return
        self.set_socket_options(sock)
        connection = self.channel_class(self, sock, address, self.adj, map=self._map)
        connection.counted_as = counted_as
        if counted_as:
            self._by_address[counted_as] += 1

    def _has_room(self, counted_as: str | None) -> bool:
        """Return whether one more connection may be held, after closing such as move nothing where that is needed."""
        if counted_as and self._by_address[counted_as] >= self._limits.per_address:
            own = [connection for connection in self._connections() if connection.counted_as == counted_as]
            if not self._make_room(own):
                return False
        if len(self.active_channels) < self._limit:
            return True
        return self._make_room(self._connections())

    def _make_room(self, connections: Iterable[Connection]) -> bool:
        """Close those of `connections` that have moved nothing for the longest time; return whether there were any."""
        now = time.monotonic()
        waiting = [connection for connection in connections if connection.look(now) is not Waiting.APPLICATION]
        waiting.sort(key=lambda connection: connection.since)
        # Several at once, because finding them checks all connections.
        chosen = waiting[: len(waiting) // 20 + 1]
        for connection in chosen:
            connection.abandon()
        return bool(chosen)

    def forget(self, connection: Connection) -> None:
        """Remove `connection` from the counts."""
        if counted_as := connection.counted_as:
            connection.counted_as = None
            self._by_address[counted_as] -= 1
            if not self._by_address[counted_as]:
                del self._by_address[counted_as]


class ParentGone(Exception):
    """The process that replaces dead ones is no more."""


def open_files() -> int:
    """Return how many files this process may open, after raising that as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return 2**31 if hard == resource.RLIM_INFINITY else hard


def end_at_signal(server: Server) -> None:
    """Let SIGTERM end `server`. Signals that a terminal sends to all its processes are handled by the parent."""

    def stop(number: int, frame: FrameType | None) -> None:
        server.stop()

    signal.signal(signal.SIGTERM, stop)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)


def beat_of(parent: int, pipe: int) -> Callable[[], None]:
    """Return a function that sends the heartbeat of the main loop to `parent` through `pipe`."""

    def beat() -> None:
        if os.getppid() != parent:
            raise ParentGone
        try:
            os.write(pipe, b".")
        except BlockingIOError:
            # The parent is stopped, and will find enough of them when it goes on.
            return

    return beat
