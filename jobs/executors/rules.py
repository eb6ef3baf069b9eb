"""What a webhook's optional settings may hold. Each check returns the value to store or refuses with a clear text."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from cronsched.lib.errors import DomainError
from cronsched.lib.http import RESERVED_HEADERS
from jobs.executors.signing import key_of
from jobs.executors.template import PLACEHOLDERS, unknown_placeholders

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")
BODYLESS_METHODS = frozenset({"GET", "HEAD"})
MAX_HEADERS = 32
MAX_HEADER_CHARACTERS = 8192
MAX_BODY_CHARACTERS = 64 * 1024
MAX_SUBSTRING_CHARACTERS = 500

# A receiver trusts these to be ours.
OWN_HEADERS = frozenset({"webhook-id", "webhook-timestamp", "webhook-signature", "idempotency-key"})
OWN_PREFIX = "x-cron-"

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")
_STATUS_RANGE = re.compile(r"([1-5]\d\d)(?:\s*-\s*([1-5]\d\d))?")


@dataclass(frozen=True, slots=True)
class SuccessRule:
    """When an answer counts as success: its status lies in one of `statuses`, its body holds `contains`."""

    statuses: tuple[tuple[int, int], ...] = ((200, 299),)
    contains: str = ""

    @classmethod
    def of(cls, statuses: str = "", contains: str = "") -> Self:
        """Read the stored form, such as `200-299, 404`. Blank means any 2xx."""
        return cls(_ranges(statuses) or cls().statuses, contains)

    def accepts_status(self, status: int) -> bool:
        return any(low <= status <= high for low, high in self.statuses)


ANY_2XX = SuccessRule()


def check_method(value: Any, *, field: str = "webhook_method") -> str:
    """Return the method in upper case, blank for "by the metadata"."""
    method = value.strip().upper() if isinstance(value, str) else value
    if method not in ("", *METHODS):
        raise _invalid(field, f"must be one of {', '.join(METHODS)}.")
    return str(method)


def check_headers(value: Any, *, field: str = "webhook_headers") -> dict[str, str]:
    """Return the headers as text to text. Framing and signature are not the user's to set."""
    if not isinstance(value, Mapping):
        raise _invalid(field, "must be a JSON object of names and texts.")
    if len({str(name).lower() for name in value}) != len(value):
        raise _invalid(field, "must not name a header twice.")
    headers: dict[str, str] = {}
    for name, text in value.items():
        if not (isinstance(name, str) and _TOKEN.fullmatch(name)):
            raise _invalid(field, f"holds a name that is no header's: {str(name)[:80]!r}.")
        if is_reserved(name):
            raise _invalid(field, f"must not set {name}: the service sets it itself.")
        if not (isinstance(text, str) and _VALUE.fullmatch(text)):
            raise _invalid(field, f"must give {name} a text of one line in Latin-1 characters.")
        headers[name] = text.strip()
    if len(headers) > MAX_HEADERS or sum(map(len, [*headers, *headers.values()])) > MAX_HEADER_CHARACTERS:
        raise _invalid(field, f"must hold at most {MAX_HEADERS} headers of {MAX_HEADER_CHARACTERS} characters in all.")
    return headers


def is_reserved(name: str) -> bool:
    """Whether the header is the service's own."""
    lower = name.lower()
    return lower in RESERVED_HEADERS or lower in OWN_HEADERS or lower.startswith(OWN_PREFIX)


def check_body(value: Any, *, method: str = "", field: str = "webhook_body") -> str:
    """Return the body's template. `method` is the one checked before."""
    if not isinstance(value, str):
        raise _invalid(field, "must be a text.")
    if len(value) > MAX_BODY_CHARACTERS:
        raise _invalid(field, f"must be at most {MAX_BODY_CHARACTERS} characters.")
    if value and method in BODYLESS_METHODS:
        raise _invalid(field, f"must be empty: a {method} request carries no body.")
    if unknown := unknown_placeholders(value):
        known = ", ".join("{{ " + name + " }}" for name in PLACEHOLDERS)
        raise _invalid(field, f"holds the unknown placeholder {unknown[0][:80]!r}. Known are {known}.")
    return value


def check_success_statuses(value: Any, *, field: str = "success_statuses") -> str:
    """Return the list of statuses in its plain form (`200-299,404`), blank for any 2xx."""
    if not isinstance(value, str):
        raise _invalid(field, "must be a text such as 200-299,404.")
    try:
        return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in _ranges(value))
    except ValueError:
        raise _invalid(field, "must list statuses or ranges of them, such as 200-299,404.") from None


def check_success_substring(value: Any, *, field: str = "success_contains") -> str:
    if not isinstance(value, str) or len(value) > MAX_SUBSTRING_CHARACTERS:
        raise _invalid(field, f"must be a text of at most {MAX_SUBSTRING_CHARACTERS} characters.")
    return value


def check_signing_secret(value: Any, *, field: str = "signing_secret") -> str:
    """Return the secret, blank for "not signed"."""
    secret = value.strip() if isinstance(value, str) else ""
    if value and not isinstance(value, str):
        raise _invalid(field, "must be a text.")
    if secret:
        try:
            key_of(secret)
        except ValueError as error:
            raise DomainError(f"Invalid {field}", str(error), field=field) from None
    return secret


def _ranges(statuses: str) -> tuple[tuple[int, int], ...]:
    """Raises ValueError for what is no list of statuses."""
    ranges = []
    for item in filter(None, (item.strip() for item in statuses.split(","))):
        found = _STATUS_RANGE.fullmatch(item)
        if not found or int(found[1]) > int(found[2] or found[1]):
            raise ValueError(item)
        ranges.append((int(found[1]), int(found[2] or found[1])))
    return tuple(ranges)


def _invalid(field: str, rule: str) -> DomainError:
    return DomainError(f"Invalid {field}", f"{field} {rule}", field=field)
