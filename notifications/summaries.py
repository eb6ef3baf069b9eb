"""Many posts that wait for one hook become one: after an outage nobody reads a hundred lines, one a second."""

import uuid
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import Q, QuerySet

from notifications.channels.slack import cut
from notifications.models import Channel, Delivery, DeliveryStatus
from notifications.slack_markup import escape

KIND = "summary"
# With more than so many waiting, they are told together.
MOST_WAITING = 20
LINES = 10
LINE_LENGTH = 200
MENTIONS = 10


def condense(*, now: datetime) -> None:
    """Replace the Slack posts that wait by one summary, where there are too many of them.

    Posts that are held back by quiet hours are not among them; those that failed before are.
    """
    if _waiting(now)[: MOST_WAITING + 1].count() <= MOST_WAITING:
        return
    summary = Delivery(channel=Channel.SLACK, kind=KIND, id=uuid.uuid4())
    with transaction.atomic():
        _waiting(now).update(
            status=DeliveryStatus.SUMMARISED, claim=summary.pk, finished_at=now, reason=f"Told in summary {summary.pk}."
        )
        # By the token, so that these are exactly the rows this process took, whoever else tried.
        taken = list(Delivery.objects.filter(claim=summary.pk).order_by("created_at", "id"))
        if not taken:
            return
        summary.summary = f"{len(taken)} alerts"
        summary.payload = _payload(taken)
        summary.not_before = summary.created_at = now
        summary.give_up_at = max(row.give_up_at for row in taken)
        summary.save(force_insert=True)
        Delivery.objects.filter(claim=summary.pk).update(claim=None)


def _waiting(now: datetime) -> "QuerySet[Delivery]":
    begun = Q(not_before__lte=now) | Q(attempts__gt=0)
    return Delivery.objects.waiting(Channel.SLACK).filter(begun).exclude(kind=KIND)


def _payload(rows: Sequence[Delivery]) -> dict[str, object]:
    kinds = Counter(row.summary for row in rows)
    counts = ", ".join(f"{count} x {escape(title)}" for title, count in kinds.most_common())
    mentions = list(dict.fromkeys(row.payload["mention"] for row in rows if row.payload["mention"]))[:MENTIONS]
    lines = [f"• {_line(row)}" for row in rows[:LINES]]
    if len(rows) > LINES:
        lines.append(f"and {len(rows) - LINES} more; all of them are among the notifications in the application.")
    head = " ".join([":warning:", *mentions, f"{len(rows)} alerts at once: {counts}"])
    return {"text": "\n".join([head, *lines]), "mention": "", "facts": []}


def _line(row: Delivery) -> str:
    mention = row.payload["mention"]
    text = row.payload["text"]
    return cut(text.replace(f"{mention} ", "", 1) if mention else text, LINE_LENGTH)
