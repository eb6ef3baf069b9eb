"""The API description: one decorator for operations, and the forms that all refusals share.

A view says with `@operation` what only it knows: its own answers, examples and refusals. What follows from the rules
of the whole API (401, role 403, unreadable bodies, 413, 500) is added here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeVar

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiRequest, OpenApiResponse, extend_schema
from rest_framework import serializers

JSON = "application/json"
DOCUMENTED_PREFIX = "/api/v2/"


# --- The forms of a refusal ------------------------------------------------------------------------------------------


class ErrorSerializer(serializers.Serializer[Any]):
    """A refusal: a stable title, mostly a text for a person."""

    error = serializers.CharField(help_text="Stable title.")
    message = serializers.CharField(required=False, help_text="What is wrong, for a person.")
    detail = serializers.CharField(required=False, help_text="Same as `message`, for older clients.")
    details = serializers.DictField(
        required=False, child=serializers.ListField(child=serializers.CharField()), help_text="Problems per field."
    )


class SchemaErrorItemSerializer(serializers.Serializer[Any]):
    loc = serializers.ListField(child=serializers.CharField(), help_text="`body` or `query`, then the field.")
    msg = serializers.CharField()
    type = serializers.CharField()


class SchemaErrorSerializer(serializers.Serializer[Any]):
    """Several inputs do not have the declared form."""

    error = serializers.CharField()
    message = serializers.CharField()
    detail = SchemaErrorItemSerializer(many=True)
    details = serializers.DictField(child=serializers.ListField(child=serializers.CharField()))


@dataclass(frozen=True)
class Refusal:
    """One way an operation can refuse: status, `error` and, where it has one, `message`."""

    status: int
    error: str
    message: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def body(self) -> dict[str, Any]:
        message = {} if self.message is None else {"message": self.message}
        return {"error": self.error, **message, **self.extra}


def _with_detail(status: int, error: str, text: str) -> Refusal:
    return Refusal(status, error, text, {"detail": text})


UNAUTHORIZED = tuple(
    _with_detail(401, "Unauthorized", text)
    for text in (
        "Not authenticated",
        "Invalid token",
        "Token has expired",
        "Invalid token type",
        "Token has been revoked",
        "User not found",
        "User account is deactivated",
    )
)
WRITERS_ONLY = _with_detail(403, "Insufficient permissions", "User or admin access required")
ADMINS_ONLY = _with_detail(403, "Insufficient permissions", "Admin access required")
BAD_JSON = (
    Refusal(400, "Content-Type must be application/json"),
    Refusal(400, "Invalid JSON"),
    Refusal(400, "Invalid payload", "JSON body must be an object."),
)
TOO_LARGE = Refusal(413, "Payload too large", "The body is larger than this endpoint accepts.")
TOO_MANY = Refusal(429, "Too many requests", "Try again later.")
UNEXPECTED = Refusal(500, "Internal server error", "Internal server error")
BAD_RANGE = (
    Refusal(400, "Invalid date", "Invalid date"),
    Refusal(400, "Invalid date range", '"from" must be earlier than "to".'),
)
BAD_QUERY = Refusal(
    422,
    "Validation error",
    "page: Input should be greater than or equal to 1",
    {
        "detail": [
            {
                "loc": ["query", "page"],
                "msg": "Input should be greater than or equal to 1",
                "type": "greater_than_equal",
            }
        ],
        "details": {"page": ["Input should be greater than or equal to 1"]},
    },
)


# --- Parameters that several operations share -------------------------------------------------------------------------

FROM = OpenApiParameter(
    "from", str, description="Earliest instant: `YYYY-MM-DD` (midnight UTC) or ISO 8601; without an offset it is UTC."
)
TO = OpenApiParameter(
    "to", str, description="End of the range, not included; a date without a time means that whole day."
)


def whole_number(name: str, *, default: int, low: int, high: int | None = None, text: str = "") -> OpenApiParameter:
    """Return the description of a query number."""
    bounds = {"minimum": low, **({} if high is None else {"maximum": high})}
    schema = {"type": "integer", "format": "int64", "default": default, **bounds}
    return OpenApiParameter(name, schema, description=text)


def flag(name: str, *, default: bool = False, text: str = "") -> OpenApiParameter:
    """Return the description of a query boolean."""
    return OpenApiParameter(name, bool, default=default, description=text)


def path_id(name: str, what: str) -> OpenApiParameter:
    """Return the description of an id in the path."""
    return OpenApiParameter(name, OpenApiTypes.UUID, OpenApiParameter.PATH, description=f"Id of the {what}.")


# --- Operations ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What comes back when the request is accepted: form, example, and a text where the status does not say it."""

    form: Any
    example: Any
    text: str = "Done."


@dataclass(frozen=True)
class Body:
    """What is sent. `examples` by name; the first is shown."""

    form: Any
    examples: Mapping[str, Any]
    media_type: str = JSON


Access = str
PUBLIC: Access = "public"
ACCOUNT: Access = "account"
WRITER: Access = "writer"
ADMIN: Access = "admin"

View = TypeVar("View", bound=Callable[..., Any])


def operation(
    name: str,
    *,
    tag: str,
    summary: str,
    answers: Mapping[int, Answer],
    description: str = "",
    access: Access = ACCOUNT,
    body: Body | None = None,
    query: Sequence[OpenApiParameter] = (),
    refusals: Sequence[Refusal] = (),
) -> Callable[[View], View]:
    """Describe a view method.

    `name` is the operation id, a verb and a noun (`list_jobs`). `refusals` are the operation's own; those every
    operation of this `access` and `body` shares are added.
    """
    request = None
    if body is not None:
        shown = [OpenApiExample(title, value, request_only=True) for title, value in body.examples.items()]
        request = {body.media_type: OpenApiRequest(body.form, examples=shown)}
    responses: dict[Any, OpenApiResponse] = {
        (status, JSON): OpenApiResponse(
            answer.form, answer.text, [OpenApiExample("Example", answer.example, response_only=True)]
        )
        for status, answer in answers.items()
    }
    responses |= _refusal_responses([*_shared_refusals(access, body), *refusals, UNEXPECTED])
    return extend_schema(
        operation_id=name,
        tags=[tag],
        summary=summary,
        description=description or summary,
        parameters=list(query),
        request=request,
        responses=responses,
        auth=[] if access == PUBLIC else None,
    )


def _shared_refusals(access: Access, body: Body | None) -> list[Refusal]:
    shared: list[Refusal] = []
    if access != PUBLIC:
        shared += UNAUTHORIZED
    if access == WRITER:
        shared.append(WRITERS_ONLY)
    if access == ADMIN:
        shared.append(ADMINS_ONLY)
    if body is not None:
        shared.append(TOO_LARGE)
        if body.media_type == JSON:
            shared += BAD_JSON
    return shared


def _refusal_responses(refusals: Sequence[Refusal]) -> dict[tuple[int, str], OpenApiResponse]:
    by_status: dict[int, list[Refusal]] = {}
    for refusal in refusals:
        if refusal not in by_status.setdefault(refusal.status, []):
            by_status[refusal.status].append(refusal)
    return {
        (status, JSON): OpenApiResponse(
            SchemaErrorSerializer if status == HTTPStatus.UNPROCESSABLE_ENTITY else ErrorSerializer,
            HTTPStatus(status).phrase,
            [_example(number, refusal) for number, refusal in enumerate(same, start=1)],
        )
        for status, same in sorted(by_status.items())
    }


def _example(number: int, refusal: Refusal) -> OpenApiExample:
    title = refusal.error if refusal.message in (None, refusal.error) else f"{refusal.error}: {refusal.message}"
    return OpenApiExample(f"{number}. {title[:80]}", refusal.body, response_only=True)


# --- Hooks of the generator ------------------------------------------------------------------------------------------


class BearerToken(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "accounts.authentication.SessionTokenAuthentication"
    name = "accessToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


def only_canonical_paths(endpoints: list[tuple[str, str, str, Any]]) -> list[tuple[str, str, str, Any]]:
    """Leave out what is served for older clients only: the prefix `/api` and its other names."""
    return [endpoint for endpoint in endpoints if endpoint[0].startswith(DOCUMENTED_PREFIX)]
