"""A process that is killed while a mail is on its way."""

import os
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from cronsched.lib.tests.servers import target
from notifications.delivery.channel_worker import CLAIM
from notifications.message import NOBODY, Mail
from notifications.models import Delivery
from notifications.services import notify
from notifications.tests.conftest import SENDER, use_mail_server
from notifications.tests.factories import message

ROOT = Path(__file__).resolve().parents[2]
SEND = """
import django
django.setup()
from django.utils import timezone
from notifications import delivery
delivery.deliver_due(now=timezone.now())
delivery._deliverer.join(timeout=60)
"""


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the process is given the test's database as a file")
def test_a_mail_whose_sender_was_killed_is_sent_by_the_next_under_its_old_id(
    transactional_db, settings, mailbox, deliverer, clock
):
    mail = Mail("job_disabled", "Job Disabled: X", ("a@example.com", "b@example.com"), {"job": {"name": "X"}})
    notify([message(audience=NOBODY, mail=mail)], now=timezone.now())
    begun = threading.Event()

    def take_the_greeting_only(visit):
        visit.send(b"220 hello\r\n")
        begun.set()
        visit.stall()

    with target(take_the_greeting_only) as silent:
        process = subprocess.Popen(
            [sys.executable, "-c", SEND],
            cwd=ROOT,
            env={
                **os.environ,
                "DATABASE_URL": f"sqlite:///{connection.settings_dict['NAME']}",
                "SMTP_HOST": "127.0.0.1",
                "SMTP_PORT": str(silent.port),
                "SMTP_USE_TLS": "false",
                "MAIL_DEFAULT_SENDER": SENDER,
            },
        )
        try:
            assert begun.wait(30)
        finally:
            process.kill()
            process.wait(10)
    assert set(Delivery.objects.values_list("status", flat=True)) == {"sending"}
    use_mail_server(settings, mailbox.port)
    clock.now = timezone.now() + timedelta(minutes=1)
    deliverer.run_once(clock.now)
    assert mailbox.mails == []
    deliverer.run_once(clock.forward(seconds=CLAIM.total_seconds()))
    sent = {mail["Message-ID"] for mail in mailbox.mails}
    assert mailbox.recipients == ["a@example.com", "b@example.com"]
    assert sent == {f"<{row.pk}@scheduler.example>" for row in Delivery.objects.all()}
