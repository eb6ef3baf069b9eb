"""What people may do with deliveries: send them again, or give them up."""

from datetime import datetime
from urllib.parse import urlsplit

from django.db.models import QuerySet

from accounts.models import User
from notifications.models import Delivery, DeliveryStatus
from notifications.services import GIVE_UP_AFTER

SHOWN_TAIL = 4


# Whose deliveries can be tried again, and given up.
TRIED_AGAIN, GIVEN_UP = (DeliveryStatus.WAITING, DeliveryStatus.GIVEN_UP), (DeliveryStatus.WAITING,)


def try_again(deliveries: QuerySet[Delivery], *, now: datetime) -> int:
    """Send waiting and given-up deliveries at once, and keep trying for a day; return how many."""
    tried = deliveries.filter(status__in=TRIED_AGAIN)
    return tried.order_by().update(
        status=DeliveryStatus.WAITING, not_before=now, give_up_at=now + GIVE_UP_AFTER, finished_at=None
    )


def give_up(deliveries: QuerySet[Delivery], *, by: User, now: datetime) -> int:
    """Give up waiting deliveries; return how many."""
    waiting = deliveries.filter(status__in=GIVEN_UP)
    return waiting.order_by().update(
        status=DeliveryStatus.GIVEN_UP, finished_at=now, reason=f"Given up by {by.username}."
    )


def masked(url: str | None) -> str:
    """Return as much of a secret address as tells one from another: its host and its last characters."""
    if not url:
        return ""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        host = ""
    return f"{host}/…{url[-SHOWN_TAIL:] if len(url) > 4 * SHOWN_TAIL else ''}"
