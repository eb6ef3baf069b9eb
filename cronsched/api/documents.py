"""The API's description for machines and people, from local files alone."""

from functools import cache
from threading import Lock
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator

DOCS_URL, REDOC_URL, HEALTH_URL = "/docs", "/redoc", "/api/v2/health"
DESCRIPTION_URL = "/api/v2/openapi.json"

# Both pages would fetch fonts, logos or validators from elsewhere. Redoc styles itself from scripts and searches in a
# worker made of a blob.
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "worker-src blob:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)


_making = Lock()


def description() -> dict[str, Any]:
    """Return the OpenAPI document. Made once: it depends on the code alone."""
    # The generator loads its parts at its first use, and fails where two do so at the same time.
    with _making:
        return _description()


@cache
def _description() -> dict[str, Any]:
    return SchemaGenerator().get_schema(request=None, public=True)


@require_safe
def openapi(request: HttpRequest) -> JsonResponse:
    return JsonResponse(description())


@require_safe
def index(request: HttpRequest) -> JsonResponse:
    return JsonResponse(
        {
            "message": "Cron Job Scheduler API",
            "docs": DOCS_URL,
            "redoc": REDOC_URL,
            "health": HEALTH_URL,
            "openapi": DESCRIPTION_URL,
            "console": reverse("admin:index"),
        }
    )


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    return _page(request, "documents/docs.html")


@require_safe
def redoc(request: HttpRequest) -> HttpResponse:
    return _page(request, "documents/redoc.html")


def _page(request: HttpRequest, template: str) -> HttpResponse:
    response = render(request, template, {"description_url": DESCRIPTION_URL})
    response.headers["Content-Security-Policy"] = POLICY
    return response
