"""How executions ended. That GitHub accepted a dispatch is no outcome: where its run is known, the run's end counts."""

from collections.abc import Collection, Iterable, Mapping
from functools import reduce
from operator import or_
from uuid import UUID

from django.db import models
from django.db.models import OuterRef, Q, Subquery

from jobs.models import (
    GOOD_CONCLUSIONS,
    NEVER_SENT_STATUSES,
    ExecutionQuerySet,
    ExecutionType,
    GitHubRun,
    Job,
    JobExecution,
    Status,
    Tracking,
)

# A run that waits for an approval has not ended, whatever its conclusion says.
NOT_BAD = (*GOOD_CONCLUSIONS, "action_required")


class Outcome(models.TextChoices):
    """What became of an execution, its GitHub run included. Each execution has exactly one."""

    SUCCESS = "success", "Success"
    FAILED = "failed", "Failed"
    RUN_FAILED = "run_failed", "Run failed"
    UNKNOWN = "unknown", "Unknown"
    MISSED = "missed", "Missed"
    SKIPPED = "skipped", "Skipped"
    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    RUN_GOING = "run_going", "Run going"


# What no list of the console shows of an execution.
NOT_LISTED = (
    *("output", "request_snapshot", "shared_request_id", "overrides", "earlier_attempts", "details"),
    *("sender", "deadline_at", "target"),
)
# So many keys may be named in a condition.
FEW = 500
# Outcomes that need attention.
TROUBLE = (Outcome.FAILED, Outcome.RUN_FAILED, Outcome.UNKNOWN, Outcome.MISSED)
OPEN = (Outcome.QUEUED, Outcome.RUNNING, Outcome.RUN_GOING)

_HAS_RUN = Q(execution_type=ExecutionType.GITHUB_ACTIONS, run__isnull=False)
_ENDED_BADLY = _HAS_RUN & Q(run__conclusion__gt="") & ~Q(run__conclusion__in=NOT_BAD)
# A subquery over the few runs that are followed: a join would read every execution.
_FOLLOWED = GitHubRun.objects.filter(conclusion="", tracking=Tracking.FOLLOWED)
_GOES_ON = Q(execution_type=ExecutionType.GITHUB_ACTIONS, pk__in=_FOLLOWED.values("execution_id"))
_SENT = (Status.SUCCESS, Status.UNKNOWN)
_CONDITIONS = {
    Outcome.RUN_FAILED: Q(status__in=_SENT) & _ENDED_BADLY,
    Outcome.RUN_GOING: Q(status=Status.SUCCESS) & _GOES_ON,
    Outcome.SUCCESS: Q(status=Status.SUCCESS) & ~_ENDED_BADLY & ~_GOES_ON,
    Outcome.UNKNOWN: Q(status=Status.UNKNOWN) & ~_ENDED_BADLY,
}


def of(execution: JobExecution) -> Outcome:
    """Return the outcome of an execution that was read with its run."""
    run = execution.github_run
    if run is not None and execution.status in _SENT:
        if run.conclusion and run.conclusion not in NOT_BAD:
            return Outcome.RUN_FAILED
        if not run.conclusion and run.tracking == Tracking.FOLLOWED and execution.status == Status.SUCCESS:
            return Outcome.RUN_GOING
    return Outcome(execution.status)


def where(outcomes: Iterable[str]) -> Q:
    """Return the condition that an execution ended in one of `outcomes`."""
    wanted = [Outcome(outcome) for outcome in outcomes]
    plain = [outcome for outcome in wanted if outcome not in _CONDITIONS]
    parts = [_CONDITIONS[outcome] for outcome in wanted if outcome in _CONDITIONS]
    return reduce(or_, [*([Q(status__in=plain)] if plain else []), *parts], Q(pk__in=()))


def still_open() -> Q:
    """Return the condition that an execution has not ended; where those are few, by their keys.

    Put as alternatives, no database takes an index for them: the whole history would be looked at for a handful.
    """
    ways = (JobExecution.objects.open(), JobExecution.objects.filter(where([Outcome.RUN_GOING])))
    keys = [key for rows in ways for key in rows.order_by().values_list("pk", flat=True)[: FEW + 1]]
    return where(OPEN) if len(keys) > FEW else Q(pk__in=keys)


def concluded(conclusion: str) -> Q:
    """Return the condition that the GitHub run of an execution ended in `conclusion`; where those are few, by their
    keys, for the reason of `still_open`.
    """
    keys = list(GitHubRun.objects.filter(conclusion=conclusion).values_list("pk", flat=True)[: FEW + 1])
    return Q(run__conclusion=conclusion) if len(keys) > FEW else Q(pk__in=keys)


def latest(jobs: Collection[UUID], number: int) -> Mapping[UUID, list[JobExecution]]:
    """Return the newest `number` executions of each job, the newest first, by two statements.

    The first finds where each job's share begins, in the index over (job, time): a long history costs nothing.
    """
    if not jobs:
        return {}
    own = JobExecution.objects.filter(job=OuterRef("pk")).newest_first().values("started_at")
    starts = Job.objects.filter(pk__in=jobs).values_list("pk", Subquery(own[number - 1 : number]))
    shares = [Q(job_id=key, started_at__gte=start) if start else Q(job_id=key) for key, start in starts]
    found: dict[UUID, list[JobExecution]] = {key: [] for key in jobs}
    for row in _read(reduce(or_, shares, Q(pk__in=()))):
        if len(found[row.job_id]) < number:
            found[row.job_id].append(row)
    return found


def _read(condition: Q) -> ExecutionQuerySet:
    return JobExecution.objects.filter(condition).select_related("run").defer(*NOT_LISTED).newest_first()


def streak(executions: Iterable[JobExecution]) -> list[JobExecution]:
    """Return the executions that have failed in a row, the newest first; what was never sent does not count."""
    failed = []
    for execution in executions:
        if execution.status in NEVER_SENT_STATUSES or of(execution) in OPEN:
            continue
        if of(execution) not in TROUBLE:
            break
        failed.append(execution)
    return failed
