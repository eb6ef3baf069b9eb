"""Sending by Celery's workers: the leader publishes which rows it has committed as `queued`, and workers start them.

A worker that gets a message starts the rows as any sender does. So nothing depends on the broker: rows that no worker
has started after 3 s are published again, and after 10 s the leader sends them itself. While the broker is away, or no
worker lives, it does so at once.
"""

import hashlib
import hmac
import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from queue import Empty, Queue
from threading import Thread
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Q

from cronsched.lib.clock import uptime
from cronsched.lib.db.outages import first_line
from jobs.models import (
    SENDER_DEAD_AFTER,
    ExecutionQuerySet,
    ExecutionType,
    JobExecution,
    Overlap,
    Sender,
    SenderKind,
    TriggerType,
)
from jobs.schedule.scheduled_job import ScheduledJob
from jobs.scheduler.backends import SendBackend
from jobs.scheduler.backends.waiting import Waiting

logger = logging.getLogger(__name__)

VERSION = 1
IDS_A_MESSAGE = 250
DISPATCH = ExecutionType.GITHUB_ACTIONS
REPUBLISH_AFTER = timedelta(seconds=3)
LEADER_SENDS_AFTER = timedelta(seconds=10)
# Seconds between two empty messages that check whether the broker is there, and for its answer.
PROBE_SECONDS = 3.0
PATIENCE_SECONDS = 1.0
HANGS = "it does not answer"
NO_WORKER = "No Celery worker shows itself: this process sends what is due. Start one, or set EXECUTION_BACKEND=local"

Publish = Callable[[dict[str, Any]], None]


class NotForUs(ValueError):
    """The message is damaged, of another installation or of another version."""


def installation() -> str:
    """Return what tells this installation's messages from another's. It is no secret."""
    key = settings.SECRET_KEY.encode()
    return hmac.new(key, b"cronsched: installation of a message", hashlib.sha256).hexdigest()[:16]


def pack(ids: Sequence[UUID]) -> dict[str, Any]:
    return {"version": VERSION, "installation": installation(), "ids": [key.hex for key in ids]}


def unpack(message: Any) -> list[UUID]:
    """Return the executions that a message names. Raises `NotForUs`."""
    if not isinstance(message, dict):
        raise NotForUs("they are damaged")
    if message.get("version") != VERSION:
        raise NotForUs(f"they are of version {message.get('version')!r}, and this release reads {VERSION}")
    if message.get("installation") != installation():
        raise NotForUs("another installation, or this one under another SECRET_KEY, publishes in this queue")
    try:
        return [UUID(hex=key) for key in message["ids"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NotForUs("they are damaged") from error


class Outbox:
    """Publishes from a thread of its own, so that a broker that hangs does not delay claims."""

    def __init__(self, publish: Publish) -> None:
        self._publish = publish
        self._ids: Queue[Sequence[UUID] | None] = Queue()
        self._error = ""
        self._began: float | None = None
        self._thread: Thread | None = None

    @property
    def trouble(self) -> str:
        """What is wrong with the broker; blank while it takes messages."""
        began = self._began
        return HANGS if began is not None and uptime() - began > PATIENCE_SECONDS else self._error

    def put(self, ids: Sequence[UUID]) -> None:
        for start in range(0, len(ids), IDS_A_MESSAGE):
            self._ids.put(ids[start : start + IDS_A_MESSAGE])

    def start(self) -> None:
        if self._thread is None:
            # To be connected before there is anything to say.
            self._ids.put([])
            self._thread = Thread(target=self._run, name="publish", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Publish nothing more."""
        self._ids.put(None)
        if self._thread is not None:
            self._thread.join(PATIENCE_SECONDS)

    def _run(self) -> None:
        while True:
            try:
                ids = self._ids.get(timeout=PROBE_SECONDS)
            except Empty:
                # Nothing to publish: check whether the broker is there.
                self._ids.put([])
                continue
            if ids is None:
                return
            self._began = uptime()
            try:
                self._publish(pack(ids))
            except Exception as error:  # noqa: BLE001 - whatever it is, the leader sends, and says why
                self._error = first_line(error) or type(error).__name__
            else:
                self._error = ""
            self._began = None
            self._ids.task_done()


def workers() -> "CeleryBackend":
    """Return the backend on the broker of the settings. Celery is an extra, and known to this process from here on."""
    from cronsched.celery import Publisher

    return CeleryBackend(Publisher())


class CeleryBackend(SendBackend):
    """Has Celery's workers send what the leader has claimed, as long as there are any and the broker takes messages."""

    def __init__(self, publish: Publish) -> None:
        self._outbox = Outbox(publish)
        self._has_workers = True
        # When each row that waits is published again.
        self._again: dict[UUID, float] = {}
        self._late: list[UUID] = []
        self._said = ""
        self._is_behind = False

    @property
    def trouble(self) -> str:
        """Why the leader sends itself; blank while workers send."""
        if broker := self._outbox.trouble:
            return f"The broker cannot be used, this process sends what is due: {broker}"
        return "" if self._has_workers else NO_WORKER

    def look(self, now: datetime) -> None:
        """Count the living workers, and log changes."""
        self._outbox.start()
        self._has_workers = Sender.objects.filter(kind=SenderKind.CELERY, seen_at__gte=now - SENDER_DEAD_AFTER).exists()
        trouble = self.trouble
        # The errors of an absent broker differ from one attempt to the next; one line of the log is enough.
        kind = NO_WORKER if trouble == NO_WORKER else trouble and "broker"
        if kind != self._said:
            logger.warning("%s", trouble) if trouble else logger.info("Celery's workers send again")
            self._said = kind

    def drain(self, *, timeout: float) -> None:
        """End; what was not published stays queued, for the next leader."""
        self._outbox.close()

    def takes(self, job: ScheduledJob) -> bool:
        """Whether workers may send runs of `job`. Dispatches leave about once a second, and stay with the leader."""
        return not (self.trouble or job.is_github)

    def offer(self, execution_ids: Sequence[UUID]) -> bool:
        """Have workers start these rows, which are committed as `queued`; True: their places are not known here."""
        again = uptime() + REPUBLISH_AFTER.total_seconds()
        self._again.update(dict.fromkeys(execution_ids, again))
        self._outbox.put(execution_ids)
        return True

    def left_to_leader(self) -> ExecutionQuerySet:
        """Return the executions that the leader sends itself: dispatches, and all while workers cannot send."""
        return JobExecution.objects.all() if self.trouble else JobExecution.objects.filter(execution_type=DISPATCH)

    def not_just_offered(self, now: datetime) -> ExecutionQuerySet:
        """Return the others without those that a claim has published a moment ago: a herd's are not read again.

        A run that queues behind others of its job is not published with its claim; nor is what is no fire time.
        """
        if self.trouble:
            return JobExecution.objects.none()
        just_claimed = Q(queued_at__gt=now - REPUBLISH_AFTER, not_before=None, trigger_type=TriggerType.SCHEDULED)
        others = JobExecution.objects.exclude(execution_type=DISPATCH)
        return others.exclude(just_claimed & ~Q(job__overlap=Overlap.QUEUE))

    def has(self, row: Waiting, now: datetime) -> bool:
        """Whether a row that waits is left to the workers; it is offered where it never was, or too long ago."""
        age = now - max(row.queued_at, row.not_before or row.queued_at)
        if self.trouble or age > LEADER_SENDS_AFTER:
            return False
        self._is_behind = self._is_behind or age > REPUBLISH_AFTER
        if self._again.get(row.id, 0.0) <= uptime():
            self._late.append(row.id)
        return True

    def offer_late(self) -> bool:
        """Publish what `has` found since, and say whether rows wait that no worker has started in time."""
        late, self._late = self._late, []
        behind, self._is_behind = self._is_behind, False
        at = uptime()
        self._again = {key: again for key, again in self._again.items() if again > at}
        if late:
            self.offer(late)
        return behind
