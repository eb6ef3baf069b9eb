"""What is done to one job by the buttons of its page."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.forms import (
    CharField,
    ChoiceField,
    Form,
    HiddenInput,
    IntegerField,
    ModelChoiceField,
    SplitDateTimeField,
)
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from unfold.dataclasses import ActionDialog
from unfold.decorators import action
from unfold.forms import BaseDialogForm
from unfold.widgets import (
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminSplitDateTimeWidget,
    UnfoldAdminTextareaWidget,
)

from accounts.console import account, possible_owners
from accounts.models import User
from cronsched.account_rates import RUNS, TESTS, WRITES, count
from cronsched.console import ConsoleAdmin
from cronsched.console.answers import redirected
from cronsched.console.forms import JSONObjectField
from cronsched.console.labels import in_labels, labels_of
from cronsched.lib.clock import database_now
from cronsched.lib.errors import DomainError
from jobs import services
from jobs.admin.changes import comparison, label_of, written
from jobs.admin.executions.page import as_command
from jobs.admin.jobs.forms import RenewalForm
from jobs.admin.jobs.words import target_text
from jobs.definitions import request_options, revisions
from jobs.end_dates import renewal
from jobs.models import Job, OnResume
from jobs.schedule.pauses import Terms
from jobs.schedule.scheduled_job import owner_key
from jobs.targets import test_run

MAX_REASON = 500
# More write no number of a revision.
MAX_DIGITS = 10


def _check_future(moment: datetime) -> None:
    if moment <= timezone.now():
        raise ValidationError("This has to lie in the future.")


class PauseForm(BaseDialogForm):
    """Why a job is paused and until when."""

    reason = CharField(max_length=MAX_REASON, required=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}))
    until = SplitDateTimeField(
        required=False,
        validators=[_check_future],
        widget=UnfoldAdminSplitDateTimeWidget,
        help_text="It resumes by itself then. Blank: when somebody resumes it.",
    )
    on_resume = ChoiceField(
        label="Then, of the runs kept back",
        choices=OnResume.choices,
        initial=OnResume.SKIP,
        widget=UnfoldAdminRadioSelectWidget,
    )

    @property
    def terms(self) -> Terms:
        values = self.cleaned_data
        return Terms(values["reason"], values["until"], values["on_resume"])


class RunForm(BaseDialogForm):
    """The inputs of one run."""

    metadata = JSONObjectField(
        label="Inputs", help_text="A JSON object sent instead of the job's metadata. Blank: as the job has it."
    )


class RestoreForm(BaseDialogForm):
    """To which revision of a job, and why. It shows what that changes."""

    form_before_template = "console/restore.html"
    number = IntegerField(min_value=0, max_value=2_000_000_000, widget=HiddenInput)
    reason = CharField(max_length=MAX_REASON, required=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["number"].initial = self.request.GET.get("number", "")

    def get_before_template_context(self, request: HttpRequest, object_id: Any = None) -> dict[str, Any]:
        """Return what a restore changes, or why it cannot be done."""
        job, number = Job.objects.filter(pk=object_id).first(), _number(str(self["number"].value() or ""))
        if job is None or number is None:
            return {"error": "Choose a revision on the page of the job, under Changes."}
        try:
            changes = revisions.changes_by_restore(job, number)
        except DomainError as refusal:
            return {"error": refusal.message}
        rows = [(label_of(name), written(now), written(then)) for name, (now, then) in changes.items()]
        return {"number": number, "table": comparison(("Field", "Now", "Then"), rows) if rows else ""}


class HandOverJobForm(BaseDialogForm):
    """Whose a job becomes, and why."""

    owner = ModelChoiceField(label="New owner", queryset=possible_owners(), widget=UnfoldAdminSelectWidget)
    reason = CharField(max_length=MAX_REASON, required=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}))


class TargetTestForm(Form):
    """What a test sends."""

    metadata = JSONObjectField(label="Inputs")


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < MAX_DIGITS else None


def confirmation(title: str, description: str, button: str, form: type[BaseDialogForm] | None = None) -> ActionDialog:
    """Return the question asked before an action. Its answer is a POST: no link and no prefetch starts anything."""
    return ActionDialog(title=title, description=description, form_class=form, form_submit_text=button)


class JobActions(ConsoleAdmin):
    actions_detail = (
        *("run_job", "test_job", "pause_job", "resume_job", "renew_job", "clone_job", "hand_over_job"),
        *("check_target", "why_job"),
        {"title": "More", "items": ["restore_job", "renew_signing_secret", "drop_signing_secret"]},
    )

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Offer to pause what is active and to resume what is not; each revision offers to be restored itself."""
        job = self.get_object(request, str(object_id))
        useless = {"resume_job" if job and job.is_active else "pause_job", "restore_job"}
        secrets = request_options.shown(job.request_options)["signing_secrets"] if job else 0
        if secrets < request_options.MAX_SIGNING_SECRETS:
            useless.add("drop_signing_secret")
        offered = super().get_actions_detail(request, object_id)
        return [item for item in offered if not any(name in item.action_name for name in useless)]

    def _get_actions_navigation(self, *args: Any) -> list[Any]:
        """Let the keyboard open the menu, too: the theme's is a link without an address, which it passes over."""
        navigation: list[Any] = super()._get_actions_navigation(*args)
        for menu in (entry for entry in navigation if "items" in entry):
            menu["attrs"] = {"role": "button", "tabindex": "0", "x-on:keydown.enter": "$el.click()"}
        return navigation

    @action(
        description="Run now",
        permissions=["change"],
        icon="play_arrow",
        dialog=confirmation(
            "Run this job now?", "It is queued and started within seconds, also while paused.", "Run", RunForm
        ),
    )
    def run_job(self, request: HttpRequest, form: RunForm, object_id: str) -> HttpResponse:
        metadata = form.cleaned_data["metadata"]
        sent = None if metadata is None else {"metadata": metadata}

        def run(job_id: UUID, *, by: User, now: datetime) -> None:
            services.queue_run(job_id, sent, by=by, now=now)

        return self._one(request, object_id, run, "queued; the scheduler starts it within seconds", kind=RUNS)

    @action(
        description="Pause",
        permissions=["change"],
        icon="pause",
        dialog=confirmation("Pause this job?", "It does not fire again until it is resumed.", "Pause", PauseForm),
    )
    def pause_job(self, request: HttpRequest, form: PauseForm, object_id: str) -> HttpResponse:
        return self._one(request, object_id, partial(services.pause_job, terms=form.terms), "paused")

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
        dialog=confirmation(
            "Renew this job?", "Its end date moves on, from today where it has passed.", "Renew", RenewalForm
        ),
    )
    def renew_job(self, request: HttpRequest, form: RenewalForm, object_id: str) -> HttpResponse:
        verb = partial(renewal.renew, days=form.cleaned_data["days"], reason=form.cleaned_data["reason"])
        return self._one(request, object_id, verb, "renewed")

    @action(description="Test", permissions=["change"], icon="science", url_path="test")
    def test_job(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Send what a run would send once, after asking with which inputs, and show all of the answer."""
        job = self.row_or_404(request, object_id)
        form = TargetTestForm(request.POST or None, initial={"metadata": job.metadata})
        context = {
            **self.admin_site.each_context(request),
            "title": f"Test {job.name}",
            "original": job,
            "job": job,
        }
        context |= {"form": form, "opts": self.opts, "target": target_text(job)}
        if form.is_bound and form.is_valid():
            try:
                count(TESTS, request.user.pk)
                owner, now = owner_key(request.user.pk), timezone.now()
                trial = test_run.try_job(job, form.cleaned_data["metadata"], owner=owner, now=now)
                context |= {"trial": trial, "command": trial.sent and as_command(trial.sent)}
            except DomainError as refusal:
                text = in_labels(refusal.message or refusal.error, labels_of(form))
                form.add_error(refusal.field if refusal.field in form.fields else None, text)
        return TemplateResponse(request, "console/test.html", context)

    @action(
        description="Hand over",
        permissions=["change"],
        icon="person_add",
        dialog=confirmation("Hand this job over?", "Its new owner may change it then.", "Hand over", HandOverJobForm),
    )
    def hand_over_job(self, request: HttpRequest, form: HandOverJobForm, object_id: str) -> HttpResponse:
        to, reason = form.cleaned_data["owner"], form.cleaned_data["reason"]
        verb = partial(services.hand_over, to=to, reason=reason)
        return self._one(request, object_id, verb, f"is owned by {to} now")

    @action(description="Clone", permissions=["add"], icon="content_copy", url_path="clone")
    def clone_job(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Lead to the form of a new job that is filled in like this one, without its secrets."""
        job = self.row_or_404(request, object_id)
        return HttpResponseRedirect(f"{reverse('admin:jobs_job_add')}?like={job.pk}")

    @action(
        description="Restore",
        permissions=["change"],
        icon="settings_backup_restore",
        dialog=confirmation(
            "Put the definition back?",
            "It becomes what it was then, secrets apart; the history stays.",
            "Restore",
            RestoreForm,
        ),
    )
    def restore_job(self, request: HttpRequest, form: RestoreForm, object_id: str) -> HttpResponse:
        number, reason = form.cleaned_data["number"], form.cleaned_data["reason"]

        def restore(job_id: UUID, *, by: User, now: datetime) -> None:
            services.restore_job(job_id, number, by=by, now=now, reason=reason)

        return self._one(request, object_id, restore, f"reads as in revision {number} again")

    @action(
        description="Check target",
        permissions=["change"],
        icon="network_check",
        dialog=confirmation(
            "Check the target of this job?", "Nothing is started; what would keep it from running is found.", "Check"
        ),
    )
    def check_target(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        done = "checked; what was found stands beside its target"
        return self._one(request, object_id, services.check_target, done, kind=TESTS)

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

    def _one(
        self, request: HttpRequest, object_id: str, verb: Callable[..., Any], done: str, kind: str = WRITES
    ) -> HttpResponse:
        job = self.row_or_404(request, object_id)
        try:
            count(kind, request.user.pk)
            verb(job.pk, by=account(request), now=database_now())
            self.message_user(request, f"{job.name} {done}.", messages.SUCCESS)
        except DomainError as refusal:
            self.message_user(request, f"{job.name}: {refusal}", messages.ERROR)
        return redirected(reverse("admin:jobs_job_change", args=[job.pk]))
