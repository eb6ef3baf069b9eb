"""Which mails leave next: teams take turns, within a team its jobs, and no job has more than its share of an hour."""

import threading
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db.models import Count, F, Min, Q, Window
from django.db.models.functions import RowNumber

from notifications.delivery import mail_backlog
from notifications.models import Channel, Delivery, DeliveryStatus

HOUR = timedelta(hours=1)
# What is planned at once, and for how long: who comes later waits so long at most before it is their turn.
PLANNED = 200
PLAN_AGE = timedelta(seconds=1)
# Of one job in one plan.
PLANNED_OF_JOB = 20
CAPPED = "More than {} mails about this job within an hour. The others follow as one mail for each address."


class _Due(NamedTuple):
    id: UUID
    share: UUID | None
    job: UUID | None


class MailPlan:
    """The mails that leave next, in their order, for the threads of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: deque[UUID] = deque()
        self._made_at: datetime | None = None

    def take(self, number: int, *, now: datetime) -> list[UUID]:
        """Return up to `number` mails that are due; none twice while the plan is young."""
        with self._lock:
            is_old = self._made_at is None or not timedelta(0) <= now - self._made_at < PLAN_AGE
            if is_old or not self._planned:
                mail_backlog.collapse(now=now)
                self._planned, self._made_at = deque(in_turns(now)), now
            return [self._planned.popleft() for _ in range(min(number, len(self._planned)))]


def in_turns(now: datetime) -> list[UUID]:
    """Return the next mails that are due, in the order in which they should leave."""
    due = Delivery.objects.due(Channel.EMAIL, now)
    place = Window(
        RowNumber(), partition_by=[F("share"), F("related_job_id")], order_by=[F("not_before").asc(), F("id").asc()]
    )
    first = due.annotate(place=place).filter(place__lte=PLANNED_OF_JOB).order_by("not_before", "id")
    rows = [_Due(*row) for row in first.values_list("id", "share", "related_job_id")]
    allowed = _within_the_hour(rows, now)
    teams: dict[UUID | None, dict[UUID | None, list[_Due]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        of_job = teams[row.share][row.job]
        if row.job not in allowed or len(of_job) < allowed[row.job]:
            of_job.append(row)
    turns = _by_turns(list(_by_turns(jobs.values())) for jobs in teams.values())
    return [row.id for row in turns][:PLANNED]


def _by_turns(queues: Iterable[list[Any]]) -> Iterator[Any]:
    """Yield the first of each queue, then the second of each, and so on."""
    for turn in zip_longest(*queues):
        yield from (item for item in turn if item is not None)


def _within_the_hour(rows: Iterable[_Due], now: datetime) -> dict[UUID | None, int]:
    """Return how many mails each job may still have now. The mails of one that had all wait for the hour's end."""
    most = settings.NOTIFICATION_MAILS_PER_JOB_HOUR
    jobs = {row.job for row in rows if row.job}
    if not most or not jobs:
        return {}
    lately = Q(status=DeliveryStatus.SENT, finished_at__gt=now - HOUR) | Q(status=DeliveryStatus.SENDING)
    sent = Delivery.objects.filter(lately, channel=Channel.EMAIL, related_job__in=jobs).order_by()
    counts = sent.values("related_job").annotate(number=Count("id"), first=Min("finished_at"))
    allowed: dict[UUID | None, int] = dict.fromkeys(jobs, most)
    for job, number, first in counts.values_list("related_job", "number", "first"):
        allowed[job] = max(0, most - number)
        if not allowed[job] and first is not None:
            waiting = Delivery.objects.due(Channel.EMAIL, now).filter(related_job=job)
            waiting.order_by().update(not_before=first + HOUR, reason=CAPPED.format(most))
    return allowed
