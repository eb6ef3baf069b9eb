"""Keys: time-ordered ones for tables that grow without end, and reading those that callers send."""

import os
import re
import time
from uuid import UUID


def uuid7() -> UUID:
    """Return a UUID version 7 (RFC 9562, section 5.7): 48 bits of Unix milliseconds, then random bits.

    New rows land at the end of the primary key's index instead of all over it.
    """
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds << 80) | int.from_bytes(os.urandom(10), "big")
    value = (value & ~(0xF << 76)) | (0x7 << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    return UUID(int=value)


_WRITTEN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def known_id(text: str) -> UUID | None:
    """Return the id written in `text`, or None where no row can have it.

    Only the form the API itself writes counts (lower case, hyphens); UUID() would also take braces and URNs.
    """
    return UUID(text) if _WRITTEN_ID.fullmatch(text) else None
