"""Takes secrets out of what a target says, in whatever form it repeats them."""

import base64
import re
from collections.abc import Iterable
from functools import lru_cache
from html.entities import codepoint2name

MASK = "***"
# What is shorter is no secret, and may stand in any text.
MIN_LENGTH = 4
# Of longer ones only the beginning is looked for in other forms than their own: a mask there gives the rest no meaning.
MAX_SPELLED = 512
# What base64 leaves of a secret that stands in the middle of a text must be long enough to be nothing else.
MIN_BASE64 = 8


def masked(text: str, secrets: Iterable[str]) -> str:
    """Return `text` without `secrets`, and without what follows a scheme in one (`Bearer ...`).

    They are found as they are and as JSON, HTML, a URL, a program's own notation and base64 write them, also mixed.
    """
    secrets = list(secrets)
    if not (text and secrets):
        return text
    for part in sorted(_parts(secrets), key=len, reverse=True):
        text = text.replace(part, MASK)
        text = _spelled(part[:MAX_SPELLED]).sub(MASK, text)
        for encoded in _in_base64(part):
            text = text.replace(encoded, MASK)
    return text


def _parts(secrets: Iterable[str]) -> set[str]:
    found = set()
    for secret in secrets:
        for part in (secret, secret.strip(), secret.rpartition(" ")[2], *_decoded(secret)):
            if len(part) >= MIN_LENGTH:
                found.add(part)
    return found


def _decoded(secret: str) -> list[str]:
    """Return user and password of `Basic ...`, which a target may show in plain."""
    scheme, _, value = secret.partition(" ")
    if scheme.lower() != "basic":
        return []
    try:
        user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except ValueError:
        return []
    return [f"{user}:{password}", password]


@lru_cache(maxsize=256)
def _spelled(secret: str) -> re.Pattern[str]:
    """Return what finds `secret` with each of its characters written in any of the usual ways."""
    return re.compile("".join(_spellings(character) for character in secret))


@lru_cache(maxsize=1024)
def _spellings(character: str) -> str:
    """Return a pattern of all ways to write a character. Backslashes may be doubled by being quoted twice."""
    code, octets = ord(character), character.encode("utf-8", "replace")
    units = character.encode("utf-16-be", "replace")
    ways = [
        re.escape(character),
        "".join(rf"%(?i:{octet:02x})" for octet in octets),
        "".join(rf"\\+x(?i:{octet:02x})" for octet in octets),
        "".join(rf"\\+u(?i:{units[at]:02x}{units[at + 1]:02x})" for at in range(0, len(units), 2)),
        rf"\\+U(?i:{code:08x})",
        rf"&(?:amp;)?#0*{code};",
        rf"&(?:amp;)?#[xX]0*(?i:{code:x});",
    ]
    if code < 256:
        ways.append(rf"\\+x(?i:{code:02x})")
    if name := codepoint2name.get(code, "apos" if character == "'" else ""):
        ways.append(f"&(?:amp;)?{name};")
    if character == " ":
        ways.append(r"\+")
    if character in _SHORT:
        ways.append(r"\\+" + _SHORT[character])
    quoted = r"\\*" if character in _QUOTED else ""
    return f"{quoted}(?:{'|'.join(ways)})"


_QUOTED = frozenset("\"'/\\<>&")
_SHORT = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f"}


@lru_cache(maxsize=256)
def _in_base64(secret: str) -> tuple[str, ...]:
    """Return what base64 makes of `secret`, wherever in a text it stands, in both alphabets."""
    octets = secret.encode("utf-8", "replace")
    whole = base64.b64encode(octets).decode()
    found = [text for text in (whole, _for_urls(whole)) if len(octets) >= MIN_LENGTH]
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + octets).decode().rstrip("=")
        # The first and the last characters mix with what stands next to the secret.
        start = (before * 8 + 5) // 6
        end = (before + len(octets)) * 8 // 6
        inside = encoded[start:end]
        if len(inside) >= MIN_BASE64:
            found += [inside, _for_urls(inside)]
    # With the padding first, or it would be left.
    return tuple(dict.fromkeys([*found[:2], *(text.rstrip("=") for text in found)]))


def _for_urls(encoded: str) -> str:
    return encoded.replace("+", "-").replace("/", "_")
