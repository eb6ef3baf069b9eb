"""How a request can fail."""

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
    UNREADABLE = "unreadable"
    LOST = "connection lost"
    STOPPED = "stopped"


# Asking again with the same request cannot help. The target of an unreadable answer has acted; its next answer would
# be encoded the same way.
FINAL = frozenset({Kind.BAD_REQUEST, Kind.REFUSED, Kind.UNREADABLE})


class RequestError(Exception):
    """No usable answer came. `reason` may be shown to users: it holds no secret and nothing about inner networks.

    `request_sent` False means that certainly no byte of the request reached the target; True means that the target may
    have acted on it. `status` is the answer's status where that had already come.
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


class TargetRefused(RequestError):
    """The address is not one that users may reach. One text for all of them: it must not tell what is there."""

    def __init__(self, category: str) -> None:
        super().__init__(Kind.REFUSED, "target address is not allowed")
        self.category = category
