"""How many requests one host may have in flight, so that a slow one cannot take every place."""

import threading
from collections import Counter
from collections.abc import Hashable


class HostLimiter:
    """Thread-safe counters per key (`origin_of` a URL). A limit of 0 means none."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._in_flight: Counter[Hashable] = Counter()

    def has_room(self, key: Hashable) -> bool:
        """Whether a request would find a place now."""
        return not self.limit or self._in_flight[key] < self.limit

    def take(self, key: Hashable) -> bool:
        """Take a place; False where none is free."""
        if not self.limit:
            return True
        with self._lock:
            if self._in_flight[key] >= self.limit:
                return False
            self._in_flight[key] += 1
            return True

    def give_back(self, key: Hashable) -> None:
        if not self.limit:
            return
        with self._lock:
            self._in_flight[key] -= 1
            if self._in_flight[key] <= 0:
                del self._in_flight[key]
