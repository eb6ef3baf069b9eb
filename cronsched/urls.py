"""Where everything is served. The one place that may name every app."""

from django.contrib import admin
from django.templatetags.static import static
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.decorators.csrf import csrf_exempt
from django.views.generic import RedirectView

from accounts import account_pages, factor_pages, sso_pages
from cronsched.api import documents
from cronsched.console import error_pages
from jobs.api import health, metrics
from jobs.api import urls as job_urls
from jobs.api.urls import older_urlpatterns
from jobs.end_dates import pages as job_pages
from notifications import pages as notification_pages

# Here and not when the apps are loaded: a scheduler has no use for the console's pages, which take 10 MB.
admin.autodiscover()

# `csrf_exempt` is for read-only pages and whatever is unknown: there is nothing to forge, and the guard of Django's
# forms would answer 403 to a script that writes there, instead of 405 or 404.
api: list[URLPattern | URLResolver] = [
    path("", include("accounts.urls")),
    path("", include("taxonomy.urls")),
    path("", include("notifications.urls")),
    path("", include(job_urls)),
    path("health", health.HealthViewSet.as_view({"get": "list"})),
    path("openapi.json", csrf_exempt(documents.openapi)),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("", csrf_exempt(documents.index)),
    path("docs", csrf_exempt(documents.docs)),
    path("redoc", csrf_exempt(documents.redoc)),
    # Where tools look for it.
    path("openapi.json", csrf_exempt(documents.openapi)),
    # Asked for by browsers on every page that names no icon.
    path("favicon.ico", RedirectView.as_view(url=static("cronsched/icon.svg"), permanent=True)),
    path("livez", csrf_exempt(health.alive)),
    path("healthz", csrf_exempt(health.alive)),
    path("readyz", csrf_exempt(health.ready)),
    path("metrics", csrf_exempt(metrics.metrics)),
    # The one path where a slash matters: people type it without.
    path("admin", RedirectView.as_view(pattern_name="admin:index")),
    # Before the site's own, of which it replaces one.
    path("admin/", include(account_pages)),
    path("admin/", include(sso_pages)),
    path("admin/", include(factor_pages)),
    path("admin/", admin.site.urls),
    # What the links in mails lead to.
    path("links/renew/<str:token>", job_pages.renew),
    path("links/unsubscribe/<str:token>", notification_pages.unsubscribe),
    path("api/v2/", include(api)),
    # The prefix of older clients.
    path("api/", include([*api, *older_urlpatterns])),
    # Instead of handler404 alone, which development replaces by a page about the routes.
    re_path("", error_pages.not_found),
]

handler400 = "cronsched.console.error_pages.bad_request"
handler404 = "cronsched.console.error_pages.not_found"
handler500 = "cronsched.console.error_pages.server_error"
