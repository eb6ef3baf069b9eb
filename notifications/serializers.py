"""Notices and the Slack settings as JSON."""

from typing import Any

from rest_framework import serializers

from cronsched.api.fields import UtcField
from cronsched.lib.clock import utc_text
from notifications.inbox import Item
from notifications.models import Level, SlackSettings


def notification(item: Item, user_id: str) -> dict[str, Any]:
    """Return the contract's object. `user_id` is the caller's: a notice to everybody looks like his own."""
    notice = item.notice
    return {
        "id": str(notice.pk),
        "user_id": user_id,
        "title": notice.title,
        "message": notice.message,
        "type": notice.type,
        "related_job_id": _id(notice.related_job_id),
        "related_execution_id": _id(notice.related_execution_id),
        "is_read": item.read_at is not None,
        "read_at": utc_text(item.read_at),
        "created_at": utc_text(notice.created_at),
    }


def _id(value: object) -> str | None:
    return None if value is None else str(value)


class SlackSettingsSerializer(serializers.ModelSerializer[SlackSettings]):
    created_at = UtcField(read_only=True)
    updated_at = UtcField(read_only=True)

    class Meta:
        model = SlackSettings
        fields = ["id", "is_enabled", "webhook_url", "channel", "post_every", "created_at", "updated_at"]
        read_only_fields = fields


# --- Forms of requests and answers, for the description only ---------------------------------------------------------


class NotificationSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    user_id = serializers.UUIDField(help_text="The caller.")
    title = serializers.CharField()
    message = serializers.CharField()
    type = serializers.ChoiceField(Level.choices)
    related_job_id = serializers.UUIDField(allow_null=True)
    related_execution_id = serializers.UUIDField(allow_null=True)
    is_read = serializers.BooleanField()
    read_at = UtcField(allow_null=True)
    created_at = UtcField()


class RangeSerializer(serializers.Serializer[Any]):
    """The bounds as they were understood, in UTC without a suffix."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        # `from` is a word of the language and cannot be a class attribute.
        return {"from": serializers.CharField(allow_null=True), "to": serializers.CharField(allow_null=True)}


class NotificationListSerializer(serializers.Serializer[Any]):
    notifications = NotificationSerializer(many=True)
    total = serializers.IntegerField()
    page = serializers.IntegerField()
    per_page = serializers.IntegerField()
    total_pages = serializers.IntegerField()
    range = RangeSerializer()


class UnreadCountSerializer(serializers.Serializer[Any]):
    unread_count = serializers.IntegerField()
    range = RangeSerializer()


class NotificationAnswerSerializer(serializers.Serializer[Any]):
    message = serializers.CharField()
    notification = NotificationSerializer()


class MarkedSerializer(serializers.Serializer[Any]):
    message = serializers.CharField()
    updated_count = serializers.IntegerField(help_text="How many were unread.")


class MessageSerializer(serializers.Serializer[Any]):
    message = serializers.CharField()


class DeletedSerializer(serializers.Serializer[Any]):
    deleted_count = serializers.IntegerField()


class ChangedSlackSettingsSerializer(serializers.Serializer[Any]):
    is_enabled = serializers.BooleanField(required=False)
    webhook_url = serializers.CharField(required=False, allow_null=True, allow_blank=True)
    channel = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=255)
    post_every = serializers.IntegerField(required=False, min_value=1, max_value=1000)


class SlackSettingsAnswerSerializer(serializers.Serializer[Any]):
    slack_settings = SlackSettingsSerializer()


class SlackSettingsChangeSerializer(SlackSettingsAnswerSerializer):
    message = serializers.CharField()


class SlackTestSerializer(serializers.Serializer[Any]):
    ok = serializers.BooleanField()
    message = serializers.CharField(help_text="What Slack answered, where it refused.")
