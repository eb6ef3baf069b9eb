"""In-app notices and where else they go. Jobs and executions are referred to by string only."""

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone

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
        "jobs.Job", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    related_execution = models.ForeignKey(
        "jobs.JobExecution", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        db_table = "notifications"
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["user", "-created_at", "-id"], name="notifications_recipient"),
        ]

    def __str__(self) -> str:
        return self.title


class SlackSettings(models.Model):
    """The one Slack destination of the service."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    is_enabled = models.BooleanField(default=False)
    webhook_url = models.TextField(null=True, blank=True)
    channel = models.CharField(max_length=255, null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "slack_settings"
        verbose_name = verbose_name_plural = "Slack settings"

    def __str__(self) -> str:
        return "Slack settings"
