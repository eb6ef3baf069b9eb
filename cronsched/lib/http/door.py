"""The door itself: one request in, one answer or one DoorError out."""

import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from email.message import Message
from functools import cached_property, lru_cache
from typing import NamedTuple

import certifi

from cronsched.lib.http.addresses import Address, AddressRules
from cronsched.lib.http.deadline import Deadline
from cronsched.lib.http.errors import DoorError, Kind, TargetRefused
from cronsched.lib.http.keepalive import IdleConnections, Key
from cronsched.lib.http.resolver import Resolve, Resolver, system_addresses
from cronsched.lib.http.slots import Slots
from cronsched.lib.http.urls import Location, parse
from cronsched.lib.http.wire import Connection, Reply, tls_context

# The door's own. Two of a kind would let a target and a proxy before it read different requests.
RESERVED_HEADERS = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


@dataclass(frozen=True, slots=True)
class DoorPolicy:
    """What holds for every request of a process.

    `per_host` 0 sets no limit. `ca_file` names further certificate authorities, for an intranet's own.
    """

    addresses: AddressRules = field(default_factory=AddressRules)
    max_response_bytes: int = 64 * 1024
    per_host: int = 0
    idle_connections: int = 1024
    user_agent: str = "cronsched"
    ca_file: str | None = None


@dataclass(frozen=True, slots=True)
class OutRequest:
    """A request to send. `timeout` bounds all of it, from the name's resolution to the last byte of the answer.

    `trusted` skips the vetting of the address: only for a URL that the operator configured, never for one of a user.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    timeout: timedelta = timedelta(seconds=10)
    trusted: bool = False
    max_bytes: int | None = None
    slot_wait: timedelta | None = None


class Answer(NamedTuple):
    """What came back. A redirect is an answer like any other: `location` says where to, nobody went there.

    `headers` ignores case. `body` is as sent, never decompressed, cut (`truncated`) at the limit.
    """

    status: int
    headers: Message
    body: bytes
    truncated: bool
    elapsed: timedelta

    @property
    def location(self) -> str | None:
        return self.headers["Location"] if 300 <= self.status < 400 else None


class Door:
    """Sends requests of users to places users may reach. Thread-safe; one per process, so that it can keep connections.

    A request is never sent twice: not after an error, not on another connection, not after a redirect. Where nothing
    has left yet, the next address of the host is tried.
    """

    def __init__(self, policy: DoorPolicy, *, resolve: Resolve = system_addresses) -> None:
        self._policy = policy
        self._resolver = Resolver(resolve)
        self._slots = Slots(policy.per_host)
        self._idle = IdleConnections(policy.idle_connections)
        self._refusal = lru_cache(maxsize=8192)(policy.addresses.refusal)

    def has_free_slot(self, url: str) -> bool:
        """Whether `send` would start at once. For choosing what to send next; a URL that cannot be parsed is free."""
        try:
            return self._slots.are_free(parse(url).origin)
        except DoorError:
            return True

    def send(self, request: OutRequest) -> Answer:
        """Send `request` once and return the answer. Raises DoorError.

        Where the host's slots are taken, this waits for one first (`slot_wait`, None: as long as it takes). The
        timeout starts after that: a herd on one host shall not time out for standing in our own queue.
        """
        location = parse(request.url)
        head = _head(request, location, self._policy.user_agent)
        wait = None if request.slot_wait is None else request.slot_wait.total_seconds()
        if not self._slots.take(location.origin, wait=wait):
            raise DoorError(Kind.BUSY, "too many requests to this host are under way")
        try:
            return self._send(request, location, head)
        finally:
            self._slots.give_back(location.origin)

    def probe(self, url: str, *, timeout: timedelta) -> None:
        """Vet and connect to the URL's host, with TLS where it says so, and send nothing. Raises DoorError."""
        location = parse(url)
        deadline = Deadline.after(timeout)
        _, connection = self._connection(location, self._vetted(location, deadline, trusted=False), deadline)
        connection.close()

    def close_idle(self) -> None:
        """Close connections nobody used for a while. Worth a call now and then when nothing is sent."""
        self._idle.close_old()

    def close(self) -> None:
        """Close all idle connections."""
        self._idle.close_all()

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        further = [self._policy.ca_file] if self._policy.ca_file else []
        return tls_context(certifi.where(), *further)

    def _send(self, request: OutRequest, location: Location, head: bytes) -> Answer:
        started = time.monotonic()
        deadline = Deadline.after(request.timeout)
        addresses = self._vetted(location, deadline, trusted=request.trusted)
        key, connection = self._connection(location, addresses, deadline)
        limit = self._policy.max_response_bytes if request.max_bytes is None else request.max_bytes
        reply: Reply | None = None
        try:
            reply = connection.exchange(request.method, head + (request.body or b""), deadline, max_bytes=limit)
        finally:
            if reply is not None and reply.clean:
                self._idle.put(key, connection)
            else:
                connection.close()
        elapsed = timedelta(seconds=time.monotonic() - started)
        return Answer(reply.status, reply.headers, reply.body, reply.truncated, elapsed)

    def _vetted(self, location: Location, deadline: Deadline, *, trusted: bool) -> tuple[Address, ...]:
        if location.literal is not None:
            addresses: tuple[Address, ...] = (location.literal,)
        else:
            addresses = self._resolver.addresses(location.host, deadline)
        if not trusted:
            for address in addresses:
                # One bad address condemns the name: no honest one mixes public and inner addresses.
                if (category := self._refusal(address)) is not None:
                    raise TargetRefused(category)
        return addresses

    def _connection(
        self, location: Location, addresses: tuple[Address, ...], deadline: Deadline
    ) -> tuple[Key, Connection]:
        if not deadline.remaining:
            # Past this point a miss would leave open whether anything was sent.
            raise deadline.missed("connecting")
        keys: list[Key] = [(location.scheme, location.host, str(address), location.port) for address in addresses]
        for key in keys:
            if (idle := self._idle.take(key)) is not None:
                return key, idle
        tls = self._tls if location.scheme == "https" else None
        failure: DoorError | None = None
        for tried, (key, address) in enumerate(zip(keys, addresses, strict=True)):
            # An address that swallows packets must leave time for the next one.
            share = deadline.share(len(addresses) - tried)
            try:
                return key, Connection.open(address, location.port, share, tls=tls, name=location.host)
            except DoorError as error:
                failure = error
        assert failure is not None
        raise failure


def _head(request: OutRequest, location: Location, user_agent: str) -> bytes:
    if not _TOKEN.fullmatch(request.method):
        raise DoorError(Kind.BAD_REQUEST, "the method is not valid")
    given = {name.lower() for name in request.headers}
    lines = [f"{request.method} {location.path} HTTP/1.1", f"Host: {location.authority}", "Accept-Encoding: identity"]
    if "user-agent" not in given:
        lines.append(f"User-Agent: {user_agent}")
    if "accept" not in given:
        lines.append("Accept: */*")
    if location.authorization and "authorization" not in given:
        lines.append(f"Authorization: {location.authorization}")
    for name, value in request.headers.items():
        if name.lower() in RESERVED_HEADERS or not _TOKEN.fullmatch(name):
            raise DoorError(Kind.BAD_REQUEST, f"the header {name[:80]!r} may not be set")
        if not _HEADER_VALUE.fullmatch(value):
            raise DoorError(Kind.BAD_REQUEST, f"the value of the header {name} is not valid")
        lines.append(f"{name}: {value}")
    if request.body is not None or request.method in _METHODS_WITH_BODY:
        lines.append(f"Content-Length: {len(request.body or b'')}")
    try:
        return "\r\n".join([*lines, "", ""]).encode("latin-1")
    except UnicodeEncodeError:
        raise DoorError(Kind.BAD_REQUEST, "a header holds characters that HTTP cannot carry") from None
