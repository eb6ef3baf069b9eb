"""Slack: one post at a time, and many that wait become one."""

from collections.abc import Callable
from datetime import datetime, timedelta

from django.db.models import Q

from cronsched.lib.http import HTTPClient
from notifications import slack_status
from notifications.channels.base import DeliveryError
from notifications.channels.slack import SlackSession
from notifications.delivery import slack_backlog
from notifications.delivery.channel_worker import ChannelWorker, Clock
from notifications.models import Channel, Delivery, SlackSettings

# Slack takes one post a second for each hook.
SLACK_PACE = timedelta(seconds=1)


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
            slack_backlog.collapse_backlog(now=now)
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
