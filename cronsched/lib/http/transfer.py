"""One request on its way: a libcurl handle, what it sends and what it has received."""

import socket
import time
from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

import pycurl

from cronsched.lib.http.addresses import Address
from cronsched.lib.http.answer import AnswerReader
from cronsched.lib.http.errors import RequestError
from cronsched.lib.http.failures import failure
from cronsched.lib.http.kept import KeptConnections
from cronsched.lib.http.messages import OutgoingRequest, Response
from cronsched.lib.http.urls import Location, Server

Done = Callable[[Response | RequestError], None]
# Of a name with more addresses the first ones are tried; all of them are vetted.
MAX_ADDRESSES = 8
# libcurl counts in whole seconds. A connection that is used again after more than this was idle too long.
MAX_IDLE_SECONDS = 1


_address = lru_cache(maxsize=4096)(ip_address)


class Call:
    """A request with all that is needed to send it. `ends_at` is on `time.monotonic()`, set when the request starts."""

    __slots__ = (
        "done",
        "ends_at",
        "is_connecting",
        "is_over",
        "is_probe",
        "lines",
        "location",
        "max_body",
        "request",
        "started_at",
    )

    def __init__(
        self, request: OutgoingRequest, location: Location, lines: list[bytes], *, max_body: int, done: Done
    ) -> None:
        self.request = request
        self.location = location
        self.lines = lines
        self.max_body = max_body
        self.done = done
        self.is_probe = self.is_connecting = self.is_over = False
        self.started_at = self.ends_at = 0.0

    def start(self, now: float) -> None:
        self.started_at = now
        self.ends_at = now + self.request.timeout


class _CopiedSocket(socket.socket):
    """A socket of which libcurl takes a copy, so that the original goes at once."""

    def __del__(self) -> None:
        self.close()


class Transfer:
    """A libcurl handle, used for one call after the other.

    Never sent twice: libcurl repeats a request by itself when a kept connection dies before an answer. It asks
    `_before_request` each time a request is about to leave, which allows it once. The body comes from a function that
    cannot be rewound, so a repetition would have nothing to send anyway.
    """

    def __init__(self, *, ca_file: str, kept: KeptConnections) -> None:
        self._kept = kept
        self._opened: list[int] = []
        # What the handle is set to already.
        self._connection: tuple[bool, bool, bool] | None = None
        self._method: tuple[str, bool] | None = None
        self.answer = AnswerReader()
        self.call: Call | None = None
        self.addresses: tuple[Address, ...] = ()
        self.has_left = self.is_stale = False
        self._body = memoryview(b"")
        self._position = 0
        self.handle = pycurl.Curl()
        self._set_up(ca_file)

    def _set_up(self, ca_file: str) -> None:
        set_option = self.handle.setopt
        for option, value in _FIXED:
            set_option(option, value)
        set_option(pycurl.MAXAGE_CONN, MAX_IDLE_SECONDS)
        set_option(pycurl.CAINFO, ca_file)
        set_option(pycurl.HEADERFUNCTION, self.answer.take_header)
        set_option(pycurl.WRITEFUNCTION, self.answer.take_body)
        set_option(pycurl.READFUNCTION, self._read_body)
        set_option(pycurl.PREREQFUNCTION, self._before_request)
        set_option(pycurl.OPENSOCKETFUNCTION, self._open_socket)
        set_option(pycurl.SOCKOPTFUNCTION, self._note_socket)

    def prepare(self, call: Call, addresses: tuple[Address, ...], *, fresh: bool, keep: bool) -> None:
        """Set the handle up for `call`: on a `fresh` connection or any, which is kept afterwards or not."""
        request = call.request
        self.call = call
        self.addresses = addresses
        self.has_left = self.is_stale = False
        self._opened.clear()
        self.answer.start(call.max_body)
        set_option = self.handle.setopt
        set_option(pycurl.URL, call.location.plain)
        set_option(pycurl.HTTPHEADER, call.lines)
        set_option(pycurl.TIMEOUT_MS, max(1, round((call.ends_at - time.monotonic()) * 1000)))
        if call.location.server.literal is None:
            set_option(pycurl.RESOLVE, self._pinned(call.location.server))
        if self._connection != (fresh, keep, call.is_probe):
            self._connection = fresh, keep, call.is_probe
            set_option(pycurl.FRESH_CONNECT, fresh)
            set_option(pycurl.FORBID_REUSE, not keep)
            set_option(pycurl.CONNECT_ONLY, call.is_probe)
        self._set_method(request.method, request.content)

    def _pinned(self, server: Server) -> list[str]:
        addresses = ",".join(map(str, self.addresses[:MAX_ADDRESSES]))
        # With the plus libcurl forgets the entry after a while. It reads the list once.
        return [f"+{server.host.rstrip('.')}:{server.port}:{addresses}"]

    def _set_method(self, method: str, content: bytes | None) -> None:
        set_option = self.handle.setopt
        if self._method != (method, content is not None):
            self._method = method, content is not None
            if content is not None:
                set_option(pycurl.POST, 1)
            elif method == "HEAD":
                set_option(pycurl.NOBODY, 1)
            else:
                set_option(pycurl.HTTPGET, 1)
            set_option(pycurl.CUSTOMREQUEST, method)
        if content is not None:
            set_option(pycurl.POSTFIELDSIZE_LARGE, len(content))
        self._body = memoryview(content or b"")
        self._position = 0

    @property
    def is_body_sent(self) -> bool:
        return self.handle.getinfo(pycurl.SIZE_UPLOAD_T) >= len(self._body)

    def result(self, code: int, message: str) -> Response | RequestError:
        """Return what the call came to, from libcurl's code for it (0 is success)."""
        call, answer = self.call, self.answer
        assert call is not None
        if call.is_probe and code == pycurl.E_OK:
            return Response(0)
        if answer.has_head and answer.status is not None and (code == pycurl.E_OK or answer.is_cut):
            elapsed = time.monotonic() - call.started_at
            body = bytes(answer.body)
            return Response(answer.status, answer.lines, body, truncated=answer.is_cut, elapsed=elapsed)
        return failure(self, call, code, message)

    def release(self) -> None:
        """Let go of the call's data; the handle is ready for the next."""
        self.call = None
        self._body = memoryview(b"")
        self.answer.body = bytearray()

    def close(self) -> None:
        self.handle.close()

    # --- libcurl's questions

    def _read_body(self, size: int) -> bytes:
        piece = self._body[self._position : self._position + size]
        self._position += len(piece)
        return bytes(piece)

    def _before_request(self, remote: str, local: str, remote_port: int, local_port: int) -> int:
        if self.has_left:
            return pycurl.PREREQFUNC_ABORT
        ends = (remote, local, remote_port, local_port)
        if self._opened:
            self._kept.remember(ends, self._opened)
        elif not (self._is_vetted(remote) and self._kept.is_usable(ends)):
            # Kept from when the name had other addresses, or closed by the target meanwhile.
            self.is_stale = True
            return pycurl.PREREQFUNC_ABORT
        self.has_left = True
        return pycurl.PREREQFUNC_OK

    @property
    def is_on_kept_connection(self) -> bool:
        return not self._opened

    def _open_socket(self, purpose: int, address: Any) -> Any:
        family, kind, protocol, peer = address
        if self.has_left or not self._is_vetted(str(peer[0])):
            return pycurl.SOCKET_BAD
        return _CopiedSocket(family, kind, protocol)

    def _note_socket(self, fd: int, purpose: int) -> int:
        self._opened.append(fd)
        return pycurl.SOCKOPT_OK

    def _is_vetted(self, text: str) -> bool:
        return _address(text) in self.addresses


_FIXED: tuple[tuple[int, Any], ...] = (
    (pycurl.NOSIGNAL, 1),
    (pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS),
    (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1),
    (pycurl.HTTP09_ALLOWED, 0),
    (pycurl.FOLLOWLOCATION, 0),
    (pycurl.PATH_AS_IS, 1),
    # The environment may name proxies, which would connect to addresses that were not vetted.
    (pycurl.PROXY, ""),
    (pycurl.NOPROXY, "*"),
    (pycurl.NETRC, pycurl.NETRC_IGNORED),
    (pycurl.SSL_VERIFYPEER, 1),
    (pycurl.SSL_VERIFYHOST, 2),
    (pycurl.SSLVERSION, pycurl.SSLVERSION_TLSv1_2),
    # All encodings libcurl knows are taken although none is asked for (the header says identity).
    (pycurl.ACCEPT_ENCODING, ""),
    (pycurl.TRANSFER_ENCODING, 1),
    # Its own limit is five minutes; ours ends everything.
    (pycurl.CONNECTTIMEOUT, 24 * 3600),
)
