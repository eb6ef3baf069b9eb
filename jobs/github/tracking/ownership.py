"""Which run belongs to which execution: no run to two of them."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from django.db import IntegrityError, transaction

from jobs.github import RunState
from jobs.github.tracking.poll import LOOK_BACK
from jobs.models import GitHubRun


def known_runs(repositories: Iterable[str], *, now: datetime) -> dict[str, frozenset[int]]:
    """Return the runs of late that belong to executions already, by repository (`owner/name`)."""
    names = {name.lower() for name in repositories}
    recent = GitHubRun.objects.filter(repository__in=names, created_at__gt=now - 10 * LOOK_BACK)
    found: dict[str, set[int]] = {}
    for repository, run_id in recent.values_list("repository", "run_id"):
        if run_id is not None:
            found.setdefault(repository, set()).add(run_id)
    return {repository: frozenset(ids) for repository, ids in found.items()}


def claim_found(execution_id: UUID, repository: str, run_id: int, *, now: datetime) -> bool:
    """Keep a run that was found, not named, as that of an execution. False where it belongs to another.

    Two may have found the same one at this moment: only what is written decides. Call it in a transaction that goes on
    to `begin`, or says that nothing was started.
    """
    own = GitHubRun(execution_id=execution_id, repository=repository.lower(), run_id=run_id, created_at=now)
    try:
        with transaction.atomic():
            GitHubRun.objects.filter(pk=execution_id).delete()
            own.save(force_insert=True)
    except IntegrityError:
        return False
    return True


def free(run: GitHubRun, candidates: Sequence[RunState]) -> list[RunState]:
    """Return those of `candidates` that belong to no other execution."""
    others = GitHubRun.objects.filter(run_id__in=[state.run_id for state in candidates]).exclude(pk=run.pk)
    taken = set(others.filter(repository=run.repository).values_list("run_id", flat=True))
    return [state for state in candidates if state.run_id not in taken]


def claim(run: GitHubRun, run_id: int) -> bool:
    """Write that this is the run. False where another execution took it at this moment; the next poll sees that."""
    try:
        with transaction.atomic():
            GitHubRun.objects.filter(pk=run.pk).update(run_id=run_id)
    except IntegrityError:
        return False
    return True
