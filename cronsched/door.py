"""The process's door out, built from the settings."""

from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed

from cronsched.lib.http import AddressRules, Door, DoorPolicy

_SETTINGS = frozenset(
    {
        "EXTRA_CA_FILE",
        "MAX_IN_FLIGHT",
        "MAX_RESPONSE_BYTES",
        "PER_HOST_IN_FLIGHT",
        "WEBHOOK_ALLOWED_CIDRS",
        "WEBHOOK_ALLOW_PRIVATE_NETWORKS",
    }
)


@lru_cache(maxsize=1)
def door() -> Door:
    """Return the one door of this process; all who call out share it, and with it its connections and limits."""
    rules = AddressRules(
        allow_private=settings.WEBHOOK_ALLOW_PRIVATE_NETWORKS, allowed=tuple(settings.WEBHOOK_ALLOWED_CIDRS)
    )
    policy = DoorPolicy(
        addresses=rules,
        max_response_bytes=settings.MAX_RESPONSE_BYTES,
        per_host=settings.PER_HOST_IN_FLIGHT,
        idle_connections=settings.MAX_IN_FLIGHT,
        user_agent=f"cronsched/{settings.VERSION}",
        ca_file=settings.EXTRA_CA_FILE or None,
    )
    return Door(policy)


def _forget(*, setting: str, **_: Any) -> None:
    if setting in _SETTINGS and door.cache_info().currsize:
        door().close()
        door.cache_clear()


setting_changed.connect(_forget)
