"""Categories and teams on the admin site: everybody sees them, administrators change them by the API's rules."""

from datetime import datetime
from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.admin import BooleanFieldListFilter
from django.db import transaction
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display

from accounts.console import OpenToAllRoles, account
from accounts.models import User
from audit.console import AuditedForm
from cronsched.console import ConsoleAdmin
from cronsched.console.filters import titled
from cronsched.console.forms import CheckedAddressListField
from cronsched.lib.errors import DomainError
from taxonomy import services
from taxonomy.models import JobCategory, Label, PicTeam

TIMES = "Times"


class LabelForm(AuditedForm):
    """Validates by a trial: the service runs in a transaction that is rolled back."""

    ruled: tuple[str, ...] = ("name", "is_active")

    def clean(self) -> dict[str, Any]:
        super().clean()
        if not self.errors:
            try:
                with transaction.atomic():
                    self.apply(by=None, now=timezone.now())
                    transaction.set_rollback(True)
            except DomainError as error:
                self.add_error(error.field if error.field in self.fields else None, error.message or error.error)
        return self.cleaned_data

    def apply(self, *, by: User | None, now: datetime) -> Label:
        """Create or change the label by the service's rules. Raises `DomainError`."""
        model = self._meta.model
        if self.instance._state.adding:
            return services.create_label(model, {name: self.cleaned_data[name] for name in self.ruled}, by=by, now=now)
        sent = {name: self.cleaned_data[name] for name in self.ruled if name in self.touched}
        return services.change_label(model.objects.get(pk=self.instance.pk), sent, by=by, now=now).label

    def settings(self) -> dict[str, Any]:
        """Return what was touched and no rule of the contract is about."""
        return {name: self.cleaned_data[name] for name in self.touched if name not in self.ruled}


class CategoryForm(LabelForm):
    audited_as = "category"

    class Meta:
        model = JobCategory
        fields = (
            *LabelForm.ruled,
            *("notify_after_failures", "notify_on_recovery", "remind_every_hours", "max_extension_days"),
        )
        labels = {
            "notify_after_failures": "Alert after failures in a row",
            "notify_on_recovery": "Tell of recovery",
            "remind_every_hours": "Repeat alerts every (hours)",
            "max_extension_days": "Longest renewal (days)",
        }
        help_texts = {
            "is_active": "A disabled category takes no new jobs; its jobs go on running.",
            "notify_after_failures": "1 alerts at the first. A job may say otherwise.",
            "notify_on_recovery": "When a failing job succeeds again.",
            "remind_every_hours": "While a job keeps failing. 0 alerts at each failure.",
            "max_extension_days": "How far from today a renewal may set the end date. Blank: no limit.",
        }


class TeamForm(LabelForm):
    audited_as = "team"
    ruled = (*LabelForm.ruled, "slack_handle")
    emails = CheckedAddressListField(
        label="Mail to", help_text="One address per line. They get the reminders of end dates."
    )

    class Meta:
        model = PicTeam
        fields = ("name", "slack_handle", "is_active", "emails", "quiet_from", "quiet_until", "quiet_timezone")
        labels = {
            "quiet_from": "Quiet from",
            "quiet_until": "Quiet until",
            "quiet_timezone": "Time zone",
        }
        help_texts = {
            "slack_handle": "Whom alerts mention: @team or the id of a group.",
            "is_active": "A disabled team takes no new jobs; its jobs go on running.",
            "quiet_from": "From this time of day on mail and Slack wait.",
            "quiet_until": "Mail and posts that waited are sent then.",
            "quiet_timezone": f"IANA zone of the two times. Blank: {settings.SCHEDULER_TIMEZONE}.",
        }

    def clean_quiet_timezone(self) -> str:
        name: str = self.cleaned_data["quiet_timezone"]
        if name and name not in available_timezones():
            raise forms.ValidationError("Unknown time zone. Use an IANA name such as Asia/Tokyo.")
        return name

    def clean(self) -> dict[str, Any]:
        values = super().clean()
        if (values.get("quiet_from") is None) != (values.get("quiet_until") is None):
            self.add_error("quiet_until", "Quiet hours need a beginning and an end.")
        return values


class LabelAdmin(OpenToAllRoles, ConsoleAdmin):
    list_display: tuple[str, ...] = ("name", "short_name", "job_count", "active")
    list_filter = (("is_active", titled("Active", BooleanFieldListFilter)),)
    labels = {"slug": "Short name"}
    search_fields = ("name", "slug")
    ordering = ("name",)
    readonly_fields = ("slug", "created_at", "updated_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return account(request).is_admin

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return account(request).is_admin

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).annotate(number_of_jobs=Count("jobs"))

    def get_fieldsets(self, request: HttpRequest, obj: Label | None = None) -> Any:
        """What does not exist yet has no short name and no times."""
        sections = super().get_fieldsets(request, obj)
        if obj is not None:
            return sections
        kept = [(title, tuple(name for name in options["fields"] if name != "slug")) for title, options in sections]
        return [(title, {"fields": fields}) for title, fields in kept if title != TIMES]

    @display(description="Short name", ordering="slug")
    def short_name(self, label: Label) -> str:
        """As the API and CSV files write it."""
        return label.slug

    @display(description="Jobs", ordering="number_of_jobs")
    def job_count(self, label: Any) -> int:
        return int(label.number_of_jobs)

    @display(description="Active", ordering="is_active", boolean=True)
    def active(self, label: Label) -> bool:
        return label.is_active

    def save_model(self, request: HttpRequest, obj: Label, form: LabelForm, change: bool) -> None:
        if change and not form.touched:
            return
        by, now = account(request), timezone.now()
        with transaction.atomic():
            label = form.apply(by=by, now=now)
            services.change_settings(label, form.settings(), by=by, now=now)
        obj.pk, obj.slug = label.pk, label.slug


@admin.register(JobCategory)
class CategoryAdmin(LabelAdmin):
    page_name = "Categories"
    form = CategoryForm
    fieldsets = (
        (None, {"fields": ("name", "slug", "is_active")}),
        ("Alerts of its jobs", {"fields": ("notify_after_failures", "notify_on_recovery", "remind_every_hours")}),
        ("Renewal", {"fields": ("max_extension_days",)}),
        (TIMES, {"fields": (("created_at", "updated_at"),)}),
    )


@admin.register(PicTeam)
class TeamAdmin(LabelAdmin):
    page_name = "Teams"
    form = TeamForm
    list_display = ("name", "short_name", "slack_handle", "job_count", "active")
    fieldsets = (
        (None, {"fields": ("name", "slug", "slack_handle", "is_active")}),
        ("Mail", {"fields": ("emails",)}),
        ("Quiet hours", {"fields": ("quiet_from", "quiet_until", "quiet_timezone")}),
        (TIMES, {"fields": (("created_at", "updated_at"),)}),
    )
