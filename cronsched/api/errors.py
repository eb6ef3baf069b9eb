"""What every refusal of the HTTP API looks like (contract, section 2)."""

import logging
import sys
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import IntegrityError
from django.http import Http404, HttpRequest, JsonResponse, UnreadablePostError
from django.http.response import HttpResponseBase
from rest_framework import exceptions
from rest_framework.response import Response

from cronsched.lib.db.outages import first_line, give_up_connection, is_outage
from cronsched.lib.errors import DomainError, TooManyRequests

logger = logging.getLogger(__name__)

# A database that comes back is found within some seconds.
RETRY_AFTER_OUTAGE = {"Retry-After": "5"}
AWAY = "The database cannot be used at the moment. Nothing was changed; try again in some seconds."


def error_body(status: int, exception: BaseException | None = None) -> dict[str, Any]:
    """Return the body for a refusal that no rule of the domain worded itself."""
    match status:
        case HTTPStatus.NOT_FOUND:
            return {"error": "Not found", "message": "Not Found", "detail": "Not Found"}
        case HTTPStatus.METHOD_NOT_ALLOWED:
            text = "Method Not Allowed"
            return {"error": "Method not allowed", "message": text, "detail": text}
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return {"error": "Payload too large", "message": "The body is larger than this endpoint accepts."}
        case HTTPStatus.TOO_MANY_REQUESTS:
            return {"error": "Too many requests", "message": str(exception or "Try again later.")}
        case HTTPStatus.BAD_REQUEST:
            return {"error": "Bad request", "message": "The request could not be understood."}
        case HTTPStatus.SERVICE_UNAVAILABLE:
            return {"error": "Service unavailable", "message": AWAY}
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        phrase = HTTPStatus(status).phrase
        return {"error": phrase, "message": phrase}
    text = str(exception) if settings.EXPOSE_ERROR_DETAILS and exception else "Internal server error"
    return {"error": "Internal server error", "message": text or "Internal server error"}


def exception_handler(exception: Exception, context: Mapping[str, Any]) -> Response:
    """Turn whatever a view raised into the one error shape. Unexpected ones are logged, never shown as a traceback."""
    match exception:
        case TooManyRequests():
            return _response(exception.body, exception.status, {"Retry-After": str(exception.retry_after)})
        case DomainError():
            return _response(exception.body, exception.status)
        case exceptions.NotAuthenticated():
            return _response(_unauthorized("Not authenticated"), HTTPStatus.UNAUTHORIZED)
        case exceptions.PermissionDenied():
            text = str(exception.detail)
            body = {"error": "Insufficient permissions", "message": text, "detail": text}
            return _response(body, HTTPStatus.FORBIDDEN)
        case exceptions.MethodNotAllowed():
            allow = ", ".join(context["view"].allowed_methods)
            return _response(error_body(exception.status_code), exception.status_code, {"Allow": allow})
        case Http404() | exceptions.NotFound():
            return _response(error_body(HTTPStatus.NOT_FOUND), HTTPStatus.NOT_FOUND)
        case RequestDataTooBig():
            return _response(error_body(HTTPStatus.REQUEST_ENTITY_TOO_LARGE), HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        case IntegrityError() if _is_gone(context["request"].user):
            # What was written refers to an account that was deleted meanwhile. The next call would be answered so, too.
            return _response(_unauthorized("User not found"), HTTPStatus.UNAUTHORIZED)
        case SuspiciousOperation() | UnreadablePostError():
            # Forms with too many fields or files, and the like: Django's own guards. Or the client went away in the
            # middle of its body.
            return _response(error_body(HTTPStatus.BAD_REQUEST), HTTPStatus.BAD_REQUEST)
        case exceptions.APIException() if exception.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
            return _response(error_body(HTTPStatus.BAD_REQUEST), HTTPStatus.BAD_REQUEST)
        case _ if is_outage(exception):
            note_outage(context["request"]._request, exception)
            status = HTTPStatus.SERVICE_UNAVAILABLE
            return _response(error_body(status), status, RETRY_AFTER_OUTAGE)
    logger.error("Unexpected error in %s", context["view"].__class__.__name__, exc_info=exception)
    return _response(error_body(HTTPStatus.INTERNAL_SERVER_ERROR, exception), HTTPStatus.INTERNAL_SERVER_ERROR)


def note_outage(request: HttpRequest, error: Exception) -> None:
    """Write one line about a request that failed for want of a database, and give up its connection."""
    where = request.resolver_match.route if request.resolver_match else "a page"
    logger.warning("%s %s: the database cannot be used: %s", request.method, where, first_line(error))
    give_up_connection()


def _is_gone(user: Any) -> bool:
    """Return whether the account of a caller has been deleted since the request came in."""
    return user is not None and not get_user_model()._default_manager.filter(pk=user.pk).exists()


def _unauthorized(text: str) -> dict[str, str]:
    return {"error": "Unauthorized", "message": text, "detail": text}


def _response(body: dict[str, Any], status: int, headers: dict[str, str] | None = None) -> Response:
    challenge = {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else {}
    return Response(body, status=status, headers={**challenge, **(headers or {})})


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponseBase:
    """Answer paths no view knows. The last route, and `handler404`."""
    return _plain_response(HTTPStatus.NOT_FOUND)


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponseBase:
    """Answer requests refused before any view saw them (`handler400`)."""
    too_large = isinstance(exception, RequestDataTooBig)
    return _plain_response(HTTPStatus.REQUEST_ENTITY_TOO_LARGE if too_large else HTTPStatus.BAD_REQUEST)


def server_error(request: HttpRequest) -> HttpResponseBase:
    """Answer for errors outside the API views (`handler500`). Called while the exception is being handled."""
    return _plain_response(HTTPStatus.INTERNAL_SERVER_ERROR, sys.exc_info()[1])


def unavailable(request: HttpRequest) -> HttpResponseBase:
    """Answer for views outside the API while the database cannot be used."""
    return _plain_response(HTTPStatus.SERVICE_UNAVAILABLE)


def _plain_response(status: int, exception: BaseException | None = None) -> JsonResponse:
    return JsonResponse(error_body(status, exception), status=status)
