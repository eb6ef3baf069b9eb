"""Notices for tests, told as production tells them."""

from datetime import datetime
from itertools import count
from typing import Any

from django.utils import timezone

from accounts.models import User
from notifications.message import EVERYONE, Message
from notifications.models import Level, Notification
from notifications.services import notify

_numbers = count(1)


def message(**fields: Any) -> Message:
    defaults = {
        "event": "test",
        "title": f"Notice {next(_numbers)}",
        "text": "Something happened.",
        "level": Level.INFO,
    }
    return Message(**{**defaults, **fields})


def tell(*users: User, now: datetime | None = None, **fields: Any) -> Notification:
    """Tell `users`, or everybody, one thing; return the (last) row."""
    audience = tuple(user.pk for user in users) if users else EVERYONE
    told = message(audience=audience, **fields)
    notify([told], now=now or timezone.now())
    return Notification.objects.get(title=told.title, user=users[-1] if users else None)
