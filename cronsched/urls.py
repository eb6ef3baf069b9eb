"""Where everything is served. The one place that may name every app."""

from django.contrib import admin
from django.urls import include, path, re_path

from cronsched.api import not_found

api = [
    path("", include("accounts.urls")),
    path("", include("taxonomy.urls")),
    path("", include("notifications.urls")),
    path("", include("jobs.api.urls")),
]

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/v2/", include(api)),
    # The prefix of older clients.
    path("api/", include(api)),
    # Instead of handler404 alone, which development replaces by a page about the routes.
    re_path("", not_found),
]

handler400 = "cronsched.api.bad_request"
handler404 = "cronsched.api.not_found"
handler500 = "cronsched.api.server_error"
