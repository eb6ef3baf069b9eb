"""The result of the latest posts to Slack, for administrators."""

from datetime import datetime

from notifications.message import NOBODY, Message
from notifications.models import Level, SlackSettings
from notifications.services import notify

REASON_LENGTH = 500


def record_success(*, now: datetime) -> None:
    SlackSettings.objects.update(last_success_at=now, last_error="")


def record_failure(reason: str, *, for_good: bool, now: datetime) -> None:
    """Note a failed post. The first permanent refusal after a success sends the administrators one notice."""
    was_fine = SlackSettings.objects.filter(last_error="").exists()
    SlackSettings.objects.update(last_error_at=now, last_error=reason[:REASON_LENGTH] or "no reason given")
    if for_good and was_fine:
        notify([_refused(reason)], now=now)


def _refused(reason: str) -> Message:
    return Message(
        "slack_refused",
        "Slack refused a message",
        f"Slack refused a message permanently: {reason}. Check the Slack settings.",
        Level.ERROR,
        audience=NOBODY,
        and_admins=True,
    )
