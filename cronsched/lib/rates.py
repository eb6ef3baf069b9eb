"""Rates per key: a bucket of a minute's allowance that fills again steadily.

Counted in the memory of each process, so that it costs no query: with several web processes the service allows up to
that many times the rate.
"""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

SECONDS = 60.0
# Buckets that are kept; those that were not asked for longest are full again anyway.
MAX_BUCKETS = 10_000


class Rates:
    """Buckets by key. Safe to use from several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def take(self, key: Hashable, per_minute: int) -> int:
        """Take one of `per_minute` and return 0, or the seconds until there is one again; 0 is no limit."""
        if per_minute <= 0:
            return 0
        now = self._clock()
        with self._lock:
            left, at = self._buckets.pop(key, (float(per_minute), now))
            left = min(per_minute, left + (now - at) * per_minute / SECONDS)
            is_allowed = left >= 1
            self._buckets[key] = (left - 1 if is_allowed else left, now)
            while len(self._buckets) > MAX_BUCKETS:
                self._buckets.popitem(last=False)
        return 0 if is_allowed else max(1, math.ceil((1 - left) * SECONDS / per_minute))

    def clear(self) -> None:
        with self._lock:
            self._buckets.clear()
