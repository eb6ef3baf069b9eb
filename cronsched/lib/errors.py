"""Refusals of the domain. `cronsched.api.errors` turns them into answers, the console and the commands into text."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, NamedTuple


class DomainError(Exception):
    """A request the rules refuse: `error` is the stable title, `message` says it to a person.

    `extra` holds further keys of the answer's body (`missing_fields`, `hint`, ...). `field` names the input at fault,
    for forms; it is not part of the answer.
    """

    status: int = HTTPStatus.BAD_REQUEST

    def __init__(self, error: str, message: str | None = None, *, field: str | None = None, **extra: Any) -> None:
        super().__init__(message or error)
        self.error = error
        self.message = message
        self.field = field
        self.extra = extra

    @property
    def body(self) -> dict[str, Any]:
        """The JSON object of the answer."""
        message = {} if self.message is None else {"message": self.message}
        return {"error": self.error, **message, **self.extra}


class Forbidden(DomainError):
    status = HTTPStatus.FORBIDDEN


class PreconditionFailed(DomainError):
    """What the caller had seen has changed meanwhile (RFC 9110, section 13.1.1)."""

    status = HTTPStatus.PRECONDITION_FAILED


class UnprocessableRepeat(DomainError):
    """A key of a repeatable request came with another request."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


class NotFound(DomainError):
    status = HTTPStatus.NOT_FOUND


class Conflict(DomainError):
    """The request is well formed but collides with what exists."""

    status = HTTPStatus.CONFLICT


class Unauthorized(DomainError):
    """The caller could not be recognised. The text is repeated in `detail` (contract, section 2)."""

    status = HTTPStatus.UNAUTHORIZED

    def __init__(self, message: str, *, error: str = "Unauthorized") -> None:
        super().__init__(error, message, detail=message)


class PayloadTooLarge(DomainError):
    """The body is larger than the endpoint accepts. The title is fixed (contract, section 2)."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE

    def __init__(self, message: str) -> None:
        super().__init__("Payload too large", message)


class TooManyRequests(DomainError):
    """The caller has to wait `retry_after` seconds before it is listened to again."""

    status = HTTPStatus.TOO_MANY_REQUESTS

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__("Too many requests", message)
        self.retry_after = retry_after


class Problem(NamedTuple):
    """One broken field of a 422 answer. `field` is None for a rule over several fields."""

    field: str | None
    message: str
    kind: str


class SchemaError(DomainError):
    """Several inputs do not have the form the endpoint declares (contract, section 2: 422).

    `where` is `body` or `query`. Submitted values are not repeated: they may be passwords.
    """

    status = HTTPStatus.UNPROCESSABLE_ENTITY

    def __init__(self, where: str, problems: Sequence[Problem]) -> None:
        details: dict[str, list[str]] = {}
        for problem in problems:
            details.setdefault(problem.field or where, []).append(problem.message)
        super().__init__(
            "Validation error",
            "; ".join(f"{field}: {message}" if field else message for field, message, _ in problems),
            detail=[
                {"loc": [where, field] if field else [where], "msg": message, "type": kind}
                for field, message, kind in problems
            ],
            details=details,
        )
