"""Read fields of a JSON object the way the contract reads them everywhere (section 1, "Fields")."""

from collections.abc import Mapping
from typing import Any

from cronsched.lib.errors import DomainError

FALSE_TEXTS = frozenset({"", "0", "false", "no", "off"})


def text(data: Mapping[str, Any], field: str) -> str | None:
    """Return the trimmed text of `field`, or None when it is absent, null or blank.

    Raises `DomainError` (400) for any other JSON type.
    """
    value = data.get(field)
    if value is None:
        return None
    if not isinstance(value, str):
        raise DomainError("Invalid payload", f'"{field}" must be a string.', field=field)
    return value.strip() or None


def flag(data: Mapping[str, Any], field: str, default: bool) -> bool:
    """Return the truth of `field`; absent and null leave `default`."""
    value = data.get(field)
    if value is None:
        return default
    if isinstance(value, str):
        return value.strip().lower() not in FALSE_TEXTS
    return bool(value)
