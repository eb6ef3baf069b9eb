"""The table between an event and a channel: claims, retries, the end of patience, restarts."""

import threading
import uuid
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import pytest

from cronsched.lib.tests.servers import Visit, target
from notifications.channels.base import DeliveryError
from notifications.delivery import Deliverer
from notifications.delivery.channel_worker import CLAIM
from notifications.delivery.email_worker import EmailWorker
from notifications.message import NOBODY, Mail, SlackPost
from notifications.models import Delivery, DeliveryStatus, SlackSettings
from notifications.services import GIVE_UP_AFTER, notify
from notifications.tests.conftest import NOON, use_mail_server
from notifications.tests.factories import message
from notifications.tests.mail_server import free_port, mail_server
from notifications.tests.slack_like import slack_like

JOB = {"name": "Backup", "id": "1", "url": "http://localhost/"}


def queue(*addresses, kind="job_disabled", **fields):
    """Queue one mail to each of `addresses`, as an event does."""
    mail = Mail(kind, "Job Disabled: Backup", addresses, {"job": JOB, "because": "It ended."})
    notify([message(audience=NOBODY, mail=mail, **fields)], now=NOON)


def rows():
    return {row.recipient: (row.status, row.attempts) for row in Delivery.objects.all()}


def test_each_wait_is_longer_than_the_one_before_up_to_a_limit(db, mailbox, deliverer, clock):
    mailbox.refuse = {"a@example.com": "451 not now"}
    queue("a@example.com")
    waits = []
    for _ in range(12):
        deliverer.run_once(clock.now)
        row = Delivery.objects.get()
        waits.append(row.not_before - clock.now)
        clock.now = row.not_before
    assert waits[:6] == sorted(waits[:6])
    assert timedelta(seconds=30) <= waits[0] < timedelta(seconds=40)
    assert all(timedelta(minutes=30) <= wait < timedelta(minutes=38) for wait in waits[8:])


def test_after_a_day_it_is_given_up_with_the_last_reason(db, settings, deliverer, clock):
    use_mail_server(settings, free_port())
    queue("a@example.com")
    clock.now = NOON + GIVE_UP_AFTER + timedelta(seconds=1)
    deliverer.run_once(clock.now)
    row = Delivery.objects.get()
    assert (row.status, row.finished_at) == (DeliveryStatus.GIVEN_UP, clock.now)
    assert "refused" in row.reason


def test_an_outage_of_an_hour_loses_and_repeats_nothing(db, settings, deliverer, clock):
    port = free_port()
    use_mail_server(settings, port)
    for minute in range(0, 60, 5):
        queue(f"m{minute}@example.com")
        deliverer.run_once(clock.forward(minutes=5))
    assert {status for status, _ in rows().values()} == {"waiting"}
    with mail_server() as server:
        settings.EMAIL_PORT = server.port
        for _ in range(8):
            deliverer.run_once(clock.forward(minutes=5))
        assert server.recipients == sorted(f"m{minute}@example.com" for minute in range(0, 60, 5))
    assert {status for status, _ in rows().values()} == {"sent"}


def test_a_blocked_way_is_tried_with_one_row_only(db, settings, deliverer, clock):
    use_mail_server(settings, free_port())
    queue(*(f"p{i}@example.com" for i in range(50)))
    deliverer.run_once(NOON)
    assert sorted(attempts for _, attempts in rows().values()) == [0] * 49 + [1]


def test_a_message_that_cannot_be_written_does_not_hold_up_others(db, mailbox, deliverer, caplog):
    queue("a@example.com", kind="no_such_template")
    queue("b@example.com")
    deliverer.run_once(NOON)
    assert rows() == {"a@example.com": ("given_up", 1), "b@example.com": ("sent", 1)}
    assert Delivery.objects.get(recipient="a@example.com").reason.startswith("TemplateDoesNotExist")


def test_what_is_held_back_leaves_when_its_time_has_come(db, mailbox, deliverer, clock):
    queue("a@example.com", hold_until=NOON + timedelta(hours=8))
    deliverer.run_once(clock.forward(hours=7))
    assert mailbox.mails == []
    deliverer.run_once(clock.forward(hours=1))
    assert mailbox.recipients == ["a@example.com"]


def test_a_claim_of_a_living_process_is_left_alone(db, mailbox, deliverer, clock):
    queue("a@example.com")
    Delivery.objects.update(status="sending", claim=uuid.uuid4(), claimed_until=NOON + CLAIM)
    deliverer.run_once(clock.forward(minutes=2))
    assert (mailbox.mails, rows()["a@example.com"][0]) == ([], "sending")


def test_what_a_dead_process_was_sending_is_sent_again(db, mailbox, deliverer, clock):
    queue("a@example.com")
    Delivery.objects.update(status="sending", attempts=1, claim=uuid.uuid4(), claimed_until=NOON + CLAIM)
    deliverer.run_once(clock.forward(minutes=4))
    assert mailbox.recipients == ["a@example.com"]
    assert rows() == {"a@example.com": ("sent", 2)}


def test_a_sender_that_was_frozen_too_long_records_nothing(db, mailbox, clock):
    """Its row was claimed and sent by another process meanwhile."""
    worker = EmailWorker(clock)
    queue("a@example.com")
    (row,) = worker._claim()
    Delivery.objects.update(status="sent", claim=None, attempts=2)
    worker._sent(row)
    worker._failed(row, DeliveryError("too late"))
    assert rows() == {"a@example.com": ("sent", 2)}


def test_nothing_is_begun_that_might_outlast_its_claim(db, mailbox, deliverer, clock):
    queue("a@example.com", "b@example.com")
    worker = EmailWorker(clock)
    claimed = worker._claim()
    clock.forward(minutes=2, seconds=30)

    class MustNotBeUsed(nullcontext[Any]):
        def send(self, outgoing):
            raise AssertionError

    worker._send_each(MustNotBeUsed(), claimed)
    assert rows() == {"a@example.com": ("waiting", 0), "b@example.com": ("waiting", 0)}


@pytest.mark.database
def test_two_processes_share_the_rows_without_doubling_one(transactional_db, mailbox, clock, http_client):
    queue(*(f"p{i}@example.com" for i in range(60)))
    two = [Deliverer(clock=clock, client=lambda: http_client) for _ in range(2)]
    for deliverer in two:
        deliverer.start(NOON)
    assert all(deliverer.join(timeout=20) for deliverer in two)
    assert len(mailbox.recipients) == len(set(mailbox.recipients)) == 60
    assert set(rows().values()) == {("sent", 1)}


@pytest.mark.database
def test_stopping_gives_back_what_was_not_begun_and_finishes_what_was(transactional_db, settings, clock, http_client):
    arrived, go_on = threading.Event(), threading.Event()

    def slow(visit):
        visit.send(b"220 hello\r\n")
        arrived.set()
        go_on.wait(10)
        answers = {b"ehlo": b"250 hello\r\n", b"data": b"354 go\r\n", b"quit": b"221 bye\r\n"}
        while line := visit.sock.recv(100_000):
            visit.send(answers.get(line[:4].lower(), b"250 OK\r\n"))

    with target(slow) as server:
        use_mail_server(settings, server.port)
        queue("a@example.com", "b@example.com", "c@example.com")
        deliverer = Deliverer(clock=clock, client=lambda: http_client)
        deliverer.start(NOON)
        assert arrived.wait(10)
        assert not deliverer.stop(timeout=0)
        go_on.set()
        assert deliverer.stop(timeout=10)
    assert sorted(rows().values()) == [("sent", 1), ("waiting", 0), ("waiting", 0)]


@pytest.mark.database
def test_a_mail_server_that_hangs_does_not_hold_up_slack(transactional_db, settings, clock, http_client, server_tls):
    called = threading.Event()

    def hang(visit: Visit) -> None:
        called.set()
        visit.stall()

    with target(hang) as server, slack_like(server_tls) as slack:
        use_mail_server(settings, server.port)
        SlackSettings.objects.create(is_enabled=True, webhook_url=slack.url)
        queue("a@example.com", slack=SlackPost("hello"))
        deliverer = Deliverer(clock=clock, client=lambda: http_client)
        deliverer.start(NOON)
        assert deliverer._workers[1].join(timeout=10)
        assert slack.texts == ["hello"]
        assert called.wait(timeout=10)
        assert rows()["a@example.com"][0] == "sending"
    assert deliverer.stop(timeout=10)


def test_looking_for_work_writes_nothing(db, clock, http_client, django_assert_num_queries):
    deliverer = Deliverer(clock=clock, client=lambda: http_client)
    with django_assert_num_queries(4) as asked:
        deliverer.start(NOON)
    assert all(query["sql"].startswith("SELECT") for query in asked.captured_queries)


def test_all_that_waited_leaves_as_soon_as_the_way_is_free(db, settings, deliverer, clock):
    use_mail_server(settings, free_port())
    queue(*(f"p{i}@example.com" for i in range(30)))
    for _ in range(60):
        deliverer.run_once(clock.forward(minutes=1))
    with mail_server() as server:
        settings.EMAIL_PORT = server.port
        deliverer.run_once(clock.forward(minutes=7))
        assert len(server.mails) == 30
