"""What a cell of the older database means. Each function returns None for what means nothing; none raises."""

import json
import math
import re
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

# Ids that are no UUID there become one here: always the same.
NAMESPACE = uuid5(NAMESPACE_URL, "import_legacy")
UUID_TEXT = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}")
FALSE_TEXTS = frozenset({"", "0", "false", "f", "no", "n", "off"})
DATE_FORMATS = ("%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y/%m/%d")
FIRST, LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9998, 1, 1, tzinfo=UTC)
# Beyond it seconds since 1970 are milliseconds.
LATEST_SECONDS = 32_503_680_000
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def text(value: Any) -> str | None:
    """Return the text of a cell without blanks around it and without what no database stores; None for nothing."""
    if value is None:
        return None
    if isinstance(value, bytes | bytearray):
        value = bytes(value).decode("utf-8", "replace")
    return UNSTORABLE.sub("", str(value)).strip() or None


def identity(table: str, value: Any) -> UUID | None:
    """Return the key of a row of `table`: its UUID, or one made of whatever stands in its place."""
    written = text(value)
    if written is None:
        return None
    if UUID_TEXT.fullmatch(written.lower()):
        return UUID(written)
    return uuid5(NAMESPACE, f"{table}/{written}")


def instant(value: Any) -> datetime | None:
    """Return the instant of a cell, which counts as UTC where it names no zone."""
    moment = _moment(value)
    if moment is None:
        return None
    try:
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        return None
    return moment if FIRST <= moment < LAST else None


def _moment(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _of_number(float(value))
    written = text(value)
    return _of_text(written) if written else None


def _of_number(seconds: float) -> datetime | None:
    if not math.isfinite(seconds):
        return None
    if abs(seconds) > LATEST_SECONDS:
        seconds /= 1000
    try:
        return FIRST + timedelta(seconds=seconds)
    except OverflowError:
        return None


def _of_text(written: str) -> datetime | None:
    try:
        return datetime.fromisoformat(written)
    except ValueError:
        pass
    for form in DATE_FORMATS:
        try:
            return datetime.strptime(written, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    try:
        return parsedate_to_datetime(written)
    except ValueError:
        return None


def day(value: Any) -> date | None:
    """Return the date of a cell; of an instant the day that is written there, whatever its zone."""
    moment = _moment(value)
    return moment.date() if moment and FIRST.year <= moment.year < LAST.year else None


def flag(value: Any, default: bool) -> bool:
    if value is None:
        return default
    if isinstance(value, bytes | bytearray):
        # MySQL's BIT is bytes; SQLite may hold a text as such.
        value = value.decode("utf-8", "replace") if value.isalnum() else any(value)
    return value.strip().lower() not in FALSE_TEXTS if isinstance(value, str) else bool(value)


def number(value: Any) -> float | None:
    """Return a number that is finite and not negative."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) and found >= 0 else None


def document(value: Any) -> Any:
    """Return what a JSON cell holds; None where it is broken, or holds a number that is not finite."""
    written = json.dumps(value) if isinstance(value, dict | list) else text(value)
    try:
        return _storable(json.loads(written, parse_constant=_refuse)) if written else None
    except (ValueError, RecursionError):
        return None


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _storable(value: Any) -> Any:
    """Return a JSON value without the characters that no database stores."""
    match value:
        case str():
            return UNSTORABLE.sub("", value)
        case list():
            return [_storable(item) for item in value]
        case dict():
            return {UNSTORABLE.sub("", key): _storable(item) for key, item in value.items()}
    return value
