"""Deletes executions that are older than the retention, and repairs the daily counts."""

import logging
from datetime import UTC, datetime, timedelta

from django.conf import settings

from cronsched.lib.chores import MayAct
from jobs.history import daily_counts, retention, snapshots
from jobs.models import DailyCount, ExecutionQuerySet, JobCount, JobExecution, Status

logger = logging.getLogger(__name__)

BATCH = 500


def prune_history(*, now: datetime, may_act: MayAct) -> int:
    """Delete settled executions that are older than the retention; return how many."""
    if not settings.EXECUTION_RETENTION_DAYS:
        return 0
    return purge(settings.EXECUTION_RETENTION_DAYS, now=now, may_act=may_act)


def older_than(days: int, *, now: datetime) -> ExecutionQuerySet:
    """Return the settled executions that started more than `days` ago."""
    settled = JobExecution.objects.exclude(status__in=(Status.QUEUED, Status.RUNNING))
    return settled.filter(started_at__lt=now - timedelta(days=days))


def purge(days: int, *, now: datetime, may_act: MayAct = lambda: True) -> int:
    """Delete the settled executions that started more than `days` ago, in portions; return how many."""
    old, until = older_than(days, now=now), now - timedelta(days=days)
    total = 0
    while may_act():
        ids = list(old.order_by("started_at", "id").values_list("pk", flat=True)[:BATCH])
        total += retention.delete(ids) if ids else 0
        if len(ids) < BATCH:
            snapshots.prune(until.astimezone(UTC).date())
            break
    for counts in (DailyCount, JobCount):
        counts._default_manager.filter(count=0, timed=0).delete()
    return total


def recount(*, now: datetime) -> int:
    """Repair yesterday's counts and those of the jobs, in case the history was changed in the database.

    Those of the jobs also lack what a release without them has recorded. Returns how many were wrong.
    """
    wrong = daily_counts.recount(now.astimezone(UTC).date() - timedelta(days=1)) + daily_counts.recount_jobs()
    if wrong:
        logger.warning("%d counts did not match the history and were repaired", wrong)
    return wrong
