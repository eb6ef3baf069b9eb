"""Takes a request to its result: a vetted address, a libcurl handle."""

import heapq
import itertools
import logging
import time
from collections.abc import Callable
from functools import partial

from cronsched.lib.http.addresses import Address, Category
from cronsched.lib.http.delays import LoopDelay
from cronsched.lib.http.errors import Kind, RequestError, TargetRefused
from cronsched.lib.http.failures import timed_out
from cronsched.lib.http.kept import KeptConnections
from cronsched.lib.http.loop import CurlLoop
from cronsched.lib.http.messages import Response
from cronsched.lib.http.resolver import Addresses, Resolver
from cronsched.lib.http.transfer import Call, Transfer

logger = logging.getLogger(__name__)

# Handles that are kept for the next requests.
KEPT_HANDLES = 256
# How many targets are remembered that give up idle connections as soon as we do.
REMEMBERED_ORIGINS = 4096


class Dispatcher:
    """Everything about the requests of one loop. All of it happens in the loop's thread, but for `hand_over`."""

    def __init__(
        self,
        *,
        resolver: Resolver,
        refusal: Callable[[Address], Category | None],
        ca_file: str,
        idle_connections: int,
        delay: LoopDelay,
    ) -> None:
        self._resolver = resolver
        self._refusal = refusal
        self._ca_file = ca_file
        self._kept = KeptConnections()
        self._free: list[Transfer] = []
        self._active: set[Transfer] = set()
        # Calls that wait for an address, by when they stop waiting.
        self._timers: list[tuple[float, int, Call]] = []
        self._numbers = itertools.count()
        self._closing_soon: dict[str, None] = {}
        self._calls: set[Call] = set()
        self._handed_over = self._answered = 0
        self._ends_at: float | None = None
        self._loop = CurlLoop(finished=self._finished, idle_connections=idle_connections, delay=delay)
        self._loop.run(self._look_at_timers)

    @property
    def is_own_thread(self) -> bool:
        return self._loop.is_own_thread

    @property
    def in_flight(self) -> int:
        return self._handed_over - self._answered

    def hand_over(self, call: Call, error: RequestError | None = None) -> None:
        """Take on a call, or answer it with an `error` at once. One thread at a time."""
        self._handed_over += 1
        self._loop.call(partial(self._begin, call) if error is None else partial(self._answer, call, error))

    def close(self, timeout: float) -> None:
        """End the thread when nothing is in flight, after `timeout` seconds at the latest."""
        self._loop.call(partial(self._end_by, time.monotonic() + timeout))
        if not self.is_own_thread:
            self._loop.join()

    # --- An address

    def _begin(self, call: Call) -> None:
        self._calls.add(call)
        now = time.monotonic()
        call.start(now)
        server = call.location.server
        if call.ends_at <= now:
            self._answer(call, timed_out(call, "connecting"))
        elif server.literal is not None:
            self._connect(call, (server.literal,))
        else:
            found = partial(self._found, call)
            addresses = self._resolver.ask(server.host, until=call.ends_at, found=found)
            if addresses is None:
                heapq.heappush(self._timers, (call.ends_at, next(self._numbers), call))
            else:
                self._connect(call, addresses)

    def _found(self, call: Call, addresses: Addresses) -> None:
        """In a thread of the resolver."""
        self._loop.call(partial(self._connect, call, addresses))

    def _connect(self, call: Call, addresses: Addresses) -> None:
        if call.is_over:
            return
        call.is_connecting = True
        if not addresses:
            self._answer(call, RequestError(Kind.NOT_RESOLVED, "host name could not be resolved"))
        elif call.request.vet and (category := self._refused(addresses)):
            self._answer(call, TargetRefused(category))
        else:
            self._send(call, addresses)

    def _refused(self, addresses: Addresses) -> Category | None:
        """One bad address condemns the name: no honest one mixes public and inner addresses."""
        return next(filter(None, map(self._refusal, addresses)), None)

    # --- A handle

    def _send(self, call: Call, addresses: Addresses, *, fresh: bool = False) -> None:
        transfer = self._free.pop() if self._free else Transfer(ca_file=self._ca_file, kept=self._kept)
        keep = not call.is_probe and call.location.server.origin not in self._closing_soon
        transfer.prepare(call, addresses, fresh=fresh or not keep, keep=keep)
        self._active.add(transfer)
        self._loop.start(transfer)

    def _finished(self, transfer: Transfer, code: int, message: str) -> None:
        call, addresses = transfer.call, transfer.addresses
        assert call is not None
        result = None if transfer.is_stale else transfer.result(code, message)
        is_lost = transfer.is_on_kept_connection and isinstance(result, RequestError) and result.kind is Kind.LOST
        if transfer.is_stale or transfer.answer.closes_soon or is_lost:
            self._remember_closing(call.location.server.origin)
        self._put_back(transfer)
        if result is None:
            # Nothing has left yet.
            self._send(call, addresses, fresh=True)
        else:
            self._answer(call, result)

    def _remember_closing(self, origin: str) -> None:
        """From now on each request to `origin` has a connection of its own."""
        self._closing_soon[origin] = None
        if len(self._closing_soon) > REMEMBERED_ORIGINS:
            del self._closing_soon[next(iter(self._closing_soon))]

    def _put_back(self, transfer: Transfer) -> None:
        self._active.discard(transfer)
        is_probe = transfer.call is not None and transfer.call.is_probe
        transfer.release()
        if is_probe or len(self._free) >= KEPT_HANDLES:
            transfer.close()
        else:
            self._free.append(transfer)

    # --- The end

    def _answer(self, call: Call, result: Response | RequestError) -> None:
        call.is_over = True
        self._calls.discard(call)
        self._answered += 1
        try:
            call.done(result)
        except Exception:
            logger.exception("The result of a request was not taken")

    def _look_at_timers(self, now: float) -> float | None:
        """Let go of what has waited long enough for an address; return when there is something to do next."""
        while self._timers and (self._timers[0][0] <= now or self._timers[0][2].is_connecting):
            _, _, call = heapq.heappop(self._timers)
            if not (call.is_connecting or call.is_over):
                self._answer(call, timed_out(call, "resolving the host name"))
        if self._ends_at is not None and (not self._calls or self._ends_at <= now):
            self._break_off()
            return now
        moments = [self._timers[0][0]] if self._timers else []
        return min([*moments, *([self._ends_at] if self._ends_at is not None else [])], default=None)

    def _end_by(self, at: float) -> None:
        self._ends_at = at

    def _break_off(self) -> None:
        self._loop.end()
        for transfer in list(self._active):
            self._loop.drop(transfer)
            call, has_left = transfer.call, transfer.has_left
            self._put_back(transfer)
            if call is not None:
                self._stop(call, request_sent=has_left)
        for call in list(self._calls):
            self._stop(call, request_sent=False)
        for transfer in self._free:
            transfer.close()

    def _stop(self, call: Call, *, request_sent: bool) -> None:
        reason = "the service was stopped before the answer came"
        self._answer(call, RequestError(Kind.STOPPED, reason, request_sent=request_sent))
