"""The parts of every sending process, a scheduler or a Celery worker."""

import logging
from threading import Event, Thread

from django.db import connection

from cronsched.lib.clock import DatabaseClock, uptime
from jobs.dispatch.replay import replay_dead_senders
from jobs.models import SenderKind
from jobs.scheduler import lease
from jobs.scheduler.backends.celery import CeleryBackend
from jobs.scheduler.backends.local import LocalBackend
from jobs.scheduler.claim import warm_up
from jobs.scheduler.outage_log import LogOutageOnce
from jobs.scheduler.producer import Producer
from jobs.scheduler.senders import Heartbeat
from jobs.scheduler.write_lock import write_lock
from jobs.targets import limits

logger = logging.getLogger(__name__)

# Seconds between two looks of a process that found nothing to help with.
HELP_PAUSE_SECONDS = 0.25


class SendingProcess:
    """Sends and records, writes its heartbeat, replays journals of dead senders of this host, and helps when asked."""

    def __init__(self, kind: SenderKind, *, workers: CeleryBackend | None = None) -> None:
        warm_up()
        self.clock = DatabaseClock()
        self.backend = LocalBackend(write_lock(), limiter=limits.limiter(), clock=self.clock)
        self.producer = Producer(self.backend, workers)
        self.heartbeat = Heartbeat(self.backend, kind=kind)
        # Set while the leader wants help and this process does not lead.
        self.help_wanted = Event()
        self.replay = LogOutageOnce("replay", lambda: replay_dead_senders(now=self.clock.now()))

    def start(self, stop: Event) -> None:
        """Begin to send, until `stop` is set."""
        self.backend.start()
        self.heartbeat.start()
        Thread(target=self._help_when_asked, args=(stop,), name="help", daemon=True).start()

    def drain(self, *, timeout: float) -> None:
        """Wait at most `timeout` seconds for requests in flight and their records."""
        logger.info("This process drains: %d requests are out", self.backend.pool.in_flight)
        ends_at = uptime() + timeout
        self.producer.wait_for_end(timeout=timeout)
        for backend in (self.producer.workers, self.backend):
            if backend is not None:
                backend.drain(timeout=max(0.0, ends_at - uptime()))

    def end(self, *, timeout: float) -> None:
        """Drain, and remove the process's row of senders."""
        self.drain(timeout=timeout)
        self.heartbeat.end()
        connection.close()

    def _help_when_asked(self, stop: Event) -> None:
        def is_wanted() -> bool:
            return self.help_wanted.is_set() and not stop.is_set()

        help_once = LogOutageOnce("help", lambda: self.producer.help(is_wanted))
        while not stop.is_set():
            if self.help_wanted.wait(lease.LOOK_SECONDS):
                help_once()
                stop.wait(HELP_PAUSE_SECONDS)
