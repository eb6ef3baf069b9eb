"""Which static files are served."""

from collections.abc import Iterable, Iterator
from typing import Any

from django.contrib.staticfiles.finders import AppDirectoriesFinder
from django.contrib.staticfiles.utils import matches_patterns

# Packages bring more than any page asks for: maps for debuggers of their sources, the browsable API, and parts of
# Swagger UI that sign in elsewhere. Megabytes that anybody could ask for again and again.
UNUSED = [
    "*.map",
    "rest_framework/*",
    "drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-standalone-preset.js",
    "drf_spectacular_sidecar/swagger-ui-dist/oauth2-redirect.*",
]


class UsedFiles(AppDirectoriesFinder):
    """Finds the static files of all apps except unused ones: for `collectstatic` and in development alike."""

    def list(self, ignore_patterns: Iterable[str] | None) -> Iterator[Any]:
        for path, storage in super().list(ignore_patterns):
            if not matches_patterns(path, UNUSED):
                yield path, storage

    def find_in_app(self, app: str, path: str) -> str | None:
        return None if matches_patterns(path, UNUSED) else super().find_in_app(app, path)
