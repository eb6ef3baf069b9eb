"""Chores of the trail: old days are counted once, and entries older than the setting are deleted."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Min

from audit.models import AuditDay, AuditEntry, AuditQuerySet, LeaderTerm

PORTION = 2000
# An entry is seen when its transaction ends: a day is counted when none of its transactions can be open any more.
SETTLED_AFTER = timedelta(hours=2)


def count_days(now: datetime) -> int:
    """Count the entries of past days that are not counted yet; return how many days."""
    done = AuditDay.objects.order_by("-day").values_list("day", flat=True).first()
    first = AuditEntry.objects.aggregate(at=Min("at"))["at"]
    if first is None:
        return 0
    day = done + timedelta(days=1) if done else first.astimezone(UTC).date()
    end = (now - SETTLED_AFTER).astimezone(UTC).date()
    days = 0
    while day < end:
        AuditDay.objects.update_or_create(day=day, defaults={"entries": _of_day(day).count()})
        day += timedelta(days=1)
        days += 1
    return days


def prune(now: datetime, may_act: Callable[[], bool] = lambda: True) -> int:
    """Delete the entries of days that lie `AUDIT_RETENTION_DAYS` back, in portions; return how many. 0 keeps all."""
    if not settings.AUDIT_RETENTION_DAYS:
        return 0
    limit = (now - timedelta(days=settings.AUDIT_RETENTION_DAYS)).astimezone(UTC).date()
    deleted = _delete_before(limit, may_act)
    terms, _ = LeaderTerm.objects.filter(ended_at__lt=_midnight(limit)).delete()
    return deleted + terms


def _delete_before(limit: date, may_act: Callable[[], bool]) -> int:
    old = AuditEntry.objects.filter(at__lt=_midnight(limit)).order_by("at", "id")
    deleted = 0
    while may_act():
        with transaction.atomic():
            portion = list(old.values_list("pk", "at")[:PORTION])
            if not portion:
                AuditDay.objects.filter(day__lt=limit).delete()
                return deleted
            # The model refuses to be deleted from; this is the one place that may.
            deleted += AuditEntry._base_manager.filter(pk__in=[pk for pk, _ in portion]).delete()[0]
            _uncount(Counter(at.astimezone(UTC).date() for _, at in portion))
    return deleted


def _uncount(counts: Counter[date]) -> None:
    for row in AuditDay.objects.select_for_update().filter(day__in=counts):
        row.entries = max(0, row.entries - counts[row.day])
        row.save(update_fields=["entries"])


def _of_day(day: date) -> AuditQuerySet:
    return AuditEntry.objects.filter(at__gte=_midnight(day), at__lt=_midnight(day + timedelta(days=1)))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=UTC)
