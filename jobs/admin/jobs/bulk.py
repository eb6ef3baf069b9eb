"""Acts on many selected jobs: a page between says what will change, what will not and why; nothing happens before."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.db.models import QuerySet
from django.forms import CharField, ChoiceField, Form, ModelChoiceField
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from unfold.widgets import UnfoldAdminRadioSelectWidget, UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from accounts.console import account
from accounts.models import Role, User
from cronsched.console import ConsoleAdmin
from cronsched.console.texts import local_text
from cronsched.lib.clock import database_now
from cronsched.lib.errors import DomainError
from jobs import services
from jobs.admin.jobs.actions import MAX_REASON, PauseForm
from jobs.end_dates import renewal
from jobs.models import Job, JobPause

NAMED = 12
ALL_BATCHES = ""

Verb = Callable[..., Any]


class NoInput(Form):
    """Nothing is asked but whether to do it."""


class BulkPauseForm(PauseForm):
    _form_submitted = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(None, None, *args, **kwargs)


class BulkResumeForm(Form):
    batch = ChoiceField(label="Which of them", required=False, widget=UnfoldAdminRadioSelectWidget)
    reason = CharField(max_length=MAX_REASON, required=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}))


class BulkExtendForm(Form):
    days = ChoiceField(
        label="By",
        choices=[(days, f"{days} days") for days in renewal.EXTENSIONS],
        initial=renewal.EXTENSIONS[0],
        widget=UnfoldAdminRadioSelectWidget,
    )
    reason = CharField(max_length=renewal.MAX_REASON, widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}))


class BulkHandOverForm(Form):
    owner = ModelChoiceField(
        label="New owner",
        queryset=User.objects.filter(is_active=True).exclude(role=Role.VIEWER).order_by("username"),
        widget=UnfoldAdminSelectWidget,
    )
    reason = CharField(max_length=MAX_REASON, required=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}))


@dataclass(frozen=True)
class Plan:
    """What an act will do to the selected jobs: those that change, and those that do not, with the reason."""

    changing: list[Job] = field(default_factory=list)
    left_out: list[tuple[Job, str]] = field(default_factory=list)

    @classmethod
    def of(cls, jobs: Sequence[Job], user: User, unchanged: Callable[[Job], str]) -> "Plan":
        plan = cls()
        for job in jobs:
            reason = unchanged(job) if job.may_be_changed_by(user) else "not your job"
            plan.left_out.append((job, reason)) if reason else plan.changing.append(job)
        return plan


class JobBulk(ConsoleAdmin):
    actions = ("run_selected", "pause_selected", "resume_selected", "extend_selected", "hand_over_selected")

    @admin.action(description="Run now", permissions=["change"])
    def run_selected(self, request: HttpRequest, queryset: QuerySet[Job]) -> HttpResponse | None:
        form = NoInput(request.POST if "confirmed" in request.POST else None)
        plan = self._plan(request, queryset, lambda job: "")
        return self._asked(request, plan, form, "Run now", "queued", lambda: services.queue_run)

    @admin.action(description="Pause", permissions=["change"])
    def pause_selected(self, request: HttpRequest, queryset: QuerySet[Job]) -> HttpResponse | None:
        form = BulkPauseForm(request.POST if "confirmed" in request.POST else None)
        plan = self._plan(request, queryset, lambda job: "" if job.is_active else "already paused")

        def verb() -> Verb:
            return partial(services.pause_job, terms=form.terms._replace(batch_id=uuid4()))

        return self._asked(request, plan, form, "Pause", "paused", verb)

    @admin.action(description="Resume", permissions=["change"])
    def resume_selected(self, request: HttpRequest, queryset: QuerySet[Job]) -> HttpResponse | None:
        form = BulkResumeForm(request.POST if "confirmed" in request.POST else None)
        batches, of_job = _batches(queryset)
        choices = [(str(key), text) for key, text in batches.items()]
        form.fields["batch"].choices = [*choices, (ALL_BATCHES, "All that are paused, whoever paused them")]  # type: ignore[attr-defined]
        form.fields["batch"].initial = choices[0][0] if choices else ALL_BATCHES
        chosen = form.data.get("batch", ALL_BATCHES) if form.is_bound else form.fields["batch"].initial

        def unchanged(job: Job) -> str:
            if job.is_active:
                return "already active"
            return "" if chosen in (ALL_BATCHES, str(of_job.get(job.pk))) else "paused at another time"

        plan = self._plan(request, queryset, unchanged)
        return self._asked(
            request,
            plan,
            form,
            "Resume",
            "resumed",
            lambda: partial(services.resume_job, reason=form.cleaned_data["reason"]),
        )

    @admin.action(description="Extend the end date", permissions=["change"])
    def extend_selected(self, request: HttpRequest, queryset: QuerySet[Job]) -> HttpResponse | None:
        form = BulkExtendForm(request.POST if "confirmed" in request.POST else None)

        def verb() -> Verb:
            return partial(renewal.renew, days=int(form.cleaned_data["days"]), reason=form.cleaned_data["reason"])

        return self._asked(request, self._plan(request, queryset, lambda job: ""), form, "Extend", "extended", verb)

    @admin.action(description="Hand over", permissions=["change"])
    def hand_over_selected(self, request: HttpRequest, queryset: QuerySet[Job]) -> HttpResponse | None:
        form = BulkHandOverForm(request.POST if "confirmed" in request.POST else None)
        chosen = form.data.get("owner") if form.is_bound else None
        plan = self._plan(request, queryset, lambda job: "already its own" if str(job.created_by_id) == chosen else "")

        def verb() -> Verb:
            values = form.cleaned_data
            return lambda key, **who: services.hand_over(key, values["owner"], reason=values["reason"], **who)

        return self._asked(request, plan, form, "Hand over", "handed over", verb)

    def _plan(self, request: HttpRequest, queryset: QuerySet[Job], unchanged: Callable[[Job], str]) -> Plan:
        jobs = list(queryset.select_related("pic_team").order_by("name"))
        return Plan.of(jobs, account(request), unchanged)

    def _asked(
        self, request: HttpRequest, plan: Plan, form: Form, title: str, done: str, verb: Callable[[], Verb]
    ) -> HttpResponse | None:
        """Do it where it was confirmed, else show the page that asks."""
        if form.is_bound and form.is_valid():
            self._do(request, plan, verb(), done)
            return None
        context = {
            **self.admin_site.each_context(request),
            "title": f"{title}: {_counted(len(plan.changing))}",
            "plan": plan,
            "form": form,
            "verb": title,
            "action": request.POST.get("action", ""),
            "selected": request.POST.getlist(helpers.ACTION_CHECKBOX_NAME),
            "across": request.POST.get("select_across", "0"),
            "opts": self.opts,
        }
        return TemplateResponse(request, "console/bulk.html", context)

    def _do(self, request: HttpRequest, plan: Plan, verb: Verb, done: str) -> None:
        names, refusals = [], [f"{job.name} ({reason})" for job, reason in plan.left_out]
        for job in plan.changing:
            try:
                verb(job.pk, by=account(request), now=database_now())
                names.append(job.name)
            except DomainError as refusal:
                refusals.append(f"{job.name} ({refusal})")
        if names:
            self.message_user(request, f"{_counted(len(names))} {done}: {_listed(names)}.", messages.SUCCESS)
        if refusals:
            text = (
                f"{_counted(len(refusals))} left as it was"
                if len(refusals) == 1
                else f"{len(refusals)} jobs left as they were"
            )
            self.message_user(request, f"{text}: {_listed(refusals)}.", messages.WARNING)


def _batches(queryset: QuerySet[Job]) -> tuple[dict[UUID, str], dict[UUID, UUID]]:
    """Return the bulk pauses that the selected jobs are in, the latest first, and the one of each job."""
    open_pauses = JobPause.objects.filter(job__in=queryset.order_by().values("pk"), ended_at=None)
    found: dict[UUID, list[JobPause]] = {}
    for pause in open_pauses.exclude(batch_id=None).order_by("-began_at"):
        found.setdefault(pause.batch_id, []).append(pause)  # type: ignore[arg-type]  # None is excluded
    texts = {
        key: f"The {_counted(len(rows))} that {rows[0].by_name} paused at {local_text(rows[0].began_at)}"
        + (f" ({rows[0].reason})" if rows[0].reason else "")
        for key, rows in found.items()
    }
    return texts, {pause.job_id: key for key, rows in found.items() for pause in rows}


def _counted(number: int) -> str:
    return "1 job" if number == 1 else f"{number} jobs"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
