"""Where a change comes from: the address, the request, the token and the reason given, for as long as it is handled.

Services are told who acts and when; the circumstances of the request travel beside them in a context variable, so that
no verb needs four more arguments that it only hands on.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Origin:
    """`token` is the id and name of the API token used, `command` the name of the management command that acts.

    `nobody` is how whoever acts without an account is called: a caller who has not signed in, or single sign-on.
    """

    source_ip: str = ""
    user_agent: str = ""
    request_id: str = ""
    reason: str = ""
    token: tuple[UUID, str] | None = None
    command: str = ""
    nobody: str = ""


NOWHERE = Origin()
_current: ContextVar[Origin] = ContextVar("origin_of_a_change", default=NOWHERE)


def current() -> Origin:
    """Return the circumstances of what is being handled; all blank for the scheduler's own work."""
    return _current.get()


@contextmanager
def acting_from(origin: Origin) -> Iterator[None]:
    """Attribute the changes made within the block to `origin`."""
    before = _current.set(origin)
    try:
        yield
    finally:
        _current.reset(before)


@contextmanager
def by_itself() -> Iterator[None]:
    """Attribute the changes made within the block to the service, whoever's request or command brought them about."""
    with acting_from(replace(_current.get(), token=None, command="", nobody="")):
        yield


def note_token(token_id: UUID, name: str) -> None:
    """Attribute the rest of the current request to an API token."""
    _current.set(replace(_current.get(), token=(token_id, name)))
