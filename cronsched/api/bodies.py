"""How the HTTP API reads bodies and writes them (contract, section 1)."""

import hashlib
from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response

from cronsched.lib.errors import DomainError
from cronsched.lib.input.strict_json import parse_json

GZIP_MAGIC = b"\x1f\x8b"


class AlwaysJSON(BaseContentNegotiation):
    """Answer JSON whatever `Accept` says: existing clients send all kinds of values and expect JSON."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


def json_object(request: Request, *, empty_is_object: bool = False) -> dict[str, Any]:
    """Return the JSON object in the body of `request`.

    With `empty_is_object` an empty body of any content type counts as `{}`. Raises `DomainError` (400) for another
    content type, for text that is no JSON and for JSON that is no object.
    """
    raw = request.body
    if empty_is_object and not raw.strip():
        return {}
    require_json(request)
    _refuse_compressed(request, raw)
    document = parse_json(raw)
    if not isinstance(document, dict):
        raise DomainError("Invalid payload", "JSON body must be an object.")
    return document


def require_json(request: Request) -> None:
    """Refuse another content type, for the endpoints that look at it before they look for the object."""
    if "application/json" not in request.META.get("CONTENT_TYPE", "").lower():
        raise DomainError("Content-Type must be application/json")


def _refuse_compressed(request: Request, raw: bytes) -> None:
    encoding = request.META.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if encoding not in ("", "identity") or raw.startswith(GZIP_MAGIC):
        kind = encoding or "gzip"
        raise DomainError("Invalid JSON", f"The body is compressed ({kind[:40]}). Send it uncompressed.")


def with_etag(request: Request, response: Response) -> Response:
    """Let clients that poll revalidate `response`: with an unchanged body they get 304 and no body.

    The tag is weak, because servers on the way may compress the body.
    """

    def revalidate(rendered: HttpResponse) -> HttpResponseBase | None:
        rendered.headers.setdefault("Cache-Control", "private, no-cache")
        tag = f'W/"{hashlib.blake2b(rendered.content, digest_size=16).hexdigest()}"'
        rendered.headers["ETag"] = tag
        return get_conditional_response(request._request, etag=tag, response=rendered)

    response.add_post_render_callback(revalidate)
    return response
