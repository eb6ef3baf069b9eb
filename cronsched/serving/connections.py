"""waitress's connections with what it lacks: deadlines for stalled clients, and refusals in JSON.

waitress reads whole requests and writes answers without a thread, so a slow client costs no more than its connection.
What a connection is waiting for is judged once a second by `Connection.overdue`.
"""

import json
import socket
import struct
import time
from contextlib import suppress
from enum import Enum
from http import HTTPStatus
from typing import Any

from django.conf import settings
from waitress.buffers import OverflowableBuffer, ReadOnlyFileBasedBuffer
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.task import ErrorTask, WSGITask
from waitress.utilities import Error

from cronsched.api.errors import error_body
from cronsched.lib import request_ids
from cronsched.serving.limits import (
    ANSWER_IN_MEMORY_BYTES,
    ANSWERS_IN_MEMORY_BYTES,
    MAX_REQUEST_LINE,
    PORTION_BYTES,
    SEND_BUFFER_BYTES,
    Limits,
)

# Closes a connection with what is on its way, instead of keeping that for a client that does not read.
_ABORT = struct.pack("ii", 1, 0)


class Waiting(Enum):
    """What a connection is waiting for."""

    FIRST_BYTE = "the first byte"
    NEXT_REQUEST = "the next request"
    HEAD = "the head of a request"
    BODY = "the body of a request"
    APPLICATION = "the application"
    READER = "its client to read"
    GOODBYE = "a refused client to stop"


class LineTooLong(Error):
    code = HTTPStatus.REQUEST_URI_TOO_LONG.value
    reason = "URI Too Long"


class RequestParser(HTTPRequestParser):
    error: Error | None = None

    def received(self, data: bytes) -> int:
        """Take what has arrived and return how much of it belongs to this request."""
        in_head = not self.headers_finished
        consumed = int(super().received(data))
        if self.error and in_head and len((self.header_plus + data).partition(b"\r\n")[0]) > MAX_REQUEST_LINE:
            self.error = LineTooLong("")
        if self.completed:
            # waitress would ask for a body that is refused or not to come, and then wait for it.
            self.expect_continue = False
        return consumed

    def parse_header(self, header_plus: bytes) -> None:
        if len(header_plus.partition(b"\r\n")[0]) > MAX_REQUEST_LINE:
            # Replaced by `LineTooLong` above.
            header_plus = b"too long"
        super().parse_header(header_plus)


class Refusal(ErrorTask):
    """Refuses what never reaches the application, in the shape of the API."""

    def execute(self) -> None:
        error = self.request.error
        body = json.dumps(_refusal_body(error)).encode()
        self.status = f"{error.code} {error.reason}"
        self.response_headers.extend(
            [
                ("Content-Type", "application/json"),
                ("Cache-Control", "no-store"),
                (request_ids.HEADER, request_ids.made_from(self.request.headers.get("X_REQUEST_ID"))),
                *self._open_to_pages(),
            ]
        )
        self.channel.has_refused = error.code < HTTPStatus.INTERNAL_SERVER_ERROR
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)

    def _open_to_pages(self) -> list[tuple[str, str]]:
        """Let pages of the allowed origins read the refusal. The middleware that does it for others is not reached."""
        if settings.CORS_ALLOW_ALL_ORIGINS:
            return [("Access-Control-Allow-Origin", "*")]
        origin = self.request.headers.get("ORIGIN")
        if origin not in settings.CORS_ALLOWED_ORIGINS:
            return []
        return [
            ("Access-Control-Allow-Origin", origin),
            ("Access-Control-Allow-Credentials", "true"),
            ("Vary", "Origin"),
        ]


def _refusal_body(error: Error) -> dict[str, Any]:
    body = error_body(error.code)
    match error.code:
        case HTTPStatus.REQUEST_URI_TOO_LONG:
            body["message"] = f"The first line of a request may have at most {MAX_REQUEST_LINE} bytes."
        case HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
            body["message"] = "The headers are larger than this service accepts."
        case HTTPStatus.NOT_IMPLEMENTED:
            body = {"error": "Not implemented", "message": "Of transfer codings only chunked is understood."}
    return body


class Answer(WSGITask):
    """Answers by the application; while the process stops, as the last answer of its connection."""

    def build_response_header(self) -> bytes:
        if self.channel.server.is_draining:
            self.set_close_on_finish()
        return bytes(super().build_response_header())


class Connection(HTTPChannel):
    task_class = Answer
    error_task_class = Refusal
    parser_class = RequestParser

    has_refused = False

    def __init__(self, server: Any, sock: socket.socket, address: Any, adjustments: Any, map: Any = None) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self.counted_as: str | None = None
        # Bytes that have come and gone, and requests that are done with.
        self._moved = self._answered = 0
        self._expected: tuple[Waiting, int] = (Waiting.FIRST_BYTE, 0)
        self._moved_then = 0
        self.since = time.monotonic()
        self._is_leaving = False
        super().__init__(server, sock, address, adjustments, map=map)

    # --- Deadlines ---------------------------------------------------------------------------------------------------

    @property
    def waits_for(self) -> Waiting:
        if self._is_leaving:
            return Waiting.GOODBYE
        if self.total_outbufs_len:
            return Waiting.READER
        if self.requests:
            return Waiting.APPLICATION
        if self.request is not None:
            return Waiting.BODY if self.request.headers_finished else Waiting.HEAD
        return Waiting.NEXT_REQUEST if self._answered else Waiting.FIRST_BYTE

    def look(self, now: float) -> Waiting:
        """Note the progress up to `now` (of the monotonic clock), and return what the connection waits for."""
        waits_for = self.waits_for
        expected = waits_for, self._answered
        in_portions = waits_for in (Waiting.READER, Waiting.BODY)
        if expected != self._expected or (in_portions and self._moved - self._moved_then >= PORTION_BYTES):
            self._expected, self._moved_then, self.since = expected, self._moved, now
        return waits_for

    def overdue(self, now: float, limits: Limits) -> Waiting | None:
        """Return what the connection has waited for too long at `now`, None if it may go on."""
        waits_for = self.look(now)
        match waits_for:
            case Waiting.APPLICATION:
                return None
            case Waiting.FIRST_BYTE:
                patience = limits.silent_seconds
            case Waiting.NEXT_REQUEST:
                patience = limits.idle_seconds
            case Waiting.GOODBYE:
                patience = limits.refused_seconds
            case _:
                patience = limits.slow_seconds
        return waits_for if now - self.since > patience else None

    def abandon(self) -> None:
        """Make the main loop close the connection after this turn, even with data still to be sent."""
        if self.total_outbufs_len:
            with suppress(OSError):
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        # Not at once: a connection accepted in this turn could get the number for which events are still to be told.
        self.will_close = True
        self.server.abandoned.append(self)

    def del_channel(self, map: Any = None) -> None:
        super().del_channel(map)
        self.server.forget(self)

    # --- Reading -----------------------------------------------------------------------------------------------------

    def received(self, data: bytes) -> bool:
        self._moved += len(data)
        # What comes after a refusal is read only to let the client find the refusal.
        return not self._is_leaving and bool(super().received(data))

    def readable(self) -> bool:
        return not self.will_close if self._is_leaving else bool(super().readable())

    # --- Writing -----------------------------------------------------------------------------------------------------

    def service(self) -> None:
        try:
            super().service()
        finally:
            self._answered += 1

    def send(self, data: bytes, do_close: bool = True) -> int:
        sent = int(super().send(data, do_close))
        self._moved += sent
        return sent

    def write_soon(self, data: Any) -> int:
        """Take a part of an answer, to be sent now as far as the client reads and later for the rest."""
        if not data or isinstance(data, ReadOnlyFileBasedBuffer):
            return int(super().write_soon(data))
        with self.outbuf_lock:
            rest = self._rest_after_sending(data)
            if not rest:
                return len(data)
            self._choose_buffer(len(rest))
            super().write_soon(rest)
        return len(data)

    def _rest_after_sending(self, data: bytes) -> bytes:
        """Send what the connection takes at once and return what is left."""
        if not self.connected or self.total_outbufs_len or self.will_close:
            return data
        try:
            return data[self.send(data, do_close=False) :]
        except OSError:
            # The same will be said again when the rest is sent, and is handled there.
            return data

    def _choose_buffer(self, size: int) -> None:
        """Choose where the next bytes are kept: in memory or, where too much is there already, in a file."""
        if self.total_outbufs_len:
            return
        in_memory = size <= ANSWER_IN_MEMORY_BYTES and self.server.take_memory(size, ANSWERS_IN_MEMORY_BYTES)
        self.outbufs[-1].close()
        self.outbufs[-1] = OverflowableBuffer(ANSWER_IN_MEMORY_BYTES if in_memory else 0)
        # Otherwise waitress would begin another buffer.
        self.current_outbuf_count = 0

    @property
    def memory(self) -> int:
        """How many bytes of answers this connection keeps in memory."""
        return sum(len(buffer) for buffer in list(self.outbufs) if not getattr(buffer, "overflowed", True))

    def writable(self) -> bool:
        return bool(self.will_close if self._is_leaving else super().writable())

    def handle_write(self) -> None:
        if not (self.has_refused and self.close_when_flushed) or self.will_close:
            super().handle_write()
            return
        self._flush_exception(self._flush_some)
        if self.connected and not self.total_outbufs_len and not self.will_close:
            self._leave()

    def _leave(self) -> None:
        """End the sending side, and read until the client has seen it.

        Closing at once, with a part of the request unread, would make its system forget the refusal.
        """
        self.close_when_flushed, self._is_leaving = False, True
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.will_close = True
