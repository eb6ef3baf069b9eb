"""The interface of a channel, which sends one message to one recipient."""

import unicodedata
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol, Self
from uuid import UUID

# Characters that reorder the text around them: a name must not make the subject read as something else.
REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def one_line(text: str) -> str:
    """Return `text` fit for a header: one line, nothing invisible that controls or reorders."""
    kept = (character for character in text if character.isspace() or _is_harmless(character))
    return " ".join("".join(kept).split())


def _is_harmless(character: str) -> bool:
    return unicodedata.category(character) != "Cc" and character not in REORDERING


class DeliveryError(Exception):
    """The message was not taken. `reason` is shown to administrators: it holds no secret and becomes one line.

    `permanent`: the same message will never be taken. `wait` is what the other side asked for. `everything` says that
    not this message but the way there is the trouble, so that others need not be tried now.
    """

    def __init__(
        self, reason: str, *, permanent: bool = False, wait: timedelta | None = None, everything: bool = False
    ) -> None:
        super().__init__(reason)
        # Often the other side's own words, which may hold what no database stores.
        self.reason = one_line(reason)
        self.permanent = permanent
        self.wait = wait
        self.everything = everything


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
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

    def send(self, outgoing: OutgoingMessage) -> None:
        """Return when the other side has taken it. Raises DeliveryError. Touches no database."""
