"""Running rows whose outcome nobody will tell: they become `unknown`, and somebody is alerted."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from cronsched.lib.db import batches
from jobs.github import tracking
from jobs.history import daily_counts
from jobs.models import Job, JobExecution, Status
from jobs.notices import events
from notifications.services import notify


def call_unknown(running: QuerySet[JobExecution], *, reason: str, now: datetime) -> int:
    """Call those of `running` unknown that nobody holds, and alert; return how many.

    Of a dispatch GitHub may tell more: its run is looked for.
    """
    with transaction.atomic():
        executions = list(batches.locked(running.select_related("job").order_by("id")))
        if not executions:
            return 0
        for execution in executions:
            execution.status, execution.reason, execution.completed_at = Status.UNKNOWN, reason, now
        write_unknown([execution.pk for execution in executions], reason=reason, now=now)
        tracking.start_run_lookup(executions, now=now)
        jobs = Job.objects.select_related("category", "pic_team").in_bulk({row.job_id for row in executions})
        notify([events.unknown(jobs[row.job_id], row, now=now) for row in executions], now=now)
    return len(executions)


def write_unknown(ids: Sequence[UUID], *, reason: str, now: datetime) -> None:
    """Write and count it, and tell nobody. Call it in a transaction that holds the rows."""
    running = JobExecution.objects.filter(pk__in=ids, status=Status.RUNNING)
    running.update(status=Status.UNKNOWN, reason=reason, completed_at=now)
    daily_counts.add(daily_counts.of(JobExecution.objects.filter(pk__in=ids)))
