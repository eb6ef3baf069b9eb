"""What a job's request has besides target and metadata: how it is built, judged and tried again, and its secrets.

Options are stored under their names in the API; a missing one has its default. Secrets are encrypted and stored apart.
The options hold the names of secret headers and the number of signing secrets, so that showing a job decrypts nothing.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Self

from cronsched.lib import crypto
from cronsched.lib.errors import DomainError
from jobs.definitions.url_credentials import UrlCredentials
from jobs.executors import rules
from jobs.models import RetryOn

DAY_SECONDS = 24 * 3600
RETRY_MAX_AGE_LIMITS = (60, 7 * DAY_SECONDS)
# What the API shows in place of a secret. Sent back, it means "as stored".
MASK = "***"
# The newest, and the one before it while receivers change over.
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
_NOTHING_CHOSEN = MappingProxyType({**DEFAULTS, "secret_headers": {}})
# What may be sent besides the secrets; of these, what a cell of a file can hold.
PLAIN_FIELDS = tuple(name for name in DEFAULTS if name not in {"secret_headers", "signing_secrets"})
CELL_FIELDS = tuple(name for name in PLAIN_FIELDS if name not in {"webhook_headers", "webhook_body"})
SECRET_FIELDS = ("secret_headers", "signing_secret")


def shown(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return every option as the API shows it; secret headers by their names."""
    if not options:
        return _NOTHING_CHOSEN
    all_options = {**DEFAULTS, **options}
    return {**all_options, "secret_headers": dict.fromkeys(all_options["secret_headers"], MASK)}


def retry_on(options: Mapping[str, Any]) -> str:
    return str(options.get("retry_on", DEFAULTS["retry_on"]))


def retry_max_age(options: Mapping[str, Any]) -> timedelta:
    """Return how long after the first attempt another one may still begin."""
    return timedelta(seconds=options.get("retry_max_age_seconds", DAY_SECONDS))


@dataclass(frozen=True, slots=True)
class Secrets:
    """What must never be shown: values of headers, the keys that sign, the newest first, and what the URL gave away."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    signing: tuple[str, ...] = field(default=(), repr=False)
    url: UrlCredentials | None = field(default=None, repr=False)

    @classmethod
    def decrypted(cls, encrypted: str | None) -> Self:
        """Read what `encrypted` returned. Raises `crypto.Undecipherable`."""
        if not encrypted:
            return cls()
        content = json.loads(crypto.decrypt(encrypted))
        url = content.get("url")
        return cls(content["headers"], tuple(content["signing"]), UrlCredentials(*url) if url else None)

    def encrypted(self) -> str | None:
        """Return the secrets encrypted, None where there are none."""
        if not self.headers and not self.signing and not self.url:
            return None
        return crypto.encrypt(json.dumps({"headers": dict(self.headers), "signing": self.signing, "url": self.url}))

    @property
    def described(self) -> dict[str, Any]:
        """Return what the options say of them."""
        return {"secret_headers": list(self.headers), "signing_secrets": len(self.signing)}


# --- What may be stored ----------------------------------------------------------------------------------------------


def changed(
    sent: Mapping[str, Any],
    *,
    stored: Mapping[str, Any],
    encrypted: str | None,
    url: UrlCredentials | None = None,
    url_changed: bool = False,
) -> dict[str, Any]:
    """Return the job's columns that `sent` decides, none where it says nothing of options.

    `stored` and `encrypted` are what the job has; with `url_changed` the credentials of its URL become `url`. Null and
    blank mean the default. Raises `DomainError`.
    """
    if not url_changed and not any(name in sent for name in (*PLAIN_FIELDS, *SECRET_FIELDS)):
        return {}
    options = {**DEFAULTS, **stored}
    for name in PLAIN_FIELDS:
        if name in sent:
            options[name] = _checked(name, sent[name])
    columns: dict[str, Any] = {}
    if url_changed or any(name in sent for name in SECRET_FIELDS):
        secrets = _changed_secrets(sent, encrypted)
        if url_changed:
            secrets = replace(secrets, url=url)
        options |= secrets.described
        columns["encrypted_secrets"] = secrets.encrypted()
    _check_together(options)
    return {**columns, "request_options": trimmed(options)}


def trimmed(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is worth storing of `options`: all that is not as by default."""
    return {name: value for name, value in options.items() if value != DEFAULTS[name]}


def _checked(name: str, value: Any) -> Any:
    if value is None or (isinstance(value, str) and not value.strip()):
        return DEFAULTS[name]
    match name:
        case "webhook_method":
            return rules.check_method(value) or None
        case "webhook_headers":
            return rules.check_headers(value)
        case "webhook_body":
            return rules.check_body(value)
        case "success_statuses":
            return rules.check_success_statuses(value) or None
        case "success_contains":
            return rules.check_success_substring(value)
        case "retry_on":
            return _check_retry_on(value)
    return _check_max_age(value)


def _check_retry_on(value: Any) -> str:
    if not isinstance(value, str) or value.strip().lower() not in RetryOn.values:
        message = f"retry_on must be one of: {', '.join(RetryOn.values)}."
        raise DomainError("Invalid retry_on", message, field="retry_on")
    return value.strip().lower()


def _check_max_age(value: Any) -> int:
    low, high = RETRY_MAX_AGE_LIMITS
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        message = f"retry_max_age_seconds must be a whole number from {low} to {high}."
        raise DomainError("Invalid retry_max_age_seconds", message, field="retry_max_age_seconds")
    return value


def _changed_secrets(sent: Mapping[str, Any], encrypted: str | None) -> Secrets:
    secrets = _decrypted_for_change(sent, encrypted)
    if "secret_headers" in sent:
        secrets = replace(secrets, headers=_secret_headers(sent["secret_headers"], secrets.headers))
    if "signing_secret" in sent:
        value = sent["signing_secret"]
        secret = "" if value is None else rules.check_signing_secret(value)
        secrets = replace(secrets, signing=(secret,) if secret else ())
    return secrets


def _decrypted_for_change(sent: Mapping[str, Any], encrypted: str | None) -> Secrets:
    try:
        return Secrets.decrypted(encrypted)
    except crypto.Undecipherable:
        if all(name in sent for name in SECRET_FIELDS):
            # Nothing of what cannot be read is kept.
            return Secrets()
        message = "The stored secrets cannot be decrypted any more. Send secret_headers and signing_secret anew."
        raise DomainError("Invalid secret_headers", message, field="secret_headers") from None


def _secret_headers(value: Any, stored: Mapping[str, str]) -> dict[str, str]:
    if value is None or value == "":
        return {}
    headers = rules.check_headers(value, field="secret_headers")
    known = {name.lower(): text for name, text in stored.items()}
    for name, text in headers.items():
        if text == MASK:
            if name.lower() not in known:
                message = f"secret_headers must give {name} a value: none is stored."
                raise DomainError("Invalid secret_headers", message, field="secret_headers")
            headers[name] = known[name.lower()]
    return headers


def _check_together(options: Mapping[str, Any]) -> None:
    rules.check_body(options["webhook_body"] or "", method=options["webhook_method"] or "")
    plain = {name.lower() for name in options["webhook_headers"]}
    if twice := [name for name in options["secret_headers"] if name.lower() in plain]:
        message = f"secret_headers must not set {twice[0]}: webhook_headers does."
        raise DomainError("Invalid secret_headers", message, field="secret_headers")
