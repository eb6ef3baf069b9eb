"""Parses URLs into host, port and path. `requests` does the quoting and the international names."""

import base64
import re
from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple
from unicodedata import category
from urllib.parse import unquote, urlsplit

from requests import PreparedRequest, RequestException
from urllib3.exceptions import LocationValueError
from urllib3.util import parse_url

from cronsched.lib.http.addresses import Address
from cronsched.lib.http.errors import Kind, RequestError

DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_URL_LENGTH = 8192

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?!.{{255}}){_LABEL}(?:\.{_LABEL})*\.?")
_IPV6 = re.compile(r"\[[0-9a-f:.]+\]")

# Nothing to quote, no dot segment, no user, no fragment: all of it stays as it is written.
_SERVER = r"https?://[a-zA-Z0-9._:\[\]-]+"
_PAGE = r"(?:/(?!\.)[\w~!$&'()*+,;=:@.-]*)+(?:\?[\w~!$&'()*+,;=:@.?/-]*)?"
_PLAIN = re.compile(f"({_SERVER})({_PAGE})", re.ASCII)


class Server(NamedTuple):
    """Where a URL leads to, and as whom. `host` is what is resolved and what a certificate must name, without brackets.

    `origin` is scheme, host and port as libcurl is given them, the port always said and without the dot that may end a
    name: certificates are written without.
    """

    origin: str
    host: str
    literal: Address | None
    port: int
    authority: str
    authorization: str | None


class Location(NamedTuple):
    """A parsed URL."""

    server: Server
    path: str

    @property
    def plain(self) -> str:
        """The URL without credentials."""
        return self.server.origin + self.path


def parse(url: str) -> Location:
    """Parse an http(s) URL strictly. Raises RequestError, which does not repeat the URL: that may hold a secret."""
    plain = _PLAIN.fullmatch(url)
    if plain is None or len(url) > MAX_URL_LENGTH:
        return parse_any(url)
    # A herd has many pages of few hosts.
    return Location(parse_any(plain[1]).server, plain[2])


@lru_cache(maxsize=4096)
def parse_any(url: str) -> Location:
    """Parse a URL of whatever form, with the library's quoting."""
    if len(url) > MAX_URL_LENGTH:
        raise _bad("it is too long")
    if url != url.strip() or _CONTROL.search(url):
        raise _bad("it contains blanks or control characters")
    if not url.isascii() and (hidden := next((sign for sign in url if is_invisible(sign)), None)):
        raise _bad(f"it contains an invisible character, U+{ord(hidden):04X}")
    # Browsers take a backslash for a slash, other parsers do not: a URL with one is ambiguous.
    if "\\" in url.partition("?")[0]:
        raise _bad("it contains a backslash")
    if not url.lower().startswith(("http://", "https://")):
        raise _bad("it must start with http:// or https://")
    prepared = PreparedRequest()
    try:
        if urlsplit(url).port == 0:
            # It would be dropped, and the scheme's own port be called.
            raise _bad("the port is not valid")
        prepared.prepare_url(url, None)
        parts = parse_url(str(prepared.url))
    except (RequestException, LocationValueError, ValueError):
        raise _bad("the host or port is not valid") from None
    host = (parts.host or "").lower()
    if not (_NAME.fullmatch(host) or _IPV6.fullmatch(host)):
        raise _bad("the host is not valid")
    scheme = str(parts.scheme)
    port = DEFAULT_PORTS[scheme] if parts.port is None else parts.port
    server = Server(
        origin=f"{scheme}://{host.rstrip('.')}:{port}",
        host=host.strip("[]"),
        literal=_literal(host.strip("[]")),
        port=port,
        authority=host if port == DEFAULT_PORTS[scheme] else f"{host}:{port}",
        authorization=_basic(parts.auth) if parts.auth else None,
    )
    return Location(server, parts.request_uri)


def is_invisible(sign: str) -> bool:
    """Whether a character is invisible or looks like a blank, which no one types into a URL on purpose."""
    return not sign.isascii() and category(sign) in {"Cc", "Cf", "Co", "Cs", "Zl", "Zp", "Zs"}


def _literal(host: str) -> Address | None:
    """Return the address `host` plainly is. Odd spellings (0x7f.1, 2130706433) are left to the resolver."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _basic(userinfo: str) -> str:
    user, _, password = userinfo.partition(":")
    return "Basic " + base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()


def _bad(why: str) -> RequestError:
    return RequestError(Kind.BAD_REQUEST, f"invalid URL: {why}")
