"""The job form: the same definition rules as the API, shown beside the fields they are about."""

from typing import Any

from django import forms
from django.conf import settings
from unfold.forms import BaseDialogForm
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from audit.console import AuditedForm
from cronsched.console.forms import AddressListField
from cronsched.console.labels import in_labels, labels_of
from cronsched.lib.clock import database_now
from cronsched.lib.errors import DomainError
from jobs.admin.labels import LABELS
from jobs.definitions import error_texts, request_options, validation
from jobs.definitions.github_names import GITHUB_FIELDS
from jobs.definitions.scheduling_options import OPTION_FIELDS
from jobs.end_dates import renewal
from jobs.executors import rules
from jobs.models import Job, RetryOn
from taxonomy.models import GENERAL_SLUG, JobCategory

# Sent by slug, as clients of the API do.
LABEL_FIELDS = ("category", "pic_team")


# Who decides where a yes or no is left open.
DECIDED_ELSEWHERE = {"track_run": "As the server is set up", "notify_on_recovery": "As the category says"}
# What stands in the job's one column of options, and has no field of the model.
REQUEST_FIELDS = (*request_options.PLAIN_FIELDS, "secret_headers")


def _lines(rows: int) -> UnfoldAdminTextareaWidget:
    return UnfoldAdminTextareaWidget(attrs={"rows": rows, "spellcheck": "false"})


class JobForm(AuditedForm):
    audited_as = "job"
    notification_emails = AddressListField(label=LABELS["notification_emails"])
    webhook_method = forms.ChoiceField(
        label=LABELS["webhook_method"],
        required=False,
        choices=[("", "POST where there is something to send, else GET"), *((name, name) for name in rules.METHODS)],
        widget=UnfoldAdminSelectWidget,
    )
    webhook_headers = forms.JSONField(
        label=LABELS["webhook_headers"], required=False, widget=_lines(3), help_text='A JSON object: {"X-Team": "ops"}'
    )
    secret_headers = forms.JSONField(
        label=LABELS["secret_headers"],
        required=False,
        widget=_lines(3),
        help_text=(
            f'Stored encrypted and never shown; "{request_options.MASK}" keeps what is stored. {{"Authorization": "…"}}'
        ),
    )
    webhook_body = forms.CharField(
        label=LABELS["webhook_body"],
        required=False,
        strip=False,
        widget=_lines(5),
        help_text="Sent instead of the metadata. May hold {{ job_id }}, {{ job_name }}, {{ execution_id }}, "
        "{{ fire_time }} and {{ attempt }}.",
    )
    success_statuses = forms.CharField(
        label=LABELS["success_statuses"],
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Such as 200-299,404. Blank: any 2xx.",
    )
    success_contains = forms.CharField(
        label=LABELS["success_contains"],
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Text that the answer must hold, too, to be a success.",
    )
    retry_on = forms.ChoiceField(
        label=LABELS["retry_on"], required=False, choices=RetryOn.choices, widget=UnfoldAdminSelectWidget
    )
    retry_max_age_seconds = forms.IntegerField(
        label=LABELS["retry_max_age_seconds"],
        required=False,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Seconds after the first attempt in which another one may begin.",
    )

    class Meta:
        model = Job
        fields = (
            *("name", "is_active", "pic_team", "category", "end_date", "cron_expression", *OPTION_FIELDS),
            *("target_url", *GITHUB_FIELDS, "metadata"),
            *("enable_email_notifications", "notification_emails", "notify_on_success"),
        )
        labels = LABELS
        # Where the form has a choice for it, nothing is left blank.
        help_texts = {
            "end_date": "Its last day. It does not fire after it; its owner and team are reminded before.",
            "metadata": "A JSON object: the inputs of a workflow, or what is sent to an address.",
            "catch_up": "What is run of the fire times that passed while nothing could be fired.",
            "overlap": "What happens at a fire time then.",
            "timezone": f"IANA zone the expression is read in. Blank: {settings.SCHEDULER_TIMEZONE}.",
            "track_run": "Follow the workflow's run to its end and tell how it ended.",
            "notify_on_recovery": "Tell when it succeeds again.",
        }
        widgets = {
            "metadata": _lines(5),
            "cron_expression": UnfoldAdminTextInputWidget(
                attrs={"placeholder": "minute hour day month weekday", "autocomplete": "off", "spellcheck": "false"}
            ),
        }

    sent: dict[str, Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # A clone is shown what the job it is made from has, but for its secrets.
        like = self.initial.pop("like", None)
        chosen = {**request_options.shown((like or self.instance).request_options)}
        if like is not None:
            chosen["secret_headers"] = {}
        # A viewer's form has no fields.
        for name in set(REQUEST_FIELDS) & set(self.fields):
            self.fields[name].initial = chosen[name]
        for name in set(DECIDED_ELSEWHERE) & set(self.fields):
            widget = self.fields[name].widget
            widget.choices = [("unknown", DECIDED_ELSEWHERE[name]), *widget.choices[1:]]
        if "category" in self.fields and self.instance._state.adding and like is None:
            self.fields["category"].initial = JobCategory.objects.filter(slug=GENERAL_SLUG).first()

    def clean(self) -> dict[str, Any]:
        """Judge the definition by the rules of the API, and show what is wrong once for each field."""
        super().clean()
        self.sent = {
            name: self._as_sent(name, value) for name, value in self.cleaned_data.items() if name in self.touched
        }
        # As it is stored: the instance has the form's values already.
        job = None if self.instance._state.adding else Job.objects.get(pk=self.instance.pk)
        for error in validation.problems(self.sent, now=database_now(), job=job):
            if error.field not in self.errors:
                self._show(error)
        return self.cleaned_data

    def _as_sent(self, name: str, value: Any) -> Any:
        if name in LABEL_FIELDS:
            return value.slug if value else None
        return value.isoformat() if name == "end_date" and value else value

    def _show(self, error: DomainError) -> None:
        text = " ".join(filter(None, (error.message or error.error, error.extra.get("hint"))))
        self.add_error(
            error.field if error.field in self.fields else None,
            in_labels(error_texts.in_console(text), labels_of(self)),
        )

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
