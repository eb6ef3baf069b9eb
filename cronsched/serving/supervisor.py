"""The first process of the web service: it forks the ones that serve, replaces those that die, and ends them."""

import logging
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

from django.db import connections

logger = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
SIGNALS = (*STOP_SIGNALS, signal.SIGQUIT, signal.SIGCHLD)
# A process that dies is replaced at once. Where its successor dies soon after its start, the next one begins after a
# second, the one after it after two, and so on up to a minute.
SOON_SECONDS = 60.0
LONGEST_DELAY_SECONDS = 60.0
# A process whose main loop stands still for this long is replaced.
SILENCE_SECONDS = 60.0
# What a process gets beyond the time that requests in flight get.
GRACE_SECONDS = 5.0
FORK_AGAIN_SECONDS = 1.0
LOOK_SECONDS = 1.0
MANY_BEATS = 4096


@dataclass
class Slot:
    """One place for a serving process, and the process that has it."""

    number: int
    pid: int = 0
    pipe: int = -1
    began_at: float = 0.0
    heard_at: float = 0.0
    quick_exits: int = 0
    start_at: float = 0.0

    def exited(self, now: float) -> None:
        """Decide when the next process begins."""
        self.quick_exits = self.quick_exits + 1 if now - self.began_at < SOON_SECONDS else 1
        delay = min(2.0 ** (self.quick_exits - 2), LONGEST_DELAY_SECONDS) if self.quick_exits > 1 else 0.0
        os.close(self.pipe)
        self.pid, self.pipe, self.start_at = 0, -1, now + delay


class Supervisor:
    """Keeps `processes` processes that run `serve`, which gets this process's id and a pipe for its heartbeat.

    All of them listen to `listener`, which is closed when the end is asked for.
    """

    def __init__(
        self, processes: int, serve: Callable[[int, int], None], *, listener: socket.socket, drain_seconds: float
    ) -> None:
        self._slots = [Slot(number) for number in range(1, processes + 1)]
        self._serve = serve
        self._listener = listener
        self._drain_seconds = drain_seconds
        self._wakeup: tuple[int, int] = (-1, -1)

    def run(self) -> int:
        """Supervise until a signal asks for the end; return the exit code. The process must have no other thread."""
        with self._signals():
            while True:
                self._start_due()
                if asked := self._wait():
                    return self._stop(asked)
                self._reap()
                self._end_silent()

    def _stop(self, asked: set[int]) -> int:
        """End all processes: in their time, or at once where SIGQUIT or a second signal asks for it."""
        # As long as one process has it open, the system accepts connections that no process will serve.
        self._listener.close()
        if signal.SIGQUIT in asked:
            return self._kill(signal.SIGQUIT)
        self._send_all(signal.SIGTERM)
        ends_at = time.monotonic() + self._drain_seconds + GRACE_SECONDS
        while running := self._running():
            if again := self._wait():
                return self._kill(min(again))
            if time.monotonic() >= ends_at:
                logger.error("%d web process(es) did not end in time and are killed", len(running))
                self._kill(0)
            self._reap(expected=True)
        return 0

    def _kill(self, number: int) -> int:
        """End all processes at once; return the exit code of an end by the signal `number`."""
        self._send_all(signal.SIGKILL)
        for slot in self._running():
            os.waitpid(slot.pid, 0)
            slot.exited(time.monotonic())
        return 128 + number

    # --- Processes ---------------------------------------------------------------------------------------------------

    def _running(self) -> list[Slot]:
        return [slot for slot in self._slots if slot.pid]

    def _send_all(self, number: int) -> None:
        for slot in self._running():
            os.kill(slot.pid, number)

    def _start_due(self) -> None:
        now = time.monotonic()
        for slot in self._slots:
            if not slot.pid and slot.start_at <= now:
                self._start(slot, now)

    def _start(self, slot: Slot, now: float) -> None:
        # What cannot be shared with another process.
        connections.close_all()
        parent, (pipe, told) = os.getpid(), os.pipe()
        os.set_blocking(told, False)
        # A signal between the fork and the new process's own handlers would be written to this one's pipe.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            if (pid := os.fork()) == 0:
                os.close(pipe)
                self._work(parent, told)
            slot.pid, slot.pipe, slot.began_at, slot.heard_at = pid, pipe, now, now
        except OSError as error:
            logger.error("No web process could be started: %s", error)
            os.close(pipe)
            slot.start_at = now + FORK_AGAIN_SECONDS
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            os.close(told)

    def _work(self, parent: int, told: int) -> NoReturn:
        """Do what the new process is for, and end it."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for end in (*self._wakeup, *(slot.pipe for slot in self._running())):
                os.close(end)
            for number in SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            self._serve(parent, told)
            code = 0
        except BaseException:
            logger.exception("A web process failed")
        finally:
            logging.shutdown()
            # Ends threads that still run, and skips what Python would do at exit for all it has loaded.
            os._exit(code)

    def _reap(self, *, expected: bool = False) -> None:
        for slot in self._running():
            pid, status = os.waitpid(slot.pid, os.WNOHANG)
            if not pid:
                continue
            now = time.monotonic()
            slot.exited(now)
            if not expected:
                reason, delay = os.waitstatus_to_exitcode(status), slot.start_at - now
                logger.error("Web process %d ended (%d); the next one begins in %.0f s", pid, reason, delay)

    def _end_silent(self) -> None:
        now = time.monotonic()
        for slot in self._running():
            if now - slot.heard_at > SILENCE_SECONDS:
                logger.error("Web process %d has stood still for %.0f s and is killed", slot.pid, SILENCE_SECONDS)
                os.kill(slot.pid, signal.SIGKILL)
                # On a busy machine it takes a while to end, and is told once.
                slot.heard_at = now

    # --- Signals -----------------------------------------------------------------------------------------------------

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Write signals to a pipe that `_wait` reads, for the time of the block."""
        self._wakeup = os.pipe()
        for end in self._wakeup:
            os.set_blocking(end, False)
        handlers = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
        before = signal.set_wakeup_fd(self._wakeup[1], warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            for end in self._wakeup:
                os.close(end)

    def _wait(self) -> set[int]:
        """Wait for a moment, read the heartbeats, and return the signals that ask for the end."""
        by_pipe = {slot.pipe: slot for slot in self._running()}
        ready, _, _ = select.select([self._wakeup[0], *by_pipe], [], [], LOOK_SECONDS)
        for slot in (by_pipe[pipe] for pipe in ready if pipe in by_pipe):
            if os.read(slot.pipe, MANY_BEATS):
                slot.heard_at = time.monotonic()
        told = os.read(self._wakeup[0], MANY_BEATS) if self._wakeup[0] in ready else b""
        return {*told} & {*STOP_SIGNALS, signal.SIGQUIT}
