"""A million notices and five thousand accounts: what the calls that every page polls cost then."""

import random
import statistics
import time
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from django.utils import timezone

from accounts.models import Role, User
from accounts.tests.factories import api_client
from cronsched.lib.ids import uuid7
from notifications.models import HourlyCount, Inbox, Level, Mark, Notification

ACCOUNTS = 5_000
TO_EVERYBODY = 900_000
TO_ONE = 100_000
DAYS = 90
PORTION = 10_000
LIST = "/api/v2/notifications"


def notice(user_id: UUID | None, created_at):
    return Notification(
        id=uuid7(),
        user_id=user_id,
        event="run_failed",
        title="Job Failed",
        message='Job "Daily backup" failed: Webhook returned status 500',
        type=Level.ERROR,
        created_at=created_at,
    )


def fill(now):
    start = now - timedelta(days=DAYS)
    users = [
        User(username=f"u{i}", email=f"u{i}@example.com", role=Role.VIEWER, created_at=start) for i in range(ACCOUNTS)
    ]
    User.objects.bulk_create(users, batch_size=500)
    step = timedelta(days=DAYS) / TO_EVERYBODY
    hours: dict[datetime, int] = {}
    for first in range(0, TO_EVERYBODY, PORTION):
        rows = [notice(None, start + step * i) for i in range(first, first + PORTION)]
        Notification.objects.bulk_create(rows)
        for row in rows:
            hour = row.created_at.replace(minute=0, second=0, microsecond=0)
            hours[hour] = hours.get(hour, 0) + 1
    HourlyCount.objects.bulk_create(HourlyCount(hour=hour, notices=count) for hour, count in hours.items())
    dice = random.Random(1)
    step = timedelta(days=DAYS) / TO_ONE
    for first in range(0, TO_ONE, PORTION):
        rows = [notice(dice.choice(users).pk, start + step * i) for i in range(first, first + PORTION)]
        Notification.objects.bulk_create(rows)
    return users


def p50_ms(call, times=30):
    seconds = []
    for _ in range(times):
        begin = time.perf_counter()
        assert call().status_code == 200
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds) * 1000


@pytest.mark.benchmark
@pytest.mark.timeout(900)
def test_notifications_with_a_million_rows(db):
    now = timezone.now()
    users = fill(now)
    unread, read = users[0], users[1]
    Inbox.objects.create(user=read, read_up_to=now - timedelta(hours=1))
    some = Notification.objects.filter(user__isnull=True).order_by("?")[:500]
    Mark.objects.bulk_create(
        Mark(user=read, notification=row, created_at=row.created_at, read_at=now, is_deleted=i % 2 == 0)
        for i, row in enumerate(some)
    )
    week = (now - timedelta(days=7)).date().isoformat()
    calls = {
        "unread count": "/unread-count",
        "unread count, 7 days": f"/unread-count?from={week}",
        "page 1": "?per_page=20",
        "page 1, unread only": "?per_page=20&unread_only=true",
        "page 1, 7 days": f"?per_page=20&from={week}",
        "page 500": "?per_page=20&page=500",
        "page 40,000": "?per_page=20&page=40000",
    }
    print(f"\n{TO_EVERYBODY + TO_ONE:,} notices, {ACCOUNTS:,} accounts; p50 in ms")
    print(f"{'call':<28}{'nothing read':>14}{'all but an hour':>18}")
    clients = [api_client(unread), api_client(read)]
    for name, path in calls.items():
        times = [p50_ms(lambda path=path, client=client: client.get(LIST + path)) for client in clients]
        print(f"{name:<28}{times[0]:>14.2f}{times[1]:>18.2f}")
    client = clients[0]
    for name, method, path in [
        ("read all", "put", "/read-all"),
        ("delete read, a day", "delete", f"/delete-read?from={week}&to={week}"),
        ("page 1 after it", "get", ""),
        ("delete read, everything", "delete", "/delete-read"),
    ]:
        print(f"{name:<28}{p50_ms(lambda m=method, p=path: getattr(client, m)(LIST + p), times=1):>14.2f}")
