"""Snapshots of what each run sent. Long parts are stored once for all runs of a job that sent the same.

`split` says what stands in a row itself, `keep` stores the rest in the transaction that writes the row, `whole` puts
the two together again. Rows written before there were shared parts hold all of it themselves.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction

from cronsched.lib.db import batches
from cronsched.lib.db.batches import Column, IdIn, Kind
from jobs.models import JobExecution, SharedRequest

# What may be long. The rest (method, address, workflow, branch) is short, and following a run reads it.
LONG = ("headers", "body", "inputs")
# Up to here a copy in each row costs less than a reference and a look.
SHORT_LENGTH = 500

STORED = (
    Column("id", Kind.UUID),
    Column("job_id", Kind.UUID),
    Column("last_used_on", Kind.DAY),
    Column("content", Kind.JSON),
)
USED = (Column("id", Kind.UUID), Column("last_used_on", Kind.DAY))


class Shared(NamedTuple):
    """A part that several runs of one job have in common. The same content of a job has the same `id`."""

    id: UUID
    job_id: UUID
    content: Mapping[str, Any]


def split(job_id: UUID, sent: dict[str, Any] | None) -> tuple[dict[str, Any] | None, Shared | None]:
    """Return what of `sent` stands in the row, and what is shared, None where all of it is short."""
    if not sent:
        return sent, None
    content = {name: sent[name] for name in LONG if sent.get(name)}
    if len(str(content)) <= SHORT_LENGTH:
        return sent, None
    text = json.dumps([str(job_id), content], sort_keys=True)
    # MariaDB takes no UUID without a version.
    key = UUID(bytes=hashlib.sha256(text.encode()).digest()[:16], version=5)
    # The names keep their places.
    return {**sent, **dict.fromkeys(content)}, Shared(key, job_id, content)


def keep(parts: Iterable[Shared | None], *, now: datetime) -> None:
    """Store what is not there yet, and that it was used today. The caller holds the rows of the jobs."""
    wanted = {part.id: part for part in parts if part is not None}
    if not wanted:
        return
    today = now.astimezone(UTC).date()
    used_today = SharedRequest.objects.filter(IdIn("id", wanted), last_used_on__gte=today)
    for key in used_today.values_list("pk", flat=True):
        del wanted[key]
    if not wanted:
        return
    table = SharedRequest._meta.db_table
    # In one order; inserted anew where it is being pruned at this moment.
    rows = [(key, wanted[key].job_id, today, wanted[key].content) for key in sorted(wanted)]
    batches.insert_missing(connection, table, STORED, rows, key="id")
    batches.update(connection, table, USED, [(key, today) for key in sorted(wanted)])


def whole(execution: JobExecution) -> dict[str, Any] | None:
    """Return all that was sent. Costs a query where a part of it is shared."""
    own = execution.request_snapshot
    if own is None or execution.shared_request_id is None:
        return own
    part = SharedRequest.objects.filter(pk=execution.shared_request_id).first()
    return {**own, **part.content} if part else own


def prune(before: date) -> int:
    """Delete the parts that no run has used since `before` (UTC), whose runs are gone; return how many."""
    old = SharedRequest.objects.filter(last_used_on__lt=before).order_by("pk")
    with transaction.atomic():
        # One that is held is being used.
        free = list(batches.locked(old).values_list("pk", flat=True))
        return SharedRequest.objects.filter(pk__in=free).delete()[0]
