"""From a dispatch that GitHub accepted to a run that is followed, where that is wanted."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction

from cronsched.lib.db import limits
from cronsched.lib.db.outages import piecewise
from jobs.github import GitHubRequest, next_poll
from jobs.models import GitHubRun, Job, Tracking

logger = logging.getLogger(__name__)

# A run may wait for an approval for a month; who follows it would rather know that it does.
FOLLOW_FOR = timedelta(days=3)


class Started(NamedTuple):
    """A dispatch that GitHub accepted. `details` are what it said of the run."""

    execution_id: UUID
    request: GitHubRequest
    details: dict[str, Any]


def is_wanted(job: Job) -> bool:
    """Whether runs of the job are followed."""
    return settings.TRACK_GITHUB_RUNS if job.track_run is None else job.track_run


def begin(started: Sequence[Started], jobs: Mapping[UUID, Job], *, now: datetime) -> set[UUID]:
    """Keep what GitHub said of the runs it started, and follow those that are wanted; `jobs` by execution.

    Returns the executions whose run decides how they ended. Call it in the transaction that records the dispatch.
    """
    rows = []
    for execution_id, request, details in started:
        run_id = details.get("run_id")
        # A run that brought its own token cannot be polled without it.
        is_followed = is_wanted(jobs[execution_id]) and request.token is None
        if run_id is None and not is_followed:
            continue
        row = GitHubRun(
            execution_id=execution_id,
            repository=f"{request.owner}/{request.repo}".lower(),
            run_id=run_id,
            url=details.get("run_url") or "",
            created_at=now,
        )
        if is_followed:
            row.tracking = Tracking.FOLLOWED
            row.decides = run_id is not None
            row.next_poll_at = now + next_poll(1, key=str(execution_id))
            row.follow_until = now + FOLLOW_FOR
        rows.append(row)
    # The sender was taken for dead and reports after all: its run need not be looked for any more.
    GitHubRun.objects.filter(pk__in=[execution_id for execution_id, _, _ in started]).delete()
    # In one order, so that no two batches deadlock.
    rows.sort(key=lambda row: (row.repository, row.run_id or 0))
    piecewise(rows, _insert, _insert_without_run)
    return {row.execution_id for row in rows if row.decides}


def _insert(rows: Sequence[GitHubRun]) -> None:
    limits.check_all(rows)
    with transaction.atomic():
        GitHubRun.objects.bulk_create(rows)


def _insert_without_run(row: GitHubRun, error: Exception) -> None:
    """Keep no more than the address of a run that another execution is taken to have started."""
    if not isinstance(error, IntegrityError):
        raise error
    logger.warning("Run %s of %s belongs to another execution than %s", row.run_id, row.repository, row.execution_id)
    row.run_id, row.tracking, row.decides = None, Tracking.NOT_FOLLOWED, False
    row.next_poll_at = row.follow_until = None
    row.save(force_insert=True)
