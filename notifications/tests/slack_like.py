"""An endpoint that enforces what Slack's incoming webhooks enforce."""

import json
import re
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cronsched.lib.tests.servers import Target, Visit, target

REQUEST = re.compile(rb"POST (\S+) HTTP/1\.1\r\n(.*?)\r\n\r\n(.*)", re.DOTALL)
HOOK = "/services/T000/B000/secret"
KNOWN_KEYS = {"text", "blocks", "channel", "attachments", "unfurl_links", "unfurl_media"}


class SlackLike:
    """`answers` are given first, as (status, text, headers), whatever was sent; then the rules decide."""

    def __init__(self, *, pace_seconds: float = 0.0) -> None:
        self.posts: list[dict[str, Any]] = []
        self.answers: list[tuple[int, str, str]] = []
        self.server: Target
        self._pace = pace_seconds
        self._last = -1e9

    @property
    def url(self) -> str:
        return self.server.url(HOOK, host="localhost")

    @property
    def texts(self) -> list[str]:
        return [post["text"] for post in self.posts]

    def behave(self, visit: Visit) -> None:
        while request := visit.read_request():
            status, text, headers = self._judge(request)
            head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(text)}\r\n{headers}\r\n{text}"
            visit.send(head.encode())

    def _judge(self, request: bytes) -> tuple[int, str, str]:
        if self.answers:
            return self.answers.pop(0)
        parsed = REQUEST.fullmatch(request)
        if parsed is None or parsed[1].decode() != HOOK:
            return 404, "no_service", ""
        if b"content-type: application/json" not in parsed[2].lower():
            return 400, "invalid_payload", ""
        now = time.monotonic()
        if now - self._last < self._pace:
            return 429, "rate_limited", "Retry-After: 1\r\n"
        document = json.loads(parsed[3])
        if problem := refusal(document):
            return 400, problem, ""
        self._last = now
        self.posts.append(document)
        return 200, "ok", ""


def refusal(document: Any) -> str | None:
    if not isinstance(document, dict) or set(document) - KNOWN_KEYS:
        return "invalid_payload"
    if not isinstance(document.get("text"), str) or not document["text"] or len(document["text"]) > 40_000:
        return "no_text"
    blocks = document.get("blocks", [])
    if len(blocks) > 50 or any(not _is_valid(block) for block in blocks):
        return "invalid_blocks"
    return None


def _is_valid(block: dict[str, Any]) -> bool:
    match block:
        case {"type": "section", "text": {"type": "mrkdwn", "text": str(text)}}:
            return 0 < len(text) <= 3000
        case {"type": "context", "elements": list(elements)}:
            return 0 < len(elements) <= 10 and all(0 < len(element["text"]) <= 2000 for element in elements)
    return False


@contextmanager
def slack_like(tls: ssl.SSLContext, *, pace_seconds: float = 0.0) -> Iterator[SlackLike]:
    slack = SlackLike(pace_seconds=pace_seconds)
    with target(slack.behave, tls) as slack.server:
        yield slack
