"""Requests and answers as immutable values."""

import re
from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import NamedTuple

from cronsched.lib.http import charsets
from cronsched.lib.http.errors import Kind, RequestError
from cronsched.lib.http.urls import Location

# The client's own. Two of a kind would let a target and a proxy before it read different requests.
RESERVED_HEADERS = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUES = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
# libcurl adds headers of its own accord; a name without a value keeps it from that.
_NOT_SENT = (b"Expect:", b"TE:")


class OutgoingRequest(NamedTuple):
    """A request to send, once.

    `timeout` (seconds) bounds all of it, from the name's resolution to the last byte of the answer. `max_body` (bytes)
    limits what is kept of the answer's body (None: the client's own limit).

    `vet` False skips the vetting of the address: only for a URL that the operator configured, never for one of a user.
    """

    method: str
    url: str
    headers: Mapping[str, str] = MappingProxyType({})
    body: bytes | None = None
    timeout: float = 10.0
    max_body: int | None = None
    vet: bool = True

    @property
    def content(self) -> bytes | None:
        """The body as it is sent: some methods announce even an empty one."""
        return b"" if self.body is None and self.method in METHODS_WITH_BODY else self.body


class Headers(Mapping[str, str]):
    """An answer's headers. Names ignore case; a header that came several times is one list (RFC 9110, section 5.3)."""

    def __init__(self, lines: list[bytes]) -> None:
        self._values: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.decode("latin-1").partition(":")
            if not colon:
                continue
            key, text = name.strip().lower(), value.strip()
            self._values[key] = f"{self._values[key]}, {text}" if key in self._values else text

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class Response:
    """An answer. A redirect is one like any other: it was not followed, `location` says where to.

    `body` is decompressed and cut (`truncated`) at the limit. `elapsed` is in seconds, since the request started.
    """

    def __init__(
        self,
        status: int,
        header_lines: list[bytes] | None = None,
        body: bytes = b"",
        *,
        truncated: bool = False,
        elapsed: float = 0.0,
    ) -> None:
        self.status = status
        self.body = body
        self.truncated = truncated
        self.elapsed = elapsed
        self._header_lines = header_lines or []

    @cached_property
    def headers(self) -> Headers:
        return Headers(self._header_lines)

    @property
    def location(self) -> str | None:
        return self.headers.get("Location") if 300 <= self.status < 400 else None

    def text(self) -> str:
        """Return the body as text, in the charset the answer names if that is a common one, else in UTF-8."""
        return charsets.decode(self.body, self.headers.get("Content-Type", ""))


def header_lines(request: OutgoingRequest, location: Location, user_agent: str) -> list[bytes]:
    """Return the request's header lines for libcurl, without framing. Raises RequestError for what may not be sent."""
    if not _TOKEN.fullmatch(request.method):
        raise RequestError(Kind.BAD_REQUEST, "the method is not valid")
    server, headers = location.server, request.headers
    given = {name.lower() for name in headers}
    lines = [f"Host: {server.authority}", "Accept-Encoding: identity"]
    if "user-agent" not in given:
        lines.append(f"User-Agent: {user_agent}")
    if "accept" not in given:
        lines.append("Accept: */*")
    if "content-type" not in given:
        lines.append("Content-Type:")
    if server.authorization and "authorization" not in given:
        lines.append(f"Authorization: {server.authorization}")
    # All values at once: what joins them may stand in any.
    if not (all(map(_may_be_set, headers)) and _HEADER_VALUES.fullmatch("\t".join(headers.values()))):
        raise RequestError(Kind.BAD_REQUEST, _complaint(headers))
    # libcurl drops a header without a value unless it is written so.
    lines += [f"{name}: {value}" if value.strip() else f"{name};" for name, value in headers.items()]
    try:
        return [*"\n".join(lines).encode("latin-1").split(b"\n"), *_NOT_SENT]
    except UnicodeEncodeError:
        raise RequestError(Kind.BAD_REQUEST, "a header holds characters that HTTP cannot carry") from None


@lru_cache(maxsize=1024)
def _may_be_set(name: str) -> bool:
    return name.lower() not in RESERVED_HEADERS and _TOKEN.fullmatch(name) is not None


def _complaint(headers: Mapping[str, str]) -> str:
    for name, value in headers.items():
        if not _may_be_set(name):
            return f"the header {name[:80]!r} may not be set"
        if not _HEADER_VALUES.fullmatch(value):
            break
    return f"the value of the header {name} is not valid"
