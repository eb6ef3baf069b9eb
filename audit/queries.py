"""Reading the trail: filters, pages and how many entries there are."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from uuid import UUID

from django.db.models import Q, Sum

from audit.models import AuditDay, AuditEntry, AuditQuerySet
from cronsched.lib.errors import DomainError
from cronsched.lib.ids import known_id
from cronsched.lib.input.ranges import DateRange

EVER = DateRange()


@dataclass(frozen=True)
class Filters:
    """What to look for; None or blank does not narrow. `seen_by` leaves an account its own acts and its objects."""

    object_type: str = ""
    object_id: str = ""
    actor: UUID | None = None
    action: str = ""
    range: DateRange = EVER
    seen_by: UUID | None = None

    @property
    def is_counted(self) -> bool:
        """Whether the counts of past days tell how many entries match."""
        return self == Filters(action=self.action)


def read_filters(params: Mapping[str, str], range_: DateRange, *, seen_by: UUID | None) -> Filters:
    """Return the filters that a query string names (beyond.md, section 2). Raises `DomainError` (400)."""
    kind, _, object_id = params.get("object", "").strip().partition(":")
    if kind and not object_id:
        raise DomainError("Invalid object", 'object must be written as "job:<id>".')
    text = params.get("actor", "").strip()
    actor = known_id(text)
    if text and actor is None:
        raise DomainError("Invalid actor", "actor must be the id of an account.")
    return Filters(kind, object_id, actor, params.get("action", "").strip(), range_, seen_by)


def matching(filters: Filters) -> AuditQuerySet:
    """Return the entries that match, newest first."""
    entries = AuditEntry.objects.order_by("-at", "-id")
    if filters.object_type:
        entries = entries.of_object(filters.object_type, filters.object_id)
    if filters.actor:
        entries = entries.filter(actor_id=filters.actor)
    if filters.action:
        entries = entries.filter(action=filters.action)
    if filters.seen_by:
        entries = entries.filter(Q(actor_id=filters.seen_by) | Q(owner_id=filters.seen_by))
    return entries.filter(**filters.range.conditions("at"))


def total(filters: Filters) -> int:
    """Return how many entries match. All of them, and those of an action, are counted by day: millions cost nothing."""
    last = AuditDay.objects.order_by("-day").values_list("day", flat=True).first()
    counted = _counted(filters.action) if filters.is_counted and last else None
    if counted is None or last is None:
        return matching(filters).count()
    since = datetime.combine(last + timedelta(days=1), time.min, tzinfo=UTC)
    return counted + matching(filters).filter(at__gte=since).count()


def _counted(action: str) -> int | None:
    """Return how many entries the counted days hold, all or of one action; None where a day does not tell."""
    if not action:
        return AuditDay.objects.aggregate(entries=Sum("entries"))["entries"] or 0
    if AuditDay.objects.filter(actions__isnull=True).exists():
        return None
    days = AuditDay.objects.filter(actions__isnull=False).values_list("actions", flat=True)
    return sum((actions or {}).get(action, 0) for actions in days)
