"""The process's door out, built from the settings."""

from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed

from cronsched.lib.http import AddressRules, Door, DoorPolicy

_SETTINGS = frozenset(
    {"WEBHOOK_ALLOW_PRIVATE_NETWORKS", "WEBHOOK_ALLOWED_CIDRS", "MAX_RESPONSE_BYTES", "PER_HOST_IN_FLIGHT"}
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
    )
    return Door(policy)


def _forget(*, setting: str, **_: Any) -> None:
    if setting in _SETTINGS and door.cache_info().currsize:
        door().close()
        door.cache_clear()


setting_changed.connect(_forget)
