"""What a job's request has besides target and metadata: how it is built, judged and tried again, and its secrets.

Options are kept by the names they have in the API; one that is not there is as by default. Secrets are sealed apart
from them. Their names and number stand among the options, so that whoever only shows a job need not open them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Self

from cronsched.lib import crypto
from jobs.models import RetryOn

DAY_SECONDS = 24 * 3600
RETRY_MAX_AGE_LIMITS = (60, 7 * DAY_SECONDS)
# What a secret looks like from outside. Sent back, it means "as stored".
MASK = "***"
# One that signs, and the one before it while receivers change over.
MAX_SIGNING_SECRETS = 2

DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        "webhook_method": None,
        "webhook_headers": {},
        "webhook_body": None,
        "success_statuses": None,
        "success_contains": None,
        "retry_on": RetryOn.TEMPORARY.value,
        "retry_max_age_seconds": DAY_SECONDS,
        # Names only.
        "secret_headers": [],
        # How many.
        "signing_secrets": 0,
    }
)


def trimmed(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is worth storing of `options`: all that is not as by default."""
    return {name: value for name, value in options.items() if value != DEFAULTS[name]}


def shown(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return every option as the API shows it; secret headers by their names."""
    all_options = {**DEFAULTS, **options}
    return {**all_options, "secret_headers": dict.fromkeys(all_options["secret_headers"], MASK)}


def retry_on(options: Mapping[str, Any]) -> str:
    return str(options.get("retry_on", DEFAULTS["retry_on"]))


def retry_max_age(options: Mapping[str, Any]) -> timedelta:
    """Return how long after the first attempt another one may still begin."""
    return timedelta(seconds=options.get("retry_max_age_seconds", DAY_SECONDS))


@dataclass(frozen=True, slots=True)
class Secrets:
    """What must never be shown: values of headers, and the keys that sign, the newest first."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    signing: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def opened(cls, sealed: str | None) -> Self:
        """Read what `sealed` returned. Raises `crypto.Undecipherable`."""
        if not sealed:
            return cls()
        content = json.loads(crypto.decrypt(sealed))
        return cls(content["headers"], tuple(content["signing"]))

    def sealed(self) -> str | None:
        """Return the secrets encrypted, None where there are none."""
        if not self.headers and not self.signing:
            return None
        return crypto.encrypt(json.dumps({"headers": dict(self.headers), "signing": self.signing}))

    @property
    def described(self) -> dict[str, Any]:
        """Return what the options say of them."""
        return {"secret_headers": list(self.headers), "signing_secrets": len(self.signing)}
