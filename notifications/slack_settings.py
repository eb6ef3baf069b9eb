"""The one row of Slack settings: reading it, changing it (contract, section 14) and trying it."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from django.conf import settings as service
from django.db import transaction

from accounts.models import User
from audit.models import AuditEntry
from audit.services import Entry, differences, record
from cronsched.http_client import http_client
from cronsched.lib.errors import DomainError
from cronsched.lib.input import payload
from notifications import slack_status
from notifications.channels.base import DeliveryError, OutgoingMessage
from notifications.channels.slack import SlackSession
from notifications.models import SlackSettings
from notifications.slack_markup import escape

MAX_CHANNEL = 255
MAX_URL = 2048
MAX_POST_EVERY = 1000
# How often the trail tells that one person has seen the address: forms ask for it each time they open.
SHOWN_EVERY = timedelta(hours=1)
SHOWN = "slack_settings.shown"


def current() -> SlackSettings:
    """Return the row; it is made on first access."""
    settings, _ = SlackSettings.objects.get_or_create(singleton=True)
    return settings


def show(*, by: User, now: datetime) -> SlackSettings:
    """Return the row for `by` to see. Who has the address can post by it: that it was shown is put into the trail."""
    settings = current()
    lately = AuditEntry.objects.filter(action=SHOWN, actor_id=by.pk, at__gt=now - SHOWN_EVERY)
    if settings.webhook_url and not lately.exists():
        record(Entry(SHOWN, str(settings.pk), "Slack"), by=by, now=now)
    return settings


def change(data: Mapping[str, Any], *, by: User | None, now: datetime) -> SlackSettings:
    """Set what `data` names and return the row. Raises `DomainError` and then changes nothing."""
    with transaction.atomic():
        settings = SlackSettings.objects.select_for_update().get(pk=current().pk)
        before = _described(settings)
        settings.is_enabled = payload.flag(data, "is_enabled", settings.is_enabled)
        if "webhook_url" in data:
            _set_url(settings, _text(data, "webhook_url", MAX_URL))
        if "channel" in data:
            settings.channel = _text(data, "channel", MAX_CHANNEL)
        if "post_every" in data:
            settings.post_every = _post_every(data)
        if settings.is_enabled and not settings.webhook_url:
            raise DomainError("Invalid settings", "webhook_url is required when Slack is enabled.", field="webhook_url")
        settings.save()
        if changes := differences(before, _described(settings), secret=["webhook_url"]):
            record(Entry("slack_settings.updated", str(settings.pk), "Slack", changes), by=by, now=now)
    return settings


def _described(settings: SlackSettings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in ("is_enabled", "webhook_url", "channel", "post_every")}


def check(data: Mapping[str, Any], *, now: datetime) -> None:
    """Judge a change without making it. Raises `DomainError`."""
    with transaction.atomic():
        change(data, by=None, now=now)
        transaction.set_rollback(True)


def _set_url(settings: SlackSettings, url: str | None) -> None:
    if url != settings.webhook_url:
        # The answer of the old address says nothing about the new one.
        settings.last_error, settings.last_error_at, settings.last_success_at = "", None, None
    settings.webhook_url = url


def _text(data: Mapping[str, Any], field: str, longest: int) -> str | None:
    value = payload.text(data, field)
    if value and len(value) > longest:
        raise DomainError(f"Invalid {field}", f"{field} must be at most {longest} characters.", field=field)
    return value


def _post_every(data: Mapping[str, Any]) -> int:
    value = data["post_every"]
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_POST_EVERY:
        raise DomainError(
            "Invalid post_every", f"post_every must be a whole number from 1 to {MAX_POST_EVERY}.", field="post_every"
        )
    return value


def send_test(*, by: User, now: datetime) -> str | None:
    """Post a test message at once, enabled or not; return why it was not taken, None where it was.

    Raises `DomainError` where there is no https address to post to.
    """
    row = current()
    if not row.webhook_url or not row.webhook_url.lower().startswith("https://"):
        raise DomainError("Invalid settings", "A test needs a webhook_url that starts with https://.")
    text = f":wave: Test message of {service.SERVICE_NAME}, asked for by {escape(by.username)}."
    session = SlackSession(http_client(), url=row.webhook_url, channel=row.channel, now=now)
    try:
        session.send(OutgoingMessage(uuid4(), "test", "", "Test message", {"text": text}, None))
    except DeliveryError as error:
        # The page shows the reason; no notice is needed.
        slack_status.record_failure(error.reason, for_good=False, now=now)
        return error.reason
    slack_status.record_success(now=now)
    return None
