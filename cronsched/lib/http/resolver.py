"""Name resolution that cannot hang its caller.

`getaddrinfo` takes no timeout, so it runs in a bounded number of daemon threads, and the caller is called back. One
look-up serves all requests for the same name at the same time, and its result is kept for a moment: a herd of jobs on
one host asks once. Keeping it is safe because the addresses kept are the ones connected to.

The owner of a domain can let its name server hang. Look-ups therefore wait in three queues with threads of their own:
names that were answered quickly before, new names, and names of domains that took long. Slow domains delay only each
other, and nothing delays names in use.
"""

import queue
import socket
import threading
import time
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import TypeVar

from cronsched.lib.http.addresses import Address

MAX_KNOWN_THREADS = 4
MAX_NEW_THREADS = 8
MAX_SLOW_THREADS = 4
SLOW_SECONDS = 1.0
REMEMBER_SLOW_SECONDS = 3600.0
MAX_REMEMBERED = 2048
REMEMBER_SECONDS = 2.0
REMEMBER_FAILURE_SECONDS = 1.0

Value = TypeVar("Value")
Addresses = tuple[Address, ...]
Resolve = Callable[[str], list[str]]
# Called with no addresses where the name has none.
Found = Callable[[Addresses], None]


def system_addresses(host: str) -> list[str]:
    """Ask the operating system. Raises OSError where the name is unknown."""
    # Bytes keep Python's own IDNA codec out of it, which fails on labels the system would merely not find.
    found = socket.getaddrinfo(host.encode("ascii"), None, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for *_, sockaddr in found]


class _Lookup:
    """One look-up, for all callers that wait for it."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.wanted_until = 0.0
        self.waiting: list[Found] = []
        self.addresses: Addresses | None = None
        self.fresh_until = float("inf")


class _Queue:
    """Look-ups that wait, and the threads that serve them. Its numbers belong to the resolver's lock."""

    def __init__(self, name: str, limit: int) -> None:
        self.name = name
        self.limit = limit
        self.lookups: queue.SimpleQueue[_Lookup] = queue.SimpleQueue()
        self.threads = 0
        self.unanswered = 0


class Resolver:
    """Thread-safe. Threads are started when there is work for them, never more than their queue allows."""

    def __init__(self, resolve: Resolve = system_addresses) -> None:
        self._resolve = resolve
        self._lock = threading.Lock()
        self._lookups: dict[str, _Lookup] = {}
        self._known_queue = _Queue("known", MAX_KNOWN_THREADS)
        self._new_queue = _Queue("new", MAX_NEW_THREADS)
        self._slow_queue = _Queue("slow", MAX_SLOW_THREADS)
        # Names that were answered quickly, the last one asked for at the end; domains that took long, and until when
        # that is remembered.
        self._quick: dict[str, None] = {}
        self._slow: dict[str, float] = {}

    def ask(self, host: str, *, until: float, found: Found) -> Addresses | None:
        """Return the addresses of `host` if they are known, else None; `found` is then called once, in another thread.

        After `until` (on `time.monotonic()`) the answer is not needed, and `found` may never be called.
        """
        now = time.monotonic()
        with self._lock:
            lookup = self._lookups.get(host)
            if lookup is None or lookup.fresh_until < now:
                lookup = self._start(host)
            if lookup.addresses is None:
                lookup.wanted_until = max(lookup.wanted_until, until)
                lookup.waiting.append(found)
            return lookup.addresses

    def _start(self, host: str) -> _Lookup:
        self._forget_old()
        lookup = self._lookups[host] = _Lookup(host)
        waiting = self._queue_for(host)
        waiting.lookups.put(lookup)
        waiting.unanswered += 1
        if waiting.threads < min(waiting.unanswered, waiting.limit):
            waiting.threads += 1
            name = f"resolver-{waiting.name}-{waiting.threads}"
            threading.Thread(target=self._work, args=(waiting,), name=name, daemon=True).start()
        return lookup

    def _queue_for(self, host: str) -> _Queue:
        if self._slow.get(_domain(host), 0.0) > time.monotonic():
            return self._slow_queue
        return self._known_queue if host in self._quick else self._new_queue

    def _forget_old(self) -> None:
        if len(self._lookups) < MAX_REMEMBERED:
            return
        now = time.monotonic()
        self._lookups = {host: lookup for host, lookup in self._lookups.items() if lookup.fresh_until >= now}

    def _work(self, waiting: _Queue) -> None:
        while True:
            lookup = waiting.lookups.get()
            began = time.monotonic()
            addresses = self._look_up(lookup.host) if self._is_wanted(lookup) else ()
            with self._lock:
                self._judge(lookup.host, time.monotonic() - began, is_known=bool(addresses))
                waiting.unanswered -= 1
                lookup.addresses = addresses
                lookup.fresh_until = time.monotonic() + (REMEMBER_SECONDS if addresses else REMEMBER_FAILURE_SECONDS)
                callers, lookup.waiting = lookup.waiting, []
            for found in callers:
                found(addresses)

    def _judge(self, host: str, seconds: float, *, is_known: bool) -> None:
        """Remember domains that took long. A look-up that was no longer needed was not made and says nothing."""
        if seconds >= SLOW_SECONDS:
            _remember(self._slow, _domain(host), time.monotonic() + REMEMBER_SLOW_SECONDS)
        elif is_known:
            _remember(self._quick, host, None)

    def _is_wanted(self, lookup: _Lookup) -> bool:
        """Whether a caller still waits: behind slow name servers look-ups may outlive their callers."""
        with self._lock:
            if lookup.wanted_until > time.monotonic():
                return True
            # A later caller starts a look-up of its own.
            if self._lookups.get(lookup.host) is lookup:
                del self._lookups[lookup.host]
            return False

    def _look_up(self, host: str) -> Addresses:
        try:
            return tuple(dict.fromkeys(_address(text) for text in self._resolve(host)))
        except (OSError, ValueError):
            return ()


def _address(text: str) -> Address:
    address = ip_address(text)
    # A zone says by which interface; only the system's own resolver gives one, and libcurl takes none.
    return IPv6Address(int(address)) if isinstance(address, IPv6Address) else address


def _domain(host: str) -> str:
    """Return the last two labels: who answers slowly for one name of a domain does so for all of them."""
    return ".".join(host.rstrip(".").split(".")[-2:])


def _remember(known: dict[str, Value], name: str, value: Value) -> None:
    """Put `name` at the end; the one that was put there longest ago goes where there are too many."""
    known.pop(name, None)
    known[name] = value
    if len(known) > MAX_REMEMBERED:
        del known[next(iter(known))]
