"""What the list of jobs is narrowed by, and the tabs above it."""

from datetime import timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from accounts.console import account
from accounts.models import User
from cronsched.console.filters import ChoiceFilter
from jobs.definitions.validation import local_date
from jobs.models import Job

ENDING_DAYS = 30
ENDS_WITHIN_DAYS = (7, ENDING_DAYS, 90, 180)
# By their part of the address. The theme opens the one that it calls general.
JOB_TABS = {"general": "Overview", "executions": "Executions", "definition": "Definition", "changes": "Changes"}


def failing() -> Q:
    """Active jobs whose latest runs failed, by how they ended."""
    return Q(is_active=True, consecutive_failures__gt=0)


def paused() -> Q:
    """Jobs that can be resumed: not active, and their end date has not passed."""
    return Q(is_active=False, end_date__gte=local_date(timezone.now()))


def ended() -> Q:
    return Q(is_active=False, end_date__lt=local_date(timezone.now()))


def ending(days: int = ENDING_DAYS) -> Q:
    """Active jobs that end within so many days."""
    return Q(is_active=True, end_date__lte=local_date(timezone.now()) + timedelta(days=days))


def unschedulable() -> Q:
    return Q(is_active=True, next_fire_at=None) & ~Q(schedule_error="")


STATES = {
    "active": ("Active", lambda: Q(is_active=True)),
    "failing": ("Failing", failing),
    "paused": ("Paused", paused),
    "ended": ("Ended", ended),
    "ending": (f"Ending in {ENDING_DAYS} days", ending),
    "unschedulable": ("Cannot be scheduled", unschedulable),
}


def list_of(**params: str) -> str:
    """Return the address of the list of jobs narrowed by `params`."""
    query = "&".join(f"{name}={value}" for name, value in params.items())
    return reverse("admin:jobs_job_changelist") + (f"?{query}" if query else "")


def is_page_of_jobs(request: HttpRequest) -> bool:
    """Tell the side-bar whether the list or a job is shown: pages of their own have addresses below the list's."""
    own = [reverse(f"admin:jobs_{name}") for name in ("why", "calendar", "upload")]
    return request.path.startswith(reverse("admin:jobs_job_changelist")) and request.path not in own


def tabs(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the tabs above the list of jobs and above a job, for the theme.

    It marks the list in the side-bar for whoever has some.
    """
    if not is_page_of_jobs(request):
        return []
    if request.resolver_match is not None and request.resolver_match.url_name == "jobs_job_change":
        parts = [{"title": title, "link": "", "inline": part, "active": False} for part, title in JOB_TABS.items()]
        return [{"models": [{"name": "jobs.job", "detail": True}], "items": parts}]
    chosen = (request.GET.get("state", ""), request.GET.get("owner", ""))
    offered = [
        ("All", ("", "")),
        ("Failing", ("failing", "")),
        ("Paused", ("paused", "")),
        ("Ending", ("ending", "")),
        ("Cannot be scheduled", ("unschedulable", "")),
        ("Mine", ("", "me")),
    ]
    items = [
        {
            "title": title,
            "link": list_of(**{name: value for name, value in zip(("state", "owner"), values, strict=True) if value}),
            "active": values == chosen,
        }
        for title, values in offered
    ]
    return [{"models": ["jobs.job"], "items": items}]


class StateFilter(ChoiceFilter):
    title = "State"
    parameter_name = "state"

    def options(self, request: HttpRequest) -> list[tuple[str, str]]:
        return [(key, title) for key, (title, _) in STATES.items()]

    def narrowed(self, request: HttpRequest, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(STATES[value][1]())


class EndsWithinFilter(ChoiceFilter):
    """Active jobs by how soon they end."""

    title = "Ends within"
    parameter_name = "ends_within"

    def options(self, request: HttpRequest) -> list[tuple[str, str]]:
        return [(str(days), f"{days} days") for days in ENDS_WITHIN_DAYS]

    def narrowed(self, request: HttpRequest, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(ending(int(value)))


class OwnerFilter(ChoiceFilter):
    """By owner; also those whose owner is gone or may not sign in any more."""

    title = "Owner"
    parameter_name = "owner"

    def options(self, request: HttpRequest) -> list[tuple[str, str]]:
        owners = User.objects.filter(jobs__isnull=False).distinct().order_by("username")
        named = [(str(key), name) for key, name in owners.values_list("pk", "username")]
        return [("me", "Me"), ("none", "Nobody"), ("inactive", "A deactivated account"), *named]

    def narrowed(self, request: HttpRequest, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        match value:
            case "me":
                return queryset.filter(created_by=account(request))
            case "none":
                return queryset.filter(created_by=None)
            case "inactive":
                return queryset.filter(created_by__is_active=False)
        return queryset.filter(created_by=value)


class TargetFilter(ChoiceFilter):
    title = "Target"
    parameter_name = "target"

    def options(self, request: HttpRequest) -> list[tuple[str, str]]:
        return [("webhook", "Webhook"), ("github", "GitHub workflow")]

    def narrowed(self, request: HttpRequest, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        # As `Job.is_github`: all three are set, whatever address stands beside them.
        blank = Q()
        for name in ("github_owner", "github_repo", "github_workflow_name"):
            blank |= Q(**{name: None}) | Q(**{name: ""})
        return queryset.exclude(blank) if value == "github" else queryset.filter(blank)


class RepositoryFilter(ChoiceFilter):
    title = "Repository"
    parameter_name = "repository"

    def options(self, request: HttpRequest) -> list[tuple[str, str]]:
        named = Job.objects.exclude(github_repo=None).exclude(github_repo="").order_by("github_owner", "github_repo")
        pairs = named.values_list("github_owner", "github_repo").distinct()
        return [(f"{owner or ''}/{repo}", f"{owner or ''}/{repo}") for owner, repo in pairs]

    def narrowed(self, request: HttpRequest, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        owner, _, repository = value.partition("/")
        named = Q(github_owner=owner) if owner else Q(github_owner=None) | Q(github_owner="")
        return queryset.filter(named, github_repo=repository)


class ZoneFilter(ChoiceFilter):
    title = "Time zone"
    parameter_name = "zone"

    def options(self, request: HttpRequest) -> list[tuple[str, str]]:
        zones = Job.objects.exclude(timezone=None).order_by("timezone").values_list("timezone", flat=True).distinct()
        return [("default", "The scheduler's"), *((zone, zone) for zone in zones if zone)]

    def narrowed(self, request: HttpRequest, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        if value == "default":
            return queryset.filter(Q(timezone=None) | Q(timezone=""))
        return queryset.filter(timezone=value)
