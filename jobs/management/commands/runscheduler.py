"""Run the scheduler: `manage.py runscheduler`, any number of times, on any number of hosts."""

import logging
import os
import signal
from argparse import ArgumentParser
from threading import Event
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from cronsched.lib.outages import UNREACHABLE
from jobs.scheduler.runner import Runner

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Fire due jobs. One process leads, others stand by. SIGTERM hands over and lets requests in flight end."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="do one pass, wait for what it sent, and exit")
        parser.add_argument("--drain-timeout", type=float, help="seconds that requests in flight get at the end")
        parser.add_argument("--instance", help="name of this process in the log and in the lease; default host:pid")

    def handle(self, *args: Any, once: bool, drain_timeout: float | None, instance: str | None, **options: Any) -> None:
        runner = Runner(instance=instance, drain_timeout=drain_timeout)
        if once:
            try:
                runner.once()
            except UNREACHABLE as error:
                raise CommandError(f"The database cannot be reached: {error}") from error
            return
        runner.run(_stop_on_signals())


def _stop_on_signals() -> Event:
    """Return an event that SIGTERM or SIGINT sets; a second signal ends the process at once."""
    stop = Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return stop
