"""What a channel is: a room that knows how to bring one message to one place."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol, Self
from uuid import UUID


class DeliveryError(Exception):
    """The message was not taken. `reason` is shown to administrators: it holds no secret.

    `permanent`: the same message will never be taken. `wait` is what the other side asked for. `everything` says that
    not this message but the way there is the trouble, so that others need not be tried now.
    """

    def __init__(
        self, reason: str, *, permanent: bool = False, wait: timedelta | None = None, everything: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.permanent = permanent
        self.wait = wait
        self.everything = everything


@dataclass(frozen=True, slots=True)
class Parcel:
    """A delivery as its channel sees it."""

    id: UUID
    kind: str
    recipient: str
    summary: str
    payload: dict[str, Any]
    thread: UUID | None


class Session(Protocol):
    """A way that is kept open for several messages."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...

    def send(self, parcel: Parcel) -> None:
        """Return when the other side has taken it. Raises DeliveryError. Touches no database."""
