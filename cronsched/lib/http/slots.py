"""How many requests one host may have in flight, so that a slow one cannot take every sender."""

import threading

Origin = tuple[str, int]


class _Host:
    def __init__(self, limit: int) -> None:
        self.free = threading.Semaphore(limit)
        self.users = 0


class Slots:
    """Thread-safe counters per host and port. A limit of 0 means none."""

    def __init__(self, per_host: int) -> None:
        self._per_host = per_host
        self._lock = threading.Lock()
        self._hosts: dict[Origin, _Host] = {}

    def are_free(self, origin: Origin) -> bool:
        """Whether a request to `origin` would start at once, as of now. Those who wait count too."""
        host = self._hosts.get(origin)
        return host is None or host.users < self._per_host

    def take(self, origin: Origin, *, wait: float | None) -> bool:
        """Take a slot, waiting at most `wait` seconds (None: as long as it takes). False where none came free."""
        if not self._per_host:
            return True
        with self._lock:
            host = self._hosts.setdefault(origin, _Host(self._per_host))
            host.users += 1
        if host.free.acquire(timeout=wait):
            return True
        self._leave(origin, host)
        return False

    def give_back(self, origin: Origin) -> None:
        if self._per_host:
            host = self._hosts[origin]
            host.free.release()
            self._leave(origin, host)

    def _leave(self, origin: Origin, host: _Host) -> None:
        with self._lock:
            host.users -= 1
            if not host.users:
                del self._hosts[origin]
