"""The console's site: its search, its sign-in page, and without pages that only frameworks need."""

from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.core.paginator import InvalidPage, Paginator
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver
from django.utils.module_loading import import_string
from unfold.settings import get_config
from unfold.sites import UnfoldAdminSite

PER_PAGE = 50
LONGEST_TERM = 200


class ConsoleSite(UnfoldAdminSite):
    def get_urls(self) -> list[URLPattern | URLResolver]:
        """Leave out the page that leads to rows by the number of their table: no row has an address elsewhere."""
        return [url for url in super().get_urls() if getattr(url, "name", None) != "view_on_site"]

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the sign-in page with the ways of signing in that the settings allow."""
        next_page = request.GET.get("next", "")
        ways = {
            "local_passwords": settings.LOCAL_PASSWORDS,
            "sso_name": settings.OIDC_NAME if settings.OIDC_ISSUER else "",
            "sso_query": f"?{urlencode({'next': next_page})}" if next_page else "",
        }
        return super().login(request, {**ways, **(extra_context or {})})

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Answer the side-bar's search and the palette. Nothing is kept: what was renamed is found by its new name."""
        term = request.GET.get("s", "").replace("\x00", "").strip()[:LONGEST_TERM]
        if not term:
            return HttpResponse()
        find = import_string(get_config(self.settings_name)["COMMAND"]["search_callback"])
        paginator = Paginator(find(request, term), PER_PAGE)
        try:
            page = paginator.page(request.GET.get("page", 1))
        except InvalidPage:
            page = paginator.page(1)
        palette = "extended" in request.GET
        return TemplateResponse(
            request,
            "unfold/helpers/command_results.html" if palette else "unfold/helpers/search_results.html",
            {
                "page_obj": paginator,
                "results": page,
                "page_counter": (page.number - 1) * PER_PAGE,
                "command_show_history": False,
                "term": term,
            },
            headers={"HX-Trigger": "search"},
        )
