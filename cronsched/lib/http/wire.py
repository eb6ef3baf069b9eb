"""One connection and the exchanges on it: sockets that keep a deadline, answers nobody can make endless.

A socket's own timeout starts anew with every byte, so a target that drips outlives it. Here each call to the system
gets what is left until the deadline, which bounds connect, handshake, head and body together and needs no watching
thread. The same place counts the bytes received, whatever the framing pretends.

The framing is read by the standard library's `http.client`, which `requests` uses too. What `requests` puts above it
costs four times as much per request and has no hook for any of this.
"""

import http.client
import re
import select
import socket
import ssl
import time
from email.message import Message
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, NamedTuple

from cronsched.lib.http.addresses import Address
from cronsched.lib.http.deadline import Deadline
from cronsched.lib.http.errors import DoorError, Kind

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

MAX_HEAD_BYTES = 64 * 1024
READ_SIZE = 64 * 1024
# What framing may add to a body: a chunk of a few bytes carries as many bytes of framing.
FRAMING_FACTOR = 4
# Setting a timeout is a system call; one that is this little too long may stay.
SLACK_SECONDS = 0.05
SWITCHING_PROTOCOLS = 101
# A target that gives up idle connections sooner gives them up while we would still use them (`keepalive`).
MIN_KEPT_SECONDS = 2
_KEEP_ALIVE = re.compile(r'\btimeout\s*=\s*"?0*(\d+)', re.IGNORECASE)


class BoundedSocket(socket.socket):
    """Every read and write ends at `deadline` (on `time.monotonic()`); after `budget` bytes reads find the end."""

    deadline = 0.0
    budget = 0
    exhausted = False
    ended = False

    def arm(self) -> None:
        """Give the next system call what is left. Raises TimeoutError where nothing is."""
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        timeout = self.gettimeout()
        if timeout is None or not remaining <= timeout <= remaining + SLACK_SECONDS:
            self.settimeout(remaining)

    def recv_into(self, buffer: "WriteableBuffer", nbytes: int | None = 0, flags: int = 0) -> int:
        if self.budget <= 0:
            self.exhausted = True
            return 0
        self.arm()
        count = super().recv_into(buffer, nbytes or 0, flags)
        self.budget -= count
        self.ended = not count
        return count

    def send(self, data: "ReadableBuffer", flags: int = 0) -> int:
        # TLS writes record by record through here.
        self.arm()
        return super().send(data, flags)

    def sendall(self, data: "ReadableBuffer", flags: int = 0) -> None:
        self.arm()
        super().sendall(data, flags)


class BoundedTlsSocket(BoundedSocket, ssl.SSLSocket):
    """The same above TLS. The handshake needs no help: Python counts one timeout for the whole of it."""


def tls_context(*ca_files: str) -> ssl.SSLContext:
    """Return a context that verifies chain and name against exactly the authorities in `ca_files`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.sslsocket_class = BoundedTlsSocket
    for ca_file in ca_files:
        context.load_verify_locations(ca_file)
    return context


class Reply(NamedTuple):
    """An answer as it came. `clean` says that the connection can carry another exchange."""

    status: int
    headers: Message
    body: bytes
    truncated: bool
    clean: bool


class Connection:
    """An open connection to one vetted address. Used by one thread at a time."""

    def __init__(self, sock: BoundedSocket) -> None:
        self._sock = sock
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        self.idle_since = 0.0

    @classmethod
    def open(
        cls, address: Address, port: int, deadline: Deadline, *, tls: ssl.SSLContext | None = None, name: str = ""
    ) -> "Connection":
        """Connect to `address`; with `tls` the certificate must be valid for `name`. Raises DoorError."""
        sock = _connect(address, port, deadline)
        return cls(sock if tls is None else _secure(sock, tls, name, deadline))

    @property
    def is_stale(self) -> bool:
        """Whether the target has closed it or said something nobody asked for. Never writes."""
        return bool(self._poll.poll(0))

    def exchange(self, method: str, request: bytes, deadline: Deadline, *, max_bytes: int) -> Reply:
        """Send `request` and read the answer, of whose body at most `max_bytes` are kept. Raises DoorError."""
        sock = self._sock
        sock.deadline, sock.budget, sock.ended = deadline.at, MAX_HEAD_BYTES, False
        _send(sock, request, deadline)
        answer = http.client.HTTPResponse(sock, method=method)
        try:
            _read_head(answer, sock, deadline)
            sock.budget = MAX_HEAD_BYTES + FRAMING_FACTOR * max_bytes
            body, truncated = _read_body(answer, sock, deadline, max_bytes)
        finally:
            answer.close()
        is_over = truncated or answer.will_close or sock.exhausted or answer.status == SWITCHING_PROTOCOLS
        return Reply(answer.status, answer.headers, body, truncated, not is_over and _will_wait(answer.headers))

    def close(self) -> None:
        self._sock.close()


def _connect(address: Address, port: int, deadline: Deadline) -> BoundedSocket:
    family = socket.AF_INET6 if isinstance(address, IPv6Address) else socket.AF_INET
    sock = BoundedSocket(family, socket.SOCK_STREAM)
    try:
        sock.deadline = deadline.at
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.arm()
        sock.connect((str(address), port))
    except TimeoutError:
        sock.close()
        raise deadline.missed("connecting") from None
    except OSError as error:
        sock.close()
        refused = isinstance(error, ConnectionRefusedError)
        raise DoorError(Kind.CONNECT, "connection refused" if refused else "connection failed") from error
    return sock


def _secure(sock: BoundedSocket, tls: ssl.SSLContext, name: str, deadline: Deadline) -> BoundedSocket:
    try:
        sock.arm()
        secured = tls.wrap_socket(sock, server_hostname=name.rstrip("."))
    except TimeoutError:
        sock.close()
        raise deadline.missed("negotiating TLS") from None
    except ssl.SSLCertVerificationError as error:
        sock.close()
        raise DoorError(Kind.TLS, f"TLS certificate is not valid: {error.verify_message}") from error
    except (OSError, ValueError) as error:
        sock.close()
        raise DoorError(Kind.TLS, "TLS handshake failed") from error
    assert isinstance(secured, BoundedTlsSocket)
    return secured


def _send(sock: BoundedSocket, request: bytes, deadline: Deadline) -> None:
    try:
        sock.sendall(request)
    except TimeoutError:
        raise deadline.missed("sending the request", request_sent=True) from None
    except OSError:
        # A target may answer and close without reading everything (413, 401). If it did not, reading says so.
        return


def _read_head(answer: http.client.HTTPResponse, sock: BoundedSocket, deadline: Deadline) -> None:
    try:
        answer.begin()
        # Interim answers (RFC 9110, section 15.2) stand before the real one; http.client skips only 100.
        while 100 < answer.status < 200 and answer.status != SWITCHING_PROTOCOLS:
            answer.headers = answer.msg = None  # type: ignore[assignment]
            answer.begin()
    except TimeoutError:
        raise deadline.missed("waiting for the answer", request_sent=True) from None
    except (http.client.HTTPException, OSError) as error:
        if sock.exhausted or isinstance(error, http.client.LineTooLong) or "headers" in str(error):
            raise _too_large() from error
        if isinstance(error, OSError):
            raise _lost("the target closed the connection without an answer") from error
        raise DoorError(Kind.PROTOCOL, "the answer is not valid HTTP", request_sent=True) from error
    if sock.exhausted:
        raise _too_large()
    if sock.ended:
        # http.client takes the end of the connection for the end of the head.
        raise _lost("the answer ended early", status=answer.status)


def _read_body(
    answer: http.client.HTTPResponse, sock: BoundedSocket, deadline: Deadline, max_bytes: int
) -> tuple[bytes, bool]:
    """Return the first `max_bytes` of the body and whether there was more."""
    body = bytearray()
    try:
        while answer.length != 0 and len(body) <= max_bytes:
            # One system call at most: what came before an error or the deadline is never waited for again.
            piece = answer.read1(min(READ_SIZE, max_bytes + 1 - len(body)))
            if not piece:
                break
            body += piece
    except TimeoutError:
        raise deadline.missed("reading the answer", request_sent=True, status=answer.status) from None
    except (http.client.HTTPException, OSError) as error:
        if not sock.exhausted:
            raise _lost("the answer ended early", status=answer.status) from error
    truncated = len(body) > max_bytes or sock.exhausted
    if answer.length and not truncated:
        raise _lost("the answer ended early", status=answer.status)
    return bytes(body[:max_bytes]), truncated


def _will_wait(headers: Message) -> bool:
    """Whether the target keeps the connection for longer than we do, as far as it says.

    One that closes it at about the same time closes it now and then at the very moment of the next request.
    """
    announced = _KEEP_ALIVE.search(headers["Keep-Alive"] or "")
    return announced is None or len(announced[1]) > 1 or int(announced[1]) >= MIN_KEPT_SECONDS


def _too_large() -> DoorError:
    return DoorError(Kind.TOO_LARGE, "the head of the answer is too large", request_sent=True)


def _lost(reason: str, *, status: int | None = None) -> DoorError:
    return DoorError(Kind.LOST, reason, request_sent=True, status=status)
