"""What a page is called in its header: as the side-bar calls it."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest


def page_name(request: HttpRequest) -> dict[str, Any]:
    """Name the page for templates that are given nothing of it: the theme draws the header of its own accord."""
    match = request.resolver_match
    if match is None or match.app_name != "admin" or match.url_name is None:
        return {}
    for model, page in admin.site._registry.items():
        if match.url_name.startswith(f"{model._meta.app_label}_{model._meta.model_name}_"):
            return {"page_name": getattr(page, "_page_name", "")}
    return {}
