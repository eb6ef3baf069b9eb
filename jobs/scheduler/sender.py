"""One process's part in sending: what claims, sends and records, under a token of its own."""

import logging
from collections.abc import Callable
from uuid import uuid4

from django.conf import settings

from cronsched.lib.clock import DatabaseClock, uptime
from jobs.dispatch import Result
from jobs.scheduler.feed import Feeder
from jobs.scheduler.record import Recorder
from jobs.scheduler.send import Lanes, SendPool
from jobs.scheduler.turns import Turn

logger = logging.getLogger(__name__)

# What is left of the drain time for writing results down and closing.
CLOSING_SECONDS = 5.0


class Sender:
    """Takes what is due, sends it and writes down what came of it.

    `processes` share the limits of one scheduler. `call_help` is called where more is due than one batch.
    """

    def __init__(self, turn: Turn, *, processes: int = 1, call_help: Callable[[], None] = lambda: None) -> None:
        token = uuid4()
        self.clock = DatabaseClock()
        self._lanes = Lanes(settings.PER_HOST_IN_FLIGHT // processes)
        self._pool = SendPool(limit=settings.MAX_IN_FLIGHT // processes, clock=self.clock.now, done=self._done)
        self._feeder = Feeder(
            self._pool, self._lanes, clock=self.clock.now, sender=token, turn=turn, call_help=call_help
        )
        self._recorder = Recorder(sender=token, clock=self.clock.now, is_busy=lambda: self._feeder.is_busy, turn=turn)

    def start(self) -> None:
        """Begin to write down what comes back; before the first pass."""
        self._recorder.start()

    def run_pass(self, may_act: Callable[[], bool]) -> None:
        """Send what is due, until nothing is left or `may_act` says no. Raises the database's error."""
        self._feeder.run_pass(may_act)

    def drain(self, *, timeout: float) -> None:
        """Let requests in flight finish and be recorded, for as long as `timeout` seconds allow."""
        ends_at = uptime() + timeout
        self._feeder.wait_for_end(timeout=timeout)
        if not self._pool.wait_for_all(timeout=max(0.0, ends_at - uptime())):
            logger.warning("%d requests are still out after the drain time", self._pool.in_flight)
        if not self._recorder.flush(timeout=max(CLOSING_SECONDS, ends_at - uptime())):
            logger.error("%d results could not be written before the end", self._recorder.pending)
        self._recorder.close()

    def _done(self, result: Result) -> None:
        self._lanes.leave(result.prepared.execution_id)
        self._recorder.put(result)
