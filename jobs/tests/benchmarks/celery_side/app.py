"""The Celery application: one task, which posts to a URL."""

import os

import requests
from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "jobs.tests.benchmarks.celery_side.settings")
app = Celery("benchmark")
app.config_from_object("django.conf:settings", namespace="CELERY")


@app.task(name="call")
def call(url: str, number: int) -> None:
    requests.post(url, json={"number": number}, timeout=10).raise_for_status()
