"""Where the rules of time zones come from: the locked `tzdata`, on every host.

Python looks at the system's files first. Two hosts with other packages, or one that was brought up to date, would
compute other fire times from the same expression.
"""

import zoneinfo
from importlib import import_module

PACKAGE = "tzdata"


def use_locked() -> None:
    """Read zones from the installed package alone. Those that were made before are made anew."""
    zoneinfo.reset_tzpath(())
    zoneinfo.ZoneInfo.clear_cache()


def version() -> str:
    """Return the release of the rules, such as 2026a."""
    return str(import_module(PACKAGE).IANA_VERSION)
