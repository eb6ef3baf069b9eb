"""The API description: one decorator for operations, and the forms that all refusals share.

A view declares with `@operation` its own answers, examples and refusals. What follows from the rules of the whole API
(401, role 403, unreadable bodies, 413, 500) is added here; what is the same for every operation is stated once, among
the components.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeVar

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiRequest, OpenApiResponse, extend_schema
from rest_framework import serializers

from cronsched.api.examples import example_of, merged
from cronsched.lib.errors import Problem, SchemaError
from cronsched.lib.input.query import MAX_SEARCH

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


def schema_refusal(where: str, *problems: Problem) -> Refusal:
    """Return the 422 that `where` (`body` or `query`) gets for `problems`."""
    error = SchemaError(where, problems)
    return Refusal(error.status, error.error, error.message, error.extra)


def bad_number(name: str) -> Refusal:
    """Return the refusal of a query number that is none or is too small."""
    return schema_refusal("query", Problem(name, "Input should be greater than or equal to 1", "greater_than_equal"))


def bad_boolean(name: str) -> Refusal:
    return schema_refusal("query", Problem(name, "Input should be a valid boolean", "bool_parsing"))


# --- Parameters that several operations share -------------------------------------------------------------------------

FROM = OpenApiParameter(
    "from", str, description="Earliest instant: `YYYY-MM-DD` (midnight UTC) or ISO 8601; without an offset it is UTC."
)
TO = OpenApiParameter(
    "to", str, description="End of the range, not included; a date without a time means that whole day."
)


def whole_number(name: str, *, text: str, default: int, low: int, high: int | None = None) -> OpenApiParameter:
    """Return the description of a query number."""
    bounds = {"minimum": low, **({} if high is None else {"maximum": high})}
    schema = {"type": "integer", "default": default, **bounds}
    return OpenApiParameter(name, schema, description=text)


def flag(name: str, *, text: str, default: bool = False) -> OpenApiParameter:
    """Return the description of a query boolean."""
    return OpenApiParameter(name, bool, default=default, description=text)


# No database stores NUL in a text, so no search can find it.
SEARCH_FORM = {"type": "string", "maxLength": MAX_SEARCH, "pattern": r"^[^\x00]*$"}
SEARCH = OpenApiParameter("search", SEARCH_FORM, description="Text to look for; case is ignored.")
BAD_SEARCH = Refusal(400, "Invalid search", f"search must be text of at most {MAX_SEARCH} characters.")


def ordering(*fields: str) -> OpenApiParameter:
    """Return the description of `ordering` by one of `fields`, each also reversed."""
    allowed = [sign + field for field in fields for sign in ("", "-")]
    # Blank parameters are ignored.
    return OpenApiParameter("ordering", str, enum=[*allowed, ""], description="Order of the rows; `-` reverses it.")


def bad_ordering(*fields: str) -> Refusal:
    allowed = ", ".join(sign + field for field in fields for sign in ("", "-"))
    return Refusal(400, "Invalid ordering", f"ordering must be one of: {allowed}.")


def path_id(name: str, what: str) -> OpenApiParameter:
    """Return the description of an id in the path."""
    return OpenApiParameter(name, OpenApiTypes.UUID, OpenApiParameter.PATH, description=f"Id of the {what}.")


# --- Operations ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What comes back when the request is accepted: form, example, and a text where the status does not say it.

    The example is derived from the form; `example` says only what it should show else, key by key. `leads_to` names
    operations that can go on from here: which of their parameters is where in the answer
    (`{"get_job": {"job_id": "job/id"}}`).
    """

    form: Any
    example: Any = field(default_factory=dict)
    text: str = "Done."
    leads_to: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    media_type: str = JSON

    @property
    def shown(self) -> Any:
        """The example in full."""
        return merged(example_of(self.form), self.example)


def leads_to(*operations: str, **places: str) -> dict[str, dict[str, str]]:
    """Return links to `operations`, all with the same parameters in the same `places`."""
    return {name: dict(places) for name in operations}


@dataclass(frozen=True)
class Body:
    """What is sent. `examples` by name; the first is shown. `unreadable` are the refusals of what is no JSON object."""

    form: Any
    examples: Mapping[str, Any]
    media_type: str = JSON
    unreadable: Sequence[Refusal] = BAD_JSON
    required: bool = True


ACCESS_KEY = "x-access"
# For the hook below only; not part of the document.
BODY_KEY = "x-body-required"
LINKS_KEY = "x-links"

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
    path: Sequence[OpenApiParameter] = (),
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
        (status, answer.media_type): OpenApiResponse(
            answer.form,
            answer.text,
            [OpenApiExample("Example", merged(example_of(answer.form), answer.example), response_only=True)],
        )
        for status, answer in answers.items()
    }
    responses |= _refusal_responses([*_shared_refusals(access, body), *refusals])
    return extend_schema(
        operation_id=name,
        tags=[tag],
        summary=summary,
        description=description or summary,
        parameters=[*path, *query],
        request=request,
        responses=responses,
        auth=[] if access == PUBLIC else None,
        extensions={
            ACCESS_KEY: access,
            **({} if body is None else {BODY_KEY: body.required}),
            LINKS_KEY: {str(status): answer.leads_to for status, answer in answers.items() if answer.leads_to},
        },
    )


def _shared_refusals(access: Access, body: Body | None) -> list[Refusal]:
    shared: list[Refusal] = []
    if access == WRITER:
        shared.append(WRITERS_ONLY)
    if access == ADMIN:
        shared.append(ADMINS_ONLY)
    if body is not None and body.media_type == JSON:
        shared += body.unreadable
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
            [OpenApiExample(name, **shown, response_only=True) for name, shown in _examples(same).items()],
        )
        for status, same in sorted(by_status.items())
    }


def _examples(refusals: Sequence[Refusal]) -> dict[str, dict[str, Any]]:
    """Return the examples of one status by name, each with its body and a title for the pages."""
    return {
        f"refusal{number}": {
            "summary": refusal.error if refusal.message in (None, refusal.error) else refusal.message,
            "value": refusal.body,
        }
        for number, refusal in enumerate(refusals, start=1)
    }


# --- Hooks of the generator ------------------------------------------------------------------------------------------


class OperationSchema(AutoSchema):
    """Takes every form as it is declared: an action called `list` answers an object, not an array."""

    def _is_list_view(self, serializer: Any = None) -> bool:
        return isinstance(serializer, serializers.ListSerializer)


class BearerToken(OpenApiAuthenticationExtension):
    target_class = "accounts.authentication.SessionTokenAuthentication"
    name = "accessToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


def only_canonical_paths(endpoints: list[tuple[str, str, str, Any]]) -> list[tuple[str, str, str, Any]]:
    """Leave out what is served for older clients only: the prefix `/api` and its other names."""
    return [endpoint for endpoint in endpoints if endpoint[0].startswith(DOCUMENTED_PREFIX)]


SHARED_RESPONSES = {
    "Unauthorized": UNAUTHORIZED,
    "PayloadTooLarge": (TOO_LARGE,),
    "InternalServerError": (UNEXPECTED,),
}


def shared_responses() -> dict[str, Any]:
    """Return the response components that operations refer to."""
    form = {"$ref": "#/components/schemas/Error"}
    return {
        name: {
            "description": HTTPStatus(refusals[0].status).phrase,
            "content": {JSON: {"schema": form, "examples": _examples(refusals)}},
        }
        for name, refusals in SHARED_RESPONSES.items()
    }


def complete_operations(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Give every operation what the generator has no words for: shared responses, links, whether a body is needed."""
    for methods in result["paths"].values():
        for described in methods.values():
            _refer_to_shared_responses(described)
            if BODY_KEY in described:
                described["requestBody"]["required"] = described.pop(BODY_KEY)
            for status, leads_to in described.pop(LINKS_KEY, {}).items():
                described["responses"][status]["links"] = {
                    name: {
                        "operationId": name,
                        "parameters": {key: f"$response.body#/{place}" for key, place in places.items()},
                    }
                    for name, places in leads_to.items()
                }
    _name_forms_that_may_be_null(result["components"]["schemas"])
    result["components"]["responses"] = shared_responses()
    return result


def _name_forms_that_may_be_null(forms: dict[str, Any]) -> None:
    """Give a name to each form that may also be null: beside a reference `nullable` has no effect (OpenAPI 3.0.3)."""
    for described in list(forms.values()):
        for part in described.get("properties", {}).values():
            if part.get("nullable") and "allOf" in part:
                del part["nullable"]
                (reference,) = part["allOf"]
                name = reference["$ref"].rpartition("/")[2]
                forms[f"{name}OrNull"] = {**forms[name], "nullable": True}
                part["allOf"] = [{"$ref": f"#/components/schemas/{name}OrNull"}]


def _refer_to_shared_responses(described: dict[str, Any]) -> None:
    names = ["InternalServerError"]
    if described.get(ACCESS_KEY, ACCOUNT) != PUBLIC:
        names.append("Unauthorized")
    if BODY_KEY in described:
        names.append("PayloadTooLarge")
    for name in names:
        status = str(SHARED_RESPONSES[name][0].status)
        described["responses"].setdefault(status, {"$ref": f"#/components/responses/{name}"})
    described["responses"] = dict(sorted(described["responses"].items()))
