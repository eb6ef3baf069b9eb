"""What the steps of an import share: what the operator chose, what is here already, and how rows are written."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cache
from itertools import islice
from typing import Any, TypeVar
from uuid import UUID

from django.db import connection, models, transaction

from audit.models import AuditEntry
from cronsched.lib.db import batches
from cronsched.lib.db.batches import Column
from cronsched.lib.portions import portions
from jobs.definitions.validation import Rules
from jobs.importing.bulk import kind_of
from jobs.importing.legacy.report import Finding, ImportReport, TableCount
from jobs.importing.legacy.source import LegacySource
from jobs.importing.weekdays import Weekdays

T = TypeVar("T")
# A statement travels whole, and databases limit its length.
STATEMENT_CHARACTERS = 2_000_000
ROW_CHARACTERS = 500


@dataclass(frozen=True)
class ImportOptions:
    """What the operator chose. None stands for a question that has not been answered."""

    weekdays: Weekdays | None = None
    since: datetime | None = None
    default_team: str = ""
    default_end_date: date | None = None
    activate: bool = False
    force: bool = False
    batch: int = 1000
    dry_run: bool = False


@dataclass
class ImportState:
    """One import under way."""

    source: LegacySource
    options: ImportOptions
    report: ImportReport
    rules: Rules
    now: datetime
    on_row: Callable[[], None] = lambda: None
    # Accounts by their id there, and since when each account exists here: an account sees no older notices.
    accounts: dict[UUID, UUID] = field(default_factory=dict)
    joined: dict[UUID, datetime] = field(default_factory=dict)
    jobs: set[UUID] = field(default_factory=set)
    deleted: frozenset[str] = frozenset()

    def begin_row(self, table: str) -> TableCount:
        """Count a row of `table` as read, and return the table's counts."""
        count = self.report.table(table)
        count.read += 1
        self.on_row()
        return count

    def transaction(self) -> AbstractContextManager[Any]:
        """One batch, whole or not at all; nothing is written in a dry run."""
        return nullcontext() if self.options.dry_run else transaction.atomic()

    def note(self, table: str, row_id: object, name: str | None, decision: str, detail: object = "") -> None:
        self.report.note(Finding(table, str(row_id), name or "", decision, str(detail)))

    def leave_out(self, table: str, row_id: object, name: str | None, decision: str, detail: object = "") -> None:
        self.report.leave_out(Finding(table, str(row_id), name or "", decision, str(detail)))

    def insert(self, rows: Sequence[models.Model]) -> None:
        """Insert new rows of one model; nothing in a dry run."""
        if rows and not self.options.dry_run:
            _insert(rows)

    def chunks(self, rows: Iterable[T]) -> Iterator[list[T]]:
        iterator = iter(rows)
        while chunk := list(islice(iterator, self.options.batch)):
            yield chunk


def deleted_here() -> frozenset[str]:
    """Return the ids of what was deleted here: it does not come back with the next import."""
    gone = AuditEntry.objects.filter(action__in=("user.deleted", "job.deleted"))
    return frozenset(gone.values_list("object_id", flat=True))


def existing(model: type[models.Model], keys: Iterable[UUID]) -> set[UUID]:
    """Return those of `keys` that have a row here."""
    found = model._default_manager.filter(batches.IdIn("pk", list(keys))).values_list("pk")
    return {key for (key,) in batches.read(found)}


@cache
def _columns(model: type[models.Model]) -> tuple[list[str], list[Column]]:
    fields = [field for field in model._meta.concrete_fields if not isinstance(field, models.AutoField)]
    return [field.attname for field in fields], [Column(str(field.column), kind_of(field)) for field in fields]


def _insert(rows: Sequence[models.Model]) -> None:
    """Insert rows as they are: no field is set anew, as a time of change would be."""
    model = type(rows[0])
    names, columns = _columns(model)
    plain = [[getattr(row, name) for name in names] for row in rows]
    for portion in portions(plain, STATEMENT_CHARACTERS, weight=_weight):
        batches.insert(connection, model._meta.db_table, columns, portion)


def _weight(row: list[Any]) -> int:
    return ROW_CHARACTERS + sum([_length(value) for value in row if value])


def _length(value: Any) -> int:
    if type(value) is str:
        return len(value)
    return len(json.dumps(value)) if isinstance(value, dict | list) else 0
