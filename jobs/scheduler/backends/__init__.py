"""Backends: where claimed rows are sent.

The rows decide, not the messages: a backend takes a row from `queued` to `running` by the conditional statement of
`jobs.dispatch.start`, so a row that is offered twice, late or to two senders is sent once.
"""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID


class SendBackend(Protocol):
    """Takes rows that are committed as `queued`. What it cannot take stays queued, and is offered again."""

    def offer(self, execution_ids: Sequence[UUID]) -> bool:
        """Have these executions sent; False where some are known to stay queued for want of a place."""

    def drain(self, *, timeout: float) -> None:
        """Wait at most `timeout` seconds for the rows that were taken."""
