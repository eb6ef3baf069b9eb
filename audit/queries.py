"""Reading the trail: filters, pages and how many entries there are."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
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
        return self == Filters(action=self.action, range=self.range)


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
    """Return how many entries match.

    Of whole past days all of them, and those of an action, are counted already: millions cost nothing.
    """
    last = AuditDay.objects.order_by("-day").values_list("day", flat=True).first()
    if last is None or not filters.is_counted:
        return matching(filters).count()
    first, end = _whole_days(filters.range, last)
    counted = _counted(filters.action, first, end)
    if end <= first or counted is None:
        return matching(filters).count()
    edges = _scanned(filters, DateRange(_midnight(end), filters.range.end))
    if filters.range.start is not None:
        edges += _scanned(filters, DateRange(filters.range.start, _midnight(first)))
    return counted + edges


def _scanned(filters: Filters, part: DateRange) -> int:
    """Count within a part of the range alone: of two bounds on one side a database may take the wider one."""
    return matching(replace(filters, range=part)).count()


def _whole_days(range_: DateRange, last: date) -> tuple[date, date]:
    """Return the first day that is whole within the range, and the day after the last that is, and is counted."""
    first, end = date.min, last + timedelta(days=1)
    if range_.start is not None:
        start = range_.start.astimezone(UTC)
        first = start.date()
        # Later days are not counted at all, and the last one there is has none after it.
        if start.time() != time.min and first <= last:
            first += timedelta(days=1)
    if range_.end is not None:
        end = min(end, range_.end.astimezone(UTC).date())
    return first, end


def _counted(action: str, first: date, end: date) -> int | None:
    """Return how many entries the counted days hold, all or of one action; None where a day does not tell."""
    days = AuditDay.objects.filter(day__gte=first, day__lt=end)
    if not action:
        return days.aggregate(entries=Sum("entries"))["entries"] or 0
    if days.filter(actions__isnull=True).exists():
        return None
    return sum((actions or {}).get(action, 0) for actions in days.values_list("actions", flat=True))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=UTC)
