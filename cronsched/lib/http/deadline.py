"""One point in time that everything about a request has to keep."""

import time
from datetime import timedelta
from typing import NamedTuple, Self

from cronsched.lib.http.errors import DoorError, Kind


class Deadline(NamedTuple):
    """`at` is on `time.monotonic()`; `seconds` is what was granted, for the message."""

    at: float
    seconds: float

    @classmethod
    def after(cls, span: timedelta) -> Self:
        seconds = span.total_seconds()
        return cls(time.monotonic() + seconds, seconds)

    @property
    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at - time.monotonic())

    def share(self, parts: int) -> Self:
        """Return an equal part of what is left, as a deadline of its own."""
        return self if parts == 1 else self._replace(at=time.monotonic() + self.remaining / parts)

    def missed(self, doing: str, *, request_sent: bool = False, status: int | None = None) -> DoorError:
        reason = f"timed out after {self.seconds:g} s while {doing}"
        return DoorError(Kind.TIMEOUT, reason, request_sent=request_sent, status=status)
