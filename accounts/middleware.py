"""Notes where a request comes from, for the audit trail; ends expired sessions of browsers; and gives refused sign-ins
the right status.
"""

import logging
from collections.abc import Callable
from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest, HttpResponseRedirect, JsonResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone

from accounts import factor_steps, sessions
from accounts.throttle import reported_address
from audit.models import REASON_LENGTH
from audit.origin import Origin, acting_from
from cronsched.lib import request_ids

security = logging.getLogger("cronsched.security")

Handler = Callable[[HttpRequest], HttpResponseBase]
REASON_HEADER = "X-Change-Reason"


class ChangeOrigin:
    """Attribute changes to the caller's address, to the request's id and to the reason given in the header."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        reason = _reason(request)
        if len(reason) > REASON_LENGTH:
            message = f"{REASON_HEADER} must be at most {REASON_LENGTH} characters."
            body = {"error": f"Invalid {REASON_HEADER}", "message": message}
            return JsonResponse(body, status=HTTPStatus.BAD_REQUEST)
        origin = Origin(
            source_ip=reported_address(request),
            user_agent=request.headers.get("User-Agent", ""),
            request_id=request_ids.current(),
            reason=reason,
            nobody="not signed in",
        )
        with acting_from(origin):
            return self.get_response(request)


class ConsoleSessions:
    """Sign a browser out whose session was ended elsewhere or has run out, and note when it was last seen."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        # Only where there is a cookie: loading the account would cost all other requests a query.
        if request.path_info.startswith("/admin/") and settings.SESSION_COOKIE_NAME in request.COOKIES:
            sessions.check_console(request, now=timezone.now())
            if response := factor_steps.missing_step(request):
                return response
        return self.get_response(request)


class SignInRefusals:
    """Redirect to the second step of a sign-in, and answer with 429 a sign-in that has to wait.

    Django's form would answer 200 to both.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if getattr(request, "second_factor_needed", False):
            return HttpResponseRedirect(reverse("second_factor"))
        if refusal := getattr(request, "sign_in_refusal", None):
            response.status_code = HTTPStatus.TOO_MANY_REQUESTS
            response.headers["Retry-After"] = str(refusal.retry_after)
        return response


class DeniedPages:
    """Log requests for pages of the console that the account may not see, in the security log."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if response.status_code == HTTPStatus.FORBIDDEN and request.path_info.startswith("/admin/"):
            asked = f"{request.method} {request.path_info}"
            security.warning("%s was denied to %s, from %s", asked, request.user, reported_address(request))
        return response


def _reason(request: HttpRequest) -> str:
    """Return the reason in the header. WSGI hands headers over as Latin-1 whatever they are written in (PEP 3333)."""
    written = request.headers.get(REASON_HEADER, "").encode("latin-1", "replace")
    return "".join(letter for letter in written.decode("utf-8", "replace").strip() if letter.isprintable())
