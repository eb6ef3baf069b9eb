"""Acts on many selected jobs: a page between says what will change, what will not and why; nothing happens before."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.forms import CharField, ChoiceField, Form, ModelChoiceField, TypedChoiceField
from django.http import HttpRequest, HttpResponse
from unfold.widgets import UnfoldAdminRadioSelectWidget, UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from accounts.console import account, possible_owners
from accounts.models import User
from cronsched.console import ConsoleAdmin
from cronsched.console.between import Asked, ask, is_asked_again, is_confirmed
from cronsched.console.labels import in_labels, labels_of
from cronsched.console.texts import local_text
from cronsched.lib.clock import database_now
from cronsched.lib.errors import DomainError
from jobs import bulk_acts
from jobs.admin.jobs.actions import MAX_REASON, PauseForm
from jobs.admin.texts import page_link
from jobs.end_dates import renewal
from jobs.importing.export import CONTENT_TYPES, FORMATS
from jobs.models import Job, JobPause, JobQuerySet
from taxonomy.models import JobCategory, PicTeam

NAMED = 12
ALL_BATCHES = ""


def _reason(*, required: bool = False) -> CharField:
    return CharField(
        label="Reason",
        max_length=MAX_REASON,
        required=required,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
    )


class ActForm(Form):
    """What an act takes, as `bulk_acts` reads it, and which of the selected jobs it would leave as they are."""

    def __init__(self, data: Any, jobs: JobQuerySet) -> None:
        super().__init__(data)

    @property
    def sent(self) -> dict[str, Any]:
        return dict(self.cleaned_data)

    def unchanged(self, job: Job) -> str:
        """Say why the act would not change the job; blank where it would."""
        return ""

    def chosen(self, name: str) -> Any:
        return getattr(self, "cleaned_data", {}).get(name)


class BulkPauseForm(ActForm):
    reason = _reason()
    until = PauseForm.base_fields["until"]
    on_resume = PauseForm.base_fields["on_resume"]

    @property
    def sent(self) -> dict[str, Any]:
        until = self.cleaned_data["until"]
        return {**self.cleaned_data, "until": until.isoformat() if until else None}

    def unchanged(self, job: Job) -> str:
        return "" if job.is_active else "already paused"


class BulkResumeForm(ActForm):
    batch_id = ChoiceField(label="Which of them", required=False, widget=UnfoldAdminRadioSelectWidget)
    reason = _reason()

    def __init__(self, data: Any, jobs: JobQuerySet) -> None:
        super().__init__(data, jobs)
        batches, self._of_job = _batches(jobs)
        choices = [(str(key), text) for key, text in batches.items()]
        self.fields["batch_id"].choices = [*choices, (ALL_BATCHES, "All that are paused, whoever paused them")]  # type: ignore[attr-defined]
        self.fields["batch_id"].initial = choices[0][0] if choices else ALL_BATCHES

    @property
    def sent(self) -> dict[str, Any]:
        return {**self.cleaned_data, "batch_id": self.cleaned_data["batch_id"] or None}

    def unchanged(self, job: Job) -> str:
        if job.is_active:
            return "already active"
        batch = self.chosen("batch_id") if self.is_bound else self.fields["batch_id"].initial
        return "" if batch in (ALL_BATCHES, None, str(self._of_job.get(job.pk))) else "paused at another time"


class BulkExtendForm(ActForm):
    days = TypedChoiceField(
        label="By",
        choices=[(days, f"{days} days") for days in renewal.EXTENSIONS],
        initial=renewal.EXTENSIONS[0],
        coerce=int,
        widget=UnfoldAdminRadioSelectWidget,
    )
    reason = _reason(required=True)


class BulkHandOverForm(ActForm):
    owner = ModelChoiceField(label="New owner", queryset=possible_owners(), widget=UnfoldAdminSelectWidget)
    reason = _reason()

    @property
    def sent(self) -> dict[str, Any]:
        return {**self.cleaned_data, "owner": str(self.cleaned_data["owner"].pk)}

    def unchanged(self, job: Job) -> str:
        return "already its own" if self.chosen("owner") and self.chosen("owner").pk == job.created_by_id else ""


class BulkMoveForm(ActForm):
    pic_team = ModelChoiceField(
        label="PIC team",
        required=False,
        empty_label="as it is",
        queryset=PicTeam.objects.filter(is_active=True).order_by("name"),
        widget=UnfoldAdminSelectWidget,
    )
    category = ModelChoiceField(
        label="Category",
        required=False,
        empty_label="as it is",
        queryset=JobCategory.objects.filter(is_active=True).order_by("name"),
        widget=UnfoldAdminSelectWidget,
    )
    reason = _reason()

    @property
    def sent(self) -> dict[str, Any]:
        place = {name: to.slug for name in ("pic_team", "category") if (to := self.cleaned_data[name])}
        return {**place, "reason": self.cleaned_data["reason"]}

    def unchanged(self, job: Job) -> str:
        places = {name: to for name in ("pic_team", "category") if (to := self.chosen(name))}
        is_there = all(getattr(job, name) == to for name, to in places.items())
        return "already there" if places and is_there else ""


class ExportForm(ActForm):
    format = ChoiceField(
        label="As",
        choices=[("csv", "CSV, as an upload takes it"), ("yaml", "YAML, to read")],
        initial="csv",
        widget=UnfoldAdminRadioSelectWidget,
    )


@dataclass(frozen=True)
class Offer:
    """An act on the page between: `action` of `bulk_acts`, and what is said of each job that it would change."""

    action: str
    verb: str
    done: str
    form: type[ActForm] = ActForm
    now: Callable[[Job], str] = lambda job: job.pic_team.name
    note: str = ""


OFFERS = {
    "run": Offer("run", "Run now", "queued", note="Each is started within seconds, also while it is paused."),
    "pause": Offer("pause", "Pause", "paused", BulkPauseForm),
    "resume": Offer("resume", "Resume", "resumed", BulkResumeForm),
    "extend": Offer("extend", "Extend", "extended", BulkExtendForm, lambda job: f"ends {job.end_date}"),
    "hand_over": Offer(
        "hand_over",
        "Hand over",
        "handed over",
        BulkHandOverForm,
        lambda job: f"of {job.created_by.username if job.created_by else 'nobody'}",
    ),
    "move": Offer("move", "Move", "moved", BulkMoveForm, lambda job: f"{job.pic_team.name}, {job.category.name}"),
    "delete": Offer(
        "delete", "Delete", "deleted", note="With all their executions. This cannot be undone; pausing can."
    ),
}


@dataclass(frozen=True)
class Plan:
    """What an act will do to the selected jobs: those that change, and those that do not, with the reason."""

    changing: list[tuple[Job, str]] = field(default_factory=list)
    left_out: list[tuple[Job, str]] = field(default_factory=list)

    @classmethod
    def of(cls, jobs: Sequence[Job], user: User, form: ActForm, offer: Offer) -> "Plan":
        plan = cls()
        for job in jobs:
            reason = form.unchanged(job) if job.may_be_changed_by(user) else "not your job"
            plan.left_out.append((job, reason)) if reason else plan.changing.append((job, offer.now(job)))
        return plan


class JobBulk(ConsoleAdmin):
    actions = (
        *("run_selected", "pause_selected", "resume_selected", "extend_selected", "hand_over_selected"),
        *("move_selected", "export_selected", "delete_selected"),
    )

    @admin.action(description="Run now", permissions=["change"])
    def run_selected(self, request: HttpRequest, queryset: JobQuerySet) -> HttpResponse | None:
        return self._asked(request, queryset, OFFERS["run"])

    @admin.action(description="Pause", permissions=["change"])
    def pause_selected(self, request: HttpRequest, queryset: JobQuerySet) -> HttpResponse | None:
        return self._asked(request, queryset, OFFERS["pause"])

    @admin.action(description="Resume", permissions=["change"])
    def resume_selected(self, request: HttpRequest, queryset: JobQuerySet) -> HttpResponse | None:
        return self._asked(request, queryset, OFFERS["resume"])

    @admin.action(description="Extend the end date", permissions=["change"])
    def extend_selected(self, request: HttpRequest, queryset: JobQuerySet) -> HttpResponse | None:
        return self._asked(request, queryset, OFFERS["extend"])

    @admin.action(description="Hand over", permissions=["change"])
    def hand_over_selected(self, request: HttpRequest, queryset: JobQuerySet) -> HttpResponse | None:
        return self._asked(request, queryset, OFFERS["hand_over"])

    @admin.action(description="Move to another team or category", permissions=["change"])
    def move_selected(self, request: HttpRequest, queryset: JobQuerySet) -> HttpResponse | None:
        return self._asked(request, queryset, OFFERS["move"])

    @admin.action(description="Export", permissions=["view"])
    def export_selected(self, request: HttpRequest, queryset: JobQuerySet) -> HttpResponse:
        form = ExportForm(request.POST if is_confirmed(request) else None, queryset)
        if form.is_bound and form.is_valid():
            kind = form.cleaned_data["format"]
            response = HttpResponse(FORMATS[kind](queryset), content_type=CONTENT_TYPES[kind])
            response["Content-Disposition"] = f'attachment; filename="jobs.{kind}"'
            return response
        jobs = queryset.select_related("pic_team").order_by("name")
        plan = Plan([(job, job.pic_team.name) for job in jobs])
        offer = Offer("export", "Export", "", note="A file is made of them; they themselves stay as they are.")
        return self._page(request, plan, form, offer)

    @admin.action(description="Delete", permissions=["delete"])
    def delete_selected(self, request: HttpRequest, queryset: JobQuerySet) -> HttpResponse | None:
        return self._asked(request, queryset, OFFERS["delete"])

    def _asked(self, request: HttpRequest, queryset: JobQuerySet, offer: Offer) -> HttpResponse | None:
        """Do it where it was confirmed, else show the page that asks."""
        by = account(request)
        jobs = list(queryset.select_related("pic_team", "category", "created_by").order_by("name"))
        if len(jobs) > bulk_acts.MAX_JOBS:
            text = f"One act is for at most {bulk_acts.MAX_JOBS} jobs, and {len(jobs)} are selected. Filter the list."
            self.message_user(request, text, messages.ERROR)
            return None
        form = offer.form(request.POST if is_confirmed(request) or is_asked_again(request) else None, queryset)
        is_sound = form.is_bound and form.is_valid()
        act = _read(form, offer, by) if is_sound and is_confirmed(request) else None
        plan = Plan.of(jobs, by, form, offer)
        if act is None:
            return self._page(request, plan, form, offer)
        outcomes = bulk_acts.carry_out(act, [job.pk for job, _ in plan.changing])
        self._notify(request, plan, outcomes, offer)
        return None

    def _page(self, request: HttpRequest, plan: Plan, form: ActForm, offer: Offer) -> HttpResponse:
        changing = [(page_link("jobs_job_change", job.pk, job.name), now) for job, now in plan.changing]
        counted, is_dangerous = _counted(len(changing)), offer.action == "delete"
        asked = Asked(offer.verb, counted, changing, plan.left_out, offer.note, is_dangerous, offer.action == "export")
        return ask(self, request, asked, form)

    def _notify(self, request: HttpRequest, plan: Plan, outcomes: Sequence[bulk_acts.Outcome], offer: Offer) -> None:
        names = {str(job.pk): job.name for job, _ in plan.changing}
        done = [names[one.id] for one in outcomes if one.outcome == bulk_acts.DONE]
        left = [f"{job.name} ({reason})" for job, reason in plan.left_out]
        left += [f"{names[one.id]} ({one.message})" for one in outcomes if one.outcome != bulk_acts.DONE]
        if done:
            self.message_user(request, f"{_counted(len(done))} {offer.done}: {_listed(done)}.", messages.SUCCESS)
        if left:
            text = "1 job left as it was" if len(left) == 1 else f"{len(left)} jobs left as they were"
            self.message_user(request, f"{text}: {_listed(left)}.", messages.WARNING)


def _read(form: ActForm, offer: Offer, by: User) -> bulk_acts.Act | None:
    """Return the act that the form asks for; where it cannot be meant, the form says why."""
    try:
        return bulk_acts.read({"action": offer.action, **form.sent}, by=by, now=database_now())
    except DomainError as refusal:
        text = in_labels(refusal.message or refusal.error, labels_of(form))
        form.add_error(refusal.field if refusal.field in form.fields else None, text)
        return None


def _batches(jobs: QuerySet[Job]) -> tuple[Mapping[UUID, str], Mapping[UUID, UUID]]:
    """Return the bulk pauses that the selected jobs are in, the latest first, and the one of each job."""
    open_pauses = JobPause.objects.filter(job__in=jobs.order_by().values("pk"), ended_at=None)
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
