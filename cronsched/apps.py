from django.apps import AppConfig


class CronschedConfig(AppConfig):
    name = "cronsched"

    def ready(self) -> None:
        from cronsched import checks  # noqa: F401 - registers them
        from cronsched.lib import lookups  # noqa: F401 - registers them
