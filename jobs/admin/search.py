"""What the palette and the side-bar's search find: pages, acts, jobs, teams, categories and people."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils.module_loading import import_string
from unfold.dataclasses import SearchResult
from unfold.settings import get_config

from accounts.console import account, is_admin
from accounts.models import User
from jobs.models import Job
from taxonomy.models import JobCategory, PicTeam

# Of each kind.
FOUND = 12


class JobAct(NamedTuple):
    """What a page of its own does with a job."""

    description: str
    icon: str
    may: Callable[[User, Job], bool]


JOB_ACTS = {
    "why": JobAct("Why it ran or did not", "help", lambda user, job: True),
    "test": JobAct("Send to its target and see the answer", "science", lambda user, job: job.may_be_changed_by(user)),
    "clone": JobAct("A new job like it", "content_copy", lambda user, job: user.can_write),
}


def find(request: HttpRequest, term: str) -> list[SearchResult]:
    """Return what matches `term`, the most likely first."""
    return [
        *_acts_on_jobs(request, term),
        *_jobs(term),
        *_pages(request, term),
        *_labels(term),
        *_people(request, term),
    ]


def _acts_on_jobs(request: HttpRequest, term: str) -> Iterator[SearchResult]:
    """Find `why invoices`: an act and a part of the name of jobs, of which the act may be done to."""
    verb, _, name = term.partition(" ")
    act = JOB_ACTS.get(verb.lower())
    if act is None or not name.strip():
        return
    user = account(request)
    for job in Job.objects.filter(name__icontains=name.strip()).order_by("name")[:FOUND]:
        if act.may(user, job):
            title = f"{verb.capitalize()} {job.name}"
            yield _result(title, act.description, f"jobs_job_{verb.lower()}_job", job.pk, icon=act.icon)


def _jobs(term: str) -> Iterator[SearchResult]:
    named = Q(name__icontains=term) | Q(target_url__icontains=term) | Q(github_repo__icontains=term)
    jobs = Job.objects.filter(named).select_related("pic_team").order_by("name")[:FOUND]
    for job in jobs:
        state = "Job" if job.is_active else "Paused job"
        yield _result(job.name, f"{state} of {job.pic_team.name}", "jobs_job_change", job.pk, icon="schedule")


def _pages(request: HttpRequest, term: str) -> Iterator[SearchResult]:
    for title, link, icon in [*_menu(request), *_acts(request)]:
        if term.lower() in title.lower():
            yield SearchResult(title=title, description="Page", link=link, icon=icon)


def _menu(request: HttpRequest) -> Iterator[tuple[str, str, str]]:
    for group in get_config()["SIDEBAR"]["navigation"]:
        for item in group["items"]:
            if "permission" not in item or import_string(item["permission"])(request):
                yield item["title"], str(item["link"]), item["icon"]


def _acts(request: HttpRequest) -> list[tuple[str, str, str]]:
    acts = [
        ("Change my password", reverse("admin:password_change"), "password"),
        ("Account and sessions", reverse("account"), "account_circle"),
        ("Make a token", reverse("admin:accounts_apitoken_add"), "key"),
    ]
    if account(request).can_write:
        acts.append(("Add a job", reverse("admin:jobs_job_add"), "add"))
    if is_admin(request):
        acts += [
            ("Add a PIC team", reverse("admin:taxonomy_picteam_add"), "add"),
            ("Add a category", reverse("admin:taxonomy_jobcategory_add"), "add"),
            ("Add a person", reverse("admin:accounts_user_add"), "add"),
        ]
    return acts


def _labels(term: str) -> Iterator[SearchResult]:
    kinds: list[tuple[Any, str]] = [(PicTeam, "PIC team"), (JobCategory, "Category")]
    for model, kind in kinds:
        for label in model.objects.filter(Q(name__icontains=term) | Q(slug__icontains=term)).order_by("name")[:FOUND]:
            page = f"taxonomy_{model._meta.model_name}_change"
            yield _result(label.name, kind, page, label.pk, icon="groups")


def _people(request: HttpRequest, term: str) -> Iterator[SearchResult]:
    people = User.objects.filter(Q(username__icontains=term) | Q(email__icontains=term)).order_by("username")
    if not is_admin(request):
        people = people.filter(pk=account(request).pk)
    for user in people[:FOUND]:
        yield _result(user.username, user.get_role_display(), "accounts_user_change", user.pk, icon="person")


def _result(title: str, description: str, page: str, key: Any, *, icon: str) -> SearchResult:
    link = reverse(f"admin:{page}", args=[key])
    return SearchResult(title=title, description=description, link=link, icon=icon)
