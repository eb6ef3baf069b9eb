"""What is too old goes, and counts stay right meanwhile."""

from datetime import timedelta

import pytest

from accounts.tests.factories import make_user
from cronsched.lib.input.ranges import DateRange
from notifications import inbox
from notifications.message import NOBODY, SlackPost
from notifications.models import DedupKey, Delivery, HourlyCount, Mark, Notification, ReadAll, SlackSettings
from notifications.retention import REMEMBERED, apply, merge_hourly_counts
from notifications.services import notify
from notifications.tests.conftest import NOON
from notifications.tests.factories import message, tell

OLD = NOON - timedelta(days=91)


@pytest.fixture
def reader(db):
    return make_user("reader", created_at=NOON - timedelta(days=400))


def count(user, *, unread=False):
    return inbox.Reader(user).count(DateRange(), unread=unread)


def test_notices_older_than_the_retention_go_with_what_was_done_to_them(reader):
    old, own = tell(now=OLD), tell(reader, now=OLD)
    inbox.read_one(reader, str(old.pk), now=NOON)
    inbox.delete_one(reader, str(own.pk))
    inbox.read_all(reader, now=OLD + timedelta(hours=1))
    tell(now=NOON, title="young")
    assert apply(now=NOON).notices == 2
    assert list(Notification.objects.values_list("title", flat=True)) == ["young"]
    assert not Mark.objects.exists()
    assert not ReadAll.objects.exists()
    assert (count(reader), count(reader, unread=True)) == (1, 1)


def test_a_retention_of_zero_keeps_everything(reader, settings):
    settings.NOTIFICATION_RETENTION_DAYS = 0
    tell(now=NOON - timedelta(days=3000))
    assert apply(now=NOON).notices == 0
    assert Notification.objects.count() == 1


def test_more_than_a_portion_is_deleted_in_portions(reader, monkeypatch):
    monkeypatch.setattr("notifications.retention.PORTION", 10)
    for audience in ((), (reader,)):
        for _ in range(25):
            tell(*audience, now=OLD)
    assert apply(now=NOON).notices == 50


def test_a_leader_that_steps_down_stops_in_the_middle(reader, monkeypatch):
    monkeypatch.setattr("notifications.retention.PORTION", 10)
    for _ in range(25):
        tell(now=OLD)
    asked = iter([True, True, False])
    apply(now=NOON, may_act=lambda: next(asked, False))
    assert Notification.objects.count() == 15
    assert count(reader) == 25


def test_the_rows_of_an_hour_become_one_and_count_the_same(reader):
    for minute in range(3):
        notify([message(), message()], now=NOON + timedelta(minutes=minute))
    tell(now=NOON - timedelta(hours=2))
    before = count(reader)
    assert (merge_hourly_counts(), HourlyCount.objects.count()) == (1, 2)
    assert (count(reader), before) == (7, 7)
    assert merge_hourly_counts() == 0


def test_only_finished_deliveries_go(db):
    SlackSettings.objects.create(is_enabled=True, webhook_url="https://hooks.slack.com/x")
    for status in ("waiting", "sending", "sent", "given_up", "summarised"):
        notify([message(audience=NOBODY, slack=SlackPost("x"), title=status)], now=OLD)
        Delivery.objects.filter(summary=status).update(status=status)
    assert apply(now=NOON).deliveries == 3
    assert set(Delivery.objects.values_list("status", flat=True)) == {"waiting", "sending"}


def test_what_was_said_once_is_remembered_for_longer_than_a_year(db):
    notify([message(dedup_key="a")], now=NOON)
    apply(now=NOON + timedelta(days=370))
    notify([message(dedup_key="a")], now=NOON + timedelta(days=370))
    assert DedupKey.objects.count() == 1
    apply(now=NOON + REMEMBERED + timedelta(days=1))
    assert DedupKey.objects.count() == 0
