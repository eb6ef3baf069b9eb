"""Which jobs a list, an export or a bulk action is about (contract, D46).

Blank parameters are ignored, unknown names too; a value that a known one cannot have is refused (400).
"""

from collections.abc import Callable, Mapping
from datetime import date
from uuid import UUID

from django.db.models import Q
from django.db.models.functions import Lower

from accounts.models import User
from cronsched.lib.config.env import FALSE_WORDS, TRUE_WORDS
from cronsched.lib.errors import DomainError
from cronsched.lib.ids import known_id
from jobs.definitions.validation import read_date
from jobs.models import ExecutionType, JobQuerySet
from taxonomy.lookup import LabelIndex
from taxonomy.models import JobCategory, PicTeam

OWN = "me"
# Jobs that only administrators may change: whose owner is gone, or may not sign in any more.
WITHOUT_OWNER = {"none": Q(created_by=None), "inactive": Q(created_by__is_active=False)}
STATES: Mapping[str, Callable[[JobQuerySet, date], JobQuerySet]] = {
    "active": lambda jobs, today: jobs.active().filter(end_date__gte=today),
    "paused": lambda jobs, today: jobs.filter(is_active=False, end_date__gte=today),
    "ended": lambda jobs, today: jobs.filter(end_date__lt=today),
    "unschedulable": lambda jobs, today: jobs.unschedulable(),
    "failing": lambda jobs, today: jobs.active().filter(consecutive_failures__gt=0),
}
_IS_GITHUB = ~(
    Q(github_owner=None) | Q(github_owner="") | Q(github_repo=None) | Q(github_repo="") | Q(github_workflow_name=None)
) & ~Q(github_workflow_name="")


def filtered(jobs: JobQuerySet, params: Mapping[str, str], *, by: User | None, today: date) -> JobQuerySet:
    """Return those of `jobs` that the parameters ask for. `by` is who `me` is. Raises `DomainError`."""
    for name, narrow in FILTERS.items():
        if text := params.get(name, "").strip():
            jobs = narrow(jobs, text, by, today)
    return jobs


def _by_category(jobs: JobQuerySet, text: str, by: User | None, today: date) -> JobQuerySet:
    category = LabelIndex(JobCategory.objects.all()).find(text)
    if category is None:
        raise _wrong("category", "category must be the slug or name of a category.")
    return jobs.filter(category=category)


def _by_team(jobs: JobQuerySet, text: str, by: User | None, today: date) -> JobQuerySet:
    team = LabelIndex(PicTeam.objects.all()).find(text)
    if team is None:
        raise _wrong("pic_team", "pic_team must be the slug or name of a PIC team.")
    return jobs.filter(pic_team=team)


def _by_activity(jobs: JobQuerySet, text: str, by: User | None, today: date) -> JobQuerySet:
    word = text.lower()
    if word not in TRUE_WORDS | FALSE_WORDS:
        raise _wrong("is_active", "is_active must be true or false.")
    return jobs.filter(is_active=word in TRUE_WORDS)


def _by_owner(jobs: JobQuerySet, text: str, by: User | None, today: date) -> JobQuerySet:
    if living := WITHOUT_OWNER.get(text.lower()):
        return jobs.filter(living)
    owner: UUID | None = by.pk if text.lower() == OWN and by is not None else known_id(text)
    if owner is None:
        raise _wrong("owner", "owner must be me, none, inactive or the id of an account.")
    return jobs.filter(created_by_id=owner)


def _by_target(jobs: JobQuerySet, text: str, by: User | None, today: date) -> JobQuerySet:
    kind = text.lower()
    if kind not in ExecutionType.values:
        raise _wrong("target", f"target must be one of: {', '.join(ExecutionType.values)}.")
    return jobs.filter(_IS_GITHUB if kind == ExecutionType.GITHUB_ACTIONS else ~_IS_GITHUB)


def _by_repository(jobs: JobQuerySet, text: str, by: User | None, today: date) -> JobQuerySet:
    first, slash, second = text.partition("/")
    if "\x00" in text or "/" in second or (slash and not (first and second)):
        raise _wrong("repo", "repo must be owner/repository or the name of a repository.")
    # Compared in lower case, as GitHub does; MariaDB's collation would see two names.
    jobs = jobs.alias(lower_owner=Lower("github_owner"), lower_repo=Lower("github_repo"))
    if slash:
        return jobs.filter(Q(lower_owner=first.lower()) & Q(lower_repo=second.lower()))
    return jobs.filter(Q(lower_repo=first.lower()))


def _by_end(jobs: JobQuerySet, text: str, by: User | None, today: date) -> JobQuerySet:
    end = read_date(text)
    if end is None:
        raise _wrong("ends_before", "ends_before must be a date, YYYY-MM-DD.")
    return jobs.filter(end_date__lt=end)


def _by_state(jobs: JobQuerySet, text: str, by: User | None, today: date) -> JobQuerySet:
    state = STATES.get(text.lower())
    if state is None:
        raise _wrong("state", f"state must be one of: {', '.join(STATES)}.")
    return state(jobs, today)


FILTERS: Mapping[str, Callable[[JobQuerySet, str, User | None, date], JobQuerySet]] = {
    "category": _by_category,
    "pic_team": _by_team,
    "is_active": _by_activity,
    "owner": _by_owner,
    "target": _by_target,
    "repo": _by_repository,
    "ends_before": _by_end,
    "state": _by_state,
}


def _wrong(name: str, message: str) -> DomainError:
    return DomainError(f"Invalid {name}", message, field=name)
