"""In-app notices, what each account did with them, and what is sent out. Jobs are referred to by string only.

A notice to everybody is one row (`user` null), however many accounts there are. What a row means to an account is
worked out by `notifications.inbox` from the account's own few rows: a watermark for "read all", the spans it cleared,
and single marks where it acted on one notice.

The references to jobs and executions carry no database constraint: a notice is written in the transaction that
records a run, and must not fail, wait or lock because that job is being deleted meanwhile. Deleting jobs or executions
sets the references null.
"""

import uuid
from datetime import datetime
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from cronsched.lib.db.fields import EncryptedTextField
from cronsched.lib.ids import uuid7


class Level(models.TextChoices):
    """The contract's `type` of a notification."""

    INFO = "info", "Info"
    SUCCESS = "success", "Success"
    WARNING = "warning", "Warning"
    ERROR = "error", "Error"


class Notification(models.Model):
    """One in-app notice: addressed to one account, or to everybody who has an account when it is written."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    event = models.CharField(max_length=40)
    title = models.CharField(max_length=255)
    message = models.TextField()
    type = models.CharField(max_length=10, choices=Level, default=Level.INFO)
    related_job = models.ForeignKey(
        "jobs.Job", on_delete=models.SET_NULL, null=True, blank=True, related_name="+", db_constraint=False
    )
    related_execution = models.ForeignKey(
        "jobs.JobExecution", on_delete=models.SET_NULL, null=True, blank=True, related_name="+", db_constraint=False
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        db_table = "notifications"
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["user", "-created_at", "-id"], name="notifications_recipient"),
            # PostgreSQL does not take `user IS NULL` for an ordered prefix of the index above. MariaDB knows no
            # partial index and needs none.
            models.Index(fields=["-created_at", "-id"], name="notifications_broadcast", condition=Q(user__isnull=True)),
        ]

    def __str__(self) -> str:
        return self.title


class HourlyCount(models.Model):
    """How many notices to everybody were written within one hour (UTC): counting them would grow with the table.

    Each batch of notices adds a row of its own, so writers never wait for each other; a chore adds the rows of an
    hour up. The count of an hour is the sum of its rows at any time.
    """

    id = models.BigAutoField(primary_key=True)
    hour = models.DateTimeField()
    notices = models.BigIntegerField()

    class Meta:
        db_table = "notification_tallies"
        indexes = [models.Index(fields=["hour", "notices"], name="notification_tallies_by_hour")]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}h: {self.notices}"


class Inbox(models.Model):
    """One account's own view of its notices."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="+")
    # Everything written before it has been read.
    read_up_to = models.DateTimeField(null=True, blank=True)
    # Disjoint ascending spans [[from, to], ...] as ISO texts (from may be null): all within them was read and deleted.
    cleared = models.JSONField(default=list, blank=True)

    class Meta:
        db_table = "notification_inboxes"
        verbose_name_plural = "inboxes"

    def __str__(self) -> str:
        return f"Inbox of {self.user_id}"


class ReadAll(models.Model):
    """One use of "read all": what was written before `up_to` and not read yet has been read at `read_at`."""

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    up_to = models.DateTimeField()
    read_at = models.DateTimeField()

    class Meta:
        db_table = "notification_read_alls"
        indexes = [models.Index(fields=["user", "up_to", "read_at"], name="notification_read_alls_of_user")]

    def __str__(self) -> str:
        return f"Read up to {self.up_to:%Y-%m-%d %H:%M:%S}Z"


class Mark(models.Model):
    """What an account did with one single notice: it read it, deleted it, or both."""

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    notification = models.ForeignKey(Notification, on_delete=models.CASCADE, related_name="marks")
    # The notice's own time, so that marks are counted by ranges without looking at notices.
    created_at = models.DateTimeField()
    read_at = models.DateTimeField(null=True, blank=True)
    is_deleted = models.BooleanField(default=False)

    class Meta:
        db_table = "notification_marks"
        constraints = [
            models.UniqueConstraint(fields=["notification", "user"], name="notification_marks_one_each"),
            models.CheckConstraint(
                name="notification_marks_say_something", condition=Q(read_at__isnull=False) | Q(is_deleted=True)
            ),
        ]
        indexes = [models.Index(fields=["user", "created_at", "is_deleted"], name="notification_marks_of_user")]

    def __str__(self) -> str:
        return "deleted" if self.is_deleted else "read"


class Incident(models.Model):
    """A job that is failing: how often in a row and what was said about it. The row goes when the job recovers."""

    job = models.OneToOneField(
        "jobs.Job", on_delete=models.CASCADE, primary_key=True, related_name="+", db_constraint=False
    )
    # Threads the mails of one incident together.
    thread = models.UUIDField(default=uuid.uuid4, editable=False)
    failures = models.PositiveIntegerField(default=0)
    failing_since = models.DateTimeField()
    last_failure_at = models.DateTimeField()
    # When it was last alerted, and how often; null and 0 while the failures are too few.
    alerted_at = models.DateTimeField(null=True, blank=True)
    alerts = models.PositiveIntegerField(default=0)

    class Meta:
        db_table = "notification_incidents"

    def __str__(self) -> str:
        return f"{self.failures} failure(s) in a row"


class DedupKey(models.Model):
    """The key of a message that is sent once only, even with two leaders: a period's digest, an end date's reminder."""

    id = models.BigAutoField(primary_key=True)
    key = models.CharField(max_length=200, unique=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False, db_index=True)

    class Meta:
        db_table = "notification_onces"

    def __str__(self) -> str:
        return self.key


class Channel(models.TextChoices):
    """Where a delivery goes."""

    EMAIL = "email", "E-mail"
    SLACK = "slack", "Slack"


class DeliveryStatus(models.TextChoices):
    """How far a delivery is. The first two are open, the rest final."""

    WAITING = "waiting", "Waiting"
    SENDING = "sending", "Sending"
    SENT = "sent", "Sent"
    # It was merged into another delivery.
    SUMMARISED = "summarised", "Part of a summary"
    GIVEN_UP = "given_up", "Given up"


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def waiting(self, channel: str) -> Self:
        return self.filter(channel=channel, status=DeliveryStatus.WAITING)

    def due(self, channel: str, now: datetime) -> Self:
        return self.waiting(channel).filter(not_before__lte=now).order_by("not_before", "id")

    def abandoned(self, channel: str, now: datetime) -> Self:
        """Those whose sender died: it had to be done with them by now."""
        return self.filter(channel=channel, status=DeliveryStatus.SENDING, claimed_until__lt=now)


class Delivery(models.Model):
    """One message to one place: a mail to one address, or a post to the Slack hook.

    `payload` holds plain values for the template or the post, so a message reads as things were when it was written.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    channel = models.CharField(max_length=10, choices=Channel)
    kind = models.CharField(max_length=40)
    # The address; blank for Slack.
    recipient = models.CharField(max_length=254, blank=True, default="")
    # A subject as documented, with a name of the longest kind in it.
    summary = models.CharField(max_length=300)
    payload = models.JSONField(default=dict)
    thread = models.UUIDField(null=True, blank=True)
    # Who shares the way with it (a team): the deliveries of one share wait for each other, not for those of others.
    share = models.UUIDField(null=True, blank=True, editable=False)
    status = models.CharField(max_length=10, choices=DeliveryStatus, default=DeliveryStatus.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    # Not sent before this: the next attempt, or the end of a team's quiet hours.
    not_before = models.DateTimeField()
    # An alert this old is of no use any more.
    give_up_at = models.DateTimeField()
    # Why the last attempt failed or why there will be none.
    reason = models.CharField(max_length=500, blank=True, default="")
    # Who is sending it, and until when that must be done.
    claim = models.UUIDField(null=True, blank=True, editable=False)
    claimed_until = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    finished_at = models.DateTimeField(null=True, blank=True)
    related_job = models.ForeignKey(
        "jobs.Job", on_delete=models.SET_NULL, null=True, blank=True, related_name="+", db_constraint=False
    )
    related_execution = models.ForeignKey(
        "jobs.JobExecution", on_delete=models.SET_NULL, null=True, blank=True, related_name="+", db_constraint=False
    )

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        db_table = "notification_deliveries"
        verbose_name_plural = "deliveries"
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(name="deliveries_channel_known", condition=Q(channel__in=Channel.values)),
            models.CheckConstraint(name="deliveries_status_known", condition=Q(status__in=DeliveryStatus.values)),
        ]
        indexes = [
            models.Index(fields=["status", "channel", "not_before", "id"], name="deliveries_due"),
            models.Index(fields=["claim"], name="deliveries_claimed"),
            models.Index(fields=["-created_at", "-id"], name="deliveries_newest"),
            # How many a job had within the hour.
            models.Index(fields=["related_job", "finished_at"], name="deliveries_of_job"),
        ]

    def __str__(self) -> str:
        return self.summary


class SlackSettings(models.Model):
    """The one Slack destination of the service."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # There is one row; the constraint keeps it so when two requests come first together.
    singleton = models.BooleanField(default=True, unique=True, editable=False)
    is_enabled = models.BooleanField(default=False)
    webhook_url = EncryptedTextField(null=True, blank=True)
    channel = models.CharField(max_length=255, null=True, blank=True)
    post_every = models.PositiveSmallIntegerField(
        "post every n-th failure",
        default=1,
        help_text="Of the failures of one incident post the first, then every n-th. 1 posts each.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    # The hook takes one message a second: no process may send the next one before this time.
    next_post_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_success_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_error_at = models.DateTimeField(null=True, blank=True, editable=False)
    # What Slack last refused, blank after a success.
    last_error = models.CharField(max_length=500, blank=True, default="", editable=False)

    class Meta:
        db_table = "slack_settings"
        verbose_name = verbose_name_plural = "Slack settings"
        constraints = [models.CheckConstraint(name="slack_settings_is_one_row", condition=Q(singleton=True))]

    def __str__(self) -> str:
        return "Slack settings"

    @property
    def posts(self) -> bool:
        """Whether anything may be posted: enabled, and to an https address (contract, section 15)."""
        return self.is_enabled and (self.webhook_url or "").lower().startswith("https://")
