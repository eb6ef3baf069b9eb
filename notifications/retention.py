"""Prunes the tables of notifications. Each pass is bounded and returns what it did."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, QuerySet, Sum

from notifications.models import DedupKey, Delivery, DeliveryStatus, HourlyCount, Mark, Notification, ReadAll

PORTION = 1000
# A key may be used again after this long: no period and no end date comes back so late.
REMEMBERED = timedelta(days=400)

MayAct = Callable[[], bool]


class Removed(NamedTuple):
    notices: int
    deliveries: int
    hours: int


def apply(*, now: datetime, may_act: MayAct = lambda: True) -> Removed:
    """Merge hourly counts and delete what is older than `NOTIFICATION_RETENTION_DAYS` (0: nothing is too old)."""
    hours = merge_hourly_counts()
    _delete(DedupKey.objects.filter(created_at__lt=now - REMEMBERED), may_act)
    if not settings.NOTIFICATION_RETENTION_DAYS:
        return Removed(0, 0, hours)
    # Counts are of whole hours, so notices are deleted by whole hours, too.
    oldest = (now - timedelta(days=settings.NOTIFICATION_RETENTION_DAYS)).replace(minute=0, second=0, microsecond=0)
    notices = _delete_notices(oldest, may_act)
    final = Delivery.objects.exclude(status__in=(DeliveryStatus.WAITING, DeliveryStatus.SENDING))
    return Removed(notices, _delete(final.filter(created_at__lt=oldest), may_act), hours)


def merge_hourly_counts() -> int:
    """Make one row of the several that an hour may have; return for how many hours."""
    several = HourlyCount.objects.values("hour").annotate(rows=Count("id")).filter(rows__gt=1).order_by()
    return sum(_add_up(hour) for hour in several.values_list("hour", flat=True)[:PORTION])


def _add_up(hour: datetime) -> bool:
    with transaction.atomic():
        rows = HourlyCount.objects.filter(
            pk__in=list(HourlyCount.objects.filter(hour=hour).values_list("pk", flat=True))
        )
        total, number = rows.aggregate(total=Sum("notices"), number=Count("id")).values()
        if rows.delete()[0] != number:
            # Another process adds up the same hour; it is done by one of us.
            transaction.set_rollback(True)
            return False
        HourlyCount.objects.create(hour=hour, notices=total)
    return True


def _delete_notices(oldest: datetime, may_act: MayAct) -> int:
    """Delete old notices with what accounts did with them."""
    to_everybody = Notification.objects.filter(user__isnull=True, created_at__lt=oldest).order_by("created_at")
    total = _delete_portions(lambda: list(to_everybody.values_list("pk", flat=True)[:PORTION]), may_act)
    if may_act():
        HourlyCount.objects.filter(hour__lt=oldest).delete()
        ReadAll.objects.filter(up_to__lt=oldest).delete()
    return total + _delete_portions(lambda: _oldest_to_one(oldest), may_act)


def _oldest_to_one(oldest: datetime) -> list[UUID]:
    # No index begins with the time of these; but ids grow with time, so the oldest stand first.
    to_one = Notification.objects.filter(user__isnull=False).order_by("pk")
    return [pk for pk, created_at in to_one.values_list("pk", "created_at")[:PORTION] if created_at < oldest]


def _delete_portions(portion_of: Callable[[], list[UUID]], may_act: MayAct) -> int:
    total = 0
    while may_act() and (portion := portion_of()):
        with transaction.atomic():
            Mark.objects.filter(notification__in=portion).delete()
            total += _raw_delete(Notification.objects.filter(pk__in=portion))
    return total


def _delete(rows: QuerySet[Any], may_act: MayAct) -> int:
    total = 0
    while may_act() and (portion := list(rows.order_by("pk").values_list("pk", flat=True)[:PORTION])):
        total += _raw_delete(rows.model._default_manager.filter(pk__in=portion))
    return total


def _raw_delete(rows: QuerySet[Any]) -> int:
    """Delete without reading the rows first: what refers to them is gone already, or nothing ever does."""
    return rows._raw_delete(connection.alias)
