"""A TCP proxy between the service and its database's server, which can swallow the answer to a COMMIT.

The process that asked for the commit then has a broken connection and cannot know whether it took place. It did.
"""

import asyncio
import contextlib
import re
import threading
from collections.abc import Coroutine
from typing import Any

# Drivers also say AUTOCOMMIT.
COMMIT = re.compile(rb"(?<![A-Z])COMMIT\b")
PORTION = 64 * 1024


class Proxy:
    """Listens on `port` of `host` and passes on to `upstream`, from its making to `close`.

    `swallowed` counts lost answers.
    """

    def __init__(self, upstream: int, host: str = "127.0.0.1") -> None:
        self.host, self.port = host, 0
        self.swallowed = 0
        self._upstream = upstream
        # So many answers are still to be swallowed.
        self._left = 0
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self.open()

    def open(self) -> None:
        """Take connections."""
        self._wait_for(self._open())

    def shut(self) -> None:
        """Refuse connections, as a host does whose server is not there, and end those that are there."""
        self._wait_for(self._shut())

    def swallow(self, number: int) -> None:
        """Swallow the next answers to a COMMIT, so many; 0 ends it."""
        self._left = number

    def close(self) -> None:
        self.shut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait_for(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _open(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, self.host, self.port, backlog=1024)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _shut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        try:
            await self._talk(reader, writer)
        except (OSError, asyncio.CancelledError):
            # Either side went, or all are to end: the other side sees it by its own connection.
            pass
        finally:
            self._talks.discard(task)
            writer.transport.abort()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._upstream)
        # Set when the answer that comes next is one to a COMMIT that is to be lost.
        doomed = asyncio.Event()

        async def ask() -> None:
            while part := await reader.read(PORTION):
                if self._left > 0 and COMMIT.search(part):
                    self._left -= 1
                    doomed.set()
                back.write(part)
                await back.drain()

        async def answer() -> None:
            while part := await there.read(PORTION):
                if doomed.is_set():
                    self.swallowed += 1
                    return
                writer.write(part)
                await writer.drain()

        sides = [asyncio.ensure_future(ask()), asyncio.ensure_future(answer())]
        try:
            await asyncio.wait(sides, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for side in sides:
                side.cancel()
            await asyncio.gather(*sides, return_exceptions=True)
            with contextlib.suppress(OSError):
                back.transport.abort()
