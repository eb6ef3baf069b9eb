from django.apps import AppConfig


class CronschedConfig(AppConfig):
    name = "cronsched"

    def ready(self) -> None:
        from cronsched import checks  # noqa: F401 - registers them
        from cronsched.lib.db import lookups  # noqa: F401 - registers them
