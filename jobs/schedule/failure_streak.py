"""The failures of a job in a row, and the pause after too many of them.

A run that is followed at GitHub counts when it has ended there, not when its dispatch was accepted.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import chain
from typing import NamedTuple
from uuid import UUID

from django.db.models import F

from audit.origin import by_itself
from audit.services import record
from cronsched.lib.db.effects import Effects
from jobs.definitions import revisions
from jobs.models import Job
from jobs.notices import events
from jobs.schedule import pauses
from jobs.schedule.pauses import Terms
from jobs.schedule.reschedule import reschedule
from notifications.message import Message


class Ended(NamedTuple):
    """A run that ended, for its job's count of failures."""

    job_id: UUID
    is_well: bool


def count(ended: Sequence[Ended], jobs: Mapping[UUID, Job], *, effects: Effects, now: datetime) -> list[Message]:
    """Count runs that ended, in their order, and return the notices of jobs paused for it.

    The caller holds the rows of `jobs` and is in a transaction. A count that cannot be stored is noted in `effects`.
    """
    paused = effects.carry_out("The count of failures", ended, partial(_count, jobs=jobs, now=now), named=_named)
    return list(chain.from_iterable(paused))


def _named(run: Ended) -> str:
    return f"a run of job {run.job_id} {'succeeded' if run.is_well else 'failed'}"


def _count(ended: Sequence[Ended], *, jobs: Mapping[UUID, Job], now: datetime) -> list[Message]:
    # Written only where it changes: most runs succeed after a success.
    ended_well: set[UUID] = set()
    failures: Counter[UUID] = Counter()
    for job_id, is_well in ended:
        if is_well:
            ended_well.add(job_id)
            del failures[job_id]
        else:
            failures[job_id] += 1
    Job.objects.filter(id__in=ended_well, consecutive_failures__gt=0).update(consecutive_failures=0)
    for number in set(failures.values()):
        failed = [job for job, failed in failures.items() if failed == number]
        Job.objects.filter(id__in=failed).update(consecutive_failures=F("consecutive_failures") + number)
    limited = [job_id for job_id in failures if job_id in jobs and jobs[job_id].pause_after_failures]
    if not limited:
        return []
    with by_itself():
        return _pause_failing(limited, now)


def _pause_failing(job_ids: Sequence[UUID], now: datetime) -> list[Message]:
    failing = Job.objects.active().filter(id__in=job_ids, consecutive_failures__gte=F("pause_after_failures"))
    notices = []
    for job in failing.select_related("category", "pic_team").order_by("id"):
        before = revisions.definition_of(job)
        job.is_active, job.revision = False, job.revision + 1
        reschedule(job, now=now)
        job.save(update_fields=["is_active", "next_fire_at", "schedule_error", "updated_at", "revision"])
        reason = f"{job.consecutive_failures} failures in a row."
        pauses.begin([job], Terms(reason), by=None, now=now)
        changes = revisions.differences(before, revisions.definition_of(job))
        record(revisions.entry(job, "paused", changes, reason=reason), by=None, now=now)
        notices.append(events.paused_after_failures(job, failures=job.consecutive_failures, now=now))
    return notices
