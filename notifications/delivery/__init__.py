"""Sends the deliveries that wait in their table. Runs beside the jobs and never changes one.

A delivery is claimed by a conditional UPDATE with a token and a deadline, sent with no transaction open, and recorded
under the same token. So:

- two processes that both believe they lead do not send the same row: only one of the updates finds it waiting;
- a process that stops orderly gives back what it has not begun, so a restart loses and repeats nothing;
- a process that is killed leaves its claims behind; they become due again when their time is over. Of those at most one
  per connection was really being sent, and whether the other side accepted it is unknown. It is sent again: a lost
  alert is worse than one that comes twice, and a mail carries the same Message-ID both times;
- a sender that was frozen beyond its deadline finds its token gone and records nothing.

Failures are retried with growing delay until `give_up_at`; what the other side refuses for good is given up at once,
with its words as the reason. Trouble with the way itself (no connection, a bad login, Slack's 429) holds the whole
channel back for a while instead of trying a thousand rows in turn; when the way is free again, all of them leave. Each
channel has threads of its own, so neither slows the other, and they use the database only for the length of a
statement.

A job gets no more mails within an hour than `NOTIFICATION_MAILS_PER_JOB_HOUR`, teams and jobs take turns (`plan`), and
what waited long becomes one mail for each address and job (`mail_backlog`).
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from django.utils import timezone

from cronsched.http_client import http_client
from cronsched.lib.http import HTTPClient
from notifications.delivery.channel_worker import ChannelWorker, Clock
from notifications.delivery.email_worker import EmailWorker
from notifications.delivery.slack_worker import SlackWorker


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
    """Continues from the last time it was set to: deliveries are due by the database's clock, not the host's."""

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
