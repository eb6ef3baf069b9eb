"""Where everything is served. The one place that may name every app."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path, re_path

from cronsched import documents
from cronsched.api import not_found
from jobs import pages as job_pages
from jobs.api import health
from jobs.api import urls as job_urls
from jobs.api.urls import older_urlpatterns
from notifications import pages as notification_pages

api: list[URLPattern | URLResolver] = [
    path("", include("accounts.urls")),
    path("", include("taxonomy.urls")),
    path("", include("notifications.urls")),
    path("", include(job_urls)),
    path("health", health.HealthViewSet.as_view({"get": "list"})),
    path("openapi.json", documents.openapi),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("", documents.index),
    path("docs", documents.docs),
    path("redoc", documents.redoc),
    path("healthz", health.alive),
    path("readyz", health.ready),
    path("admin/", admin.site.urls),
    # What the links in mails lead to.
    path("links/renew/<str:token>", job_pages.renew),
    path("links/unsubscribe/<str:token>", notification_pages.unsubscribe),
    path("api/v2/", include(api)),
    # The prefix of older clients.
    path("api/", include([*api, *older_urlpatterns])),
    # Instead of handler404 alone, which development replaces by a page about the routes.
    re_path("", not_found),
]

handler400 = "cronsched.api.bad_request"
handler404 = "cronsched.api.not_found"
handler500 = "cronsched.api.server_error"
