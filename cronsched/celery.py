"""The Celery application, for `EXECUTION_BACKEND=celery`: `celery -A cronsched worker --pool=threads`.

A message wakes a worker and names executions, no more. So there are no results, no ETA and no long tasks, and a message
that is lost, doubled or old costs nothing: the rows are the truth (docs/scaling.md).
"""

import logging
import os
from contextlib import suppress
from typing import Any

from celery import Celery
from celery.signals import setup_logging
from celery.worker.consumer import Consumer

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cronsched.settings")

from django.conf import settings

from cronsched.lib.clock import uptime

logger = logging.getLogger(__name__)

TASK = "cronsched.start"
# A broker that does not answer within so many seconds is taken for away.
ANSWER_SECONDS = 2
SAY_AGAIN_SECONDS = 60.0
# For the process that publishes. A worker waits for messages as long as it takes.
PUBLISHING = {
    "redis": {"socket_timeout": ANSWER_SECONDS, "socket_connect_timeout": ANSWER_SECONDS, "max_retries": 0},
    "amqp": {"confirm_publish": True, "read_timeout": ANSWER_SECONDS, "write_timeout": ANSWER_SECONDS},
}


class Dropped:
    """Logs messages that are not ours and were dropped: a line a minute, however many there are."""

    def __init__(self) -> None:
        self._number = 0
        self._said_at = float("-inf")

    def note(self, reason: object) -> None:
        self._number += 1
        if uptime() - self._said_at < SAY_AGAIN_SECONDS:
            return
        self._said_at = uptime()
        logger.warning(
            "Messages in the queue %s are not for this service and were dropped, %d so far: %s. Give it a queue of its"
            " own (CELERY_QUEUE), or a database or virtual host of the broker (CELERY_BROKER_URL)",
            settings.CELERY_QUEUE,
            self._number,
            reason,
        )


dropped = Dropped()


class QuickQuietConsumer(Consumer):
    """Acknowledges at once, and drops what is no task of ours without a page of log for each.

    Celery's loop sleeps for up to a second after a thread has ended a task, before it acknowledges the message and so
    gets the next; it is woken up.
    """

    _wakeup: tuple[int, int] | None = None

    def register_with_event_loop(self, hub: Any) -> None:
        super().register_with_event_loop(hub)
        if self._wakeup is None:
            self._wakeup = os.pipe()
            for end in self._wakeup:
                os.set_blocking(end, False)
        hub.add_reader(self._wakeup[0], os.read, self._wakeup[0], 4096)

    def call_soon_ack(self, *arguments: Any, **more: Any) -> Any:
        called = super().call_soon_ack(*arguments, **more)
        if self._wakeup is not None:
            # A pipe that is full wakes it, too.
            with suppress(BlockingIOError):
                os.write(self._wakeup[1], b"!")
        return called

    def on_unknown_message(self, body: Any, message: Any) -> None:
        self._drop(message, "it is no task")

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        self._drop(message, f"there is no task {exc}")

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        self._drop(message, exc)

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        self._drop(message, exc)

    def _drop(self, message: Any, reason: object) -> None:
        # Where the connection is gone the message comes again.
        with suppress(*self.connection_errors):
            message.ack()
        dropped.note(reason)


class Publisher:
    """Sends messages on a connection of its own. Raises what the broker's client raises."""

    def __init__(self) -> None:
        self._connection: Any = None

    def __call__(self, message: dict[str, Any]) -> None:
        if self._connection is not None:
            # It may have gone since the last message; then another is made.
            try:
                self._send(message)
            except Exception:
                logger.debug("The connection to the broker is gone", exc_info=True)
                self.close()
            else:
                return
        scheme = settings.CELERY_BROKER_URL.partition(":")[0]
        options = PUBLISHING["amqp" if scheme.startswith("amqp") else "redis"]
        self._connection = app.connection_for_write(
            settings.CELERY_BROKER_URL, connect_timeout=ANSWER_SECONDS, transport_options=options
        )
        try:
            self._send(message)
        except Exception:
            self.close()
            raise

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*connection.connection_errors):
                connection.release()

    def _send(self, message: dict[str, Any]) -> None:
        app.send_task(
            TASK, (message,), queue=settings.CELERY_QUEUE, connection=self._connection, retry=False, ignore_result=True
        )


app = Celery("cronsched", set_as_current=False)
app.conf.update(
    broker_url=settings.CELERY_BROKER_URL or "memory://",
    broker_connection_timeout=ANSWER_SECONDS,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    include=["jobs.scheduler.worker"],
    accept_content=["json"],
    task_default_queue=settings.CELERY_QUEUE,
    # The rows are published again, so that no message has to survive its broker.
    task_default_delivery_mode="transient",
    task_ignore_result=True,
    task_acks_late=True,
    worker_concurrency=2,
    worker_prefetch_multiplier=1,
    worker_consumer="cronsched.celery:QuickQuietConsumer",
)


@setup_logging.connect
def _leave_logging_as_it_is(**_: Any) -> None:
    """Keep Celery from setting up the log anew: Django has, by `LOGGING`."""
