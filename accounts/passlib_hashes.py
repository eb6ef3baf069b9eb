"""Password hashes as passlib writes them, `$pbkdf2-sha256$rounds$salt$sum`: what the older service stored.

They are verified without passlib and replaced by Django's own at the first sign-in. Django's hasher cannot take them:
its salt is text, here it is bytes in a base64 of passlib's own (`.` for `+`, no padding).
"""

import base64
import binascii
import hashlib
import re
from typing import Any

from django.contrib.auth.hashers import BasePasswordHasher, mask_hash
from django.utils.crypto import constant_time_compare

ALGORITHM = "passlib_pbkdf2_sha256"
# Fewer protect nothing, and more would keep a thread busy for seconds at each attempt.
ROUNDS = range(1, 5_000_001)
# The column of the password.
MAX_LENGTH = 128
_PASSLIB = re.compile(
    r"\$pbkdf2-sha256\$(?P<rounds>[1-9]\d{0,6})\$(?P<salt>[A-Za-z0-9./]*)\$(?P<sum>[A-Za-z0-9./]{43})"
)


def encoded_of(written: str) -> str | None:
    """Return a hash of passlib in the form in which it is stored here; None for any other text."""
    found = _PASSLIB.fullmatch(written)
    if found is None or int(found["rounds"]) not in ROUNDS or _bytes(found["salt"]) is None:
        return None
    encoded = f"{ALGORITHM}{written.removeprefix('$pbkdf2-sha256')}"
    return encoded if len(encoded) <= MAX_LENGTH else None


class PasslibPBKDF2PasswordHasher(BasePasswordHasher):
    """Verifies stored hashes; makes none."""

    algorithm = ALGORITHM

    def decode(self, encoded: str) -> dict[str, Any]:
        algorithm, rounds, salt, digest = encoded.split("$")
        return {"algorithm": algorithm, "iterations": int(rounds), "salt": salt, "hash": digest}

    def verify(self, password: str, encoded: str) -> bool:
        parts = self.decode(encoded)
        salt = _bytes(parts["salt"]) or b""
        digest = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, parts["iterations"])
        return constant_time_compare(_text(digest), parts["hash"])

    def encode(self, password: str, salt: str) -> str:
        raise NotImplementedError("New passwords are hashed by the first hasher of PASSWORD_HASHERS.")

    def must_update(self, encoded: str) -> bool:
        return True

    def harden_runtime(self, password: str, encoded: str) -> None:
        """Do nothing: its time differs from that of new hashes, as that of any hash that is to be replaced."""

    def safe_summary(self, encoded: str) -> dict[Any, Any]:
        parts = self.decode(encoded)
        shown = {"salt": mask_hash(parts["salt"]), "hash": mask_hash(parts["hash"])}
        return {"algorithm": ALGORITHM, "iterations": parts["iterations"], **shown}


def _bytes(text: str) -> bytes | None:
    try:
        return base64.b64decode(f"{text.replace('.', '+')}{'=' * (-len(text) % 4)}", validate=True)
    except binascii.Error:
        return None


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode().rstrip("=").replace("+", ".")
