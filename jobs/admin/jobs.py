"""Jobs in the console: what runs when, how it went last, and the three things done to it by hand."""

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.dataclasses import ActionDialog
from unfold.decorators import action, display

from accounts.console import OpenToAllRoles, account
from accounts.models import User
from cronsched.console import ConsoleAdmin
from cronsched.console.answers import redirected
from cronsched.console.texts import local_text, moment, one_line
from cronsched.lib.clock import database_now
from cronsched.lib.errors import DomainError
from jobs import cron, services
from jobs.admin.forms import REQUEST_FIELDS, JobForm, RenewalForm
from jobs.admin.texts import as_json
from jobs.definitions import request_options, scheduling_options
from jobs.end_dates import renewal
from jobs.models import Job, JobExecution, Status

PREVIEWED_RUNS = 5
REQUEST = "Request"
STATUS_COLOURS = {
    Status.SUCCESS.label: "success",
    Status.FAILED.label: "danger",
    Status.UNKNOWN.label: "danger",
    Status.MISSED.label: "warning",
    Status.SKIPPED.label: "warning",
    Status.QUEUED.label: "info",
    Status.RUNNING.label: "info",
}


def confirmation(title: str, description: str, button: str) -> ActionDialog:
    """Return the question asked before an action. Its answer is a POST: no link and no prefetch starts anything."""
    return ActionDialog(title=title, description=description, form_class=None, form_submit_text=button)


class OutcomeFilter(admin.SimpleListFilter):
    title = "last outcome"
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(Status.SUCCESS, "Success"), (Status.FAILED, "Failed"), ("never", "Never ran")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        match self.value():
            case None:
                return queryset
            case "never":
                return queryset.filter(last_status__isnull=True)
            case status:
                return queryset.filter(last_status=status)


@admin.register(Job)
class JobAdmin(OpenToAllRoles, ConsoleAdmin):
    form = JobForm
    list_display = ("name_and_target", "state", "last_outcome", "schedule", "next_run", "team_and_category", "owner")
    list_filter = (
        ("is_active", admin.BooleanFieldListFilter),
        OutcomeFilter,
        ("pic_team", RelatedDropdownFilter),
        ("category", RelatedDropdownFilter),
        ("created_by", RelatedDropdownFilter),
        ("overlap", ChoicesDropdownFilter),
    )
    list_filter_submit = True
    list_fullwidth = True
    empty_value_display = "-"
    list_per_page = 50
    search_fields = ("name", "target_url", "github_repo", "github_workflow_name")
    search_help_text = "Name, address, repository or workflow"
    ordering = ("name",)
    warn_unsaved_form = True
    autocomplete_fields = ()
    readonly_fields = (
        *("next_runs", "last_executions", "created_by", "created_at", "updated_at"),
        *("consecutive_failures", "findings", "signing", "chosen_options"),
    )
    fieldsets = (
        (None, {"fields": ("name", "is_active", "pic_team", "category", "end_date")}),
        ("Schedule", {"fields": ("cron_expression", "timezone", "next_runs")}),
        (
            "Target",
            {
                "fields": (
                    *("target_url", "github_owner", "github_repo", "github_workflow_name"),
                    "metadata",
                    "track_run",
                    "findings",
                ),
                "description": "Either an address, or owner, repository and workflow on GitHub. With all three GitHub "
                "fields set, the workflow is dispatched and the address ignored.",
            },
        ),
        (
            REQUEST,
            {
                "classes": ("collapse",),
                "fields": (
                    "webhook_method",
                    ("webhook_headers", "secret_headers"),
                    "webhook_body",
                    ("success_statuses", "success_contains"),
                    "signing",
                ),
            },
        ),
        ("Mail", {"fields": ("enable_email_notifications", "notification_emails", "notify_on_success")}),
        (
            "Alerts",
            {
                "classes": ("collapse",),
                "fields": ("notify_after_failures", "remind_every_hours", "notify_on_recovery"),
                "description": "When mail and Slack hear of a failing job. Blank: as the category says.",
            },
        ),
        (
            "When things go wrong",
            {
                "classes": ("collapse",),
                "fields": (
                    *("catch_up", "overlap", "retry_on"),
                    ("max_attempts", "backoff_seconds"),
                    ("retry_max_age_seconds", "timeout_seconds"),
                    ("misfire_grace_seconds", "spread_seconds"),
                    ("pause_after_failures", "consecutive_failures"),
                ),
            },
        ),
        ("History", {"fields": ("last_executions", ("created_by", "created_at", "updated_at"))}),
    )
    actions = ("run_selected", "pause_selected", "resume_selected")
    # All of them side by side would leave the title above them no room.
    actions_detail = (
        *("run_job", "pause_job", "resume_job", "renew_job"),
        {"title": "More", "items": ["check_target", "renew_signing_secret", "drop_signing_secret"]},
    )

    class Media:
        js = ("jobs/schedule-preview.js",)

    # --- Who may ---

    def has_add_permission(self, request: HttpRequest) -> bool:
        return account(request).can_write

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, obj)

    def _may(self, request: HttpRequest, obj: Any) -> bool:
        if obj is None:
            return account(request).can_write
        # Actions on one job's page hand over the id from the address.
        job = obj if isinstance(obj, Job) else self.get_object(request, str(obj))
        return job is not None and job.may_be_changed_by(account(request))

    # --- The list ---

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        jobs = super().get_queryset(request).select_related("pic_team", "category", "created_by")
        return jobs.with_last_status()

    @display(description="Job", ordering="name", header=True)
    def name_and_target(self, job: Job) -> tuple[str, str]:
        return job.name, one_line(target_text(job))

    @display(description="Schedule", ordering="cron_expression", header=True)
    def schedule(self, job: Job) -> tuple[str, str]:
        zone = f" ({job.timezone})" if job.timezone else ""
        return in_words(job.cron_expression) + zone, job.cron_expression

    @display(description="Next run", ordering="next_fire_at")
    def next_run(self, job: Job) -> str | None:
        return job.schedule_error or moment(job.next_fire_at)

    @display(description="Last outcome", label=STATUS_COLOURS)
    def last_outcome(self, job: Any) -> str | None:
        return Status(job.last_status).label if job.last_status else None

    @display(description="PIC team", ordering="pic_team__name", header=True)
    def team_and_category(self, job: Job) -> tuple[str, str]:
        return job.pic_team.name, job.category.name

    @display(description="Owner", ordering="created_by__username")
    def owner(self, job: Job) -> str | None:
        return one_line(job.created_by.username) if job.created_by else None

    @display(description="State", ordering="is_active", label={"Active": "success", "Paused": "warning"})
    def state(self, job: Job) -> str:
        return "Active" if job.is_active else "Paused"

    # --- The form ---

    def get_fieldsets(self, request: HttpRequest, obj: Job | None = None) -> Any:
        """A job that does not exist yet has no history; who only reads sees what was chosen instead of its fields."""
        if obj is None:
            return self.fieldsets[:-1]
        return self.fieldsets if self.has_change_permission(request, obj) else _to_read(self.fieldsets)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Offer to pause what is active and to resume what is not."""
        job = self.get_object(request, str(object_id))
        useless = {"resume_job" if job and job.is_active else "pause_job"}
        if (
            job is None
            or request_options.shown(job.request_options)["signing_secrets"] < request_options.MAX_SIGNING_SECRETS
        ):
            useless.add("drop_signing_secret")
        offered = super().get_actions_detail(request, object_id)
        return [item for item in offered if not any(name in item.action_name for name in useless)]

    def _get_actions_navigation(self, *args: Any) -> list[Any]:
        """Let the keyboard open the menu, too: the theme's is a link without an address, which it passes over."""
        navigation = super()._get_actions_navigation(*args)
        for menu in (entry for entry in navigation if "items" in entry):
            menu["attrs"] = {"role": "button", "tabindex": "0", "x-on:keydown.enter": "$el.click()"}
        return navigation

    @display(description="Next runs")
    def next_runs(self, job: Job) -> SafeString:
        """Show when the stored schedule fires next; the page's script shows the same for what is being typed."""
        preview = {}
        if not job._state.adding:
            preview = preview_schedule(job.cron_expression, job.zone_name, timezone.now())
        lines = format_html_join("", "<li>{}</li>", ((run,) for run in preview.get("next_runs", [])))
        return format_html(
            '<div id="schedule-preview" data-url="{}"><div><p>{}</p></div><ol>{}</ol></div>',
            reverse("admin:jobs_job_preview"),
            preview.get("description") or preview.get("error") or "Type an expression to see when it fires.",
            lines,
        )

    @display(description="Last check", empty_value="Not checked yet")
    def findings(self, job: Job) -> SafeString | None:
        if job.target_findings is None or job.target_checked_at is None:
            return None
        found = [finding["message"] for finding in job.target_findings] or ["Nothing stands in its way."]
        lines = format_html_join("", "<li>{}</li>", ((text,) for text in found))
        return format_html("<ul>{}</ul>{}", lines, local_text(job.target_checked_at))

    @display(description="Signature")
    def signing(self, job: Job) -> str:
        match request_options.shown(job.request_options)["signing_secrets"]:
            case 0:
                return "Calls are not signed."
            case 1:
                return "Calls are signed."
        return "Calls are signed by the new secret and the previous one."

    @display(description="How it is sent")
    def chosen_options(self, job: Job) -> SafeString | None:
        return as_json(dict(request_options.shown(job.request_options)))

    @display(description="Latest executions", empty_value="None yet")
    def last_executions(self, job: Job) -> SafeString | None:
        rows = JobExecution.objects.filter(job=job).newest_first()[:PREVIEWED_RUNS]
        if not rows:
            return None
        items = format_html_join(
            "",
            '<li><a class="text-primary-600 dark:text-primary-500" href="{}">{}</a> {} {}</li>',
            (
                (
                    reverse("admin:jobs_jobexecution_change", args=[row.pk]),
                    local_text(row.started_at),
                    row.get_status_display(),
                    row.error_message or row.reason or "",
                )
                for row in rows
            ),
        )
        everything = reverse("admin:jobs_jobexecution_changelist") + f"?job__id__exact={job.pk}"
        return format_html(
            '<ul>{}</ul><a class="text-primary-600 dark:text-primary-500" href="{}">All executions</a>',
            items,
            everything,
        )

    def get_urls(self) -> list[URLPattern]:
        preview = path("preview/", self.admin_site.admin_view(self.preview_view), name="jobs_job_preview")
        return [preview, *super().get_urls()]

    def preview_view(self, request: HttpRequest) -> JsonResponse:
        """Answer what an expression means, for the script beside the form."""
        expression, zone = request.GET.get("expression", ""), request.GET.get("timezone", "").strip()
        return JsonResponse(preview_schedule(expression, zone or settings.SCHEDULER_TIMEZONE, timezone.now()))

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return super().changeform_view(request, *args, **kwargs)
        except DomainError as error:
            # The form was fine when it was judged; since then somebody took the name or deleted the job.
            self.message_user(request, str(error), messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())

    def save_model(self, request: HttpRequest, obj: Job, form: Any, change: bool) -> None:
        now = database_now()
        if change and not form.sent:
            return
        if change:
            services.update_job(obj.pk, form.sent, by=account(request), now=now)
        else:
            obj.pk = services.create_job(form.sent, by=account(request), now=now).pk
        if expression := form.sent.get("cron_expression"):
            for doubt in scheduling_options.warnings_of(expression):
                self.message_user(request, doubt, messages.WARNING)

    def delete_model(self, request: HttpRequest, obj: Job) -> None:
        services.delete_job(obj.pk, by=account(request), now=database_now())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        for job in queryset:
            services.delete_job(job.pk, by=account(request), now=database_now())

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Name the jobs only: their executions may be many thousands, and go with them."""
        jobs = list(objs)
        forbidden = {str(Job._meta.verbose_name) for job in jobs if not job.may_be_changed_by(account(request))}
        return [f"{job.name}, with all its executions" for job in jobs], {"jobs": len(jobs)}, forbidden, []

    # --- By hand ---

    @admin.action(description="Run now", permissions=["change"])
    def run_selected(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        self._each(request, queryset, services.queue_run, "queued; the scheduler starts them within seconds")

    @admin.action(description="Pause", permissions=["change"])
    def pause_selected(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        self._each(request, queryset, services.pause_job, "paused")

    @admin.action(description="Resume", permissions=["change"])
    def resume_selected(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        self._each(request, queryset, services.resume_job, "resumed")

    @action(
        description="Run now",
        permissions=["change"],
        icon="play_arrow",
        dialog=confirmation("Run this job now?", "It is queued and started within seconds, also while paused.", "Run"),
    )
    def run_job(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return self._one(request, object_id, services.queue_run, "queued; the scheduler starts it within seconds")

    @action(
        description="Pause",
        permissions=["change"],
        icon="pause",
        dialog=confirmation("Pause this job?", "It does not fire again until it is resumed.", "Pause"),
    )
    def pause_job(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return self._one(request, object_id, services.pause_job, "paused")

    @action(
        description="Resume",
        permissions=["change"],
        icon="resume",
        dialog=confirmation("Resume this job?", "It fires again from its next fire time on.", "Resume"),
    )
    def resume_job(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return self._one(request, object_id, services.resume_job, "resumed")

    @action(
        description="Renew",
        permissions=["change"],
        icon="event_repeat",
        dialog=ActionDialog(
            title="Renew this job?",
            description="Its end date moves on, from today where it has passed.",
            form_class=RenewalForm,
            form_submit_text="Renew",
        ),
    )
    def renew_job(self, request: HttpRequest, form: RenewalForm, object_id: str) -> HttpResponse:
        verb = partial(renewal.renew, days=form.cleaned_data["days"], reason=form.cleaned_data["reason"])
        return self._one(request, object_id, verb, "renewed")

    @action(
        description="Check target",
        permissions=["change"],
        icon="network_check",
        dialog=confirmation(
            "Check the target of this job?", "Nothing is started; what would keep it from running is found.", "Check"
        ),
    )
    def check_target(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return self._one(request, object_id, services.check_target, "checked; see below what was found")

    @action(
        description="New signing secret",
        permissions=["change"],
        icon="key",
        dialog=confirmation(
            "Make a new signing secret?",
            "It is shown once. Calls are signed by the present one as well, until that is dropped.",
            "Make",
        ),
    )
    def renew_signing_secret(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        def renew(job_id: UUID, *, by: User, now: datetime) -> None:
            secret = services.renew_signing_secret(job_id, keep_previous=True, by=by, now=now)
            self.message_user(request, f"Signing secret, shown this once: {secret}", messages.WARNING)

        return self._one(request, object_id, renew, "has a new signing secret")

    @action(
        description="Drop previous secret",
        permissions=["change"],
        icon="key_off",
        dialog=confirmation(
            "Stop signing by the previous secret?", "All receivers have to know the new one by now.", "Drop"
        ),
    )
    def drop_signing_secret(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        verb = services.drop_previous_signing_secret
        return self._one(request, object_id, verb, "is signed by its newest secret alone")

    def _one(self, request: HttpRequest, object_id: str, verb: Callable[..., Any], done: str) -> HttpResponse:
        job = self.row_or_404(request, object_id)
        self._each(request, [job], verb, done)
        return redirected(reverse("admin:jobs_job_change", args=[job.pk]))

    def _each(self, request: HttpRequest, jobs: Iterable[Job], verb: Callable[..., Any], done: str) -> None:
        """Apply a verb to each job; those that refuse are named, the others go on."""
        names, refusals = [], []
        for job in jobs:
            try:
                verb(job.pk, by=account(request), now=database_now())
                names.append(job.name)
            except DomainError as error:
                refusals.append(f"{job.name}: {error}")
        if names:
            subject = names[0] if len(names) == 1 else f"{len(names)} jobs"
            self.message_user(request, f"{subject} {done}.", messages.SUCCESS)
        for refusal in refusals:
            self.message_user(request, refusal, messages.ERROR)


# --- Layout ----------------------------------------------------------------------------------------------------------


def _to_read(fieldsets: Any) -> Any:
    """Return the fieldsets without the fields that only the form has; they are shown together as they are stored."""
    shown = []
    for title, section in fieldsets:
        rows = [row if isinstance(row, tuple) else (row,) for row in section["fields"]]
        kept = [tuple(name for name in row if name not in REQUEST_FIELDS) for row in rows]
        fields = [row for row in kept if row]
        shown.append((title, {**section, "fields": ("chosen_options", *fields) if title == REQUEST else fields}))
    return shown


# --- Words -----------------------------------------------------------------------------------------------------------


def preview_schedule(expression: str, zone: str, now: datetime) -> dict[str, Any]:
    """Return description, warnings and next runs of an expression, or `error` and `hint` for one that is refused."""
    try:
        schedule = cron.parse(expression)
        runs = list(cron.fire_times_between(schedule, zone, after=now, until=None, limit=PREVIEWED_RUNS))
    except cron.CronError as error:
        return {"error": error.message, "hint": error.hint}
    except cron.ZoneError as error:
        return {"error": str(error), "hint": None}
    local = [run.astimezone(cron.zone(zone)) for run in runs]
    return {
        "description": cron.describe(schedule),
        "warnings": schedule.warnings,
        "next_runs": [run.strftime("%a %Y-%m-%d %H:%M %Z") for run in local],
    }


def in_words(expression: str) -> str:
    try:
        return cron.describe(expression)
    except cron.CronError as error:
        return error.message


def target_text(job: Job) -> str:
    if job.is_github:
        return f"{job.github_owner}/{job.github_repo}/{job.github_workflow_name}"
    return job.target_url or "no target"
