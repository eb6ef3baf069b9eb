from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "jobs"

    def ready(self) -> None:
        from accounts.signals import leaving
        from jobs import owners

        leaving.connect(owners.hand_over_jobs)
