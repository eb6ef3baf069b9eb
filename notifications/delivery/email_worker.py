"""Mail: several connections at once, fair to teams and jobs, at the pace that was set."""

import threading
from datetime import datetime, timedelta
from time import monotonic
from uuid import UUID

from django.conf import settings

from notifications.channels.email import MailSession
from notifications.delivery.channel_worker import ChannelWorker, Clock
from notifications.delivery.plan import MailPlan
from notifications.models import Channel
from notifications.services import mail_is_configured

MAIL_THREADS = 3
# Small, so that a mail that comes now waits for few that are claimed already.
MAIL_PORTION = 10
# A mail server that is back is noticed within 15 s: this, a quarter of it, and the leader's next second.
LONGEST_MAIL_HOLD = timedelta(seconds=8)


class EmailWorker(ChannelWorker):
    channel = Channel.EMAIL
    width = MAIL_THREADS
    portion = MAIL_PORTION
    longest_hold = LONGEST_MAIL_HOLD

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._plan = MailPlan()
        self._rate = SendRate()

    def _work(self) -> None:
        if not mail_is_configured():
            self._give_up_all("Mail was switched off.")
            return
        with MailSession() as session:
            while self._goes_on() and (rows := self._claim()):
                self._send_each(session, rows)

    def _next_due(self, now: datetime) -> list[UUID]:
        return self._plan.take(self.portion, now=now)

    def _before_each(self) -> None:
        self._rate.wait(self._stopping)


class SendRate:
    """Spaces the mails of one process out to `NOTIFICATION_MAILS_PER_SECOND`, whichever thread sends them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next_at = 0.0

    def wait(self, stopping: threading.Event) -> None:
        """Return when the next mail may leave, or when `stopping` is set."""
        if not settings.NOTIFICATION_MAILS_PER_SECOND:
            return
        with self._lock:
            now = monotonic()
            at = max(now, self._next_at)
            self._next_at = at + 1 / settings.NOTIFICATION_MAILS_PER_SECOND
        if at > now:
            stopping.wait(at - now)
