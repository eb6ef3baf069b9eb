"""Respects GitHub's rate limits: one bucket per credential, a row that all processes share.

GitHub wants a second between two calls that create something, and no more than so many a minute and an hour; a
client that calls faster is refused, and banned if it goes on. A dispatch therefore takes a slot before its row becomes
`running`. For a dispatch that has to wait, the time of its slot is planned; it is decided anew at that time, because
other processes may have taken slots and GitHub may have asked for a pause meanwhile.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Q

from cronsched.lib.clock import uptime
from cronsched.lib.db import batches
from cronsched.lib.db.batches import Column, Kind
from jobs.github.api import RATE_LIMIT_WAIT
from jobs.models import RateLimitBucket

LONGEST_BLOCK = timedelta(hours=1)
NEW_BUCKET = (Column("name", Kind.TEXT), Column("sent", Kind.JSON), Column("refusals", Kind.INTEGER))
# A planned slot has lost the digits that a database does not keep.
TICK = 0.001


class RateLimit(NamedTuple):
    """Seconds between two slots, and at most so many slots within so many seconds."""

    gap: float
    limits: tuple[tuple[int, float], ...]

    @property
    def memory(self) -> int:
        """How many slots have to be remembered."""
        return max([1, *(number for number, _ in self.limits)])

    def next_slot(self, taken: Sequence[float], at: float) -> float:
        """Return the first instant from `at` on for another slot after those `taken`, oldest first."""
        slot = max(at, taken[-1] + self.gap) if taken else at
        for number, span in self.limits:
            if len(taken) >= number:
                slot = max(slot, taken[-number] + span)
        return slot

    def remaining(self, taken: Sequence[float], at: float) -> int:
        """Return how many slots of the widest limit are left at `at`."""
        number, span = max(self.limits, key=lambda limit: limit[1])
        return max(0, number - sum(slot > at - span for slot in taken))


def rate_limit() -> RateLimit:
    limits = ((settings.GITHUB_DISPATCHES_PER_MINUTE, 60.0), (settings.GITHUB_DISPATCHES_PER_HOUR, 3600.0))
    return RateLimit(settings.GITHUB_DISPATCH_GAP_MS / 1000, limits)


def acquire(asked: Sequence[tuple[UUID, str]], *, now: datetime) -> dict[UUID, datetime]:
    """Take a slot for each of `asked` (execution, bucket), in their order; return when those may leave that must wait.

    What is not in the answer may leave now. Call it in the transaction that lets them leave: it holds the buckets until
    that ends, so that no two processes take the same slot, and a transaction that fails takes none.
    """
    if not asked:
        return {}
    buckets = _held({bucket for _, bucket in asked})
    rule = rate_limit()
    # Turns of those that wait are planned, not taken.
    planned = {name: list(bucket.sent) for name, bucket in buckets.items()}
    waiting: dict[UUID, datetime] = {}
    left = set()
    for execution_id, name in asked:
        bucket = buckets[name]
        earliest = max(now, bucket.blocked_until) if bucket.blocked_until else now
        slot = rule.next_slot(planned[name], earliest.timestamp())
        planned[name].append(slot)
        if slot - now.timestamp() > TICK:
            waiting[execution_id] = datetime.fromtimestamp(slot, tz=UTC)
        else:
            bucket.sent = [*bucket.sent, slot][-rule.memory :]
            left.add(name)
    for name in sorted(left):
        buckets[name].save(update_fields=["sent"])
    return waiting


def patiently(attempt: Callable[[datetime], datetime | None], *, now: datetime, patience: timedelta) -> datetime | None:
    """Call `attempt` with the time until it returns None, for "done", instead of when its slot will be.

    Waits in between. Returns None when done; otherwise when the slot will be, which is beyond all `patience`.
    """
    began = uptime()
    ends_at = now + patience
    slot = attempt(now)
    while slot is not None and slot <= ends_at:
        passed = timedelta(seconds=uptime() - began)
        Event().wait(max(0.0, (slot - now - passed).total_seconds()))
        slot = attempt(now + timedelta(seconds=uptime() - began))
    return slot


def block(asked: Mapping[str, timedelta], *, now: datetime) -> None:
    """Block these buckets for as long as GitHub `asked`. Call it inside a transaction.

    Where GitHub limits the rate without saying for how long, each further refusal in a row doubles the wait.
    """
    for name, bucket in _held(asked).items():
        if bucket.blocked_until and bucket.blocked_until > now:
            # Several were out when the first was refused; that is one refusal.
            continue
        wait = asked[name]
        if wait == RATE_LIMIT_WAIT:
            wait *= 2 ** min(bucket.refusals, 10)
        bucket.blocked_until = now + min(wait, LONGEST_BLOCK)
        bucket.refusals += 1
        bucket.save(update_fields=["blocked_until", "refusals"])


def unblock(buckets: Iterable[str]) -> None:
    """Take note that GitHub accepted something in these buckets."""
    RateLimitBucket.objects.filter(name__in=list(buckets), refusals__gt=0).update(refusals=0)


def blocked(buckets: Iterable[str], *, now: datetime) -> dict[str, datetime]:
    """Return until when those of `buckets` are blocked that are."""
    rows = RateLimitBucket.objects.filter(name__in=list(buckets), blocked_until__gt=now)
    return {row.name: row.blocked_until for row in rows if row.blocked_until}


def _held(names: Iterable[str]) -> dict[str, RateLimitBucket]:
    """Return the buckets, made where they are new, and held until the transaction ends."""
    wanted = sorted(names)
    rows = RateLimitBucket.objects.filter(name__in=wanted)
    buckets: dict[str, RateLimitBucket] = {}
    while len(buckets) < len(wanted):
        if new := sorted(set(wanted) - set(rows.values_list("name", flat=True))):
            table = RateLimitBucket._meta.db_table
            batches.insert_missing(connection, table, NEW_BUCKET, [(name, [], 0) for name in new], key="name")
        # In one order, so that two transactions never deadlock. One that was just being
        # forgotten is made anew.
        buckets = {bucket.name: bucket for bucket in batches.locked(rows.order_by("name"), skip=False)}
    return buckets


def remaining(*, now: datetime) -> dict[str, int]:
    """Return how many dispatches may still leave within an hour, by bucket; 0 where GitHub asked for a pause."""
    rule, at = rate_limit(), now.timestamp()
    return {
        bucket.name: 0 if bucket.blocked_until and bucket.blocked_until > now else rule.remaining(bucket.sent, at)
        for bucket in RateLimitBucket.objects.order_by("name")
    }


def forget_idle(*, now: datetime) -> int:
    """Delete buckets that nothing has left for a day: tokens of single runs would gather otherwise. Return how many."""
    recent = (now - timedelta(days=1)).timestamp()
    unblocked = RateLimitBucket.objects.filter(Q(blocked_until=None) | Q(blocked_until__lt=now))
    idle = [bucket.name for bucket in unblocked if not bucket.sent or bucket.sent[-1] < recent]
    return unblocked.filter(name__in=idle).delete()[0]
