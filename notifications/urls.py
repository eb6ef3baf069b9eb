from django.urls import URLPattern, URLResolver, path

from notifications.views import NotificationViewSet, SlackSettingsViewSet

# The fixed names stand before the ids: any text is a (mostly unknown) id.
urlpatterns: list[URLPattern | URLResolver] = [
    path("notifications", NotificationViewSet.as_view({"get": "list"})),
    path("notifications/unread-count", NotificationViewSet.as_view({"get": "unread_count"})),
    path("notifications/read-all", NotificationViewSet.as_view({"put": "read_all"})),
    path("notifications/delete-read", NotificationViewSet.as_view({"delete": "delete_read"})),
    path("notifications/<str:notification_id>", NotificationViewSet.as_view({"delete": "destroy"})),
    path("notifications/<str:notification_id>/read", NotificationViewSet.as_view({"put": "read"})),
    path("settings/slack", SlackSettingsViewSet.as_view({"get": "retrieve", "put": "update"})),
    path("settings/slack/test", SlackSettingsViewSet.as_view({"post": "test"})),
]
