"""The base of all channels: claims due deliveries, sends and records them, and pauses while the channel is blocked."""

import logging
import threading
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from time import monotonic
from uuid import UUID

from django.db import DatabaseError, connection
from django.db.models import F

from cronsched.lib import backoff
from notifications.channels.base import DeliveryError, OutgoingMessage, Session
from notifications.channels.email import LONGEST_SECONDS
from notifications.models import Channel, Delivery, DeliveryStatus

logger = logging.getLogger(__name__)

# One portion is claimed for so long. Nothing is begun that might not end within it.
CLAIM = timedelta(minutes=3)
LONGEST_SEND = timedelta(seconds=LONGEST_SECONDS)

FIRST_RETRY = timedelta(seconds=30)
LONGEST_RETRY = timedelta(minutes=30)
# How long a channel holds back when the way is blocked.
FIRST_HOLD = timedelta(seconds=5)
LONGEST_HOLD = timedelta(minutes=5)
# A record that the database does not take is tried again so often.
RECORD_PAUSE_SECONDS = 1.0

Clock = Callable[[], datetime]


class ChannelWorker:
    """What waits for one channel, and the threads that work on it."""

    channel: Channel
    width = 1
    portion = 1
    longest_hold = LONGEST_HOLD

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._blocked = 0
        self._held_until: datetime | None = None

    def start(self, now: datetime) -> None:
        """Start threads for what is due, as many as it is worth. Returns at once."""
        if self._stopping.is_set() or not self._is_open(now):
            return
        self._take_back_abandoned(now)
        due = Delivery.objects.due(self.channel, now)[: self.width * self.portion].count()
        with self._lock:
            wanted = min(-(-due // self.portion), self.width) - len(self._threads)
            for _ in range(wanted):
                thread = threading.Thread(target=self._run, name=f"deliver-{self.channel}", daemon=True)
                self._threads.add(thread)
                thread.start()

    def run_once(self, now: datetime) -> None:
        """Send what is due in the calling thread."""
        if self._is_open(now):
            self._take_back_abandoned(now)
            self._work()

    def stop(self, *, timeout: float) -> bool:
        """Begin nothing any more and wait for what is under way; return whether all of it ended in time."""
        self._stopping.set()
        return self.join(timeout=timeout)

    def join(self, *, timeout: float) -> bool:
        """Wait until no thread works; return whether that came in time."""
        deadline = monotonic() + timeout
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join(max(0.0, deadline - monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def _run(self) -> None:
        try:
            self._work()
        except DatabaseError as error:
            # Claimed deliveries become due again; the next pass starts anew.
            logger.warning("Deliveries by %s wait for the database: %s", self.channel, error)
        finally:
            connection.close()
            with self._lock:
                self._threads.discard(threading.current_thread())

    def _work(self) -> None:
        """Send until nothing is due any more."""
        raise NotImplementedError

    def _goes_on(self) -> bool:
        return not self._stopping.is_set() and self._is_open(self._clock())

    # --- When the way is blocked ---

    def _is_open(self, now: datetime) -> bool:
        return self._held_until is None or self._held_until <= now

    def _hold(self, wait: timedelta | None) -> None:
        self._blocked += 1
        pause = wait or backoff.delay(self._blocked, first=FIRST_HOLD, longest=self.longest_hold, key=self.channel)
        self._held_until = self._clock() + pause

    # --- One portion ---

    def _claim(self) -> list[Delivery]:
        now = self._clock()
        token = uuid.uuid4()
        due = self._next_due(now)
        Delivery.objects.filter(pk__in=due, status=DeliveryStatus.WAITING).update(
            status=DeliveryStatus.SENDING, claim=token, claimed_until=now + CLAIM, attempts=F("attempts") + 1
        )
        claimed = {row.pk: row for row in Delivery.objects.filter(claim=token)}
        return [claimed[pk] for pk in due if pk in claimed]

    def _next_due(self, now: datetime) -> list[UUID]:
        """Return what is to be claimed next."""
        return list(Delivery.objects.due(self.channel, now).values_list("pk", flat=True)[: self.portion])

    def _before_each(self) -> None:
        """Wait until the next message may leave."""

    def _send_each(self, session: Session, rows: Sequence[Delivery]) -> None:
        for number, row in enumerate(rows):
            assert row.claimed_until is not None
            if not self._goes_on() or self._clock() + LONGEST_SEND > row.claimed_until:
                self._give_back(rows[number:])
                return
            self._before_each()
            self._send(session, row)

    def _send(self, session: Session, row: Delivery) -> None:
        outgoing = OutgoingMessage(row.pk, row.kind, row.recipient, row.summary, row.payload, row.thread)
        try:
            session.send(outgoing)
        except DeliveryError as error:
            self._failed(row, error)
        except Exception as error:
            # A row that cannot be rendered must not hold up the others of its portion.
            logger.exception("Delivery %s cannot be sent", row.pk)
            self._failed(row, DeliveryError(f"{type(error).__name__}: {error}", permanent=True))
        else:
            self._sent(row)

    def _give_back(self, rows: Sequence[Delivery]) -> None:
        for row in rows:
            self._record(row, status=DeliveryStatus.WAITING, attempts=row.attempts - 1)

    def _sent(self, row: Delivery) -> None:
        self._blocked = 0
        self._record(row, status=DeliveryStatus.SENT, finished_at=self._clock(), reason="")

    def _failed(self, row: Delivery, error: DeliveryError) -> None:
        now = self._clock()
        reason = error.reason[: Delivery._meta.get_field("reason").max_length]
        logger.info("Delivery %s by %s failed: %s", row.pk, self.channel, reason)
        retry_at = now
        if error.everything:
            self._hold(error.wait)
        else:
            pause = backoff.delay(row.attempts, first=FIRST_RETRY, longest=LONGEST_RETRY, key=str(row.pk))
            retry_at += error.wait or pause
        if error.permanent or retry_at > row.give_up_at:
            self._record(row, status=DeliveryStatus.GIVEN_UP, finished_at=now, reason=reason)
        else:
            self._record(row, status=DeliveryStatus.WAITING, not_before=retry_at, reason=reason)

    def _record(self, row: Delivery, **values: object) -> None:
        """Note what became of a row this thread has claimed. Insists while the claim lasts: the message is out."""
        mine = Delivery.objects.filter(pk=row.pk, claim=row.claim, status=DeliveryStatus.SENDING)
        while True:
            try:
                mine.update(claim=None, claimed_until=None, **values)
                return
            except DatabaseError:
                assert row.claimed_until is not None
                if self._clock() >= row.claimed_until or self._stopping.wait(RECORD_PAUSE_SECONDS):
                    raise
                connection.close()

    def _give_up_all(self, reason: str) -> None:
        Delivery.objects.waiting(self.channel).update(
            status=DeliveryStatus.GIVEN_UP, finished_at=self._clock(), reason=reason
        )

    def _take_back_abandoned(self, now: datetime) -> None:
        abandoned = Delivery.objects.abandoned(self.channel, now)
        # Asked first: on SQLite even an update of nothing waits for the one writer.
        if not abandoned.exists():
            return
        abandoned.update(
            status=DeliveryStatus.WAITING,
            claim=None,
            claimed_until=None,
            reason="The process that was sending it died; sent again.",
        )
