"""A Celery worker that is killed in the middle of its first start, before that is committed."""

import os
import signal
from importlib import import_module

import django
from celery.bin.celery import main


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    django.setup()
    import_module("jobs.dispatch.start").__dict__["_write_queued"] = die
    main()
