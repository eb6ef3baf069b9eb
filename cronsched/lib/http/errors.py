"""How a request can fail at the door."""

from enum import StrEnum


class Kind(StrEnum):
    """At which point it failed."""

    BAD_REQUEST = "bad request"
    REFUSED = "refused"
    NOT_RESOLVED = "not resolved"
    CONNECT = "connect"
    TLS = "tls"
    TIMEOUT = "timeout"
    TOO_LARGE = "too large"
    PROTOCOL = "protocol"
    LOST = "connection lost"
    BUSY = "no free slot"


# Asking again with the same request cannot help.
FINAL = frozenset({Kind.BAD_REQUEST, Kind.REFUSED})


class DoorError(Exception):
    """No usable answer came. `reason` may be shown to users: it holds no secret and nothing about inner networks.

    `request_sent` False means that certainly not one byte of the request reached the target; True means nobody knows
    what the target made of it. `status` is the answer's status where the head had already come.
    """

    def __init__(self, kind: Kind, reason: str, *, request_sent: bool = False, status: int | None = None) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.request_sent = request_sent
        self.status = status

    @property
    def retryable(self) -> bool:
        """Whether the same request may do better later."""
        return self.kind not in FINAL


class TargetRefused(DoorError):
    """The address is not one that users may reach. One text for all of them: it must not tell what is there."""

    def __init__(self, category: str) -> None:
        super().__init__(Kind.REFUSED, "target address is not allowed")
        self.category = category
