"""Name resolution that cannot hang its caller.

`getaddrinfo` has no timeout of ours, so it runs in a bounded number of daemon threads and the caller waits no longer
than its own deadline. One look-up serves all who ask for the same name at the same time, and its result a few seconds
more: a herd of jobs on one host asks once. Keeping it is safe because the addresses kept are the ones connected to.

Who owns a domain can let its name server hang. Names that took long before are therefore asked for by a few threads of
their own, so that they keep only each other waiting.
"""

import queue
import socket
import threading
import time
from collections.abc import Callable
from ipaddress import ip_address

from cronsched.lib.http.addresses import Address
from cronsched.lib.http.deadline import Deadline
from cronsched.lib.http.errors import DoorError, Kind

MAX_THREADS = 32
MAX_SLOW_THREADS = 8
SLOW_SECONDS = 1.0
REMEMBER_SLOW_SECONDS = 3600.0
MAX_REMEMBERED = 2048
REMEMBER_SECONDS = 5.0
REMEMBER_FAILURE_SECONDS = 1.0

Resolve = Callable[[str], list[str]]


def system_addresses(host: str) -> list[str]:
    """Ask the operating system. Raises OSError where the name is unknown."""
    # Bytes keep Python's own IDNA codec out of it, which fails on labels the system would merely not find.
    found = socket.getaddrinfo(host.encode("ascii"), None, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for *_, sockaddr in found]


class _Lookup:
    """One question, asked once for everybody who waits for it."""

    def __init__(self, host: str, wanted_until: float) -> None:
        self.host = host
        self.wanted_until = wanted_until
        self.done = threading.Event()
        self.addresses: tuple[Address, ...] = ()
        self.fresh_until = float("inf")


class _Lane:
    """Look-ups that wait, and the threads that serve them. Its numbers belong to the resolver's lock."""

    def __init__(self) -> None:
        self.waiting: queue.SimpleQueue[_Lookup] = queue.SimpleQueue()
        self.threads = 0
        self.unanswered = 0


class Resolver:
    """Thread-safe. Threads are started when there is work for them, never more than their lane allows."""

    def __init__(self, resolve: Resolve = system_addresses) -> None:
        self._resolve = resolve
        self._lock = threading.Lock()
        self._lookups: dict[str, _Lookup] = {}
        self._lane, self._slow_lane = _Lane(), _Lane()
        # Names that took long, and until when that is remembered.
        self._slow: dict[str, float] = {}

    def addresses(self, host: str, deadline: Deadline) -> tuple[Address, ...]:
        """Return the addresses of `host`, at least one. Raises DoorError."""
        lookup = self._lookups.get(host)
        if lookup is None or not lookup.done.is_set() or lookup.fresh_until < time.monotonic():
            lookup = self._ask(host, deadline.at)
        if not lookup.done.is_set() and not lookup.done.wait(deadline.remaining):
            raise deadline.missed("resolving the host name")
        if not lookup.addresses:
            raise DoorError(Kind.NOT_RESOLVED, "host name could not be resolved")
        return lookup.addresses

    def _ask(self, host: str, wanted_until: float) -> _Lookup:
        with self._lock:
            lookup = self._lookups.get(host)
            if lookup is not None and lookup.fresh_until >= time.monotonic():
                lookup.wanted_until = max(lookup.wanted_until, wanted_until)
                return lookup
            self._forget_old()
            lookup = self._lookups[host] = _Lookup(host, wanted_until)
            is_slow = self._slow.get(host, 0.0) > time.monotonic()
            lane, limit = (self._slow_lane, MAX_SLOW_THREADS) if is_slow else (self._lane, MAX_THREADS)
            lane.waiting.put(lookup)
            lane.unanswered += 1
            if lane.threads < min(lane.unanswered, limit):
                lane.threads += 1
                name = f"resolver-{'slow-' if is_slow else ''}{lane.threads}"
                threading.Thread(target=self._work, args=(lane,), name=name, daemon=True).start()
            return lookup

    def _forget_old(self) -> None:
        if len(self._lookups) < MAX_REMEMBERED:
            return
        now = time.monotonic()
        self._lookups = {host: lookup for host, lookup in self._lookups.items() if lookup.fresh_until >= now}

    def _work(self, lane: _Lane) -> None:
        while True:
            lookup = lane.waiting.get()
            began = time.monotonic()
            found = self._look_up(lookup.host) if self._is_wanted(lookup) else ()
            with self._lock:
                self._judge(lookup.host, time.monotonic() - began)
                lane.unanswered -= 1
                lookup.addresses = found
                lookup.fresh_until = time.monotonic() + (REMEMBER_SECONDS if found else REMEMBER_FAILURE_SECONDS)
                lookup.done.set()

    def _judge(self, host: str, seconds: float) -> None:
        """Remember who took long. What was not wanted any more took no time and says nothing."""
        if seconds >= SLOW_SECONDS:
            # The one that was slow longest ago goes first.
            self._slow.pop(host, None)
            self._slow[host] = time.monotonic() + REMEMBER_SLOW_SECONDS
            if len(self._slow) > MAX_REMEMBERED:
                del self._slow[next(iter(self._slow))]

    def _is_wanted(self, lookup: _Lookup) -> bool:
        """Whether anybody still waits: behind slow name servers a queue builds up that has outlived its callers."""
        with self._lock:
            if lookup.wanted_until > time.monotonic():
                return True
            # Whoever asks from now on starts a look-up of its own.
            self._lookups.pop(lookup.host, None)
            return False

    def _look_up(self, host: str) -> tuple[Address, ...]:
        try:
            return tuple(dict.fromkeys(ip_address(address) for address in self._resolve(host)))
        except (OSError, ValueError):
            return ()
