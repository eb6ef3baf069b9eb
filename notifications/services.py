"""Writes notices in the application, and the deliveries that are sent later. Sends nothing itself.

None of it may make the recording of an outcome fail: keys, incidents, notices and deliveries each go behind a savepoint
(`Effects`). What the database refuses even alone is lost; it is logged, and the administrators get a notice.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeAlias
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, connection, transaction

from accounts.models import NotificationPreferences, Role, User
from cronsched.lib.db import batches, limits
from cronsched.lib.db.batches import Column, Kind, Row
from cronsched.lib.db.effects import Effects, Lost
from cronsched.lib.ids import uuid7
from cronsched.lib.input.addresses import may_be_mailed
from notifications import incidents
from notifications.message import EVERYONE, NOBODY, Mail, Message, SlackPost
from notifications.models import (
    Channel,
    DedupKey,
    Delivery,
    DeliveryStatus,
    HourlyCount,
    Level,
    Notification,
    SlackSettings,
)

# What the accounts behind addresses (in lower case) chose; None where an account never chose.
Preferences: TypeAlias = Mapping[str, NotificationPreferences | None]

# Of these kinds, equal notices within so long, with nothing else in between, become one notice.
REPEATED = frozenset({"job_updated"})
REPEATED_WITHIN = timedelta(seconds=30)
SUMMARY_LENGTH = 300
# What an administrator is shown of something that could not be stored.
LOSS_LENGTH = 1000
GIVE_UP_AFTER = timedelta(hours=24)


def notify(messages: Iterable[Message], *, now: datetime) -> int:
    """Write the in-app rows and the delivery rows of `messages` in the caller's transaction; return the in-app rows.

    The number of statements does not depend on how many messages, recipients or accounts there are. A message that the
    database refuses is left out and raises nothing.
    """
    batch = not_yet_sent(messages)
    if not batch:
        return 0
    # What is refused has savepoints of its own; around all of them one more would only cost a recorded batch its time.
    with transaction.atomic(savepoint=False):
        effects = Effects()
        written = _write(batch, effects, now)
        if effects.lost:
            # Worded by us, so that it goes in; where even that fails, the log has it.
            _write(not_yet_sent(loss_notices(effects.lost, now=now)), Effects(), now)
    return written


def _write(batch: list[Message], effects: Effects, now: datetime) -> int:
    batch = _with_claimed_keys(batch, effects, now)
    slack = _slack(batch)
    batch = _by_incident(batch, effects, slack.post_every if slack else 1, now)
    written = effects.carry_out("A notice", batch, partial(_write_notices, now=now), named=_subject)
    _write_deliveries(batch, slack, effects, now)
    return sum(written)


def _by_incident(batch: list[Message], effects: Effects, post_every: int, now: datetime) -> list[Message]:
    """Return `batch` with the mails and posts that incidents call for; unchanged where no incident can be stored."""
    if not any(message.alarm for message in batch):
        return batch

    def untouched(message: Message, error: Exception) -> list[Message]:
        effects.give_up("The count of an incident", message, _subject(message), error)
        return [message]

    plan_alerts = partial(incidents.plan_alerts, now=now, post_every=post_every)
    return [message for part in effects.carry_out("", batch, plan_alerts, instead=untouched) for message in part]


def _subject(message: Message) -> str:
    return message.text


def loss_notices(lost: Iterable[Lost], *, now: datetime) -> list[Message]:
    """Return notices to the administrators of what could not be stored, once a day for each effect and job."""
    return [
        Message(
            "effect_lost",
            "Not stored",
            f"{item.effect} could not be stored: {item.reason}. Its text: {item.subject}"[:LOSS_LENGTH],
            Level.WARNING,
            audience=NOBODY,
            and_admins=True,
            job_id=getattr(item.item, "job_id", None),
            dedup_key=f"lost/{item.effect}/{getattr(item.item, 'job_id', None)}/{now:%Y-%m-%d}",
        )
        for item in (loss._replace(subject=_readable(loss.subject), reason=_readable(loss.reason)) for loss in lost)
    ]


def _readable(text: str) -> str:
    """Return `text` without what may be the very reason why it could not be stored."""
    return " ".join(text.replace("\x00", "").encode("utf-8", "replace").decode().split())


def mail_is_configured() -> bool:
    """Whether mail leaves at all; otherwise nothing is queued for it either (contract, section 15)."""
    return bool(settings.MAIL_ENABLED and settings.EMAIL_HOST and settings.DEFAULT_FROM_EMAIL)


# --- What is not sent twice ------------------------------------------------------------------------------------------


def not_yet_sent(messages: Iterable[Message]) -> list[Message]:
    """Return the messages whose key was not used yet, each key once; those without a key all."""
    batch = list(messages)
    keys = {message.dedup_key for message in batch if message.dedup_key}
    used = set(DedupKey.objects.filter(key__in=keys).values_list("key", flat=True)) if keys else set()
    kept = []
    for message in batch:
        if message.dedup_key is not None:
            if message.dedup_key in used:
                continue
            used.add(message.dedup_key)
        kept.append(message)
    return kept


def _with_claimed_keys(batch: list[Message], effects: Effects, now: datetime) -> list[Message]:
    """Use up the keys of `batch`; return what may be said: not what another process says at this moment."""
    keyed = sorted((message for message in batch if message.dedup_key), key=_key)
    if not keyed:
        return batch

    def claim(part: Sequence[Message]) -> list[str]:
        keys = [DedupKey(key=_key(message), created_at=now) for message in part]
        limits.check_all(keys)
        DedupKey.objects.bulk_create(keys)
        return [_key(message) for message in part]

    def refused(message: Message, error: Exception) -> list[str]:
        if not isinstance(error, IntegrityError):
            effects.give_up("The key of a notice that is sent once", message, _subject(message), error)
        return []

    claimed = {key for part in effects.carry_out("", keyed, claim, instead=refused) for key in part}
    return [message for message in batch if message.dedup_key is None or message.dedup_key in claimed]


def _key(message: Message) -> str:
    assert message.dedup_key is not None
    return message.dedup_key


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
    batch = _without_repeats(batch, now)
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
        HourlyCount.objects.create(hour=hour, notices=to_everyone)
    return len(rows)


def _without_repeats(batch: Sequence[Message], now: datetime) -> Sequence[Message]:
    """Return `batch` without what has just been said of the same job in the same words, and was the last said of it.

    A form that is saved ten times, by a person or a script, makes one notice.
    """
    jobs = {message.job_id for message in batch if message.event in REPEATED}
    if not jobs:
        return batch
    lately = Notification.objects.filter(user=None, created_at__gt=now - REPEATED_WITHIN, related_job__in=jobs)
    last = {job: (event, text) for job, event, text in lately.order_by("created_at", "id").values_list(*_SAID)}
    kept = []
    for message in batch:
        if message.event in REPEATED and last.get(message.job_id) == (message.event, message.text):
            continue
        last[message.job_id] = (message.event, message.text)
        kept.append(message)
    return kept


_SAID = ("related_job", "event", "message")


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


# --- What is sent -------------------------------------------------------------------------------------------


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
    Column("share", Kind.UUID),
    Column("not_before", Kind.INSTANT),
    Column("give_up_at", Kind.INSTANT),
    Column("related_job_id", Kind.UUID),
    Column("related_execution_id", Kind.UUID),
)


def _write_deliveries(batch: Sequence[Message], slack: SlackSettings | None, effects: Effects, now: datetime) -> None:
    sends_mail = mail_is_configured()
    leaving = [message for message in batch if (message.slack and slack) or (message.mail and sends_mail)]

    def rows_of(part: Sequence[Message]) -> list[Row]:
        rows = [_post(message, message.slack, now) for message in part if message.slack] if slack else []
        if sends_mail and any(message.mail for message in part):
            preferences = _preferences(part)
            for message in part:
                if message.mail:
                    rows.extend(_mails(message, message.mail, preferences, now))
        return rows

    def one_by_one(message: Message, error: Exception) -> None:
        """Write those deliveries of a message that can be: one address must not cost the others their mail."""
        rows = [row for part in effects.carry_out("A mail", [message], rows_of, named=_subject) for row in part]
        effects.carry_out("A mail or post", rows, partial(_insert_deliveries, now=now), named=_delivery_subject)

    def write(part: Sequence[Message]) -> None:
        _insert_deliveries(rows_of(part), now=now)

    effects.carry_out("", leaving, write, instead=one_by_one)


def _delivery_subject(row: Row) -> str:
    named = dict(zip((column.name for column in DELIVERY_COLUMNS), row, strict=True))
    return f"{named['summary']} (to {named['recipient'] or 'Slack'})"


def _insert_deliveries(rows: Sequence[Row], *, now: datetime) -> None:
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
        message.share,
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
    """Return the recipients, each once, less those whose own preference, or the operator's list of domains, says no."""
    chosen: dict[str, str] = {}
    for address in mail.recipients:
        key = address.lower()
        if may_be_mailed(key) and _wants(mail, key, preferences):
            chosen.setdefault(key, address)
    return chosen.values()


def _wants(mail: Mail, address: str, preferences: Preferences) -> bool:
    if address not in preferences:
        return not mail.accounts_only
    if mail.preference is None:
        return True
    return bool(getattr(preferences[address] or NotificationPreferences(), mail.preference))
