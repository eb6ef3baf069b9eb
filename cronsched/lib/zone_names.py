"""Find the IANA time zone that a text most likely means."""

from collections.abc import Iterable
from difflib import get_close_matches

# What people say instead of a place, where it is no zone's own name and one place is meant by nearly all of them.
ABBREVIATIONS = {
    "jst": "Asia/Tokyo",
    "kst": "Asia/Seoul",
    "ist": "Asia/Kolkata",
    "pst": "America/Los_Angeles",
    "pdt": "America/Los_Angeles",
    "cst": "America/Chicago",
    "cdt": "America/Chicago",
    "edt": "America/New_York",
    "bst": "Europe/London",
    "cest": "Europe/Berlin",
    "aest": "Australia/Sydney",
}
ALIKE = 0.8
MAX_LENGTH = 64


def nearest(text: str, names: Iterable[str]) -> str | None:
    """Return the one of `names` that `text` most likely means, None where none is near.

    Case, blanks and hyphens do not matter, a city stands for its zone, and a letter may be wrong.
    """
    wanted = _plain(text)
    if not wanted or len(text) > MAX_LENGTH:
        return None
    by_plain = {_plain(name): name for name in sorted(names)}
    if wanted in by_plain:
        return by_plain[wanted]
    if wanted in ABBREVIATIONS:
        return ABBREVIATIONS[wanted]
    by_city = {plain.rpartition("/")[2]: name for plain, name in by_plain.items() if "/" in plain}
    if wanted in by_city:
        return by_city[wanted]
    close = get_close_matches(wanted, by_plain, n=1, cutoff=ALIKE) or get_close_matches(wanted, by_city, 1, ALIKE)
    return (by_plain | by_city)[close[0]] if close else None


def _plain(text: str) -> str:
    return "_".join(text.lower().replace("-", " ").replace("_", " ").replace(" / ", "/").split())
