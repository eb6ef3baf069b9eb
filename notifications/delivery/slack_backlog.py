"""Merges many posts that wait for one hook into a summary: after an outage, a hundred single posts would not be read.

A summary that waits itself is merged with later posts, so however long Slack is away, at most `MOST_WAITING` posts ever
leave at once.
"""

import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Max, Q, QuerySet

from notifications.channels.slack import cut
from notifications.models import Channel, Delivery, DeliveryStatus
from notifications.slack_markup import escape

KIND = "summary"
# With more posts than this waiting, they are merged.
MOST_WAITING = 20
LINES = 10
LINE_LENGTH = 200
MENTIONS = 10


@dataclass(frozen=True, slots=True)
class DigestPart:
    """What one waiting post says: how often which title, whom it mentions, and its lines."""

    titles: dict[str, int]
    mentions: list[str]
    lines: list[str]


def collapse_backlog(*, now: datetime) -> None:
    """Replace the Slack posts that wait by one summary, where there are too many of them.

    Posts that are held back by quiet hours are not among them; those that failed before are.
    """
    if _waiting(now)[: MOST_WAITING + 1].count() <= MOST_WAITING:
        return
    summary = Delivery(channel=Channel.SLACK, kind=KIND, id=uuid.uuid4())
    with transaction.atomic():
        _waiting(now).update(
            status=DeliveryStatus.SUMMARISED,
            claim=summary.pk,
            finished_at=now,
            reason=f"Merged into summary {summary.pk}.",
        )
        # By the token, so that these are exactly the rows this process took, even if another tried at the same time.
        taken = Delivery.objects.filter(claim=summary.pk)
        # One after the other: there may be more than anybody wants in memory.
        told = merge(_part(row) for row in taken.order_by("created_at", "id").iterator())
        if not told.titles:
            return
        summary.summary = f"{sum(told.titles.values())} alerts"
        summary.payload = _payload(told)
        summary.not_before = summary.created_at = now
        summary.give_up_at = taken.aggregate(last=Max("give_up_at"))["last"]
        summary.save(force_insert=True)
        taken.update(claim=None)


def _waiting(now: datetime) -> "QuerySet[Delivery]":
    begun = Q(not_before__lte=now) | Q(attempts__gt=0)
    return Delivery.objects.waiting(Channel.SLACK).filter(begun)


def _part(row: Delivery) -> DigestPart:
    if told := row.payload.get("told"):
        return DigestPart(**told)
    mention = row.payload["mention"]
    return DigestPart({row.summary: 1}, [mention] if mention else [], [_line(row.payload["text"], mention)])


def _line(text: str, mention: str) -> str:
    """Return what a post says without its mention: the summary mentions everybody once."""
    return cut(text.replace(f"{mention} ", "", 1) if mention else text, LINE_LENGTH)


def merge(posts: Iterable[DigestPart]) -> DigestPart:
    titles: Counter[str] = Counter()
    mentions: dict[str, None] = {}
    lines: list[str] = []
    for post in posts:
        titles.update(post.titles)
        mentions.update(dict.fromkeys(post.mentions))
        lines += post.lines[: LINES - len(lines)]
    return DigestPart(dict(titles.most_common()), list(mentions)[:MENTIONS], lines)


def _payload(told: DigestPart) -> dict[str, Any]:
    number = sum(told.titles.values())
    counts = ", ".join(f"{count} x {escape(title)}" for title, count in told.titles.items())
    head = " ".join([":warning:", *told.mentions, f"{number} alerts at once: {counts}"])
    lines = [f"• {line}" for line in told.lines]
    if number > len(lines):
        lines.append(f"and {number - len(lines)} more; all of them are among the notifications in the application.")
    return {"text": "\n".join([head, *lines]), "mention": "", "facts": [], "told": asdict(told)}
