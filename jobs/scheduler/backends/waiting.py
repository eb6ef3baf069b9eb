"""Queued rows whose time has come, page by page."""

import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Q

from cronsched.lib.db import batches
from cronsched.lib.db.batches import IdIn
from cronsched.lib.db.outages import is_outage, piecewise
from jobs import dispatch
from jobs.dispatch.start import is_too_late
from jobs.models import ExecutionQuerySet, Status
from jobs.schedule.scheduled_job import owner_key
from jobs.targets.limits import HostLimiter, Wanted, origin_of

logger = logging.getLogger(__name__)

PAGE = 1000


class Waiting(NamedTuple):
    """A queued row whose time has come."""

    id: UUID
    trigger_type: str
    job_id: UUID
    overlap: str
    target: str | None
    queued_at: datetime
    started_at: datetime
    not_before: datetime | None
    grace_seconds: int
    created_by_id: Any
    pic_team_id: Any

    def is_too_late(self, now: datetime) -> bool:
        return is_too_late(self, overlap=self.overlap, grace_seconds=self.grace_seconds, now=now)

    @property
    def wanted(self) -> Wanted:
        return Wanted(owner_key(self.created_by_id, self.pic_team_id), origin_of(self.target))


WAITING = (
    "id",
    "trigger_type",
    "job_id",
    "job__overlap",
    "target",
    "queued_at",
    "started_at",
    "not_before",
    "job__misfire_grace_seconds",
    "job__created_by_id",
    "job__pic_team_id",
)


def waiting_rows(
    rows: ExecutionQuerySet, *, now: datetime, limiter: HostLimiter, unreadable: Callable[[UUID, Exception], None]
) -> Iterator[Waiting]:
    """Yield the rows that may be started within this second, oldest first.

    Of the rows whose owner has used its share one page is read, not thousands.
    """
    next_second = now.replace(microsecond=0) + timedelta(seconds=1)
    ready = rows.filter(Q(not_before=None) | Q(not_before__lt=next_second), status=Status.QUEUED)
    ready = ready.order_by("started_at", "id")
    page, size = _read(ready, unreadable)
    while page:
        later = dispatch.blocked_by_overlap(row[:4] for row in page)
        yield from (row for row in page if row.id not in later)
        if size < PAGE:
            return
        last = page[-1]
        after = Q(started_at__gt=last.started_at) | Q(started_at=last.started_at, id__gt=last.id)
        page, size = _read(_without_owners_that_wait(ready.filter(after), page, limiter), unreadable)


def _without_owners_that_wait(
    rows: ExecutionQuerySet, page: Sequence[Waiting], limiter: HostLimiter
) -> ExecutionQuerySet:
    waiting = {row[-2:] for row in page if limiter.owner_must_wait(row.wanted.owner)}
    users = {created_by for created_by, _ in waiting if created_by}
    teams = {team for created_by, team in waiting if not created_by}
    return rows.exclude(job__created_by_id__in=users).exclude(job__created_by_id=None, job__pic_team_id__in=teams)


def _read(ready: ExecutionQuerySet, unreadable: Callable[[UUID, Exception], None]) -> tuple[list[Waiting], int]:
    """Return the first page of `ready` and how many rows it has; rows that cannot be read are settled."""

    def read(ids: Sequence[UUID] | None = None) -> list[Waiting]:
        rows = ready if ids is None else ready.filter(IdIn("id", ids))
        return [Waiting._make(row) for row in batches.read(rows.values_list(*WAITING)[:PAGE])]

    def refused(execution_id: UUID, error: Exception) -> list[Waiting]:
        unreadable(execution_id, error)
        return []

    try:
        rows = read()
    except Exception as error:
        if is_outage(error):
            raise
        logger.exception("Rows that wait could not be read at once")
    else:
        return rows, len(rows)
    ids = [row[0] for row in batches.read(ready.values_list("id")[:PAGE])]
    return [row for part in piecewise(ids, read, refused) for row in part], len(ids)
