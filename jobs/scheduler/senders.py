"""The senders' rows: each sending process has one, with a heartbeat.

The heartbeat shows that a process lives, so that its runs become `unknown` soon after its death, and how much it has in
flight. The number of rows is what the limit of an origin is divided by.
"""

import logging
import socket
from collections.abc import Sequence
from datetime import datetime, timedelta
from threading import Event, Thread
from uuid import UUID

from django.conf import settings
from django.db import connection

from cronsched.http_client import http_client
from cronsched.lib.db.outages import UNREACHABLE, first_line
from jobs.models import SENDER_DEAD_AFTER, Sender, SenderKind
from jobs.scheduler.backends.local import LocalBackend
from jobs.scheduler.outage_log import LogOutageOnce

logger = logging.getLogger(__name__)

BEAT_SECONDS = 5.0
# After this long every sender has divided the limit by the new number of senders.
SETTLED_AFTER = timedelta(seconds=2 * BEAT_SECONDS)


def origin_share(total: int, *, me: UUID, living: Sequence[Sender], now: datetime) -> int:
    """Return how many of `total` places at one origin are those of `me`.

    They are divided evenly among the living senders, or among Celery's workers alone where there are any. Of a
    remainder the leader gets one first, then the others in the order of their tokens. A new sender gets none until the
    others know of it, except where it leads or is alone.
    """
    workers = [sender for sender in living if sender.kind == SenderKind.CELERY]
    order = sorted(workers or living, key=lambda sender: (sender.kind != SenderKind.LOCAL, sender.token))
    place = next((index for index, sender in enumerate(order) if sender.token == me), None)
    if place is None:
        return 0
    mine = order[place]
    if len(living) > 1 and mine.kind != SenderKind.LOCAL and now - mine.started_at < SETTLED_AFTER:
        return 0
    each, rest = divmod(total, len(order))
    return each + (place < rest)


class Heartbeat:
    """Shows that a backend's process lives, every five seconds, from a thread of its own."""

    def __init__(self, backend: LocalBackend, *, kind: SenderKind = SenderKind.STANDBY) -> None:
        self._backend = backend
        self._kind = kind
        self._started_at: datetime | None = None
        # The last heartbeat, and since when they have been on time.
        self._seen_at: datetime | None = None
        self._steady_since: datetime | None = None
        self._now = Event()
        self._ending = Event()
        self._thread = Thread(target=self._run, name="heartbeat", daemon=True)

    @property
    def may_judge(self) -> bool:
        """Whether the others have had time for a heartbeat, so that one without is dead.

        After an outage of the database, or a step of its clock, all senders look dead for a moment.
        """
        seen, since = self._seen_at, self._steady_since
        return seen is not None and since is not None and seen - since >= SENDER_DEAD_AFTER

    def start(self) -> None:
        self._thread.start()

    def show_as(self, kind: SenderKind) -> None:
        """Show this process as of `kind`, at once."""
        self._kind = kind
        self._now.set()

    def end(self) -> None:
        """Stop the heartbeat, and remove the row."""
        self._ending.set()
        self._now.set()
        self._thread.join(BEAT_SECONDS)
        self.remove()

    def remove(self) -> None:
        """Remove the row. It stays where runs are still open, so that they become `unknown` soon."""
        if self._backend.pool.in_flight or self._backend.recorder.pending:
            return
        try:
            Sender.objects.filter(pk=self._backend.token).delete()
        except UNREACHABLE as error:
            logger.warning("The row of this sender could not be removed: %s", first_line(error))
            connection.close()

    def beat(self) -> None:
        """Write the row and take this process's share of the places at each origin."""
        now = self._backend.clock.sample()
        self._started_at = self._started_at or now
        values = {
            "host": socket.gethostname()[:255],
            "kind": self._kind,
            "started_at": self._started_at,
            "seen_at": now,
            "in_flight": self._backend.pool.in_flight,
            "limit": self._backend.limiter.limit,
            "loop_delay_seconds": http_client().loop_delay.p99,
        }
        with self._backend.lock:
            if not Sender.objects.filter(pk=self._backend.token).update(**values):
                Sender.objects.create(token=self._backend.token, **values)
        self._note(now)
        if settings.PER_HOST_IN_FLIGHT:
            living = list(Sender.objects.filter(seen_at__gte=now - SENDER_DEAD_AFTER))
            share = origin_share(settings.PER_HOST_IN_FLIGHT, me=self._backend.token, living=living, now=now)
            self._backend.limiter.set_origin_limit(share)

    def _note(self, now: datetime) -> None:
        in_time = self._seen_at is not None and timedelta() <= now - self._seen_at <= SETTLED_AFTER
        if not in_time:
            self._steady_since = now
        self._seen_at = now

    def _run(self) -> None:
        beat = LogOutageOnce("heartbeat", self.beat)
        while not self._ending.is_set():
            self._now.clear()
            beat()
            self._now.wait(BEAT_SECONDS)
        connection.close()
