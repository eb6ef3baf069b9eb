"""Slack's incoming webhook: one post at a time, through the HTTP client, within Slack's limits.

The address is a secret: it stands in no log and in no reason. Slack answers in plain text; of its refusals only 429
and 5xx are worth another attempt.
"""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Self
from urllib.parse import urlsplit

from cronsched.lib.backoff import retry_after
from cronsched.lib.http import HTTPClient, OutgoingRequest, RequestError
from notifications.channels.base import DeliveryError, OutgoingMessage

TIMEOUT_SECONDS = 10.0
TOO_MANY = 429
SERVER_ERROR = 500
# Without a word from Slack how long to hold back after a 429.
PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=1)
# Slack's own limits, in characters.
SECTION_TEXT = 3000
MESSAGE_TEXT = 40_000
CONTEXT_ELEMENTS = 10
CONTEXT_TEXT = 2000
# How much of an answer is shown as a reason.
REASON_LENGTH = 200


def body(payload: dict[str, Any], channel: str | None) -> dict[str, Any]:
    """Return the document to post: `text` as worded, the same with its facts as blocks, the channel only if set."""
    blocks: list[dict[str, Any]] = [_section(cut(payload["text"], SECTION_TEXT))]
    if facts := payload.get("facts"):
        blocks.append(_context(facts))
    document: dict[str, Any] = {"text": cut(payload["text"], MESSAGE_TEXT), "blocks": blocks}
    if channel:
        document["channel"] = channel
    return document


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _context(facts: Sequence[Sequence[str]]) -> dict[str, Any]:
    elements = [
        {"type": "mrkdwn", "text": cut(f"*{label}:* {text}", CONTEXT_TEXT)} for label, text in facts[:CONTEXT_ELEMENTS]
    ]
    return {"type": "context", "elements": elements}


def cut(text: str, limit: int) -> str:
    """Return at most `limit` characters of markup; neither an entity nor a link or mention is cut in two.

    Of a link or mention only the label is shortened: often it is the name that readers look for.
    """
    if len(text) <= limit:
        return text
    kept = _without_half_an_entity(text[: limit - 1])
    start = kept.rfind("<")
    if start <= kept.rfind(">"):
        return f"{kept}…"
    closed = _without_half_an_entity(text[: limit - 2])
    return f"{closed}…>" if "|" in closed[start:] else f"{kept[:start]}…"


def _without_half_an_entity(text: str) -> str:
    start = text.rfind("&")
    return text[:start] if start > text.rfind(";") else text


class SlackSession:
    """Posts to one hook."""

    def __init__(self, client: HTTPClient, *, url: str, channel: str | None, now: datetime) -> None:
        self._client = client
        self._url = url
        self._channel = channel
        self._now = now

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        """Nothing is kept open here; the client keeps its connections itself."""

    def send(self, outgoing: OutgoingMessage) -> None:
        document = json.dumps(body(outgoing.payload, self._channel)).encode()
        request = OutgoingRequest(
            "POST", self._url, headers={"Content-Type": "application/json"}, body=document, timeout=TIMEOUT_SECONDS
        )
        try:
            answer = self._client.send(request)
        except RequestError as error:
            raise DeliveryError(error.reason, permanent=not error.retryable) from error
        if 200 <= answer.status < 300:
            return
        reason = f"{answer.status} {self._without_address(answer.body.decode('utf-8', 'replace'))[:REASON_LENGTH]}"
        if answer.status == TOO_MANY:
            asked = retry_after(answer.headers.get("Retry-After"), now=self._now, longest=LONGEST_PAUSE)
            raise DeliveryError(reason, wait=PAUSE if asked is None else asked, everything=True)
        raise DeliveryError(reason, permanent=answer.status < SERVER_ERROR)

    def _without_address(self, text: str) -> str:
        """Return an answer without the secret path; some servers repeat what they were asked for."""
        path = urlsplit(self._url).path
        return text.replace(path, "…") if path.strip("/") else text
