"""The context of a log line: the execution being handled, and the sending process."""

from contextvars import ContextVar, Token

from cronsched.lib import request_ids

_execution: ContextVar[object] = ContextVar("execution_of_a_line", default="")
# Of the process: its threads inherit no context.
_sender = ""


def set_sender(sender: str) -> None:
    """Name this process in all of its lines, by the token that its executions carry."""
    global _sender
    _sender = sender


class handling:  # noqa: N801 - reads as the statement it is used in
    """Attribute the lines written inside to an execution."""

    __slots__ = ("_execution_id", "_token")

    def __init__(self, execution_id: object) -> None:
        self._execution_id = execution_id

    def __enter__(self) -> None:
        self._token: Token[object] = _execution.set(self._execution_id)

    def __exit__(self, *_: object) -> None:
        _execution.reset(self._token)


def current() -> dict[str, str]:
    """Return what is known, by the names of the fields of a JSON line."""
    known = {"request_id": request_ids.current(), "execution_id": str(_execution.get()), "sender": _sender}
    return {name: value for name, value in known.items() if value}
