"""Run the scheduler: `manage.py runscheduler`, any number of times, on any number of hosts."""

import logging
import os
import signal
import threading
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from cronsched import startup
from cronsched.checks import WITHOUT_PAGES
from cronsched.lib.clock import uptime
from cronsched.lib.db.databases import share_page_cache
from cronsched.lib.db.outages import UNREACHABLE, first_line
from cronsched.lib.memory import freeze_gc
from jobs.scheduler.runner import DATABASE_THREADS, Runner
from notifications import delivery

# Seconds for mails and posts that are just being sent, and then for a chore that still runs.
CLOSING_SECONDS = 5.0
STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})


class Command(BaseCommand):
    requires_system_checks = WITHOUT_PAGES
    help = "Fire due jobs. One process leads, others stand by. SIGTERM hands over and lets requests in flight end."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="do one pass, wait for what it sent, and exit")
        parser.add_argument(
            "--drain-timeout",
            type=float,
            help="seconds that requests in flight get at the end; default DRAIN_TIMEOUT_SECONDS, with --once no limit",
        )
        parser.add_argument("--instance", help="name of this process in the log and in the lease; default host:pid")

    def handle(self, *args: Any, once: bool, drain_timeout: float | None, instance: str | None, **options: Any) -> None:
        if drain_timeout is not None and drain_timeout < 0:
            raise CommandError("--drain-timeout must not be negative")
        share_page_cache(settings.DATABASES["default"], threads=DATABASE_THREADS)
        startup.look()
        freeze_gc()
        runner = Runner(instance=instance, drain_timeout=drain_timeout)
        if once:
            try:
                runner.once()
            except UNREACHABLE as error:
                raise CommandError(f"The database cannot be used: {first_line(error)}") from error
        else:
            runner.run(_stop_on_signals())
        delivery.stop(timeout=CLOSING_SECONDS)
        _leave_behind_what_does_not_end()


def _stop_on_signals() -> threading.Event:
    """Return an event that SIGTERM or SIGINT sets; a second signal ends the scheduler at once.

    A thread waits for them. A handler would run in the middle of whatever the main thread does, and setting the event
    in the middle of its own `wait` would lock up both.
    """
    stop = threading.Event()
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)

    def listen() -> None:
        signal.sigwait(STOP_SIGNALS)
        stop.set()
        number = signal.sigwait(STOP_SIGNALS)
        os._exit(128 + number)

    threading.Thread(target=listen, name="signals", daemon=True).start()
    return stop


def _leave_behind_what_does_not_end() -> None:
    """End the process although a thread of a chore still waits for an answer; Python would wait for the thread."""
    ends_at = uptime() + CLOSING_SECONDS
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(max(0.0, ends_at - uptime()))
            if thread.is_alive():
                logging.shutdown()
                os._exit(0)
