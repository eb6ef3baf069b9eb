"""Jobs in the console: the list, the page of one, its form, and the actions on one or many."""

from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import URLPattern, path
from django.utils import timezone

from accounts.console import OpenToAllRoles, account
from cronsched.lib.clock import database_now
from cronsched.lib.errors import DomainError
from cronsched.lib.ids import known_id
from jobs import services
from jobs.admin.calendar import CalendarPage
from jobs.admin.jobs import layout
from jobs.admin.jobs.actions import JobActions
from jobs.admin.jobs.bulk import JobBulk
from jobs.admin.jobs.forms import JobForm
from jobs.admin.jobs.listing import JobList
from jobs.admin.jobs.overview import JobOverview
from jobs.admin.jobs.words import edit_preview, preview_schedule
from jobs.admin.upload import UploadPage
from jobs.admin.why import WhyPage
from jobs.definitions import scheduling_options
from jobs.definitions.validation import read_date
from jobs.models import Job

# What a clone does not take over.
OWN = ("id", "name", "created_by", "created_at", "updated_at", "is_active", "end_date")


@admin.register(Job)
class JobAdmin(OpenToAllRoles, WhyPage, CalendarPage, UploadPage, JobList, JobOverview, JobActions, JobBulk):
    form = JobForm
    warn_unsaved_form = True
    autocomplete_fields = ()
    readonly_fields = JobOverview.overview_fields

    class Media:
        js = ("jobs/schedule-preview.js",)

    # --- Who may ---

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
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

    # --- The form ---

    def get_fieldsets(self, request: HttpRequest, obj: Job | None = None) -> Any:
        """Who only reads sees what was chosen instead of its fields."""
        if obj is None:
            return layout.NEW
        return layout.DEFINITION if self.has_change_permission(request, obj) else layout.to_read(layout.DEFINITION)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Fill a new job in like the one that is cloned, if any; nothing else in the address fills in anything."""
        key = known_id(request.GET.get("like", ""))
        like = Job.objects.filter(pk=key).first() if key else None
        if like is None:
            return {}
        fields = {
            name: getattr(like, name) for name in self.form.base_fields if hasattr(like, name) and name not in OWN
        }
        return {**fields, "name": f"Copy of {like.name}"[:255], "like": like}

    def get_urls(self) -> list[URLPattern]:
        preview = path("preview/", self.admin_site.admin_view(self.preview_view), name="jobs_job_preview")
        return [preview, *super().get_urls()]

    def preview_view(self, request: HttpRequest) -> JsonResponse:
        """Answer what an expression means, for the script beside the form."""
        expression, zone = request.GET.get("expression", ""), request.GET.get("timezone", "").strip()
        zone = zone or settings.SCHEDULER_TIMEZONE
        last_day = read_date(request.GET.get("end_date", ""))
        now = timezone.now()
        shown = preview_schedule(expression, zone, now, last_day=last_day)
        key = known_id(request.GET.get("job", ""))
        job = Job.objects.filter(pk=key).first() if key else None
        return JsonResponse(shown | (edit_preview(job, shown, now) if job else {}))

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return super().changeform_view(request, *args, **kwargs)
        except DomainError as error:
            # The form was valid; since then the name was taken or the job deleted.
            self.message_user(request, str(error), messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())

    def save_model(self, request: HttpRequest, obj: Job, form: Any, change: bool) -> None:
        if change and not form.sent:
            return
        now = database_now()
        if change:
            services.update_job(obj.pk, form.sent, by=account(request), now=now)
        else:
            obj.pk = services.create_job(form.sent, by=account(request), now=now).pk
        if expression := form.sent.get("cron_expression"):
            for doubt in scheduling_options.warnings_of(expression):
                self.message_user(request, doubt, messages.WARNING)

    # --- Deleting ---

    def delete_model(self, request: HttpRequest, obj: Job) -> None:
        services.delete_job(obj.pk, by=account(request), now=database_now())

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Name the jobs only: their executions may be many thousands, and go with them."""
        jobs = list(objs)
        forbidden = {str(Job._meta.verbose_name) for job in jobs if not job.may_be_changed_by(account(request))}
        return [f"{job.name}, with all its executions" for job in jobs], {"jobs": len(jobs)}, forbidden, []
