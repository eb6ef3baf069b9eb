"""Counts answered requests, by route and never by path: text from clients must not become labels.

Each web process counts for itself. Where several serve (`serving.shared_counts`), each writes its counts to a file of
a folder they share, and whichever is asked adds all of them up.
"""

import os
from collections.abc import Callable
from http import HTTPMethod

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from prometheus_client import CollectorRegistry, Counter, multiprocess

from cronsched.console import error_pages

Handler = Callable[[HttpRequest], HttpResponseBase]

METHODS = frozenset(HTTPMethod)
OTHER, UNMATCHED, STATIC = "other", "unmatched", "static"

# Of this process; where several serve, prometheus_client keeps the counts in the shared folder.
_own = CollectorRegistry()
_requests = Counter(
    "cronsched_http_requests", "Answered requests.", labelnames=("method", "route", "status"), registry=_own
)


def registry() -> CollectorRegistry:
    """Return where to read the requests of all processes that serve together."""
    if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        return _own
    everybody = CollectorRegistry()
    multiprocess.MultiProcessCollector(everybody)
    return everybody


class RequestCounts:
    """Counts every request when it is answered."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        method = request.method if request.method in METHODS else OTHER
        _requests.labels(method, route_of(request), response.status_code).inc()
        return response


def route_of(request: HttpRequest) -> str:
    """Return the pattern that a request's path matched."""
    match = request.resolver_match
    if match is None:
        return STATIC if request.path_info.startswith(settings.STATIC_URL) else UNMATCHED
    return UNMATCHED if match.func is error_pages.not_found else f"/{match.route}"
