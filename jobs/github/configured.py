"""GitHub as the settings name it."""

from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed

from cronsched.http_client import http_client
from jobs.github import AppTokens, GitHub, StaticToken, Transport


def has_github_credential() -> bool:
    """Whether GitHub can be asked anything on the service's own account."""
    return bool(settings.GITHUB_TOKEN or settings.GITHUB_APP_ID)


@lru_cache(maxsize=1)
def github() -> GitHub:
    """Return GitHub as the settings name it: with the App's credentials where there is one, else with the token."""
    transport = Transport(http_client(), settings.GITHUB_API_URL)
    if not settings.GITHUB_APP_ID:
        return GitHub(transport, StaticToken(settings.GITHUB_TOKEN))
    tokens = AppTokens(
        transport,
        app_id=settings.GITHUB_APP_ID,
        private_key=settings.GITHUB_APP_PRIVATE_KEY,
        installation_id=settings.GITHUB_APP_INSTALLATION_ID or None,
    )
    return GitHub(transport, tokens)


def _forget(**_: Any) -> None:
    # Any setting may be behind the client or the credentials, and settings change in tests only.
    github.cache_clear()


setting_changed.connect(_forget)
