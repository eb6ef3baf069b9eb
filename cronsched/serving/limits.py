"""Limits of what one client may use of the web process."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address

from cronsched.lib.addresses import is_within

KILOBYTE = 1024
MEGABYTE = 1024 * KILOBYTE

# The first line of a request and its whole head.
MAX_REQUEST_LINE = 4094
MAX_HEAD_BYTES = 16 * KILOBYTE
# Longer bodies are kept in a file while they arrive.
BODY_IN_MEMORY_BYTES = 32 * KILOBYTE
# What the kernel holds of an answer for one connection. Left to itself it takes megabytes for each, and a client that
# reads slowly looks for minutes as if it did not read at all.
SEND_BUFFER_BYTES = 64 * KILOBYTE
# What of all answers together is kept in memory while clients read; beyond it they are kept in files.
ANSWERS_IN_MEMORY_BYTES = 64 * MEGABYTE
# A longer answer is kept in a file at once.
ANSWER_IN_MEMORY_BYTES = 4 * MEGABYTE
# How much a thread writes ahead of its client before it waits.
AHEAD_BYTES = 32 * MEGABYTE
# What has to move within the time that a slow client gets.
PORTION_BYTES = 16 * KILOBYTE


@dataclass(frozen=True)
class Limits:
    """Times in seconds: how long the connection may go without the expected progress."""

    connections: int
    # Connections from one address; 0 for no limit. Trusted addresses speak for many clients and are not counted.
    per_address: int
    trusted: Sequence[IPv4Network | IPv6Network]
    # For the whole head of a request, and for each portion of a body or of an answer.
    slow_seconds: float = 20.0
    # For the first byte after connecting.
    silent_seconds: float = 10.0
    # Longer than the idle timeout of usual proxies (60 s), which otherwise race a connection that has just been closed.
    idle_seconds: float = 75.0
    # For reading a refusal while the refused body is still arriving.
    refused_seconds: float = 5.0

    def counts(self, address: str) -> bool:
        """Return whether connections of `address` are counted."""
        try:
            return bool(self.per_address) and not is_within(ip_address(address), self.trusted)
        except ValueError:
            return False
