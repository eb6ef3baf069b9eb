"""Asks the database a question without waiting for it too long."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Generic, TypeVar

from django.db import Error, close_old_connections

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


class Probe(Generic[Result]):
    """Asks one question in a thread of its own, and gives up on the answer after a while.

    A database that is away may keep a caller waiting for many seconds (connecting, or for a place in a pool), which is
    exactly when an operator wants to know. Callers at the same time share one question, so a silent database holds one
    thread, however often it is asked about.
    """

    def __init__(self, question: Callable[[], Result]) -> None:
        self._question = question
        self._asked: Future[Result] | None = None
        self._asked_at = 0.0
        self._waiting: SimpleQueue[Future[Result]] = SimpleQueue()
        self._thread: Thread | None = None
        self._lock = Lock()

    def ask(self, *, patience: float) -> Result | None:
        """Return the answer, or None if the database refuses or takes longer than `patience` seconds.

        A caller that comes while an older question is still open waits for the rest of its time only.
        """
        with self._lock:
            if self._asked is None or self._asked.done():
                self._asked, self._asked_at = Future(), time.monotonic()
                self._waiting.put(self._asked)
                self._start()
            asked, give_up_at = self._asked, self._asked_at + patience
        try:
            return asked.result(timeout=max(0.0, give_up_at - time.monotonic()))
        except TimeoutError:
            logger.warning("The database has not answered for %g s.", patience)
        except Error as error:
            logger.warning("The database does not answer: %s", error)
        return None

    def _start(self) -> None:
        # At the first question only: threads do not survive the fork that makes a web worker. A daemon, so that a
        # silent database does not keep the process from ending.
        if self._thread is None:
            self._thread = Thread(target=self._answer_all, name="probe", daemon=True)
            self._thread.start()

    def _answer_all(self) -> None:
        while True:
            self._answer(self._waiting.get())

    def _answer(self, asked: "Future[Result]") -> None:
        # What Django does around each request, this thread has to do by itself.
        close_old_connections()
        try:
            asked.set_result(self._question())
        except Exception as error:  # noqa: BLE001 - raised again where it was asked
            asked.set_exception(error)
        finally:
            close_old_connections()
