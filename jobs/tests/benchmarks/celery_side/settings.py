"""A project that schedules with django-celery-beat and nothing else. Only processes of their own use these settings."""

import os

SECRET_KEY = "for-the-benchmark-only"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ["BENCHMARK_DATABASE"],
        # As our own: beat shall not lose because of an older journal.
        "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL;"},
    }
}
INSTALLED_APPS = ["django.contrib.contenttypes", "django_celery_beat"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"

CELERY_BROKER_URL = os.environ["BENCHMARK_BROKER"]
CELERY_TIMEZONE = "UTC"
# Results are not read: keeping them would only cost.
CELERY_TASK_IGNORE_RESULT = True
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
