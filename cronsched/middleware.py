"""What happens to every request before Django looks for its view, and to every answer after."""

import logging
import time
from collections.abc import Callable
from http import HTTPStatus
from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase

from cronsched.api.errors import error_body
from cronsched.console import error_pages
from cronsched.lib import request_ids
from cronsched.lib.addresses import is_within
from cronsched.lib.db.outages import is_outage

access = logging.getLogger("cronsched.access")

Handler = Callable[[HttpRequest], HttpResponseBase]

# Served to people with a browser, by Django's own pages.
PAGES = ("/admin/", "/static/", "/links/")


# What Django and we read of the headers that proxies write.
FORWARDED = (
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PORT",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_FORWARDED",
)


class RequestIds:
    """Give every answer an id, the client's own where it sent one, and the log its line in development."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request_id = request_ids.made_from(request.headers.get(request_ids.HEADER))
        began = time.monotonic()
        with request_ids.answering(request_id):
            response = self.get_response(request)
            milliseconds = (time.monotonic() - began) * 1000
            access.info("%s %s %d %.0f ms", request.method, request.path, response.status_code, milliseconds)
        response.headers[request_ids.HEADER] = request_id
        return response


# Set where a request came with such a header, whether it counts or not: then the peer is a proxy, not the client.
WAS_FORWARDED = "cronsched.was_forwarded"


class TrustedProxies:
    """Drop the headers of proxies from clients. From `TRUSTED_PROXIES` they count."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.META[WAS_FORWARDED] = any(name in request.META for name in FORWARDED)
        if not _is_trusted(request.META.get("REMOTE_ADDR", "")):
            for name in FORWARDED:
                request.META.pop(name, None)
        return self.get_response(request)


def _is_trusted(peer: str) -> bool:
    try:
        return is_within(ip_address(peer), settings.TRUSTED_PROXIES)
    except ValueError:
        return False


class NothingKept:
    """Forbid browsers and proxies to keep answers of the API, which hold tokens and what only some may read.

    The polled lists say `private, no-cache` themselves: kept by the one browser, and asked for each time by their ETag.
    With `no-store` there would be nothing to compare, and each poll would transfer the whole list.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if request.path_info.startswith("/api/"):
            response.headers.setdefault("Cache-Control", "no-store")
        return response


class ConsolePolicy:
    """Let pages for people load nothing from elsewhere, send forms nowhere else and be framed by no other site.

    The console's scripts (Alpine, htmx) evaluate expressions that stand in its pages, hence 'unsafe-eval'.
    """

    POLICY = "; ".join(
        [
            "default-src 'self'",
            "script-src 'self' 'unsafe-eval'",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data:",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        ]
    )

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if request.path_info.startswith(("/admin/", "/links/")):
            response.headers.setdefault("Content-Security-Policy", self.POLICY)
        return response


class HeadsWithoutBodies:
    """Leave the bodies of answers to HEAD away. The server would do so, too, with a warning for each of them."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        # Files are not of this kind: WhiteNoise leaves them away itself.
        if request.method == "HEAD" and isinstance(response, HttpResponse):
            response.headers.setdefault("Content-Length", str(len(response.content)))
            response.content = b""
        return response


class SlashlessPaths:
    """Serve the slash form of every path as the canonical one. A redirect would lose the body of a POST."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        path = request.path_info
        if len(path) > 1 and path.endswith("/") and not path.startswith(PAGES):
            request.path_info = path.removesuffix("/")
        return self.get_response(request)


class DatabaseOutages:
    """Answer 503 where a view outside the API could not use the database. (The API's views have their own handler.)"""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        return error_pages.unavailable(request, exception) if is_outage(exception) else None


class JSONErrors:
    """Give errors outside the views the one shape.

    Django answers some refusals (unknown host, and in development every error) with pages of its own. A client of the
    API could not read them, and the development ones show the traceback.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        status = response.status_code
        if status < HTTPStatus.BAD_REQUEST or request.path_info.startswith(PAGES):
            return response
        if response.headers.get("Content-Type", "").startswith("application/json"):
            return response
        kept = {name: response.headers[name] for name in ("Allow", "Retry-After") if name in response.headers}
        return JsonResponse(error_body(status), status=status, headers=kept)
