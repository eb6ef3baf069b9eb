"""Encrypt secrets before they reach the database, with a key that follows from a secret of the settings.

The token is Fernet's (AES-128-CBC with HMAC-SHA256). The first key encrypts: `SECRETS_KEY` where it is set, else
`SECRET_KEY`. Those after it still decrypt: the other one, and what `SECRETS_KEY_FALLBACKS` and `SECRET_KEY_FALLBACKS`
list. `cronsched.lib.db.encrypted_columns` puts what is stored under the first key.
"""

import base64
import hashlib
from collections.abc import Sequence
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

# How every token begins: Fernet's version, and the first bits of the time.
MARK = "gAAAA"
PURPOSE = b"cronsched: secrets at rest"


class Undecipherable(Exception):
    """A stored secret was encrypted by a key that is not among those of the settings."""


def encrypt(text: str) -> str:
    """Return `text` as a token; the same text gives another token each time."""
    return _fernet(keys()).encrypt(text.encode()).decode("ascii")


def decrypt(token: str) -> str:
    """Return the text behind `token`. Raises `Undecipherable`."""
    try:
        return _fernet(keys()).decrypt(token.encode()).decode()
    except (InvalidToken, ValueError) as error:
        raise Undecipherable("the stored secret cannot be read with the present keys") from error


def is_current(token: str) -> bool:
    """Return whether `token` is under the first key."""
    try:
        _fernet(keys()[:1]).decrypt(token.encode())
    except (InvalidToken, ValueError):
        return False
    return True


def keys() -> tuple[str, ...]:
    """Return the secrets that keys follow from, the one that encrypts first, each once."""
    own = [settings.SECRETS_KEY, *settings.SECRETS_KEY_FALLBACKS]
    return tuple(dict.fromkeys(filter(None, (*own, settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))))


@lru_cache(maxsize=8)
def _fernet(secrets: Sequence[str]) -> MultiFernet:
    # The secret has at least 32 random characters (settings), so no slow derivation is needed.
    derived = (
        hashlib.blake2b(PURPOSE, key=hashlib.sha256(secret.encode()).digest(), digest_size=32) for secret in secrets
    )
    return MultiFernet([Fernet(base64.urlsafe_b64encode(key.digest())) for key in derived])
