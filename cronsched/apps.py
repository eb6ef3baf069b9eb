from django.apps import AppConfig


class CronschedConfig(AppConfig):
    name = "cronsched"

    def ready(self) -> None:
        from django.db.models.signals import pre_save

        from cronsched import (
            checks,  # noqa: F401 - registers them
            error_reports,
        )
        from cronsched.lib.db import (
            limits,
            lookups,  # noqa: F401 - registers them
        )

        pre_save.connect(limits.check_before_save, dispatch_uid="cronsched.limits")
        error_reports.start()
