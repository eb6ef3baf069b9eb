"""The id of the request that is being answered: in the log, in the audit and in `X-Request-Id` of the answer."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from cronsched.lib.ids import uuid7

HEADER = "X-Request-Id"
LENGTH = 128
_SANE = re.compile(rf"[A-Za-z0-9._:/+=@-]{{1,{LENGTH}}}")

_current: ContextVar[str] = ContextVar("request_id", default="")


def current() -> str:
    """Return the id of the request this thread is answering, blank outside of one."""
    return _current.get()


def made_from(sent: str | None) -> str:
    """Return the id a client `sent`, or a new one where it sent none or one that is too long or not printable."""
    return sent if sent and _SANE.fullmatch(sent) else uuid7().hex


@contextmanager
def answering(request_id: str) -> Iterator[None]:
    """Make `request_id` the current one inside."""
    token = _current.set(request_id)
    try:
        yield
    finally:
        _current.reset(token)
