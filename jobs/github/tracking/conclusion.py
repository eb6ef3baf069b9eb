"""Updates the row of a run from polls and events; counts its end, with one notice."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from cronsched.lib.db import batches
from cronsched.lib.db.effects import Effects
from jobs.github import RunOutcome, RunState
from jobs.github.runs import FailedStep
from jobs.models import GitHubRun, Job, JobExecution, Tracking
from jobs.notices import events
from jobs.schedule import failure_streak
from jobs.schedule.failure_streak import Ended
from notifications.services import loss_notices, notify


class Held(NamedTuple):
    """A run with what belongs to it; the rows of the job and the run are held by the transaction."""

    run: GitHubRun
    execution: JobExecution
    job: Job


def hold(execution_id: UUID) -> Held | None:
    """Hold a run, None where it is gone. The job comes first, as for everybody who writes both."""
    job_id = JobExecution.objects.filter(pk=execution_id).values_list("job_id", flat=True).first()
    if job_id is None:
        return None
    list(batches.locked(Job.objects.filter(pk=job_id), skip=False).values_list("pk"))
    run = batches.locked(GitHubRun.objects.filter(pk=execution_id), skip=False).first()
    job = Job.objects.select_related("category", "pic_team").filter(pk=job_id).first()
    execution = JobExecution.objects.filter(pk=execution_id).first()
    return Held(run, execution, job) if run and execution and job else None


def describe(run: GitHubRun, state: RunState) -> None:
    """Write on the row how the run is going, and no more: whether it is followed stays as it was."""
    run.status = state.status[:50]
    run.conclusion = (state.conclusion or "")[:50]
    run.attempt = state.attempt
    run.url = state.url or run.url


def apply(held: Held, state: RunState, failed: FailedStep | None, now: datetime) -> None:
    """Bring the run up to what GitHub says, and conclude it where that is its end."""
    run = held.run
    describe(run, state)
    if not state.is_completed or state.outcome is RunOutcome.NEEDS_APPROVAL:
        return
    if failed is not None:
        run.failed_job, run.failed_step = failed.job, failed.step
    run.tracking, run.next_poll_at, run.concluded_at = Tracking.CONCLUDED, None, now
    is_well = state.outcome in {RunOutcome.SUCCEEDED, RunOutcome.SKIPPED}
    effects, notices = Effects(), []
    if run.decides or not is_well:
        where = " / ".join(filter(None, (run.failed_job, run.failed_step))) or None
        notices.append(
            events.run_concluded(
                held.job,
                held.execution,
                conclusion=run.conclusion or run.status,
                url=run.url,
                failed_step=where,
                now=now,
            )
        )
    # A dispatch that was taken for the outcome has counted as a success.
    if run.decides or not is_well:
        ended = Ended(held.job.pk, is_well)
        notices += failure_streak.count([ended], {held.job.pk: held.job}, effects=effects, now=now)
    notify([*notices, *loss_notices(effects.lost, now=now)], now=now)
