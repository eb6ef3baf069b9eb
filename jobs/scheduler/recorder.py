"""The thread that writes results down, in batches.

A result waits a little for others: during a herd, writing at once would take time from the sending, and a batch costs
little more than a row. What a dead process has not written is in its journal; still no result waits longer than some
seconds, because people look at rows. While the database is away, results are kept and tried again for 15 minutes; the
journal holds them for the next process of this host.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from django.db import connection

from cronsched.lib.clock import uptime
from cronsched.lib.db.outages import KEEP_SECONDS, RETRY_SECONDS, UNREACHABLE, first_line
from jobs.dispatch import Result, record_each
from jobs.dispatch.journal import Journal
from jobs.scheduler.write_lock import WriteLock

logger = logging.getLogger(__name__)

BATCH = 500
# Seconds a result waits for others: while nothing else is being sent, and during a herd.
QUIET_WAIT_SECONDS = 0.05
BUSY_WAIT_SECONDS = 3.0


class Recorder:
    """Takes results from any thread and writes them from its own. `is_busy` says whether more are expected soon."""

    def __init__(
        self,
        *,
        sender: UUID,
        clock: Callable[[], datetime],
        is_busy: Callable[[], bool],
        lock: WriteLock,
        journal: Journal,
    ) -> None:
        self._sender = sender
        self._clock = clock
        self._lock = lock
        self._journal = journal
        self._is_busy = is_busy
        self._results: deque[tuple[float, Result]] = deque()
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._hurry = False
        self._thread = threading.Thread(target=self._run, name="record", daemon=True)

    @property
    def pending(self) -> int:
        """Results that are not written yet."""
        return len(self._results)

    def start(self) -> None:
        self._thread.start()

    def put(self, result: Result) -> None:
        with self._changed:
            self._results.append((uptime(), result))
            # Under the lock: of two results that meet an empty queue exactly one must see that it is the first.
            if len(self._results) == 1:
                self._changed.notify_all()

    def flush(self, *, timeout: float) -> bool:
        """Write without waiting for more results; False where some are left after `timeout` seconds."""
        with self._changed:
            self._hurry = True
            self._changed.notify_all()
        return self.wait_until_written(timeout=timeout)

    def wait_until_written(self, *, timeout: float) -> bool:
        """Wait until no result is pending; False where one still is after `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._results, timeout)

    def close(self) -> None:
        """End the thread after the batch it is in."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wait_for_batch()
            if self._results:
                self._write_batch()
            connection.close_if_unusable_or_obsolete()
        connection.close()

    def _wait_for_batch(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._results or self._closing.is_set())
            while not (self._hurry or self._closing.is_set()):
                oldest_at, _ = self._results[0]
                patience = BUSY_WAIT_SECONDS if self._is_busy() else QUIET_WAIT_SECONDS
                remaining = oldest_at + patience - uptime()
                if remaining <= 0:
                    return
                self._changed.wait(min(remaining, QUIET_WAIT_SECONDS))

    def _write_batch(self) -> None:
        """Write the oldest results. They leave the queue only when they are written or given up."""
        batch = [self._results[index] for index in range(min(BATCH, len(self._results)))]
        try:
            with self._lock:
                record_each([result for _, result in batch], sender=self._sender, now=self._clock())
        except UNREACHABLE as error:
            connection.close()
            self._keep(error)
            return
        self._journal.settled(result.prepared.execution_id for _, result in batch)
        self._drop(len(batch))

    def _keep(self, error: Exception) -> None:
        """Keep the results for another try; those that are too old are given up."""
        too_old = uptime() - KEEP_SECONDS
        # Other threads only append, so the front of the queue does not change.
        lost = 0
        while lost < len(self._results) and self._results[lost][0] < too_old:
            lost += 1
        if lost:
            logger.error("Gave up %d results that could not be written for %d minutes", lost, KEEP_SECONDS // 60)
            self._drop(lost)
        logger.warning("%d results wait for the database: %s", len(self._results), first_line(error))
        self._closing.wait(RETRY_SECONDS)

    def _drop(self, number: int) -> None:
        for _ in range(number):
            self._results.popleft()
        with self._changed:
            if not self._results:
                self._hurry = False
                self._changed.notify_all()
