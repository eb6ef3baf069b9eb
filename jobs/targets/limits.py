"""Places in flight: how many requests of a process may be out at the same time, and whose.

A target that never answers must not delay the others. So each place counts against a total, against its owner's share
and against its origin's share: an owner may take another place while it has fewer than `SHARE` times the free ones.
Alone on an idle process an owner gets three quarters of all places, the next one three quarters of the remaining
quarter, and so on: the more owners there are, the more even their shares become. A few places are kept for owners that
have almost none, however many take all they can.

The same rule and the same keys hold for scheduled, manual and test runs.
"""

import threading
from collections import Counter
from collections.abc import Collection
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from django.conf import settings
from django.core.signals import setting_changed

from cronsched.lib.http import RequestError, urls

SHARE = 3
# One place in `KEPT` is kept for owners and origins that hold fewer than one place in `FEW`.
KEPT, FEW = 20, 500
# What all dispatches go to.
GITHUB = "github"


class Wanted(NamedTuple):
    """Whose place it is: the one who answers for the job, and where the request goes."""

    owner: str
    origin: str


class HostLimiter:
    """Hands out places. Thread-safe. `per_origin` 0 sets no limit of an origin's own."""

    def __init__(self, limit: int, *, per_origin: int = 0) -> None:
        self.limit = limit
        self._per_origin = per_origin or limit
        self._kept = limit // KEPT
        self._few = max(1, limit // FEW)
        self._changed = threading.Condition()
        self._holders: dict[UUID, Wanted] = {}
        # How often a place was given back: a caller that was refused asks again when this has changed.
        self.given_back = 0
        self._of_owner: Counter[str] = Counter()
        self._of_origin: Counter[str] = Counter()

    def set_origin_limit(self, places: int) -> None:
        """From now on, let one origin have so many places; with 0, none at all."""
        with self._changed:
            self._per_origin = places
            self._changed.notify_all()

    @property
    def free(self) -> int:
        """How many places are free."""
        return max(0, self.limit - len(self._holders))

    def take(self, key: UUID, wanted: Wanted) -> bool:
        """Take a place for `key`; False where it has to wait."""
        with self._changed:
            return self._take(key, wanted)

    def take_within(self, seconds: float, key: UUID, wanted: Wanted) -> bool:
        """Take a place for `key` as soon as there is one; False where there was none in so many seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._take(key, wanted), seconds)

    def leave(self, keys: Collection[UUID]) -> None:
        """Give places back; of a key that has none, this is nothing."""
        with self._changed:
            for key in keys:
                if (wanted := self._holders.pop(key, None)) is not None:
                    self.given_back += 1
                    _subtract(self._of_owner, wanted.owner)
                    _subtract(self._of_origin, wanted.origin)
            self._changed.notify_all()

    def owner_must_wait(self, owner: str) -> bool:
        """Whether the owner has its share, so that looking at more of its requests is idle."""
        return self._of_owner[owner] >= self._share()

    def _share(self) -> int:
        """Return how many places anybody may have before it has to wait for the next."""
        free = self.free
        return max(SHARE * (free - self._kept), self._few if free else 0)

    def _take(self, key: UUID, wanted: Wanted) -> bool:
        share = self._share()
        of_owner, of_origin = self._of_owner[wanted.owner], self._of_origin[wanted.origin]
        if of_owner >= share or of_origin >= min(share, self._per_origin):
            return False
        self._holders[key] = wanted
        self._of_owner[wanted.owner] += 1
        self._of_origin[wanted.origin] += 1
        return True


def _subtract(counts: Counter[str], name: str) -> None:
    counts[name] -= 1
    if not counts[name]:
        del counts[name]


def origin_of(target: str | None) -> str:
    """Return scheme, host and port of a webhook's URL, the port always said; workflows have one for all."""
    if target and "://" not in target:
        return GITHUB
    try:
        return urls.parse(target or "").server.origin
    except RequestError:
        # It will not be sent.
        return ""


@lru_cache(maxsize=1)
def limiter() -> HostLimiter:
    """Return the one limiter of this process."""
    return HostLimiter(settings.MAX_IN_FLIGHT, per_origin=settings.PER_HOST_IN_FLIGHT)


def _forget(*, setting: str, **_: object) -> None:
    if setting in {"MAX_IN_FLIGHT", "PER_HOST_IN_FLIGHT"}:
        limiter.cache_clear()


setting_changed.connect(_forget)
