"""Checks mail addresses: their form, their number, and whether mail may go to their domains."""

from collections.abc import Iterable, Sequence

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from cronsched.lib.errors import DomainError

# A path of RFC 5321, section 4.5.3.1.3, without its brackets.
MAX_LENGTH = 254
# Of one job or team. A distribution list is an address, too.
MAX_ADDRESSES = 20


def is_address(text: str) -> bool:
    try:
        validate_email(text)
    except ValidationError:
        return False
    return len(text) <= MAX_LENGTH


def may_be_mailed(address: str) -> bool:
    """Whether `NOTIFICATION_EMAIL_DOMAINS` lets mail go there; `.example.com` stands for all domains below it."""
    allowed = settings.NOTIFICATION_EMAIL_DOMAINS
    domain = address.rpartition("@")[2].lower()
    return not allowed or any(domain == name or (name[0] == "." and domain.endswith(name)) for name in allowed)


def checked(items: Iterable[object], *, field: str) -> list[str]:
    """Return the addresses stripped. Raises `DomainError` for what is none, too many, or where no mail may go."""
    addresses = [item.strip() if isinstance(item, str) else "" for item in items]
    if not all(map(is_address, addresses)):
        raise _refused(field, "must contain valid email addresses.")
    if len(addresses) > MAX_ADDRESSES:
        raise _refused(field, f"may hold at most {MAX_ADDRESSES} addresses. Use a distribution list for more.")
    if not all(map(may_be_mailed, addresses)):
        raise _refused(field, f"may hold addresses of these domains only: {_listed()}.")
    return addresses


def _listed() -> str:
    names: Sequence[str] = settings.NOTIFICATION_EMAIL_DOMAINS
    return ", ".join(names)


def _refused(field: str, reason: str) -> DomainError:
    return DomainError(f"Invalid {field}", f"{field} {reason}", field=field)
