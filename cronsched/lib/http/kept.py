"""Connections that are kept: whether one can still be used.

libcurl checks a kept connection at most once a second. With a target that closes each connection after its answer,
every request of a herd would be written into a closed one, and it would be unknown whether it was read.
"""

import os
import select
import socket
from collections.abc import Sequence

# Remote address, local address, remote port, local port.
Ends = tuple[str, str, int, int]
# What is forgotten is not used again.
MAX_REMEMBERED = 8192


class KeptConnections:
    """Knows the sockets of connections by their ends, which is what libcurl tells when it uses one again."""

    def __init__(self) -> None:
        self._polls: dict[Ends, select.poll] = {}

    def remember(self, ends: Ends, opened: Sequence[int]) -> None:
        """Note which of the sockets just opened has become a connection."""
        found = opened if len(opened) == 1 else [fd for fd in opened if _ends_of(fd) == ends]
        self._polls.pop(ends, None)
        for fd in found:
            self._polls[ends] = poll = select.poll()
            poll.register(fd, select.POLLIN)
        if len(self._polls) > MAX_REMEMBERED:
            del self._polls[next(iter(self._polls))]

    def is_usable(self, ends: Ends) -> bool:
        """Whether the target has neither closed it nor sent anything unasked."""
        poll = self._polls.get(ends)
        return poll is not None and not poll.poll(0)


def _ends_of(fd: int) -> Ends | None:
    """Return the ends of a socket, None for one that is closed or not connected."""
    try:
        with socket.socket(fileno=os.dup(fd)) as sock:
            remote, local = sock.getpeername(), sock.getsockname()
    except OSError:
        return None
    return remote[0], local[0], remote[1], local[1]
