"""The job form: the same definition rules as the API, shown beside the fields they are about."""

from typing import Any

from django import forms
from django.utils import timezone
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminRadioSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from cronsched.forms import AddressListField
from cronsched.lib.errors import DomainError
from jobs import definition, renewal
from jobs.definition import GITHUB_FIELDS, OPTION_FIELDS
from jobs.models import Job
from taxonomy.models import GENERAL_SLUG, JobCategory

# Sent by slug, as clients of the API do.
LABEL_FIELDS = ("category", "pic_team")


class JobForm(forms.ModelForm):  # type: ignore[type-arg]  # generic to the stubs only
    notification_emails = AddressListField(label="To")

    class Meta:
        model = Job
        fields = (
            *("name", "is_active", "pic_team", "category", "end_date", "cron_expression", *OPTION_FIELDS),
            *("target_url", *GITHUB_FIELDS, "metadata"),
            *("enable_email_notifications", "notification_emails", "notify_on_success"),
        )
        labels = {
            "target_url": "Target URL",
            "github_owner": "GitHub owner",
            "github_repo": "Repository",
            "github_workflow_name": "Workflow",
            "timezone": "Time zone",
            "catch_up": "Catch-up",
            "is_active": "Active",
            "enable_email_notifications": "Send mails",
            "notify_on_success": "Also on success",
        }
        widgets = {
            "metadata": UnfoldAdminTextareaWidget(attrs={"rows": 5, "spellcheck": "false"}),
            "cron_expression": UnfoldAdminTextInputWidget(
                attrs={"placeholder": "minute hour day month weekday", "autocomplete": "off", "spellcheck": "false"}
            ),
        }

    sent: dict[str, Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # A viewer's form has no fields.
        if "category" in self.fields and self.instance._state.adding:
            self.fields["category"].initial = JobCategory.objects.filter(slug=GENERAL_SLUG).first()

    def clean(self) -> dict[str, Any]:
        """Judge the definition by the rules of the API, once the fields themselves can be read."""
        super().clean()
        self.sent = {
            name: self._as_sent(name, value) for name, value in self.cleaned_data.items() if name in self._judged()
        }
        if not self.errors:
            try:
                self._judge()
            except DomainError as error:
                self._show(error)
        return self.cleaned_data

    def _judge(self) -> None:
        now = timezone.now()
        if self.instance._state.adding:
            definition.for_create(self.sent, now=now)
        else:
            definition.for_update(Job.objects.get(pk=self.instance.pk), self.sent, now=now)

    def _judged(self) -> set[str]:
        """Return what to hand over: everything for a new job, else what was changed, as a client of the API would."""
        return set(self.fields) if self.instance._state.adding else set(self.changed_data)

    def _as_sent(self, name: str, value: Any) -> Any:
        if name in LABEL_FIELDS:
            return value.slug if value else None
        return value.isoformat() if name == "end_date" and value else value

    def _show(self, error: DomainError) -> None:
        text = " ".join(filter(None, (error.message or error.error, error.extra.get("hint"))))
        self.add_error(error.field if error.field in self.fields else None, text)

    def validate_unique(self) -> None:
        """Leave the name to the definition rules: they word a duplicate as the API does."""


class RenewalForm(BaseDialogForm):
    """By how much a job's end date moves on, and why."""

    days = forms.TypedChoiceField(
        choices=[(days, f"by {days} days") for days in renewal.EXTENSIONS],
        coerce=int,
        initial=renewal.EXTENSIONS[0],
        widget=UnfoldAdminRadioSelectWidget,
    )
    reason = forms.CharField(max_length=renewal.MAX_REASON, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}))
