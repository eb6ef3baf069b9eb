"""The log of leaders: who led from when to when, and why it ended. Times are the database's."""

from datetime import datetime
from itertools import zip_longest
from typing import NamedTuple

from django.db.models import F, Q

from audit.models import LeaderTerm

STOPPED = "It was stopped."
SILENT = "It stopped renewing its lease: it died, hung or lost the database."


def begin(holder: str, fence: int, *, now: datetime) -> None:
    """Begin the term of `holder`, and end the one before it."""
    LeaderTerm.objects.filter(ended_at=None).update(ended_at=F("seen_at"), end_reason=SILENT)
    LeaderTerm.objects.create(holder=holder, fence=fence, began_at=now, seen_at=now)


def seen(fence: int, *, now: datetime) -> None:
    """Record that the leader of term `fence` still leads."""
    LeaderTerm.objects.filter(fence=fence, ended_at=None).update(seen_at=now)


def end(fence: int, *, now: datetime) -> None:
    """Record that the leader of term `fence` has stopped on request."""
    LeaderTerm.objects.filter(fence=fence, ended_at=None).update(seen_at=now, ended_at=now, end_reason=STOPPED)


class Gap(NamedTuple):
    """A time without a leader; `end` None: it lasts. `reason` says why the term before it ended."""

    start: datetime
    end: datetime | None
    reason: str


def gaps(start: datetime, end: datetime, *, now: datetime, silent_after: float) -> list[Gap]:
    """Return the times without a leader within [start, end), oldest first.

    Of the time before the first term on record nothing is known. A term that has not ended counts as over where its
    leader was last seen longer than `silent_after` seconds ago.
    """
    touched = LeaderTerm.objects.filter(Q(ended_at=None) | Q(ended_at__gte=start), began_at__lt=end)
    before = LeaderTerm.objects.filter(ended_at__lt=start).order_by("-ended_at").first()
    rows = [*([before] if before else []), *touched.order_by("fence", "began_at")]
    found = []
    for row, following in zip_longest(rows, rows[1:]):
        over_at = row.ended_at
        if over_at is None and (now - row.seen_at).total_seconds() > silent_after:
            over_at = row.seen_at
        if over_at is None or over_at >= end:
            continue
        led_again = following.began_at if following else _next_beginning(row)
        if led_again is None or led_again > max(start, over_at):
            found.append(Gap(over_at, led_again, row.end_reason or SILENT))
    return found


def _next_beginning(row: LeaderTerm) -> datetime | None:
    later = LeaderTerm.objects.filter(fence__gt=row.fence).order_by("fence", "began_at")
    return later.values_list("began_at", flat=True).first()
