"""The password of a URL: kept among the secrets, shown as `***`, sent to the host it was given for only."""

import base64
from typing import NamedTuple, Self
from urllib.parse import unquote, urlsplit, urlunsplit

MARK = "***"
DEFAULT_PORTS = {"http": 80, "https": 443}


class UrlCredentials(NamedTuple):
    """`origin` is scheme, host and port of the URL that `user_info` (`user:password`, decoded) stood in."""

    origin: str
    user_info: str

    @classmethod
    def of(cls, url: str) -> Self | None:
        """Return what `url` gives away, None where there is nothing in it, or the mark."""
        user_info = _user_info(url)
        return None if not user_info or is_marked(url) else cls(origin_of(url), unquote(user_info))

    @property
    def authorization(self) -> str:
        """The value of the header they are sent in."""
        return f"Basic {base64.b64encode(self.user_info.encode()).decode()}"


def is_marked(url: str | None) -> bool:
    """Return whether `url` stands for one whose credentials are kept."""
    return url is not None and MARK in url and (_user_info(url) or "").rpartition(":")[2] == MARK


def marked(url: str) -> str:
    """Return `url` as it is stored and shown: with the user's name, which alone may be a secret, too."""
    name, colon, _ = (_user_info(url) or "").partition(":")
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{name if colon else ''}{colon}{MARK}@{host}"))


def is_same_account(url: str, stored: str | None) -> bool:
    """Return whether two marked URLs stand for one host and one user."""
    return is_marked(stored) and (origin_of(url), _user_info(url)) == (origin_of(str(stored)), _user_info(str(stored)))


def origin_of(url: str) -> str:
    parts = urlsplit(url)
    port = parts.port or DEFAULT_PORTS.get(parts.scheme)
    return f"{parts.scheme.lower()}://{(parts.hostname or '').rstrip('.')}:{port}"


def _user_info(url: str) -> str | None:
    try:
        before, at, _ = urlsplit(url).netloc.rpartition("@")
    except ValueError:
        return None
    return before if at else None
