"""A Celery worker: starts the rows that messages name, and sends and records them as a scheduler does.

A task ends when its rows are committed as `running` and handed to the pool, so it is short and no timeout of a broker
matters. Its message is acknowledged after that. A message that is delivered twice finds nothing to start.
"""

import logging
from threading import Event, Thread
from typing import Any
from uuid import UUID

from celery.concurrency.thread import TaskPool
from celery.signals import worker_init, worker_shutdown, worker_shutting_down
from django.conf import settings
from django.core.management import CommandError, call_command
from django.core.management.base import SystemCheckError

from cronsched import startup
from cronsched.celery import TASK, app, dropped
from cronsched.checks import WITHOUT_PAGES
from cronsched.lib.clock import uptime
from cronsched.lib.memory import freeze_gc
from jobs.models import SchedulerLease, SenderKind
from jobs.scheduler import lease
from jobs.scheduler.backends.celery import NotForUs, unpack
from jobs.scheduler.outage_log import LogOutageOnce
from jobs.scheduler.sending import SendingProcess

logger = logging.getLogger(__name__)

# Seconds a task keeps its thread while this process has no free place, so that messages go to workers that have.
HOLD_SECONDS = 5.0
ONLY_THREADS = "This worker sends from one process, on one loop. Start it with --pool=threads; more of them for more."


class Worker:
    """The sending process behind the tasks."""

    def __init__(self) -> None:
        self._process = SendingProcess(SenderKind.CELERY)
        self._stop = Event()
        self._start = LogOutageOnce("start", self._start_rows)

    def begin(self) -> None:
        self._process.start(self._stop)
        Thread(target=self._watch, name="watch", daemon=True).start()

    def take(self, message: Any) -> None:
        """Start the rows that a message names; drop a message of another installation or version."""
        try:
            ids = unpack(message)
        except NotForUs as reason:
            dropped.note(reason)
            return
        if ids:
            self._start(ids)

    def stop(self) -> None:
        """Start nothing more."""
        self._stop.set()

    def end(self) -> None:
        self._stop.set()
        self._process.end(timeout=settings.DRAIN_TIMEOUT_SECONDS)

    def _start_rows(self, ids: list[UUID]) -> None:
        if not self._process.backend.offer(ids):
            ends_at = uptime() + HOLD_SECONDS
            self._process.producer.help(lambda: not self._stop.is_set() and uptime() < ends_at)

    def _watch(self) -> None:
        look = LogOutageOnce("look", self._look)
        while not self._stop.wait(lease.LOOK_SECONDS):
            look()
            self._process.replay()

    def _look(self) -> None:
        """Start rows from the database where the leader asks for help: messages may be lost, or with busy workers."""
        if SchedulerLease.objects.exclude(holder="").filter(help_wanted=True).exists():
            self._process.help_wanted.set()
        else:
            self._process.help_wanted.clear()


_worker: Worker | None = None


@app.task(name=TASK)
def start(*arguments: Any, **_: Any) -> None:
    if _worker is not None:
        _worker.take(arguments[0] if len(arguments) == 1 else None)


@worker_init.connect
def begin(sender: Any, **_: Any) -> None:
    """Check the settings, and begin to send. Raises where they cannot work."""
    global _worker
    if not issubclass(sender.pool_cls, TaskPool):
        raise SystemExit(ONLY_THREADS)
    try:
        call_command("check", tags=WITHOUT_PAGES)
    except (SystemCheckError, CommandError) as error:
        raise SystemExit(str(error)) from error
    startup.look()
    _worker = Worker()
    _worker.begin()
    freeze_gc()


@worker_shutting_down.connect
def stop(**_: Any) -> None:
    if _worker is not None:
        _worker.stop()


@worker_shutdown.connect
def end(**_: Any) -> None:
    """Wait for requests in flight, and record their outcomes."""
    global _worker
    worker, _worker = _worker, None
    if worker is not None:
        worker.end()
