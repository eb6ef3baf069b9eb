"""Bring what waits in the delivery table to where it goes. Runs beside the jobs and never changes one.

A delivery is claimed by a conditional UPDATE with a token and a deadline, sent with no transaction open, and recorded
under the same token. So:

- two processes that both believe they lead do not send the same row: only one of the updates finds it waiting;
- a process that stops orderly gives back what it has not begun, so a restart loses and repeats nothing;
- a process that is killed leaves its claims behind; they fall due again when their time is over. Of those at most one
  per connection was really under way, and whether the other side took it nobody can know. It is sent again: an alert
  that is lost is worse than one that comes twice, and a mail carries the same Message-ID both times;
- a sender that was frozen beyond its deadline finds its token gone and records nothing.

Failures are retried with growing delay until `give_up_at`; what the other side refuses for good is given up at once,
with its words as the reason. Trouble with the way itself (no connection, a bad login, Slack's 429) holds the whole
channel back for a while instead of trying a thousand rows in turn; when the way is free again, all of them leave. Each
channel has threads of its own, so neither slows the other, and they use the database only for the length of a
statement.
"""

import logging
import threading
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from time import monotonic

from django.db import DatabaseError, connection
from django.db.models import F, Q
from django.utils import timezone

from cronsched.http_client import http_client
from cronsched.lib import backoff
from cronsched.lib.http import HTTPClient
from notifications import slack_status, summaries
from notifications.channels.base import DeliveryError, OutgoingMessage, Session
from notifications.channels.email import LONGEST_SECONDS, MailSession
from notifications.channels.slack import SlackSession
from notifications.models import Channel, Delivery, DeliveryStatus, SlackSettings
from notifications.services import mail_is_configured

logger = logging.getLogger(__name__)

MAIL_THREADS = 3
MAIL_PORTION = 20
# One portion is claimed for so long. Nothing is begun that might not end within it.
CLAIM = timedelta(minutes=3)
LONGEST_SEND = timedelta(seconds=LONGEST_SECONDS)

FIRST_RETRY = timedelta(seconds=30)
LONGEST_RETRY = timedelta(minutes=30)
# How long a channel holds back when the way is blocked.
FIRST_HOLD = timedelta(seconds=5)
LONGEST_HOLD = timedelta(minutes=5)
# Slack takes one post a second for each hook.
SLACK_PACE = timedelta(seconds=1)
# A record that the database does not take is tried again so often.
RECORD_PAUSE_SECONDS = 1.0

Clock = Callable[[], datetime]


class ChannelWorker:
    """What waits for one channel, and the threads that work on it."""

    channel: Channel
    width = 1
    portion = 1

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
            # What was claimed falls due again; the next pass starts anew.
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
        pause = wait or backoff.delay(self._blocked, first=FIRST_HOLD, longest=LONGEST_HOLD, key=self.channel)
        self._held_until = self._clock() + pause

    # --- One portion ---

    def _claim(self) -> list[Delivery]:
        now = self._clock()
        token = uuid.uuid4()
        due = list(Delivery.objects.due(self.channel, now).values_list("pk", flat=True)[: self.portion])
        Delivery.objects.filter(pk__in=due, status=DeliveryStatus.WAITING).update(
            status=DeliveryStatus.SENDING, claim=token, claimed_until=now + CLAIM, attempts=F("attempts") + 1
        )
        return list(Delivery.objects.filter(claim=token).order_by("not_before", "id"))

    def _send_each(self, session: Session, rows: Sequence[Delivery]) -> None:
        for number, row in enumerate(rows):
            assert row.claimed_until is not None
            if not self._goes_on() or self._clock() + LONGEST_SEND > row.claimed_until:
                self._give_back(rows[number:])
                return
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


class EmailWorker(ChannelWorker):
    channel = Channel.EMAIL
    width = MAIL_THREADS
    portion = MAIL_PORTION

    def _work(self) -> None:
        if not mail_is_configured():
            self._give_up_all("Mail was switched off.")
            return
        with MailSession() as session:
            while self._goes_on() and (rows := self._claim()):
                self._send_each(session, rows)


class SlackWorker(ChannelWorker):
    """One post at a time. The pace is kept in the database, because several processes may post to the one hook."""

    channel = Channel.SLACK

    def __init__(self, clock: Clock, client: Callable[[], HTTPClient]) -> None:
        super().__init__(clock)
        self._client = client

    def _work(self) -> None:
        while self._goes_on():
            now = self._clock()
            settings = SlackSettings.objects.first()
            if settings is None or not settings.posts:
                self._give_up_all("Slack was switched off.")
                return
            summaries.collapse_backlog(now=now)
            if not Delivery.objects.due(self.channel, now).exists():
                return
            if not self._takes_turn(now):
                if not self._waits_for_its_turn(settings, now):
                    return
                continue
            with self._session(settings, now) as session:
                self._send_each(session, self._claim())

    def _session(self, settings: SlackSettings, now: datetime) -> SlackSession:
        assert settings.webhook_url is not None
        return SlackSession(self._client(), url=settings.webhook_url, channel=settings.channel, now=now)

    def _takes_turn(self, now: datetime) -> bool:
        free = Q(next_post_at__isnull=True) | Q(next_post_at__lte=now)
        return bool(SlackSettings.objects.filter(free).update(next_post_at=now + SLACK_PACE))

    def _waits_for_its_turn(self, settings: SlackSettings, now: datetime) -> bool:
        """Wait for the next turn; False where it is too far away to keep a thread for it."""
        pause = (settings.next_post_at or now) - now
        if pause > 2 * SLACK_PACE:
            return False
        self._stopping.wait(max(pause.total_seconds(), SLACK_PACE.total_seconds() / 20))
        return True

    def _hold(self, wait: timedelta | None) -> None:
        super()._hold(wait)
        SlackSettings.objects.update(next_post_at=self._held_until)

    def _sent(self, row: Delivery) -> None:
        super()._sent(row)
        slack_status.record_success(now=self._clock())

    def _failed(self, row: Delivery, error: DeliveryError) -> None:
        super()._failed(row, error)
        slack_status.record_failure(error.reason, for_good=error.permanent, now=self._clock())


class Deliverer:
    """The workers of one process."""

    def __init__(self, *, clock: Clock = timezone.now, client: Callable[[], HTTPClient] = http_client) -> None:
        self._workers: tuple[ChannelWorker, ...] = (EmailWorker(clock), SlackWorker(clock, client))

    def start(self, now: datetime) -> None:
        """Start what is due by now. Returns at once."""
        for worker in self._workers:
            worker.start(now)

    def run_once(self, now: datetime) -> None:
        """Deliver what is due in the calling thread, and return when nothing is left to do now."""
        for worker in self._workers:
            worker.run_once(now)

    def join(self, *, timeout: float) -> bool:
        """Wait until nothing is under way; return whether that came in time."""
        ended = [worker.join(timeout=timeout) for worker in self._workers]
        return all(ended)

    def stop(self, *, timeout: float) -> bool:
        """Give back what has not begun and wait for the rest; return whether all of it ended in time."""
        for worker in self._workers:
            worker.stop(timeout=0)
        return self.join(timeout=timeout)


class FollowingClock:
    """Runs on from the last time it was told: what is due is the database's clock, not the host's."""

    def __init__(self) -> None:
        self._ahead = timedelta(0)

    def __call__(self) -> datetime:
        return timezone.now() + self._ahead

    def follow(self, now: datetime) -> None:
        self._ahead = now - timezone.now()


_clock = FollowingClock()
_deliverer = Deliverer(clock=_clock)


def deliver_due(*, now: datetime) -> None:
    """Start the deliveries that are due, in threads of this process. The leader's chore, each second."""
    _clock.follow(now)
    _deliverer.start(now)


def deliver_now(*, now: datetime) -> None:
    """Deliver what is due in the calling thread: for a process that makes one pass and ends."""
    _clock.follow(now)
    _deliverer.run_once(now)


def stop(*, timeout: float) -> bool:
    """Stop delivering in this process, for good; return whether all under way ended within `timeout` seconds."""
    return _deliverer.stop(timeout=timeout)
