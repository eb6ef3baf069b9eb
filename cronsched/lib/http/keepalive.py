"""Idle connections, kept for a moment.

A target may close an idle connection at the very instant it is used again; the request is then lost and nobody can say
whether it was read. Ordinary servers keep idle connections for 2 s or more, so ours is given up after one second: long
enough for a herd, where connections are used again at once, too short to meet the target's own limit. A target that
says that its limit is as short (`Keep-Alive: timeout=1`) is connected to anew each time.
"""

import threading
import time
from collections import deque

from cronsched.lib.http.wire import Connection

IDLE_SECONDS = 1.0

# Scheme, host, address and port: a connection serves only what it was vetted and verified for.
Key = tuple[str, str, str, int]


class IdleConnections:
    """Thread-safe. Hands out the youngest of a key, closes the oldest of all."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._by_key: dict[Key, deque[Connection]] = {}
        # In the order they became idle.
        self._keys: dict[Connection, Key] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def take(self, key: Key) -> Connection | None:
        """Return a connection that can carry a request, None where there is none."""
        while True:
            with self._lock:
                waiting = self._by_key.get(key)
                if not waiting:
                    return None
                connection = waiting.pop()
                if not waiting:
                    del self._by_key[key]
                del self._keys[connection]
            if connection.idle_since + IDLE_SECONDS > time.monotonic() and not connection.is_stale:
                return connection
            connection.close()

    def put(self, key: Key, connection: Connection) -> None:
        connection.idle_since = time.monotonic()
        with self._lock:
            self._by_key.setdefault(key, deque()).append(connection)
            self._keys[connection] = key
            surplus = self._remove_old(connection.idle_since)
        for old in surplus:
            old.close()

    def close_old(self) -> None:
        """Close what nobody used in time. Putting one back does so too; this is for quiet hours."""
        with self._lock:
            surplus = self._remove_old(time.monotonic())
        for old in surplus:
            old.close()

    def close_all(self) -> None:
        with self._lock:
            surplus = list(self._keys)
            self._keys.clear()
            self._by_key.clear()
        for connection in surplus:
            connection.close()

    def _remove_old(self, now: float) -> list[Connection]:
        surplus = []
        while self._keys:
            oldest = next(iter(self._keys))
            if len(self._keys) <= self._capacity and oldest.idle_since + IDLE_SECONDS > now:
                break
            waiting = self._by_key[key := self._keys.pop(oldest)]
            waiting.popleft()
            if not waiting:
                del self._by_key[key]
            surplus.append(oldest)
        return surplus
