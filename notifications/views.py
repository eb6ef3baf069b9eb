"""Endpoints of notices (contract, section 12) and of the Slack settings (section 14)."""

from typing import Any

from django.utils import timezone
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import caller
from accounts.permissions import IsAdmin
from cronsched.api import openapi
from cronsched.api.bodies import json_object
from cronsched.api.openapi import Answer, Body, Refusal, operation
from cronsched.api.viewsets import APIViewSet
from cronsched.lib.clock import database_now
from cronsched.lib.input import query, ranges
from notifications import inbox, serializers, slack_settings

LARGEST_PAGE = 100
TAG = "Notifications"

UNKNOWN = Refusal(404, inbox.UNKNOWN)
NOTIFICATION_ID = openapi.path_id("notification_id", "notification")


class NotificationViewSet(APIViewSet):
    """The caller's own notices; admins too see only theirs."""

    token_scopes = {
        "list": "read",
        "unread_count": "read",
        "read": "write",
        "read_all": "write",
        "destroy": "write",
        "delete_read": "write",
    }
    permission_classes = [IsAuthenticated]

    @operation(
        "list_notifications",
        tag=TAG,
        summary="List notifications",
        description="The caller's own, newest first.",
        query=[
            openapi.whole_number("page", default=1, low=1, text="Which page."),
            openapi.whole_number("per_page", default=20, low=1, text="More than 100 counts as 100."),
            openapi.flag("unread_only", text="Only what the caller has not read yet."),
            openapi.FROM,
            openapi.TO,
        ],
        answers={
            200: Answer(
                serializers.NotificationListSerializer,
                leads_to=openapi.leads_to(
                    "read_notification", "delete_notification", notification_id="notifications/0/id"
                ),
            )
        },
        refusals=[
            openapi.bad_number("page"),
            openapi.bad_number("per_page"),
            openapi.bad_boolean("unread_only"),
            *openapi.BAD_RANGE,
        ],
    )
    def list(self, request: Request) -> Response:
        wanted = query.read(
            request.query_params,
            page=query.Whole(1, low=1),
            per_page=query.Whole(20, low=1, cut=LARGEST_PAGE),
            unread_only=query.Flag(False),
        )
        page, per_page, unread = wanted["page"], wanted["per_page"], wanted["unread_only"]
        asked = ranges.read(request.query_params)
        user = caller(request)
        reader = inbox.Reader(user)
        total = reader.count(asked, unread=unread)
        offset = (page - 1) * per_page
        items = reader.page(asked, unread=unread, offset=offset, limit=per_page) if offset < total else []
        return Response(
            {
                "notifications": [serializers.notification(item, str(user.pk)) for item in items],
                "total": total,
                "page": page,
                "per_page": per_page,
                "total_pages": -(-total // per_page),
                "range": asked.echo(suffix=""),
            }
        )

    @operation(
        "count_unread_notifications",
        tag=TAG,
        summary="Count unread notifications",
        query=[openapi.FROM, openapi.TO],
        answers={200: Answer(serializers.UnreadCountSerializer)},
        refusals=openapi.BAD_RANGE,
    )
    def unread_count(self, request: Request) -> Response:
        asked = ranges.read(request.query_params)
        unread = inbox.Reader(caller(request)).count(asked, unread=True)
        return Response({"unread_count": unread, "range": asked.echo(suffix="")})

    @operation(
        "read_notification",
        tag=TAG,
        summary="Mark a notification as read",
        description="Doing it again keeps the time of the first.",
        path=[NOTIFICATION_ID],
        answers={
            200: Answer(
                serializers.NotificationAnswerSerializer,
                {
                    "message": "Notification marked as read",
                    "notification": {"is_read": True, "read_at": "2026-01-15T12:05:00.000Z"},
                },
            )
        },
        refusals=[UNKNOWN, Refusal(403, inbox.NOT_YOURS_TO_READ)],
    )
    def read(self, request: Request, notification_id: str) -> Response:
        user = caller(request)
        item = inbox.read_one(user, notification_id, now=database_now())
        shown = serializers.notification(item, str(user.pk))
        return Response({"message": "Notification marked as read", "notification": shown})

    @operation(
        "read_all_notifications",
        tag=TAG,
        summary="Mark all notifications as read",
        answers={
            200: Answer(
                serializers.MarkedSerializer, {"message": "All notifications marked as read", "updated_count": 3}
            )
        },
    )
    def read_all(self, request: Request) -> Response:
        count = inbox.read_all(caller(request), now=database_now())
        return Response({"message": "All notifications marked as read", "updated_count": count})

    @operation(
        "delete_notification",
        tag=TAG,
        summary="Delete a notification",
        description="Read or not. A notice to everybody stays there for the others.",
        path=[NOTIFICATION_ID],
        answers={200: Answer(serializers.MessageSerializer, {"message": "Notification deleted successfully"})},
        refusals=[UNKNOWN, Refusal(403, inbox.NOT_YOURS_TO_DELETE)],
    )
    def destroy(self, request: Request, notification_id: str) -> Response:
        inbox.delete_one(caller(request), notification_id)
        return Response({"message": "Notification deleted successfully"})

    @operation(
        "delete_read_notifications",
        tag=TAG,
        summary="Delete read notifications",
        query=[openapi.FROM, openapi.TO],
        answers={200: Answer(serializers.DeletedSerializer, {"deleted_count": 3})},
        refusals=openapi.BAD_RANGE,
    )
    def delete_read(self, request: Request) -> Response:
        asked = ranges.read(request.query_params)
        return Response({"deleted_count": inbox.delete_read(caller(request), asked)})


SLACK_TAG = "Settings"
SLACK_URL = "https://hooks.slack.com/services/T000/B000/XXXX"


class SlackSettingsViewSet(APIViewSet):
    """The one Slack destination of the service."""

    permission_classes = [IsAdmin]

    @operation(
        "get_slack_settings",
        tag=SLACK_TAG,
        summary="Get the Slack settings",
        access=openapi.ADMIN,
        answers={
            200: Answer(serializers.SlackSettingsAnswerSerializer, {"slack_settings": {"webhook_url": SLACK_URL}})
        },
    )
    def retrieve(self, request: Request) -> Response:
        return Response({"slack_settings": _shown(slack_settings.show(by=caller(request), now=timezone.now()))})

    @operation(
        "update_slack_settings",
        tag=SLACK_TAG,
        summary="Change the Slack settings",
        description="Only the keys sent count. `post_every` thins out the failures of one incident: the first is"
        " posted, then every n-th.",
        access=openapi.ADMIN,
        body=Body(
            serializers.ChangedSlackSettingsSerializer,
            {
                "Enable": {"is_enabled": True, "webhook_url": SLACK_URL, "channel": "#ops"},
                "Disable": {"is_enabled": False},
            },
        ),
        answers={
            200: Answer(
                serializers.SlackSettingsChangeSerializer,
                {"message": "Slack settings updated", "slack_settings": {"webhook_url": SLACK_URL}},
            )
        },
        refusals=[
            Refusal(400, "Invalid settings", "webhook_url is required when Slack is enabled."),
            Refusal(400, "Invalid payload", '"webhook_url" must be a string.'),
            Refusal(400, "Invalid channel", "channel must be at most 255 characters."),
            Refusal(400, "Invalid webhook_url", "webhook_url must be at most 2048 characters."),
            Refusal(400, "Invalid post_every", "post_every must be a whole number from 1 to 1000."),
        ],
    )
    def update(self, request: Request) -> Response:
        settings = slack_settings.change(json_object(request), by=caller(request), now=timezone.now())
        return Response({"message": "Slack settings updated", "slack_settings": _shown(settings)})

    @operation(
        "test_slack_settings",
        tag=SLACK_TAG,
        summary="Send a test message to Slack",
        description="Posts at once, also while Slack is disabled. `ok` says whether Slack accepted it.",
        access=openapi.ADMIN,
        answers={200: Answer(serializers.SlackTestSerializer, {"ok": True, "message": "Slack accepted the message."})},
        refusals=[Refusal(400, "Invalid settings", "A test needs a webhook_url that starts with https://.")],
    )
    def test(self, request: Request) -> Response:
        reason = slack_settings.send_test(by=caller(request), now=timezone.now())
        return Response({"ok": reason is None, "message": reason or "Slack accepted the message."})


def _shown(settings: Any) -> Any:
    return serializers.SlackSettingsSerializer(settings).data
