"""Signatures by the Standard Webhooks specification 1.0.0 (https://www.standardwebhooks.com), symmetric scheme `v1`.

The receiver computes the same HMAC over `id.timestamp.body` and so knows that the call is ours, unchanged and recent.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable

PREFIX = "whsec_"
KEY_BYTES = range(24, 65)
NEW_KEY_BYTES = 32


def new_secret() -> str:
    """Return a random secret in the form receivers' libraries take."""
    return PREFIX + base64.b64encode(secrets.token_bytes(NEW_KEY_BYTES)).decode()


def key_of(secret: str) -> bytes:
    """Return the key inside `whsec_...`. Raises ValueError for what is no such secret."""
    if not secret.startswith(PREFIX):
        raise ValueError(f"A signing secret starts with {PREFIX}.")
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise ValueError(f"After {PREFIX} a signing secret is base64.") from None
    if len(key) not in KEY_BYTES:
        raise ValueError(f"A signing secret holds {KEY_BYTES.start} to {KEY_BYTES.stop - 1} bytes.")
    return key


def signature(signing_secrets: Iterable[str], *, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the `webhook-signature`: one entry per secret, so that a receiver can change over without a gap."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    digests = (hmac.new(key_of(secret), signed, hashlib.sha256).digest() for secret in signing_secrets)
    return " ".join("v1," + base64.b64encode(digest).decode() for digest in digests)
