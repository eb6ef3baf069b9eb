"""One pass of the scheduler, as a clock outside may ask for it, delivers what is due."""

import pytest
from django.utils import timezone

from jobs.tests.scheduler.processes import run_once
from notifications.message import NOBODY, Mail
from notifications.models import Delivery
from notifications.services import notify
from notifications.tests.conftest import SENDER
from notifications.tests.factories import message


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
def test_one_pass_delivers_what_is_due(mailbox):
    mail = Mail("job_disabled", "Job Disabled: X", ("a@example.com", "b@example.com"), {"job": {"name": "X"}})
    notify([message(audience=NOBODY, mail=mail)], now=timezone.now())
    code, said = run_once(
        SMTP_HOST="127.0.0.1", SMTP_PORT=str(mailbox.port), SMTP_USE_TLS="false", MAIL_DEFAULT_SENDER=SENDER
    )
    assert code == 0, said
    assert mailbox.recipients == ["a@example.com", "b@example.com"]
    assert set(Delivery.objects.values_list("status", flat=True)) == {"sent"}
