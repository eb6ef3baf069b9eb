"""The history, to read only: what was due, what was sent, what came back."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display
from unfold.paginator import InfinitePaginator

from accounts.console import NeverEdited, OpenToAllRoles
from cronsched.console import ConsoleAdmin
from cronsched.console.filters import PeriodFilter
from cronsched.console.texts import moment
from jobs.admin.jobs import STATUS_COLOURS
from jobs.admin.texts import as_json, link, preformatted, shortened
from jobs.models import Job, JobExecution


@admin.register(JobExecution)
class ExecutionAdmin(NeverEdited, OpenToAllRoles, ConsoleAdmin):
    list_display = ("job_name", "outcome", "trigger_type", "fire_time", "started", "lateness", "duration", "answer")
    list_display_links = ("job_name",)
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("trigger_type", ChoicesDropdownFilter),
        ("execution_type", ChoicesDropdownFilter),
        ("started_at", PeriodFilter),
    )
    list_filter_submit = True
    list_fullwidth = True
    empty_value_display = "-"
    list_per_page = 50
    search_fields = ("job__name__istartswith",)
    search_help_text = "Beginning of the job's name"
    ordering = ("-started_at", "-id")
    # By any other column the whole history would be sorted for one page.
    sortable_by = ("started",)
    # Counting millions of rows to say "page 1 of many" would cost more than the page.
    paginator = InfinitePaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    fieldsets = (
        (None, {"fields": ("job", ("outcome", "trigger_type", "execution_type"), "target", "reason")}),
        (
            "Times",
            {
                "fields": (
                    ("fire_time", "queued_at"),
                    ("planned", "started"),
                    ("completed_at", "duration"),
                    "lateness",
                )
            },
        ),
        ("Answer", {"fields": ("response_status", "error_message", "answer_text", "facts")}),
        ("GitHub", {"fields": (("github_run", "run_conclusion"), ("run_failure", "run_tracking"))}),
        ("Request", {"fields": ("what_was_sent", "attempt", "attempts_before")}),
    )
    missed_fieldset = ("Stands for several", {"fields": (("missed_from", "missed_count"),)})
    readonly_fields = (
        *("outcome", "fire_time", "started", "lateness", "duration", "answer_text"),
        *("facts", "what_was_sent", "attempts_before", "planned"),
        *("github_run", "run_conclusion", "run_failure", "run_tracking"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[JobExecution]:
        return super().get_queryset(request).select_related("job", "run")

    def get_fieldsets(self, request: HttpRequest, obj: JobExecution | None = None) -> Any:
        fieldsets = [(title, section) for title, section in self.fieldsets if title != "GitHub" or _has_run(obj)]
        return [*fieldsets, self.missed_fieldset] if obj and obj.missed_count else fieldsets

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[JobExecution], search_term: str
    ) -> tuple[QuerySet[JobExecution], bool]:
        """Look for jobs first: a name nobody has would be looked for in every row of the history."""
        if not (beginning := search_term.strip()):
            return queryset, False
        named = Job.objects.filter(name__istartswith=beginning)
        return (queryset.filter(job__in=named) if named.exists() else queryset.none()), False

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        # The link from a job's page.
        return lookup == "job__id__exact" or super().lookup_allowed(lookup, value, request)

    @display(description="Job", ordering="job__name")
    def job_name(self, execution: JobExecution) -> str:
        return execution.job.name

    @display(description="Status", ordering="status", label=STATUS_COLOURS)
    def outcome(self, execution: JobExecution) -> str:
        return execution.get_status_display()

    @display(description="Fire time", ordering="scheduled_for")
    def fire_time(self, execution: JobExecution) -> SafeString | None:
        return moment(execution.scheduled_for)

    @display(description="Started", ordering="started_at")
    def started(self, execution: JobExecution) -> SafeString | None:
        return moment(execution.started_at)

    @display(description="Planned")
    def planned(self, execution: JobExecution) -> SafeString | None:
        return moment(execution.planned_at)

    @display(description="Late by")
    def lateness(self, execution: JobExecution) -> str | None:
        return _seconds(execution.lateness_seconds)

    @display(description="Duration", ordering="duration_seconds")
    def duration(self, execution: JobExecution) -> str | None:
        return _seconds(execution.duration_seconds)

    @display(description="Answer")
    def answer(self, execution: JobExecution) -> str | None:
        text, status = shortened(execution.error_message or execution.reason, 80), str(execution.response_status or "")
        # Most errors name the status themselves.
        return text if status in text and text else " ".join(filter(None, (status, text))) or None

    @display(description="Output")
    def answer_text(self, execution: JobExecution) -> SafeString | None:
        return preformatted(execution.output) if execution.output else None

    @display(description="Facts")
    def facts(self, execution: JobExecution) -> SafeString | None:
        return as_json(execution.details)

    @display(description="Run")
    def github_run(self, execution: JobExecution) -> SafeString | None:
        run = execution.github_run
        return link(run.url, str(run.run_id or "not known which")) if run else None

    @display(description="Conclusion")
    def run_conclusion(self, execution: JobExecution) -> str | None:
        run = execution.github_run
        return (run.conclusion or run.status or None) if run else None

    @display(description="Failed at")
    def run_failure(self, execution: JobExecution) -> str | None:
        run = execution.github_run
        return " / ".join(filter(None, (run.failed_job, run.failed_step))) or None if run else None

    @display(description="Followed")
    def run_tracking(self, execution: JobExecution) -> str | None:
        run = execution.github_run
        return run.get_tracking_display() if run else None

    @display(description="What was sent")
    def what_was_sent(self, execution: JobExecution) -> SafeString | None:
        return as_json(execution.request_snapshot)

    @display(description="Earlier attempts")
    def attempts_before(self, execution: JobExecution) -> SafeString | None:
        return as_json(execution.earlier_attempts)


def _seconds(number: float | None) -> str | None:
    return None if number is None else f"{number:.2f}\N{NO-BREAK SPACE}s"


def _has_run(execution: JobExecution | None) -> bool:
    return execution is not None and execution.github_run is not None
