"""The page between choosing an action for selected rows and doing it: what will change, what will not and why."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from django.contrib.admin import helpers
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

CONFIRMED = "confirmed"


class Asked(NamedTuple):
    """What the page says. `changing` and `left_out` are rows as they are shown, each with what is said of it.

    `counted` is the number of rows that change, in words.
    """

    verb: str
    counted: str
    changing: Sequence[tuple[Any, str]]
    left_out: Sequence[tuple[Any, str]] = ()
    note: str = ""
    is_dangerous: bool = False
    changes_nothing: bool = False


def is_confirmed(request: HttpRequest) -> bool:
    return CONFIRMED in request.POST


def is_asked_again(request: HttpRequest) -> bool:
    """Tell whether a choice on the page was changed, and what it now comes to is asked."""
    return request.headers.get("HX-Request") == "true"


def ask(page: Any, request: HttpRequest, asked: Asked, form: Form | None = None) -> HttpResponse:
    """Answer with the page that asks; what was selected comes back with its answer."""
    context = {
        **page.admin_site.each_context(request),
        "title": f"{asked.verb}: {asked.counted}",
        "page_name": page._page_name,
        "asked": asked,
        "form": form,
        "action": request.POST.get("action", ""),
        "selected": request.POST.getlist(helpers.ACTION_CHECKBOX_NAME),
        "across": request.POST.get("select_across", "0"),
        "opts": page.opts,
    }
    return TemplateResponse(request, "console/between.html", context)
