"""Encrypt secrets before they reach the database, with a key that follows from the application's secret.

The token is Fernet's (AES-128-CBC with HMAC-SHA256). After a change of `SECRET_KEY` the old one, listed in
`SECRET_KEY_FALLBACKS`, still decrypts; whatever is saved from then on is encrypted by the new one.
"""

import base64
import hashlib
from collections.abc import Sequence
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

PURPOSE = b"cronsched: secrets at rest"


class Undecipherable(Exception):
    """A stored secret was encrypted by a key that is neither SECRET_KEY nor among SECRET_KEY_FALLBACKS."""


def encrypt(text: str) -> str:
    """Return `text` as a token; the same text gives another token each time."""
    return _fernet((settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)).encrypt(text.encode()).decode("ascii")


def decrypt(token: str) -> str:
    """Return the text behind `token`. Raises `Undecipherable`."""
    try:
        return _fernet((settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)).decrypt(token.encode()).decode()
    except (InvalidToken, ValueError) as error:
        raise Undecipherable("the stored secret cannot be read with the present SECRET_KEY") from error


@lru_cache(maxsize=4)
def _fernet(secrets: Sequence[str]) -> MultiFernet:
    # The secret has at least 32 random characters (settings), so no slow derivation is needed.
    keys = (
        hashlib.blake2b(PURPOSE, key=hashlib.sha256(secret.encode()).digest(), digest_size=32) for secret in secrets
    )
    return MultiFernet([Fernet(base64.urlsafe_b64encode(key.digest())) for key in keys])
