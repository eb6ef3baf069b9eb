"""The inbox against the obvious implementation: one row per notice and account, each with its own flags."""

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from accounts.tests.factories import make_user
from cronsched.lib.errors import DomainError
from cronsched.lib.input.ranges import DateRange
from notifications import inbox, retention
from notifications.message import EVERYONE
from notifications.models import Notification
from notifications.services import notify
from notifications.tests.factories import message

RETENTION_DAYS = 1
# Half an hour off the hours that are counted by.
KOLKATA = ZoneInfo("Asia/Kolkata")
START = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)


@dataclass
class Row:
    created_at: datetime
    key: str
    read_at: datetime | None = None


@dataclass
class Naive:
    """What one account would have, were every notice copied for it."""

    rows: dict[str, Row] = field(default_factory=dict)

    def seen(self, asked, *, unread=False):
        rows = [row for row in self.rows.values() if inside(asked, row) and not (unread and row.read_at)]
        return sorted(rows, key=lambda row: (row.created_at, row.key), reverse=True)

    def read_all(self, now):
        unread = self.seen(DateRange(), unread=True)
        for row in unread:
            row.read_at = now
        return len(unread)

    def delete_read(self, asked):
        read = [row for row in self.seen(asked) if row.read_at]
        for row in read:
            del self.rows[row.key]
        return len(read)


def inside(asked, row):
    return (asked.start is None or row.created_at >= asked.start) and (asked.end is None or row.created_at < asked.end)


class World:
    """Both implementations side by side, and the dice."""

    def __init__(self, seed):
        self.dice = random.Random(seed)
        self.now = START
        self.naive = {}
        self.join()

    def join(self):
        user = make_user(created_at=self.now)
        self.naive[user] = Naive()

    def wait(self):
        self.now += timedelta(seconds=self.dice.choice([0.5, 7, 40, 600, 3600, 50_000]) * self.dice.random())

    def tell(self):
        users = list(self.naive)
        told = []
        for _ in range(self.dice.choice([1, 1, 3, 40])):
            some = self.dice.sample(users, self.dice.randint(1, len(users)))
            audience = EVERYONE if self.dice.random() < 0.7 else tuple(user.pk for user in some)
            told.append((message(audience=audience), users if audience is EVERYONE else some))
        notify([each for each, _ in told], now=self.now.astimezone(KOLKATA))
        for each, readers in told:
            for notice in Notification.objects.filter(title=each.title):
                for user in readers:
                    if notice.user_id in (None, user.pk):
                        self.naive[user].rows[str(notice.pk)] = Row(notice.created_at, str(notice.pk))

    def some_range(self):
        def bound():
            return START + (self.now - START) * self.dice.random() * 1.1 if self.dice.random() < 0.6 else None

        start, end = bound(), bound()
        if start and end and start >= end:
            start, end = (end, start) if start > end else (None, end)
        return DateRange(start, end)

    def someone(self):
        return self.dice.choice(list(self.naive.items()))

    def some_key(self, naive):
        anyone = self.dice.choice([naive, *self.naive.values()])
        return self.dice.choice([*anyone.rows, "0198f2a4-7c1e-7d3a-9b52-3f1c0a6d8e11"])

    def read_one(self):
        user, naive = self.someone()
        key = self.some_key(naive)
        try:
            item = inbox.read_one(user, key, now=self.now)
        except DomainError:
            assert key not in naive.rows
            return
        row = naive.rows[key]
        row.read_at = row.read_at or self.now
        assert item.read_at == row.read_at

    def delete_one(self):
        user, naive = self.someone()
        key = self.some_key(naive)
        try:
            inbox.delete_one(user, key)
        except DomainError:
            assert key not in naive.rows
            return
        del naive.rows[key]

    def read_all(self):
        user, naive = self.someone()
        assert inbox.read_all(user, now=self.now) == naive.read_all(self.now)

    def delete_read(self):
        user, naive = self.someone()
        asked = self.some_range()
        assert inbox.delete_read(user, asked) == naive.delete_read(asked)

    def apply_retention(self):
        retention.apply(now=self.now)
        oldest = (self.now - timedelta(days=RETENTION_DAYS)).replace(minute=0, second=0, microsecond=0)
        for naive in self.naive.values():
            naive.rows = {key: row for key, row in naive.rows.items() if row.created_at >= oldest}

    def compare(self):
        user, naive = self.someone()
        asked = self.some_range()
        unread = self.dice.random() < 0.5
        rows = naive.seen(asked, unread=unread)
        reader = inbox.Reader(user)
        assert reader.count(asked, unread=unread) == len(rows)
        offset, limit = self.dice.randint(0, len(rows) + 3), self.dice.choice([1, 5, 30])
        page = reader.page(asked, unread=unread, offset=offset, limit=limit)
        expected = [(row.key, row.read_at) for row in rows[offset : offset + limit]]
        assert [(str(item.notice.pk), item.read_at) for item in page] == expected

    def step(self):
        self.wait()
        act = self.dice.choices(
            [
                self.tell,
                self.read_one,
                self.delete_one,
                self.read_all,
                self.delete_read,
                self.apply_retention,
                self.join,
            ],
            weights=[8, 6, 4, 2, 4, 1, 0.5],
        )[0]
        act()
        self.compare()


@pytest.mark.database
@pytest.mark.parametrize("seed", range(3))
def test_a_random_history_looks_as_if_every_notice_were_copied_to_every_account(db, monkeypatch, settings, seed):
    settings.NOTIFICATION_RETENTION_DAYS = RETENTION_DAYS
    # Small limits, so that pages are reached by hours and spans overflow into marks within a short history.
    monkeypatch.setattr(inbox, "FAR_DOWN", 3)
    monkeypatch.setattr(inbox, "MAX_CLEARED", 1)
    world = World(seed)
    for _ in range(60):
        world.step()
