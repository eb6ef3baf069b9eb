"""The page of the scheduler: who leads, how late it is, what waits, who sends, when its chores ran."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.console import AdminsOnly, is_admin
from audit.models import LeaderTerm
from cronsched.console import ConsoleAdmin
from cronsched.console.texts import local_text
from cronsched.lib.clock import database_now
from cronsched.lib.errors import DomainError
from jobs.admin import lateness
from jobs.admin.texts import relative, span
from jobs.models import (
    OPEN_STATUSES,
    SENDER_DEAD_AFTER,
    JobExecution,
    RateLimitBucket,
    SchedulerLease,
    Sender,
    SenderKind,
    Status,
)
from jobs.scheduler import leadership

TERMS = 10
# What a look at all jobs found (`jobs.chores.reconcile.Summary`), in words.
RECONCILED = {
    "ran_at": "Began at",
    "db_jobs_total": "Jobs",
    "db_jobs_active": "Active jobs that have not ended",
    "scheduled_now": "Jobs with a next run, and chores",
    "scheduled_added": "Next runs added or corrected",
    "scheduled_removed": "Next runs of inactive jobs removed",
    "expired_auto_paused": "Jobs paused because their end date has passed",
    "orphaned_removed": "Queued runs of deleted jobs removed",
    "invalid_cron": "Jobs that cannot be scheduled",
}


@admin.register(SchedulerLease)
class SchedulerAdmin(AdminsOnly, ConsoleAdmin):
    """One page and no list: there is one lease."""

    page_name = "Scheduler"

    def get_urls(self) -> list[URLPattern]:
        resync = path("resync/", self.admin_site.admin_view(self.resync), name="jobs_schedulerlease_resync")
        return [resync, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        now = database_now()
        context = {
            **self.admin_site.each_context(request),
            "title": "Scheduler",
            "opts": self.opts,
            "page_name": self.page_name,
            "facts": list(_facts(now)),
            "reconcile": _reconcile(),
            "senders": _senders(now),
            "chores": _chores(now),
            "terms": _terms(now),
            "limits": _limits(now),
        }
        return TemplateResponse(request, "console/scheduler.html", context)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Redirect to the one page there is."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return HttpResponseRedirect(reverse("admin:jobs_schedulerlease_changelist"))

    def resync(self, request: HttpRequest) -> HttpResponse:
        """Ask the leader to reconcile all jobs, and wait for its answer."""
        if not is_admin(request):
            raise PermissionDenied
        if request.method == "POST":
            try:
                found = leadership.resync()
                done = "; ".join(f"{name}: {value}" for name, value in _reconciled(found.last_reconcile))
                self.message_user(request, f"All jobs were looked at. {done}.", messages.SUCCESS)
            except DomainError as refusal:
                self.message_user(request, str(refusal), messages.ERROR)
        return HttpResponseRedirect(reverse("admin:jobs_schedulerlease_changelist"))


def _facts(now: datetime) -> Iterator[tuple[str, Any]]:
    status = leadership.read_status(now=now)
    yield "State", "Running" if status.running else "No scheduler is running: nothing fires"
    yield "Leader", status.leader or "none"
    yield "Leads since", local_text(status.leading_since) if status.leading_since else "-"
    yield "Lease renewed", relative(status.renewed_at, now) or "never"
    late = lateness.measured(now)
    yield "Late, half of them", late.p50 if late else "-"
    yield "Late, 99 of 100", f"{late.p99}, of the latest {late.number}" if late else "-"
    yield "Scheduled jobs", status.scheduled_jobs
    waiting = dict(JobExecution.objects.open().order_by().values_list("status").annotate(Count("pk")))
    yield "Queued executions", waiting.get(Status.QUEUED, 0)
    yield "Running executions", waiting.get(Status.RUNNING, 0)
    oldest = JobExecution.objects.filter(status=OPEN_STATUSES[0]).order_by("queued_at").first()
    yield "Oldest queued", span((now - oldest.queued_at).total_seconds()) if oldest else "-"


def _reconcile() -> dict[str, Any]:
    lease = SchedulerLease.objects.first()
    summary = lease.last_reconcile if lease else {}
    return {"headers": ["Last look at all jobs", "Found"], "rows": [list(row) for row in _reconciled(summary)]}


def _reconciled(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(RECONCILED.get(name, name), _read(value)) for name, value in summary.items()]


def _read(value: Any) -> str:
    """Write an instant in the zone of all other times of the page, anything else as it is."""
    try:
        return local_text(datetime.fromisoformat(value))
    except (TypeError, ValueError):
        return str(value)


def _senders(now: datetime) -> dict[str, Any]:
    def is_dead(sender: Sender) -> bool:
        return now - sender.seen_at > SENDER_DEAD_AFTER

    rows = [
        [
            SenderKind(sender.kind).label,
            f"{sender.host} {str(sender.token)[:8]}",
            f"{sender.in_flight} of {sender.limit}",
            format_html("{}{}", relative(sender.seen_at, now), ": dead" if is_dead(sender) else ""),
            local_text(sender.started_at),
            f"{sender.loop_delay_seconds * 1000:.0f} ms",
        ]
        for sender in Sender.objects.order_by("kind", "host", "started_at")
    ]
    return {"headers": ["Kind", "Sender", "In flight", "Seen", "Started", "Loop delay, p99"], "rows": rows}


def _chores(now: datetime) -> dict[str, Any]:
    lease = SchedulerLease.objects.first()
    done = lease.chores_done if lease else {}
    rows = [[name.replace("_", " ").capitalize(), _last(text, now)] for name, text in sorted(done.items())]
    return {"headers": ["Chore", "Last run"], "rows": rows}


def _last(text: str, now: datetime) -> SafeString | str:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return text
    return format_html("{} ({})", local_text(at), relative(at, now))


def _terms(now: datetime) -> dict[str, Any]:
    rows = [
        [
            term.holder,
            local_text(term.began_at),
            local_text(term.ended_at) if term.ended_at else "leads",
            term.end_reason,
        ]
        for term in LeaderTerm.objects.order_by("-began_at", "-id")[:TERMS]
    ]
    return {"headers": ["Leader", "From", "Until", "Why it ended"], "rows": rows}


def _limits(now: datetime) -> dict[str, Any]:
    rows = [
        [bucket.name, len(bucket.sent), local_text(bucket.blocked_until) if bucket.blocked_until else "-"]
        for bucket in RateLimitBucket.objects.order_by("name")
    ]
    return {"headers": ["Credential at GitHub", "Dispatches on record", "Blocked until"], "rows": rows}
