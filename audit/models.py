"""The audit trail: one row per change, appended and never altered."""

from typing import Any, ClassVar, NoReturn

from django.db import models

from cronsched.lib.ids import uuid7

NAME_LENGTH = 255
REASON_LENGTH = 500
REQUEST_ID_LENGTH = 128


class AppendOnly(Exception):
    """An audit entry was about to be altered. Only `audit.retention` deletes entries, by their age."""


class ActorKind(models.TextChoices):
    USER = "user", "User"
    TOKEN = "token", "API token"
    SYSTEM = "system", "System"
    COMMAND = "command", "Command"


class AuditQuerySet(models.QuerySet["AuditEntry"]):
    def update(self, **values: Any) -> NoReturn:
        raise AppendOnly

    def delete(self) -> NoReturn:
        raise AppendOnly

    def of_object(self, kind: str, object_id: str) -> "AuditQuerySet":
        return self.filter(object_type=kind, object_id=object_id)


class AuditEntry(models.Model):
    """One change or one refused sign-in.

    Actor and object are held by id and name, not by foreign key: entries outlive the accounts and jobs they tell of.
    `owner_id` is the account the object belonged to when it was written.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    at = models.DateTimeField()
    actor_id = models.UUIDField(null=True, blank=True)
    actor_name = models.CharField(max_length=NAME_LENGTH)
    actor_kind = models.CharField(max_length=10, choices=ActorKind)
    source_ip = models.CharField(max_length=45, blank=True, default="")
    action = models.CharField(max_length=50)
    object_type = models.CharField(max_length=30)
    object_id = models.CharField(max_length=64, blank=True, default="")
    object_name = models.CharField(max_length=NAME_LENGTH, blank=True, default="")
    owner_id = models.UUIDField(null=True, blank=True)
    # {"field": [before, after]}; a secret shows as "***" on either side.
    changes = models.JSONField(default=dict, blank=True)
    reason = models.CharField(max_length=REASON_LENGTH, blank=True, default="")
    request_id = models.CharField(max_length=REQUEST_ID_LENGTH, blank=True, default="")
    # The number of the definition that the change led to; null for what has no revisions.
    revision = models.PositiveIntegerField(null=True, blank=True)

    objects: ClassVar[AuditQuerySet] = AuditQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        db_table = "audit_entries"
        verbose_name = "audit entry"
        verbose_name_plural = "audit entries"
        ordering = ["-at", "-id"]
        indexes = [
            models.Index(fields=["-at", "-id"], name="audit_newest"),
            models.Index(fields=["object_type", "object_id", "-at", "-id"], name="audit_of_object"),
            models.Index(fields=["actor_id", "-at", "-id"], name="audit_of_actor"),
            models.Index(fields=["owner_id", "-at", "-id"], name="audit_of_owner"),
            models.Index(fields=["action", "-at", "-id"], name="audit_of_action"),
        ]

    def __str__(self) -> str:
        return f"{self.action} of {self.object_name or self.object_type} by {self.actor_name}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AppendOnly
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnly


class AuditDay(models.Model):
    """How many entries a past day (UTC) holds, so that numbering pages does not count millions of rows."""

    day = models.DateField(primary_key=True)
    entries = models.PositiveIntegerField()
    # {action: how many}; null where the day was counted before actions were.
    actions = models.JSONField(null=True, blank=True)

    class Meta:
        db_table = "audit_days"

    def __str__(self) -> str:
        return f"{self.day}: {self.entries}"


class LeaderTerm(models.Model):
    """One term of a leader: from when to when, and why it ended. The gaps show when no scheduler was running.

    `seen_at` is the last instant at which the leader is known to have led; `ended_at` is null while the term lasts.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    holder = models.CharField(max_length=NAME_LENGTH)
    fence = models.BigIntegerField()
    began_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    end_reason = models.CharField(max_length=REASON_LENGTH, blank=True, default="")

    class Meta:
        db_table = "leader_terms"
        ordering = ["-began_at", "-id"]
        indexes = [models.Index(fields=["-began_at", "-id"], name="leader_terms_newest")]

    def __str__(self) -> str:
        return f"{self.holder} from {self.began_at:%Y-%m-%d %H:%M:%S}Z"
