"""Merges mails that waited long: an address gets one mail for all that happened to one job meanwhile.

It waited because the mail server was away, a team's quiet hours went on, or the job had its share of an hour. A mail
that asks for something (a renewal) or that is a summary itself (a digest) stays what it is.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from django.db import transaction
from django.db.models import Count, Min, QuerySet

from cronsched.lib.db import limits
from notifications.models import Channel, Delivery, DeliveryStatus

KIND = "job_backlog"
KINDS = (KIND, "job_failure", "job_success", "job_unknown", "job_missed", "job_recovered", "job_disabled")
# From so long a wait on, it is a backlog.
WAITED = timedelta(seconds=30)
GROUPS = 200
LINES = 10
LINE_LENGTH = 300
SUMMARY_LENGTH = 300


def collapse(*, now: datetime) -> int:
    """Merge the mails that wait for one address about one job into one; return how many were merged."""
    total = 0
    while taken := _collapse_portion(now):
        total += taken
    return total


def _collapse_portion(now: datetime) -> int:
    groups = _due(now).order_by().values("recipient", "related_job").annotate(rows=Count("id"), since=Min("created_at"))
    crowded = groups.filter(rows__gt=1, since__lt=now - WAITED)
    wanted = set(crowded.values_list("recipient", "related_job")[:GROUPS])
    if not wanted:
        return 0
    rows = _due(now).filter(related_job__in={job for _, job in wanted})
    ids = [pk for pk, *group in rows.values_list("pk", "recipient", "related_job") if tuple(group) in wanted]
    token = uuid.uuid4()
    with transaction.atomic():
        Delivery.objects.filter(pk__in=ids, status=DeliveryStatus.WAITING).update(
            status=DeliveryStatus.SUMMARISED, claim=token, finished_at=now, reason="Merged into one mail with others."
        )
        # By the token, so that these are exactly the rows this process took, even if another tried at the same time.
        taken = list(Delivery.objects.filter(claim=token).order_by("recipient", "related_job_id", "created_at", "id"))
        summaries = [
            _summary(list(group), now) for _, group in groupby(taken, lambda row: (row.recipient, row.related_job_id))
        ]
        limits.check_all(summaries)
        Delivery.objects.bulk_create(summaries)
        Delivery.objects.filter(claim=token).update(claim=None)
    return len(taken)


def _due(now: datetime) -> "QuerySet[Delivery]":
    return Delivery.objects.due(Channel.EMAIL, now).filter(kind__in=KINDS, related_job__isnull=False)


def _summary(rows: Sequence[Delivery], now: datetime) -> Delivery:
    newest = rows[-1]
    number = sum(row.payload.get("number", 1) for row in rows)
    lines = [line for row in rows for line in _lines(row)]
    payload = {
        **{name: newest.payload[name] for name in ("job", "execution") if name in newest.payload},
        "number": number,
        "newest": lines[-1]["summary"],
        "since": lines[0]["at"],
        "lines": lines[-LINES:],
        "left_out": number - len(lines[-LINES:]),
    }
    suffix = f" (and {number - 1} more)"
    return Delivery(
        channel=Channel.EMAIL,
        kind=KIND,
        recipient=newest.recipient,
        summary=f"{lines[-1]['summary'][: SUMMARY_LENGTH - len(suffix)]}{suffix}",
        payload=payload,
        thread=newest.thread,
        share=newest.share,
        not_before=now,
        give_up_at=max(row.give_up_at for row in rows),
        created_at=now,
        related_job_id=newest.related_job_id,
        related_execution_id=newest.related_execution_id,
    )


def _lines(row: Delivery) -> list[dict[str, Any]]:
    """Return what a mail says, in a line; of a summary that waited itself, its lines."""
    if "lines" in row.payload:
        return list(row.payload["lines"])
    execution = row.payload.get("execution") or {}
    missed = row.payload.get("missed") or {}
    said = execution.get("error") or missed.get("reason") or row.payload.get("because") or ""
    return [
        {
            "summary": row.summary,
            "at": execution.get("started") or missed.get("when") or f"{row.created_at:%Y-%m-%d %H:%M UTC}",
            "said": " ".join(str(said).split())[:LINE_LENGTH],
            "url": execution.get("url", ""),
        }
    ]
