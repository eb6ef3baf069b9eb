"""Read settings from the environment and stop the boot at the first value that cannot be understood.

Every reader takes the name of the variable, so that the one line an operator sees names it. Blank counts as
absent: compose files and unit files often pass a variable through without a value.
"""

import os
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from cronsched.lib.zone_names import nearest

TRUE_WORDS = frozenset({"1", "true", "t", "yes", "y", "on"})
FALSE_WORDS = frozenset({"0", "false", "f", "no", "n", "off"})
EVERYWHERE = ("0.0.0.0/0", "::/0")
LOOPBACK = [ip_network("127.0.0.0/8"), ip_network("::1/128")]
# Where a proxy of one's own usually stands: on this host, in its containers, in the intranet.
PRIVATE = [*LOOPBACK, *(ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"))]


class BadSetting(SystemExit):
    """A setting that cannot be understood. Ends the process with one line instead of a traceback."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"Configuration error: {name}: {problem}")


def text(name: str, default: str = "", *aliases: str) -> str:
    """Return the first non-blank value of `name` and its `aliases`, in that order of precedence."""
    for candidate in (name, *aliases):
        if value := os.environ.get(candidate, "").strip():
            return value
    return default


def flag(name: str, default: bool, *aliases: str) -> bool:
    value = text(name, "", *aliases).lower()
    if not value:
        return default
    if value in TRUE_WORDS:
        return True
    if value in FALSE_WORDS:
        return False
    raise BadSetting(name, f"{value!r} is neither true nor false.")


def integer(name: str, default: int, *aliases: str, at_least: int = 0, at_most: int | None = None) -> int:
    """Return a whole number; outside `at_least`..`at_most` the boot stops."""
    value = text(name, "", *aliases)
    if not value:
        return default
    # int() would also take underscores, signs and other scripts' digits.
    if not value.isascii() or not value.removeprefix("-").isdigit():
        raise BadSetting(name, f"{value!r} is not a whole number.")
    number = int(value)
    if number < at_least or (at_most is not None and number > at_most):
        upper = f" and at most {at_most}" if at_most is not None else ""
        raise BadSetting(name, f"{number} must be at least {at_least}{upper}.")
    return number


def clamped(name: str, default: int, *, low: int, high: int) -> int:
    """Return a whole number pulled into `low`..`high`, for the variables whose contract says so."""
    return min(max(integer(name, default, at_least=-(10**9)), low), high)


def processors() -> int:
    """Return how many processors this process may run on. A container's share of their time is not seen here."""
    return len(os.sched_getaffinity(0))


def names(name: str, default: Iterable[str] = ()) -> list[str]:
    """Return the items of a comma list, blanks dropped."""
    value = text(name)
    return [item.strip() for item in value.split(",") if item.strip()] if value else list(default)


def pairs(name: str, values: Sequence[str]) -> dict[str, str]:
    """Return a comma list of `key=value`, where each value is one of `values`."""
    found = {}
    for item in names(name):
        key, _, value = (part.strip() for part in item.rpartition("="))
        if not key or value not in values:
            raise BadSetting(name, f"{item!r} is not of the form name=value with one of {', '.join(values)}.")
        found[key] = value
    return found


def one_of(name: str, default: str, choices: Sequence[str]) -> str:
    """Return the choice that was named, in any case."""
    value = text(name, default).upper()
    if value not in choices:
        raise BadSetting(name, f"{value!r} is none of {', '.join(choices)}.")
    return value


def time_zone(name: str, default: str) -> str:
    value = text(name, default)
    if value not in available_timezones():
        meant = nearest(value, available_timezones())
        advice = f" Did you mean {meant}?" if meant else ""
        raise BadSetting(name, f"{value!r} is not an IANA time zone such as Asia/Tokyo or UTC.{advice}")
    return value


def networks(name: str, *aliases: str) -> list[IPv4Network | IPv6Network]:
    """Return the networks of a comma list; `*` stands for all addresses."""
    items = [item.strip() for item in text(name, "", *aliases).split(",") if item.strip()]
    try:
        return [ip_network(address) for item in items for address in (EVERYWHERE if item == "*" else [item])]
    except ValueError as error:
        raise BadSetting(name, f"{error}. Expected a comma list such as 10.0.0.0/8,fd00::/8.") from None


def is_local(host: str) -> bool:
    """Return whether only this machine reaches what listens at `host`."""
    if host == "localhost":
        return True
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return False
    return address.is_loopback


def http_url(name: str, default: str) -> str:
    """Return an http(s) address without its trailing slash; blank only where that is the default."""
    value = text(name, default)
    if not value and not default:
        return ""
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        raise BadSetting(name, f"{value!r} is not an http:// or https:// address.")
    return value.rstrip("/")
