"""Who leads. The lease gives liveness only: it keeps two processes from doing the same work, not from harm.

Safety is in the statements on the rows themselves (conditional updates and a unique constraint), so two processes that
both believe they lead only waste work. The lease therefore needs no trust in any host's clock:

- the one row has a holder, a `fence` that grows with each change of holder and a `seq` that grows with each renewal;
- the holder renews every 5 s. It trusts a renewal for TTL less a margin, counted from before it asked: a slow database
  may shorten a term and never stretches it;
- a standby reads the row every second. When it has seen the same (fence, seq) for TTL on its own clock, the holder's
term is over by the holder's clock as well, and the standby takes the row with a conditional update;
- a holder that stops empties the row, so that the next one need not wait.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import F, QuerySet

from audit import terms
from jobs.models import SchedulerLease
from jobs.scheduler.leadership import TTL

RENEW_SECONDS = 5.0
LOOK_SECONDS = 1.0
# The holder stops this much before a standby may take over: time for the pass it is in to notice.
SAFETY_MARGIN_SECONDS = 3.0


class LeaseSnapshot(NamedTuple):
    """The lease as a standby saw it; `since` is the uptime at which it first looked like this."""

    holder: str
    fence: int
    seq: int
    since: float
    help_wanted: bool = False


class Term(NamedTuple):
    """One holding of the lease. After `trusted_until` (uptime) its holder must not act on it."""

    holder: str
    fence: int
    trusted_until: float

    def is_trusted(self, uptime: float) -> bool:
        return uptime < self.trusted_until


def snapshot(before: LeaseSnapshot | None, *, uptime: Callable[[], float]) -> LeaseSnapshot:
    """Return the lease as it is; `since` is carried on from `before` where nothing changed.

    The clock is read after the row: a slow answer must not make the row look as if it had stood still for longer.
    """
    holder, fence, seq, help_wanted = _read()
    if before is not None and (before.fence, before.seq) == (fence, seq):
        return before._replace(help_wanted=help_wanted)
    return LeaseSnapshot(holder, fence, seq, uptime(), help_wanted)


def take_over(seen: LeaseSnapshot, *, holder: str, uptime: float, now: datetime) -> Term | None:
    """Take the lease if it is free or its row was unchanged for TTL; None while the holder still renews.

    A process that could not renew its own lease in time takes it again at once. `uptime` is read before the call.
    None as well where another standby was faster.
    """
    if seen.holder not in {"", holder} and uptime - seen.since < TTL.total_seconds():
        return None
    fence = seen.fence + 1
    unchanged = SchedulerLease.objects.filter(pk=1, fence=seen.fence, seq=seen.seq)
    with transaction.atomic():
        won = unchanged.update(holder=holder, fence=fence, seq=seen.seq + 1, leading_since=now, renewed_at=now)
        if won:
            terms.begin(holder, fence, now=now)
    return Term(holder, fence, _trusted_until(uptime)) if won else None


def renew(term: Term, *, uptime: float, now: datetime) -> Term | None:
    """Renew `term`; None where another process took the lease. `uptime` is read before the call."""
    held = _held(term).update(seq=F("seq") + 1, renewed_at=now)
    if held:
        terms.seen(term.fence, now=now)
    return term._replace(trusted_until=_trusted_until(uptime)) if held else None


def publish(term: Term, **fields: Any) -> bool:
    """Write further fields of the row; False where `term` does not hold it any more."""
    return bool(_held(term).update(**fields))


def release(term: Term, *, now: datetime) -> None:
    """Empty the row, so that a standby leads at once."""
    with transaction.atomic():
        if _held(term).update(holder="", seq=F("seq") + 1):
            terms.end(term.fence, now=now)


def _trusted_until(uptime: float) -> float:
    return uptime + TTL.total_seconds() - SAFETY_MARGIN_SECONDS


def _held(term: Term) -> QuerySet[SchedulerLease]:
    return SchedulerLease.objects.filter(pk=1, holder=term.holder, fence=term.fence)


def _read() -> tuple[str, int, int, bool]:
    rows = SchedulerLease.objects.filter(pk=1).values_list("holder", "fence", "seq", "help_wanted")
    if (row := rows.first()) is None:
        # Two processes may find the table empty at the same time; one row comes of it.
        SchedulerLease.objects.get_or_create(pk=1)
        row = rows.get()
    return row
