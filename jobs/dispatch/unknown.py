"""Running rows whose outcome cannot be known any more: they become `unknown`, with an alert."""

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
    """Mark those of `running` that no transaction has locked as `unknown`, and alert; return how many.

    The run of a dispatch is looked up at GitHub.
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
    """Write and count them, without a notice. Call it in a transaction that has locked the rows."""
    running = JobExecution.objects.filter(pk__in=ids, status=Status.RUNNING)
    running.update(status=Status.UNKNOWN, reason=reason, completed_at=now)
    daily_counts.add(daily_counts.of(JobExecution.objects.filter(pk__in=ids)))
