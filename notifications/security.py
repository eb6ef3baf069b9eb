"""Mails the owner of an account when its password, address or second factors change, perhaps by a thief."""

import logging
from collections.abc import Sequence
from typing import Any

from django.db import DatabaseError, transaction
from django.utils import timezone

from accounts.models import User
from cronsched.lib.clock import utc_text
from notifications.message import NOBODY, Mail, Message
from notifications.models import Level
from notifications.services import mail_is_configured, notify

logger = logging.getLogger(__name__)


def tell_of_changed_credentials(*, user: User, address: str, changed: Sequence[str], **_: Any) -> None:
    """Queue a mail to the `address` the account had before. Called by `accounts.signals.credentials_changed`.

    A mail that cannot be queued is logged; the change stands all the same.
    """
    if not mail_is_configured():
        return
    now = timezone.now()
    what = " and ".join(changed)
    context = {"username": user.username, "what": what, "at": utc_text(now)}
    mail = Mail("account_changed", f"The {what} of {user.username} was changed", (address,), context)
    message = Message("account_changed", mail.headline, mail.headline, Level.WARNING, audience=NOBODY, mail=mail)
    try:
        with transaction.atomic():
            notify([message], now=now)
    except DatabaseError:
        logger.exception("The mail about a changed %s of %s was not queued", what, user.username)
