"""Make the tables and `size` periodic tasks for one minute: python -m ...fill SIZE URL HOUR MINUTE"""

import json
import os
import sys

import django

PORTION = 500


def main(size: str, url: str, hour: str, minute: str) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "jobs.tests.benchmarks.celery_side.settings"
    django.setup()
    from django.core.management import call_command
    from django_celery_beat.models import CrontabSchedule, PeriodicTask, PeriodicTasks

    call_command("migrate", verbosity=0)
    crontab = CrontabSchedule.objects.create(minute=minute, hour=hour, timezone="UTC")
    tasks = [
        PeriodicTask(name=f"Task {number}", task="call", crontab=crontab, args=json.dumps([f"{url}{number}", number]))
        for number in range(int(size))
    ]
    PeriodicTask.objects.bulk_create(tasks, batch_size=PORTION)
    PeriodicTasks.update_changed()


if __name__ == "__main__":
    main(*sys.argv[1:])
