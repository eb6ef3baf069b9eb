from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"

    def ready(self) -> None:
        from django.contrib.auth.signals import user_logged_in, user_logged_out

        from accounts import services

        user_logged_in.connect(services.record_console_sign_in)
        user_logged_out.connect(services.record_console_sign_out)
