from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    name = "notifications"

    def ready(self) -> None:
        from accounts.signals import credentials_changed
        from notifications.security import tell_of_changed_credentials

        credentials_changed.connect(tell_of_changed_credentials)
