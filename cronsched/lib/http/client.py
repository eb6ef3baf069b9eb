"""The client itself: one request in, one answer or one RequestError out."""

import os
import threading
import weakref
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from queue import Empty, SimpleQueue

import certifi

from cronsched.lib.http import urls
from cronsched.lib.http.addresses import AddressRules
from cronsched.lib.http.delays import LoopDelay
from cronsched.lib.http.dispatcher import Dispatcher
from cronsched.lib.http.errors import RequestError
from cronsched.lib.http.messages import OutgoingRequest, Response, header_lines
from cronsched.lib.http.resolver import Resolve, Resolver, system_addresses
from cronsched.lib.http.transfer import Call, Done
from cronsched.lib.http.urls import Location, Server

# How much later than its deadline a result may come before the loop counts as broken.
GRACE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class ClientPolicy:
    """What holds for every request of a process. `ca_file` names further authorities, for an intranet's own."""

    addresses: AddressRules = field(default_factory=AddressRules)
    max_body: int = 64 * 1024
    idle_connections: int = 1024
    user_agent: str = "cronsched"
    ca_file: str | None = None


class HTTPClient:
    """Sends requests of users to places users may reach. Thread-safe; one per process, so that it can keep connections.

    A request is never sent twice: not after an error, not on another connection, not after a redirect. The thread that
    does it is started by the first request, in whichever process that is made; a forked one starts its own.
    """

    def __init__(self, policy: ClientPolicy, *, resolve: Resolve = system_addresses) -> None:
        self._policy = policy
        self._resolve = resolve
        self._refusal = lru_cache(maxsize=8192)(policy.addresses.refusal)
        self._ca_bundle = _CABundle(policy.ca_file)
        self.loop_delay = LoopDelay()
        self._reset()
        _clients.add(self)

    def _reset(self) -> None:
        """Start empty, also after a fork: threads, sockets and locks belong to the parent."""
        self._lock = threading.Lock()
        self._dispatcher: Dispatcher | None = None
        self._resolver = Resolver(self._resolve)

    @property
    def in_flight(self) -> int:
        """Requests that were handed over and have no result yet."""
        dispatcher = self._dispatcher
        return 0 if dispatcher is None else dispatcher.in_flight

    def submit(self, request: OutgoingRequest, done: Done) -> None:
        """Send `request` once and call `done` with the answer or the error.

        `done` is called in the client's own thread, also for what cannot be sent at all. It must be quick.
        """
        try:
            location = urls.parse(request.url)
            lines = header_lines(request, location, self._policy.user_agent)
        except RequestError as error:
            self._hand_over(Call(request, _NOWHERE, [], max_body=0, done=done), error)
            return
        max_body = self._policy.max_body if request.max_body is None else request.max_body
        self._hand_over(Call(request, location, lines, max_body=max_body, done=done))

    def send(self, request: OutgoingRequest) -> Response:
        """Send `request` once and wait for the answer. Raises RequestError."""
        results: SimpleQueue[Response | RequestError] = SimpleQueue()
        self.submit(request, results.put)
        return self._wait_for(results, request)

    def probe(self, url: str, *, timeout: float) -> None:
        """Vet and connect to the URL's host, with TLS where it says so, and send nothing. Raises RequestError."""
        request = OutgoingRequest("GET", url, timeout=timeout)
        results: SimpleQueue[Response | RequestError] = SimpleQueue()
        call = Call(request, urls.parse(url), [], max_body=0, done=results.put)
        call.is_probe = True
        self._hand_over(call)
        self._wait_for(results, request)

    def close(self, timeout: float = 0.0) -> None:
        """Let what is in flight end for at most `timeout` seconds, break off the rest, close all connections.

        The client can be used again; it then starts anew.
        """
        with self._lock:
            dispatcher, self._dispatcher = self._dispatcher, None
        if dispatcher is not None:
            dispatcher.close(timeout)

    def _hand_over(self, call: Call, error: RequestError | None = None) -> None:
        with self._lock:
            if self._dispatcher is None:
                self._dispatcher = self._new_dispatcher()
            self._dispatcher.hand_over(call, error)

    def _new_dispatcher(self) -> Dispatcher:
        return Dispatcher(
            resolver=self._resolver,
            refusal=self._refusal,
            ca_file=self._ca_bundle.path,
            idle_connections=self._policy.idle_connections,
            delay=self.loop_delay,
        )

    def _wait_for(self, results: "SimpleQueue[Response | RequestError]", request: OutgoingRequest) -> Response:
        dispatcher = self._dispatcher
        if dispatcher is not None and dispatcher.is_own_thread:
            raise RuntimeError("The HTTP client's own thread cannot wait for an answer.")
        try:
            result = results.get(timeout=max(0.0, request.timeout) + GRACE_SECONDS)
        except Empty:
            raise RuntimeError("The HTTP client gave no result.") from None
        if isinstance(result, RequestError):
            raise result
        return result


_NOWHERE = Location(Server("", "", None, 0, "", None), "")


class _CABundle:
    """The authorities to trust, as the one file that libcurl reads them from and remembers them by."""

    def __init__(self, further: str | None) -> None:
        self.path = certifi.where()
        if further is None:
            return
        # Without a name: no other process can write it, and it is deleted when the process ends.
        fd = os.memfd_create("authorities")
        weakref.finalize(self, os.close, fd)
        os.write(fd, Path(certifi.where()).read_bytes() + b"\n" + Path(further).read_bytes())
        self.path = f"/proc/self/fd/{fd}"


_clients: weakref.WeakSet[HTTPClient] = weakref.WeakSet()
# What a fork has copied of the parent's is neither used nor closed: closing would end the parent's connections.
_abandoned: list[Dispatcher | None] = []


def _after_fork() -> None:
    for client in _clients:
        _abandoned.append(client._dispatcher)
        client._reset()


os.register_at_fork(after_in_child=_after_fork)
