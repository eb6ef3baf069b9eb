"""Takes an answer from libcurl piece by piece, within bounds."""

import re

MAX_HEAD_BYTES = 64 * 1024
SWITCHING_PROTOCOLS = 101
# A target that gives up idle connections sooner gives them up while we would still use them.
MIN_KEPT_SECONDS = 2

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-9]\d\d)(?:[ \r\n]|$)", re.IGNORECASE)
_KEEP_ALIVE = re.compile(rb'keep-alive\s*:.*?\btimeout\s*=\s*"?0*(\d+)', re.IGNORECASE)


class AnswerReader:
    """The answer received so far.

    `take_header` and `take_body` are libcurl's callbacks: any number but the length of what they were given ends the
    transfer. Interim answers (RFC 9110, section 15.2) stand before the real one and are dropped.
    """

    __slots__ = (
        "_expects_status",
        "_head_bytes",
        "body",
        "closes_soon",
        "has_head",
        "is_cut",
        "is_invalid",
        "is_too_large",
        "lines",
        "max_body",
        "status",
    )

    def __init__(self) -> None:
        self.start(0)

    def start(self, max_body: int) -> None:
        """Forget the last answer and get ready for the next."""
        self.max_body = max_body
        self.status: int | None = None
        self.lines: list[bytes] = []
        self.body = bytearray()
        self.has_head = False
        self.is_cut = self.is_too_large = self.is_invalid = False
        self.closes_soon = False
        self._expects_status = True
        self._head_bytes = 0

    def take_header(self, line: bytes) -> int | None:
        if self.has_head:
            return None  # a trailer
        self._head_bytes += len(line)
        if self._head_bytes > MAX_HEAD_BYTES:
            self.is_too_large = True
            return -1
        if self._expects_status:
            return self._take_status(line)
        if line not in (b"\r\n", b"\n"):
            self.lines.append(line)
            return None
        return self._end_head()

    def _take_status(self, line: bytes) -> int | None:
        found = _STATUS_LINE.match(line)
        if found is None:
            self.is_invalid = True
            return -1
        self.status = int(found[1])
        self._expects_status = False
        return None

    def _end_head(self) -> int | None:
        assert self.status is not None
        if self.status == SWITCHING_PROTOCOLS:
            # What follows is another protocol.
            self.has_head = self.is_cut = True
            return -1
        if self.status < 200:
            self._expects_status, self.status = True, None
            self.lines.clear()
            return None
        self.has_head = True
        self.closes_soon = any(_gives_up_soon(line) for line in self.lines if line[:1] in b"Kk")
        return None

    def take_body(self, data: bytes) -> int | None:
        self.body += data
        if len(self.body) <= self.max_body:
            return None
        del self.body[self.max_body :]
        self.is_cut = True
        return -1


def _gives_up_soon(line: bytes) -> bool:
    announced = _KEEP_ALIVE.match(line)
    return announced is not None and len(announced[1]) == 1 and int(announced[1]) < MIN_KEPT_SECONDS
