"""Chores of the trail: old days are counted once, and entries older than the setting are deleted."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Min

from audit.models import AuditDay, AuditEntry, AuditQuerySet, LeaderTerm

PORTION = 2000
# An entry is seen when its transaction ends: a day is counted when none of its transactions can be open any more.
SETTLED_AFTER = timedelta(hours=2)


def count_days(now: datetime) -> int:
    """Count the entries of past days that are not counted yet, or not by action; return how many days."""
    days = [_count(day) for day in AuditDay.objects.filter(actions__isnull=True).values_list("day", flat=True)]
    done = AuditDay.objects.order_by("-day").values_list("day", flat=True).first()
    first = AuditEntry.objects.aggregate(at=Min("at"))["at"]
    if first is None:
        return len(days)
    day = done + timedelta(days=1) if done else first.astimezone(UTC).date()
    end = (now - SETTLED_AFTER).astimezone(UTC).date()
    while day < end:
        days.append(_count(day))
        day += timedelta(days=1)
    return len(days)


def _count(day: date) -> date:
    actions = dict(_of_day(day).order_by().values_list("action").annotate(entries=Count("pk")))
    AuditDay.objects.update_or_create(day=day, defaults={"entries": sum(actions.values()), "actions": actions})
    return day


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
            portion = list(old.values_list("pk", "at", "action")[:PORTION])
            if not portion:
                AuditDay.objects.filter(day__lt=limit).delete()
                return deleted
            # The model refuses to be deleted from; this is the one place that may.
            deleted += AuditEntry._base_manager.filter(pk__in=[pk for pk, *_ in portion]).delete()[0]
            _uncount(Counter((at.astimezone(UTC).date(), action) for _, at, action in portion))
    return deleted


def _uncount(counts: Counter[tuple[date, str]]) -> None:
    for row in AuditDay.objects.select_for_update().filter(day__in={day for day, _ in counts}):
        gone = Counter({action: number for (day, action), number in counts.items() if day == row.day})
        row.entries = max(0, row.entries - gone.total())
        if row.actions is not None:
            row.actions = dict(Counter(row.actions) - gone)
        row.save(update_fields=["entries", "actions"])


def _of_day(day: date) -> AuditQuerySet:
    return AuditEntry.objects.filter(at__gte=_midnight(day), at__lt=_midnight(day + timedelta(days=1)))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=UTC)
