"""Owners that leave: what becomes of their jobs, and who is notified of jobs without an owner."""

from collections import defaultdict
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.db.models import Q

from accounts.models import User
from accounts.signals import LeaverJobs
from jobs import services
from jobs.definitions.validation import local_date
from jobs.models import Job
from jobs.notices import events
from notifications.services import notify

LEFT = "Its owner has left."


def without_living_owner() -> Q:
    """Jobs whose owner is gone or may not sign in any more."""
    return Q(created_by=None) | Q(created_by__is_active=False)


def hand_over_jobs(sender: Any, *, user: User, to: User | None, by: User, now: datetime, **_: Any) -> LeaverJobs:
    """Hand all jobs of an account that leaves over to `to`, or only count them. Raises `DomainError`, changing nothing.

    Called by the signal, within the transaction that deactivates or deletes the account.
    """
    owned = list(Job.objects.filter(created_by=user).order_by("name").values_list("pk", flat=True))
    if to is None:
        return LeaverJobs(len(owned), 0)
    handed = [services.hand_over(job_id, to, by=by, now=now, reason=LEFT) for job_id in owned]
    return LeaverJobs(len(owned), sum(acted.changed for acted in handed))


def tell_teams(*, now: datetime) -> dict[str, int]:
    """Notify each team, once a week, of its jobs that have not ended and have no owner. Return the counts."""
    left = Job.objects.filter(without_living_owner(), end_date__gte=local_date(now))
    by_team: dict[UUID, list[Job]] = defaultdict(list)
    for job in left.select_related("pic_team", "created_by").order_by("name"):
        by_team[job.pic_team_id].append(job)
    notices = sum(map(partial(_notify_team, now=now), by_team.values()))
    return {"jobs": sum(map(len, by_team.values())), "notices": notices}


def _notify_team(jobs: list[Job], *, now: datetime) -> int:
    return notify([events.without_owner(jobs[0].pic_team, jobs, now=now)], now=now)
