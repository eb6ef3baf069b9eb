"""Reports of unexpected errors to Sentry, where SENTRY_DSN is set. The only place that imports its package.

What could hold a secret is left away before a report leaves: bodies, headers, cookies, query strings, and the values of
variables.
"""

from importlib.util import find_spec
from typing import Any

from django.conf import settings

# Of a request only these are reported.
KEPT_OF_REQUESTS = ("method", "url")


def is_installed() -> bool:
    return find_spec("sentry_sdk") is not None


def start() -> None:
    """Start reporting. Does nothing without SENTRY_DSN; without the package a system check warns."""
    if not settings.SENTRY_DSN or not is_installed():
        return
    import sentry_sdk

    sentry_sdk.init(
        dsn=settings.SENTRY_DSN,
        release=settings.VERSION,
        environment="development" if settings.DEBUG else "production",
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        # Breadcrumbs hold statements and addresses that were called.
        max_breadcrumbs=0,
        before_send=scrubbed,
    )


def scrubbed(event: Any, hint: dict[str, Any]) -> Any:
    """Return the report without what could hold a secret."""
    request = event.get("request") or {}
    event["request"] = {name: request[name].partition("?")[0] for name in KEPT_OF_REQUESTS if request.get(name)}
    for name in ("breadcrumbs", "user", "extra"):
        event.pop(name, None)
    for thread in [*_values(event, "exception"), *_values(event, "threads")]:
        for frame in (thread.get("stacktrace") or {}).get("frames", ()):
            frame.pop("vars", None)
    return event


def _values(event: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return (event.get(name) or {}).get("values") or []
