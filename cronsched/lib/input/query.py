"""Read query strings.

Numbers and booleans that the contract names are 422 when wrong, all reported together. Parameters beyond it (`search`,
`ordering`) are 400: the existing frontend takes 422 for the end of its session.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from cronsched.lib.config.env import FALSE_WORDS, TRUE_WORDS
from cronsched.lib.errors import DomainError, Problem, SchemaError

# More than any page needs. Python itself refuses to read some more than that, and needs ever longer for them.
MAX_DIGITS = 4000
MAX_SEARCH = 255


class Kind(Protocol):
    """A form a parameter may have: its default, and how its text is read."""

    @property
    def default(self) -> Any: ...

    def read(self, name: str, text: str) -> Any | Problem: ...


@dataclass(frozen=True)
class Whole:
    """A whole number within bounds; above `cut` it counts as `cut` instead of being refused."""

    default: int
    low: int
    high: int | None = None
    cut: int | None = None

    def read(self, name: str, text: str) -> int | Problem:
        digits = text.strip()
        if not (digits.isascii() and digits.removeprefix("-").isdigit() and len(digits) <= MAX_DIGITS):
            return Problem(name, "Input should be a valid integer", "int_parsing")
        number = int(digits)
        if number < self.low:
            return Problem(name, f"Input should be greater than or equal to {self.low}", "greater_than_equal")
        if self.high is not None and number > self.high:
            return Problem(name, f"Input should be less than or equal to {self.high}", "less_than_equal")
        return number if self.cut is None else min(number, self.cut)


@dataclass(frozen=True)
class Flag:
    default: bool = False

    def read(self, name: str, text: str) -> bool | Problem:
        word = text.lower()
        if word in TRUE_WORDS:
            return True
        if word in FALSE_WORDS:
            return False
        return Problem(name, "Input should be a valid boolean", "bool_parsing")


def read(params: Mapping[str, str], **kinds: Kind) -> dict[str, Any]:
    """Return the value of every parameter in `kinds`. Raises `SchemaError` naming all that cannot be read."""
    values = {name: kind.read(name, params[name]) if name in params else kind.default for name, kind in kinds.items()}
    problems = [value for value in values.values() if isinstance(value, Problem)]
    if problems:
        raise SchemaError("query", problems)
    return values


def search(params: Mapping[str, str]) -> str:
    """Return the trimmed `search`, blank for none. Raises `DomainError` (400)."""
    text = params.get("search", "").strip()
    if "\x00" in text or len(text) > MAX_SEARCH:
        raise DomainError("Invalid search", f"search must be text of at most {MAX_SEARCH} characters.")
    return text


def ordering(params: Mapping[str, str], fields: Sequence[str]) -> str | None:
    """Return `ordering`, one of `fields` or its reverse (`-field`); None for none. Raises `DomainError` (400)."""
    text = params.get("ordering", "").strip()
    if not text:
        return None
    allowed = [sign + field for field in fields for sign in ("", "-")]
    if text not in allowed:
        raise DomainError("Invalid ordering", f"ordering must be one of: {', '.join(allowed)}.")
    return text


class Page(NamedTuple):
    """Which rows of a list are asked for. `start` counts those before it."""

    number: int
    limit: int

    @property
    def start(self) -> int:
        return (self.number - 1) * self.limit

    def described(self, total: int) -> dict[str, int]:
        """Return what an answer says of a page of `total` rows."""
        return {"page": self.number, "limit": self.limit, "total_pages": -(-total // self.limit)}


def page(params: Mapping[str, str], *, default: int, highest: int) -> Page:
    """Return the page that `page` and `limit` ask for. Raises `DomainError` (400)."""
    return Page(
        _number(params, "page", Whole(default=1, low=1)), number(params, "limit", default=default, highest=highest)
    )


def number(params: Mapping[str, str], name: str, *, default: int, highest: int) -> int:
    """Return the whole number `name` from 1 to `highest`. Raises `DomainError` (400)."""
    return _number(params, name, Whole(default=default, low=1, high=highest))


def _number(params: Mapping[str, str], name: str, kind: Whole) -> int:
    value = kind.read(name, params[name]) if name in params else kind.default
    if isinstance(value, Problem):
        bounds = f"of at least {kind.low}" if kind.high is None else f"from {kind.low} to {kind.high}"
        raise DomainError(f"Invalid {name}", f"{name} must be a whole number {bounds}.")
    return value
