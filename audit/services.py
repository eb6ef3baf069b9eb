"""Writes entries, in the transaction of the change that they record."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from audit import origin
from audit.actions import ACTIONS
from audit.models import NAME_LENGTH, REASON_LENGTH, REQUEST_ID_LENGTH, ActorKind, AuditEntry

MASKED = "***"
SYSTEM_NAME = "scheduler"

Changes = Mapping[str, tuple[Any, Any]]


class Account(Protocol):
    """What the trail records of the account that acts."""

    @property
    def pk(self) -> Any: ...
    @property
    def username(self) -> str: ...


@dataclass(frozen=True)
class Entry:
    """What happened to one object. `action` is `<object type>.<past participle>`, one of `ACTIONS`."""

    action: str
    object_id: str
    object_name: str = ""
    changes: Changes = field(default_factory=dict)
    owner_id: UUID | None = None
    reason: str = ""
    revision: int | None = None

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise ValueError(f"{self.action} is no action of the audit trail.")

    @property
    def object_type(self) -> str:
        return self.action.partition(".")[0]


def record(*entries: Entry, by: Account | None, now: datetime) -> None:
    """Append `entries` by one statement. `by` None is the scheduler, a management command or somebody unknown."""
    record_all(entries, by=by, now=now)


def record_all(entries: Iterable[Entry], *, by: Account | None, now: datetime) -> None:
    """As `record`, for many: a file of jobs is one act of some statements."""
    where = origin.current()
    actor_id, actor_name, kind = _actor(by, where)
    rows = [
        AuditEntry(
            at=now,
            actor_id=actor_id,
            actor_name=actor_name[:NAME_LENGTH],
            actor_kind=kind,
            source_ip=where.source_ip[:45],
            action=entry.action,
            object_type=entry.object_type,
            object_id=entry.object_id,
            object_name=entry.object_name[:NAME_LENGTH],
            owner_id=entry.owner_id,
            changes={name: list(pair) for name, pair in entry.changes.items()},
            reason=(entry.reason or where.reason)[:REASON_LENGTH],
            request_id=where.request_id[:REQUEST_ID_LENGTH],
            revision=entry.revision,
        )
        for entry in entries
    ]
    AuditEntry.objects.bulk_create(rows, batch_size=500)


def _actor(by: Account | None, where: origin.Origin) -> tuple[UUID | None, str, ActorKind]:
    if by is not None and where.token is not None:
        return by.pk, f"{by.username} ({where.token[1]})", ActorKind.TOKEN
    if by is not None:
        return by.pk, by.username, ActorKind.USER
    if where.command:
        return None, where.command, ActorKind.COMMAND
    return None, where.nobody or SYSTEM_NAME, ActorKind.SYSTEM


def differences(before: Mapping[str, Any], after: Mapping[str, Any], *, secret: Iterable[str] = ()) -> dict[str, Any]:
    """Return `{field: (before, after)}` of the values that differ; those of `secret` fields are masked."""
    hidden = set(secret)
    return {
        name: (_shown(name, before.get(name), hidden), _shown(name, after.get(name), hidden))
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name)
    }


def _shown(name: str, value: Any, hidden: set[str]) -> Any:
    return MASKED if name in hidden and value not in (None, "") else value
