"""Errors: people with a browser get a page, programs the error shape of the API."""

import sys
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.views.decorators.csrf import csrf_exempt

from cronsched.api import errors
from cronsched.lib.db.outages import is_outage

PEOPLE = ("/admin/", "/links/")
TEXTS = {
    HTTPStatus.BAD_REQUEST: ("This cannot be done", "The browser sent something that could not be understood."),
    HTTPStatus.NOT_FOUND: ("There is nothing here", "The address is wrong, or what it led to is gone."),
    HTTPStatus.INTERNAL_SERVER_ERROR: (
        "This went wrong",
        "It is not your fault. The log of the web process says what happened.",
    ),
    HTTPStatus.SERVICE_UNAVAILABLE: (
        "Please try again in a moment",
        "The database cannot be used at the moment. Nothing was changed.",
    ),
}


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponseBase:
    return _page(request, HTTPStatus.BAD_REQUEST) or errors.bad_request(request, exception)


# A script that writes there gets 404, too, and not the 403 of the CSRF check.
@csrf_exempt
def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponseBase:
    return _page(request, HTTPStatus.NOT_FOUND) or errors.not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponseBase:
    """Called while the exception is being handled."""
    error = sys.exc_info()[1]
    if isinstance(error, Exception) and is_outage(error):
        # In a middleware, as while a session was being saved: of the views' own the middleware has heard.
        return unavailable(request, error)
    return _page(request, HTTPStatus.INTERNAL_SERVER_ERROR) or errors.server_error(request)


def unavailable(request: HttpRequest, error: Exception) -> HttpResponseBase:
    """Answer for a page or a call that failed for want of a database."""
    errors.note_outage(request, error)
    response = _page(request, HTTPStatus.SERVICE_UNAVAILABLE) or errors.unavailable(request)
    response.headers["Retry-After"] = errors.RETRY_AFTER_OUTAGE["Retry-After"]
    return response


def _page(request: HttpRequest, status: HTTPStatus) -> HttpResponse | None:
    """Return the page for people, None where programs ask."""
    if not request.path_info.startswith(PEOPLE):
        return None
    title, text = TEXTS[status]
    # Without the request: its context asks for the account, and the database may be what went wrong.
    return HttpResponse(render_to_string("error.html", {"title": title, "text": text}), status=status)
