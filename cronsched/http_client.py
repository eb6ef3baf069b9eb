"""The process's HTTP client, built from the settings."""

from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed

from cronsched.lib.http import AddressRules, ClientPolicy, HTTPClient

_SETTINGS = frozenset(
    {
        "EXTRA_CA_FILE",
        "MAX_IN_FLIGHT",
        "MAX_RESPONSE_BYTES",
        "WEBHOOK_ALLOWED_CIDRS",
        "WEBHOOK_ALLOW_PRIVATE_NETWORKS",
    }
)


@lru_cache(maxsize=1)
def http_client() -> HTTPClient:
    """Return the one client of this process; all who call out share it, and with it its connections and limits."""
    rules = AddressRules(
        allow_private=settings.WEBHOOK_ALLOW_PRIVATE_NETWORKS, allowed=tuple(settings.WEBHOOK_ALLOWED_CIDRS)
    )
    policy = ClientPolicy(
        addresses=rules,
        max_body=settings.MAX_RESPONSE_BYTES,
        idle_connections=settings.MAX_IN_FLIGHT,
        user_agent=f"cronsched/{settings.VERSION}",
        ca_file=settings.EXTRA_CA_FILE or None,
    )
    return HTTPClient(policy)


def _forget(*, setting: str, **_: Any) -> None:
    if setting in _SETTINGS and http_client.cache_info().currsize:
        http_client().close()
        http_client.cache_clear()


setting_changed.connect(_forget)
