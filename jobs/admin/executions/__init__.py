"""The history, read-only: what was due, sent and answered. The one action is "Run again"."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.forms import BaseDialogForm
from unfold.paginator import InfinitePaginator

from accounts.console import NeverEdited, OpenToAllRoles, account
from cronsched.account_rates import RUNS, count
from cronsched.console import ConsoleAdmin
from cronsched.console.answers import redirected
from cronsched.console.dialogs import dialog_action
from cronsched.console.filters import PeriodFilter, titled
from cronsched.console.forms import JSONObjectField
from cronsched.console.texts import local_text, moment
from cronsched.lib.clock import database_now
from cronsched.lib.errors import DomainError
from cronsched.lib.ids import known_id
from jobs import services
from jobs.admin.executions import page
from jobs.admin.executions.filters import (
    ConclusionFilter,
    JobFilter,
    KindFilter,
    LatelyFilter,
    OutcomeFilter,
    TeamFilter,
    TriggerFilter,
    of_jobs,
)
from jobs.admin.texts import OUTCOME_COLOURS, as_json, cut_line, happened, link, page_link, preformatted, seconds, why
from jobs.history import outcomes
from jobs.models import NEVER_SENT_STATUSES, Job, JobExecution, TriggerType
from jobs.schedule.scheduled_job import Overrides


class RerunForm(BaseDialogForm):
    """The inputs of another run, as they were sent unless they are edited."""

    metadata = JSONObjectField(
        label="Inputs", help_text="A JSON object, for this run alone. Blank: as that execution was sent."
    )

    def __init__(self, request: HttpRequest, object_id: Any = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, object_id, *args, **kwargs)
        key = known_id(str(object_id))
        if key and (execution := JobExecution.objects.filter(pk=key).select_related("job").first()):
            before = Overrides.read(execution.overrides)
            self.initial["metadata"] = (before and before.metadata) or execution.job.metadata or None


@admin.register(JobExecution)
class ExecutionAdmin(NeverEdited, OpenToAllRoles, ConsoleAdmin):
    page_name = "Executions"
    list_display = ("job_name", "outcome", "conclusion", "trigger", "happened", "lateness", "duration", "answer")
    list_display_links = ("happened",)
    list_filter = (
        OutcomeFilter,
        LatelyFilter,
        ConclusionFilter,
        TeamFilter,
        JobFilter,
        TriggerFilter,
        KindFilter,
        ("started_at", titled("When", PeriodFilter)),
    )
    list_filter_submit = True
    list_fullwidth = True
    list_per_page = 50
    search_fields = ("job__name__icontains",)
    search_help_text = "Part of the job's name"
    ordering = ("-started_at", "-id")
    # By any other column the whole history would be sorted for one page.
    sortable_by = ("happened",)
    # Counting millions of rows to say "page 1 of many" would cost more than the page.
    paginator = InfinitePaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    fieldsets = (
        (None, {"fields": ("verdict", ("job_link", "trigger", "execution_type"), "target")}),
        ("What happened when", {"fields": ("time_line",)}),
        ("Answer", {"fields": ("answer_text", "facts")}),
        ("GitHub", {"fields": (("github_run", "conclusion"), ("run_failure", "run_tracking"))}),
        ("Request", {"fields": ("request_text", "attempts_before")}),
    )
    labels = {"execution_type": "Kind of target"}
    readonly_fields = (
        *("verdict", "job_link", "trigger", "time_line", "answer_text", "facts", "request_text", "attempts_before"),
        *("github_run", "conclusion", "run_failure", "run_tracking"),
    )
    actions_detail = ("run_again",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[JobExecution]:
        rows = super().get_queryset(request)
        is_list = (
            request.resolver_match is not None and request.resolver_match.url_name == "jobs_jobexecution_changelist"
        )
        if not is_list:
            return rows.select_related("job", "job__created_by", "run")
        # Read apart: with the tables joined, SQLite begins with the jobs and sorts the whole history for one page.
        return rows.defer("output", "request_snapshot").prefetch_related(
            Prefetch("job", Job.objects.only("name")), "run"
        )

    def get_fieldsets(self, request: HttpRequest, obj: JobExecution | None = None) -> Any:
        """Leave out what this execution has nothing of."""
        if obj is None:
            return self.fieldsets
        empty = {
            "answer_text": not obj.output,
            "facts": not obj.details,
            "request_text": not obj.request_snapshot,
            "attempts_before": not obj.earlier_attempts,
        }
        shown = [
            (title, {"fields": tuple(name for name in section["fields"] if not empty.get(str(name), False))})
            for title, section in self.fieldsets
            if title != "GitHub" or obj.github_run is not None
        ]
        return [(title, section) for title, section in shown if section["fields"]]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[JobExecution], search_term: str
    ) -> tuple[QuerySet[JobExecution], bool]:
        """Search the jobs first: a name that no job has would otherwise be searched in every row of the history."""
        if not (part := search_term.strip()):
            return queryset, False
        return of_jobs(queryset, Job.objects.filter(name__icontains=part)), False

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Put the outcome into the title, that of a GitHub run included."""
        row = context["original"]
        named = f"{row.job} at {local_text(row.scheduled_for or row.queued_at)}: {outcomes.of(row).label}"
        return super().render_change_form(request, {**context, "title": named, "subtitle": None}, *args, **kwargs)

    # --- The list ---

    @display(description="Job")
    def job_name(self, execution: JobExecution) -> SafeString:
        return page_link("jobs_job_change", execution.job_id, execution.job.name)

    @display(description="Outcome", label=OUTCOME_COLOURS)
    def outcome(self, execution: JobExecution) -> str:
        return outcomes.of(execution).label

    @display(description="GitHub run")
    def conclusion(self, execution: JobExecution) -> str | None:
        run = execution.github_run
        return (run.conclusion or run.status or None) if run else None

    @display(description="Trigger")
    def trigger(self, execution: JobExecution) -> str:
        return TriggerType(execution.trigger_type).label

    @display(description="When", ordering="started_at")
    def happened(self, execution: JobExecution) -> SafeString | None:
        return moment(happened(execution))

    @display(description="Late by")
    def lateness(self, execution: JobExecution) -> str | None:
        return seconds(execution.lateness_seconds)

    @display(description="Duration")
    def duration(self, execution: JobExecution) -> str | None:
        return None if execution.status in NEVER_SENT_STATUSES else seconds(execution.duration_seconds)

    @display(description="Answer")
    def answer(self, execution: JobExecution) -> SafeString | None:
        text, status = why(execution), str(execution.response_status or "")
        # Most errors name the status themselves.
        told = text if status in text and text else " ".join(filter(None, (status, text)))
        return cut_line(told) if told else None

    # --- The page ---

    @display(description="Outcome")
    def verdict(self, execution: JobExecution) -> SafeString:
        return page.verdict(execution)

    @display(description="Job")
    def job_link(self, execution: JobExecution) -> SafeString:
        return page_link("jobs_job_change", execution.job_id, execution.job.name)

    @display(description="Time line")
    def time_line(self, execution: JobExecution) -> SafeString:
        return page.time_line(execution)

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

    @display(description="Failed at")
    def run_failure(self, execution: JobExecution) -> str | None:
        run = execution.github_run
        return " / ".join(filter(None, (run.failed_job, run.failed_step))) or None if run else None

    @display(description="Followed")
    def run_tracking(self, execution: JobExecution) -> str | None:
        run = execution.github_run
        return run.get_tracking_display() if run else None

    @display(description="As a command")
    def request_text(self, execution: JobExecution) -> SafeString | None:
        return page.request_text(execution)

    @display(description="Earlier attempts")
    def attempts_before(self, execution: JobExecution) -> SafeString | None:
        return page.attempts(execution)

    # --- Running again ---

    def has_run_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        execution = self.get_object(request, str(object_id)) if object_id else None
        return execution is not None and execution.job.may_be_changed_by(account(request))

    @dialog_action(
        "Run again",
        icon="replay",
        title="Run this job again?",
        text="A new execution is queued and sent within seconds, also while the job is paused.",
        button="Run",
        form=RerunForm,
        permission="run",
    )
    def run_again(self, request: HttpRequest, form: RerunForm, object_id: str) -> HttpResponse:
        execution = self.row_or_404(request, object_id)
        metadata = form.cleaned_data["metadata"]
        before = Overrides.read(execution.overrides)
        sent = (before.values() if before else {}) | ({} if metadata is None else {"metadata": metadata})
        try:
            count(RUNS, request.user.pk)
            new = services.queue_run(execution.job_id, sent, by=account(request), now=database_now())
        except DomainError as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
            return redirected(reverse("admin:jobs_jobexecution_change", args=[execution.pk]))
        self.message_user(
            request, f"{execution.job.name} is queued again; this is its new execution.", messages.SUCCESS
        )
        return redirected(reverse("admin:jobs_jobexecution_change", args=[new.pk]))
