"""Write what happened: the in-app rows, and the deliveries that leave later. Sends nothing itself."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from accounts.models import NotificationPreferences, Role, User
from cronsched.lib.db import batches
from cronsched.lib.db.batches import Column, Kind, Row
from cronsched.lib.ids import uuid7
from notifications import incidents
from notifications.message import EVERYONE, Mail, Message, SlackPost
from notifications.models import Channel, Delivery, DeliveryStatus, Notification, Once, SlackSettings, Tally

# What the accounts behind addresses (in lower case) chose; None where an account never chose.
Preferences: TypeAlias = Mapping[str, NotificationPreferences | None]

SUMMARY_LENGTH = 300
GIVE_UP_AFTER = timedelta(hours=24)


def notify(messages: Iterable[Message], *, now: datetime) -> int:
    """Write the in-app rows and the delivery rows of `messages` in the caller's transaction; return the in-app rows.

    The number of statements does not depend on how many messages, recipients or accounts there are.
    """
    batch = list(messages)
    if not batch:
        return 0
    with transaction.atomic():
        batch = unsaid(batch)
        _claim_keys(batch, now)
        slack = _slack(batch)
        batch = incidents.settle(batch, now=now, post_every=slack.post_every if slack else 1)
        written = _write_notices(batch, now)
        _write_deliveries(batch, slack, now)
    return written


def mail_is_configured() -> bool:
    """Whether mail leaves at all; otherwise nothing is queued for it either (contract, section 15)."""
    return bool(settings.MAIL_ENABLED and settings.EMAIL_HOST and settings.DEFAULT_FROM_EMAIL)


# --- What is not said twice ------------------------------------------------------------------------------------------


def unsaid(messages: Iterable[Message]) -> list[Message]:
    """Return the messages whose key was not said yet, each key once; those without a key all."""
    batch = list(messages)
    keys = {message.once for message in batch if message.once}
    said = set(Once.objects.filter(key__in=keys).values_list("key", flat=True)) if keys else set()
    kept = []
    for message in batch:
        if message.once is not None:
            if message.once in said:
                continue
            said.add(message.once)
        kept.append(message)
    return kept


def _claim_keys(batch: Sequence[Message], now: datetime) -> None:
    """Remember the keys as said. Raises IntegrityError where another process says one of them at this moment."""
    keys = sorted(message.once for message in batch if message.once)
    Once.objects.bulk_create([Once(key=key, created_at=now) for key in keys])


# --- In the application ----------------------------------------------------------------------------------------------

NOTICE_COLUMNS = (
    Column("id", Kind.UUID),
    Column("user_id", Kind.UUID),
    Column("event", Kind.TEXT),
    Column("title", Kind.TEXT),
    Column("message", Kind.TEXT),
    Column("type", Kind.TEXT),
    Column("related_job_id", Kind.UUID),
    Column("related_execution_id", Kind.UUID),
)


def _write_notices(batch: Sequence[Message], now: datetime) -> int:
    admins = _active_admins() if any(message.and_admins for message in batch) else ()
    rows: list[Row] = []
    to_everyone = 0
    for message in batch:
        if message.audience is EVERYONE:
            to_everyone += 1
            rows.append(_notice(message, None))
        else:
            rows.extend(_notice(message, user_id) for user_id in _accounts(message, admins))
    if rows:
        created_at = (Column("created_at", Kind.INSTANT), now)
        batches.insert(connection, Notification._meta.db_table, NOTICE_COLUMNS, rows, same=[created_at])
    if to_everyone:
        # Hours are UTC's: some zones are off by half an hour.
        hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        Tally.objects.create(hour=hour, notices=to_everyone)
    return len(rows)


def _accounts(message: Message, admins: Sequence[UUID]) -> Iterable[UUID]:
    assert isinstance(message.audience, tuple)
    return dict.fromkeys((*message.audience, *admins) if message.and_admins else message.audience)


def _notice(message: Message, user_id: UUID | None) -> Row:
    return (
        uuid7(),
        user_id,
        message.event,
        message.title,
        message.text,
        message.level,
        message.job_id,
        message.execution_id,
    )


def _active_admins() -> list[UUID]:
    return list(User.objects.filter(role=Role.ADMIN, is_active=True).order_by("pk").values_list("pk", flat=True))


# --- What leaves the house -------------------------------------------------------------------------------------------


def _slack(batch: Sequence[Message]) -> SlackSettings | None:
    """Return the Slack settings where they matter: something is to be posted and posting is on."""
    if not any(message.slack or message.alarm for message in batch):
        return None
    found = SlackSettings.objects.first()
    return found if found and found.posts else None


DELIVERY_COLUMNS = (
    Column("id", Kind.UUID),
    Column("channel", Kind.TEXT),
    Column("kind", Kind.TEXT),
    Column("recipient", Kind.TEXT),
    Column("summary", Kind.TEXT),
    Column("payload", Kind.JSON),
    Column("thread", Kind.UUID),
    Column("not_before", Kind.INSTANT),
    Column("give_up_at", Kind.INSTANT),
    Column("related_job_id", Kind.UUID),
    Column("related_execution_id", Kind.UUID),
)


def _write_deliveries(batch: Sequence[Message], slack: SlackSettings | None, now: datetime) -> None:
    rows = [_post(message, message.slack, now) for message in batch if message.slack] if slack else []
    if mail_is_configured() and any(message.mail for message in batch):
        preferences = _preferences(batch)
        for message in batch:
            if message.mail:
                rows.extend(_mails(message, message.mail, preferences, now))
    if rows:
        same = [
            (Column("status", Kind.TEXT), DeliveryStatus.WAITING.value),
            (Column("attempts", Kind.INTEGER), 0),
            (Column("reason", Kind.TEXT), ""),
            (Column("created_at", Kind.INSTANT), now),
        ]
        batches.insert(connection, Delivery._meta.db_table, DELIVERY_COLUMNS, rows, same=same)


def _post(message: Message, post: SlackPost, now: datetime) -> Row:
    payload = {"text": post.text, "mention": post.mention, "facts": post.facts}
    return _delivery(message, Channel.SLACK, message.event, "", message.title, payload, now)


def _mails(message: Message, mail: Mail, preferences: Preferences, now: datetime) -> list[Row]:
    return [
        _delivery(message, Channel.EMAIL, mail.kind, address, mail.headline, mail.context, now)
        for address in _addresses(mail, preferences)
    ]


def _delivery(
    message: Message,
    channel: Channel,
    kind: str,
    recipient: str,
    summary: str,
    payload: Mapping[str, Any],
    now: datetime,
) -> Row:
    starts_at = max(now, message.hold_until or now)
    return (
        uuid7(),
        channel.value,
        kind,
        recipient,
        summary[:SUMMARY_LENGTH],
        payload,
        message.thread,
        starts_at,
        starts_at + GIVE_UP_AFTER,
        message.job_id,
        message.execution_id,
    )


def _preferences(batch: Sequence[Message]) -> Preferences:
    """Return the preferences of the accounts behind all addresses of `batch`."""
    addresses = {address.lower() for message in batch if message.mail for address in message.mail.recipients}
    accounts = User.objects.filter(email__in=addresses).select_related("notification_preferences")
    return {user.email.lower(): getattr(user, "notification_preferences", None) for user in accounts}


def _addresses(mail: Mail, preferences: Preferences) -> Iterable[str]:
    """Return the recipients, each once, less those whose own preference says no."""
    chosen: dict[str, str] = {}
    for address in mail.recipients:
        key = address.lower()
        if _wants(mail, key, preferences):
            chosen.setdefault(key, address)
    return chosen.values()


def _wants(mail: Mail, address: str, preferences: Preferences) -> bool:
    if address not in preferences:
        return not mail.accounts_only
    if mail.preference is None:
        return True
    return bool(getattr(preferences[address] or NotificationPreferences(), mail.preference))
