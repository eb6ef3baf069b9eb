"""The list of jobs: one line for each, with how it went lately."""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import display

from cronsched.console import ConsoleAdmin
from cronsched.console.changelist import ConsoleChangeList
from cronsched.console.filters import titled
from jobs.admin.jobs.filters import (
    EndsWithinFilter,
    OwnerFilter,
    RepositoryFilter,
    StateFilter,
    TargetFilter,
    ZoneFilter,
)
from jobs.admin.jobs.words import STATE_COLOURS, in_words, next_run, state, target_text
from jobs.admin.labels import LABELS
from jobs.admin.texts import compact_strip, cut_line, executions_of
from jobs.definitions.validation import local_date
from jobs.history import outcomes
from jobs.models import Job

STRIP = 10
SOON_DAYS = 30


class JobChangeList(ConsoleChangeList):
    """Reads the latest executions of the jobs that the page shows, and of no others."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        jobs = list(self.result_list)
        found = outcomes.latest([job.pk for job in jobs], STRIP)
        for job in jobs:
            job.latest_executions = found[job.pk]
        self.result_list = jobs


class JobList(ConsoleAdmin):
    list_display = (*("listed_name", "state", "lately", "next_run", "schedule", "team_and_owner", "end"),)
    list_display_links = ("listed_name",)
    list_filter = (
        StateFilter,
        EndsWithinFilter,
        OwnerFilter,
        ("pic_team", titled("PIC team", RelatedDropdownFilter)),
        ("category", titled("Category", RelatedDropdownFilter)),
        TargetFilter,
        RepositoryFilter,
        ZoneFilter,
        ("overlap", titled(LABELS["overlap"], ChoicesDropdownFilter)),
    )
    list_filter_submit = True
    list_fullwidth = True
    list_per_page = 50
    search_fields = ("name", "target_url", "github_repo", "github_workflow_name")
    search_help_text = "Name, address, repository or workflow"
    ordering = ("name",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        jobs = super().get_queryset(request).select_related("pic_team", "category", "created_by")
        is_list = request.resolver_match is not None and request.resolver_match.url_name == "jobs_job_changelist"
        return jobs.defer("metadata", "encrypted_secrets", "target_findings") if is_list else jobs

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ConsoleChangeList]:
        return JobChangeList

    @display(description="Job", ordering="name")
    def listed_name(self, job: Job) -> SafeString:
        target = target_text(job)
        return format_html(
            '<span class="job-name">{}</span><span class="one-line job-target" title="{}">{}</span>',
            job.name,
            target,
            _short_target(target),
        )

    @display(description="State", ordering="is_active", label=STATE_COLOURS)
    def state(self, job: Job) -> str:
        return state(job)

    @display(description="Lately", empty_value="Never ran")
    def lately(self, job: Any) -> SafeString | None:
        return compact_strip(job.latest_executions, executions_of(job))

    @display(description="Next run", ordering="next_fire_at")
    def next_run(self, job: Job) -> SafeString | None:
        if job.schedule_error and job.next_fire_at is None and job.is_active:
            return cut_line(job.schedule_error)
        return next_run(job, timezone.now())

    @display(description="Schedule", ordering="cron_expression")
    def schedule(self, job: Job) -> SafeString:
        zone = f" ({job.timezone})" if job.timezone else ""
        words = in_words(job.cron_expression) + zone
        return cut_line(f"{words}: {job.cron_expression}", words)

    @display(description="PIC team, owner", ordering="pic_team__name")
    def team_and_owner(self, job: Job) -> SafeString:
        team = cut_line(f"{job.pic_team.name}, {job.category.name}", job.pic_team.name)
        return format_html('{}<span class="one-line job-target" title="Owner">{}</span>', team, _owner(job))

    @display(description="Ends", ordering="end_date")
    def end(self, job: Job) -> SafeString:
        left = (job.end_date - local_date(timezone.now())).days
        near = "near-end" if 0 <= left <= SOON_DAYS else ""
        return format_html(
            '<span class="whitespace-nowrap {}" title="{} days left">{}</span>', near, left, job.end_date
        )


def _owner(job: Job) -> str:
    if job.created_by is None:
        return "nobody"
    return job.created_by.username + ("" if job.created_by.is_active else " (deactivated)")


def _short_target(target: str) -> str:
    """Keep what tells targets apart: the host and the last part of the path, or the workflow as a whole."""
    _, separator, rest = target.partition("://")
    if not separator:
        return target
    host, _, path = rest.partition("/")
    last = path.rstrip("/").rpartition("/")[2]
    return f"{host}/…/{last}" if "/" in path.rstrip("/") else f"{host}/{path}"
