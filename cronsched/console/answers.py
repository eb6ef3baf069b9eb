"""Answers that the theme's dialogs understand."""

from django.http import HttpResponse


def redirected(address: str) -> HttpResponse:
    """Return the answer that makes the browser leave a dialog for `address`."""
    response = HttpResponse(status=204)
    response["HX-Redirect"] = address
    return response
