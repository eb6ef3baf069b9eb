"""Keys: time-ordered ones for tables that grow without end, and reading those that callers send."""

import os
import re
import time
from uuid import UUID


def uuid7() -> UUID:
    """Return a UUID version 7 (RFC 9562, section 5.7): 48 bits of Unix milliseconds, 12 of a part of one, then random.

    New rows land at the end of the primary key's index instead of all over it, and rows of one instant stay in the
    order in which they were made.
    """
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    part = (nanoseconds << 12) // 1_000_000
    random = int.from_bytes(os.urandom(8), "big") >> 2
    return UUID(int=(milliseconds << 80) | (0x7 << 76) | (part << 64) | (0x2 << 62) | random)


_WRITTEN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def known_id(text: str) -> UUID | None:
    """Return the id written in `text`, or None where no row can have it.

    Only the form the API itself writes counts (lower case, hyphens); UUID() would also take braces and URNs.
    """
    return UUID(text) if _WRITTEN_ID.fullmatch(text) else None
