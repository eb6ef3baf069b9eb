"""The `from` and `to` of lists and statistics (contract, section 1, "Date ranges")."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cronsched.lib.errors import DomainError

DAY_ONLY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
INSTANT = re.compile(
    r"(?P<local>[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]{1,9})?)?)"
    # A plus that was not encoded arrives as a blank.
    r"(?P<zone>[Zz]|[-+ ][0-9]{2}:?[0-9]{2})?"
)


@dataclass(frozen=True)
class DateRange:
    """Aware UTC bounds, each None for none: `start` is inside, `end` is not."""

    start: datetime | None = None
    end: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is no bound at all."""
        return self.start is None and self.end is None

    def conditions(self, field: str) -> dict[str, datetime]:
        """Return the keyword arguments that narrow a queryset to the range by `field`."""
        bounds = {f"{field}__gte": self.start, f"{field}__lt": self.end}
        return {lookup: bound for lookup, bound in bounds.items() if bound is not None}

    def echo(self, *, suffix: str = "Z") -> dict[str, str | None]:
        """Return the `range` of an answer: UTC, ending in `suffix` (notifications show none)."""
        return {"from": _naive_text(self.start, suffix), "to": _naive_text(self.end, suffix)}


def read(params: Mapping[str, str]) -> DateRange:
    """Return the range asked for. Raises `DomainError` (400) for unreadable or reversed bounds.

    A date without a time in `to` means that whole day.
    """
    start, _ = _bound(params.get("from", ""))
    end, whole_day = _bound(params.get("to", ""))
    if end is not None and whole_day:
        try:
            end += timedelta(days=1)
        except OverflowError:
            raise _invalid() from None
    if start is not None and end is not None and start >= end:
        raise DomainError("Invalid date range", '"from" must be earlier than "to".')
    return DateRange(start, end)


def read_instant(text: str, field: str) -> datetime:
    """Return the instant written in `text`, without an offset UTC. Raises `DomainError` (400) naming `field`."""
    try:
        moment, is_day = _bound(text)
    except DomainError:
        moment, is_day = None, False
    if moment is None or is_day:
        message = f"{field} must be an ISO 8601 instant such as 2026-01-23T08:00:00Z."
        raise DomainError(f"Invalid {field}", message, field=field)
    return moment


def _bound(value: str) -> tuple[datetime | None, bool]:
    """Return the instant `value` names and whether it is a date without a time."""
    text = value.strip()
    if not text:
        return None, False
    try:
        if DAY_ONLY.fullmatch(text):
            return datetime.fromisoformat(text).replace(tzinfo=UTC), True
        if match := INSTANT.fullmatch(text):
            zone = (match["zone"] or "Z").replace(" ", "+").upper()
            return datetime.fromisoformat(match["local"].upper() + zone).astimezone(UTC), False
    except (ValueError, OverflowError):
        pass
    raise _invalid()


def _invalid() -> DomainError:
    return DomainError("Invalid date", "Invalid date")


def _naive_text(moment: datetime | None, suffix: str) -> str | None:
    return None if moment is None else moment.replace(tzinfo=None).isoformat() + suffix
