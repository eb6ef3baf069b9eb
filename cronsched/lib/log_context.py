"""The context of a log line: the execution being handled, and the sending process."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from cronsched.lib import request_ids

_execution: ContextVar[str] = ContextVar("execution_of_a_line", default="")
# Of the process: its threads inherit no context.
_sender = ""


def set_sender(sender: str) -> None:
    """Name this process in all of its lines, by the token that its executions carry."""
    global _sender
    _sender = sender


@contextmanager
def handling(execution_id: object) -> Iterator[None]:
    """Attribute the lines written inside to an execution."""
    token = _execution.set(str(execution_id))
    try:
        yield
    finally:
        _execution.reset(token)


def current() -> dict[str, str]:
    """Return what is known, by the names of the fields of a JSON line."""
    known = {"request_id": request_ids.current(), "execution_id": _execution.get(), "sender": _sender}
    return {name: value for name, value in known.items() if value}
