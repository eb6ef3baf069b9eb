"""The console's first page: is the scheduler alive, what fires next, what went wrong lately."""

from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from cronsched.console.texts import local_text, moment
from cronsched.lib.clock import database_now
from cronsched.lib.input.ranges import DateRange
from jobs.admin.texts import shortened
from jobs.history.queries import Selection, Totals, totals
from jobs.models import GOOD_CONCLUSIONS, Job, JobExecution, Status, Tracking
from jobs.scheduler import leadership

LATELY = timedelta(hours=24)
LISTED = 8
REASON_LENGTH = 90
TROUBLE = (Status.FAILED, Status.UNKNOWN, Status.MISSED)


def fill(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add what the template of the first page shows."""
    now = timezone.now()
    return {**context, "title": "Overview", "cards": _cards(now), "upcoming": _upcoming(), "trouble": _trouble(now)}


def _cards(now: datetime) -> list[dict[str, str]]:
    lately = totals(Selection(period=DateRange(now - LATELY, None)))
    return [
        _scheduler_card(),
        _jobs_card(),
        _outcome_card("Succeeded", lately, Status.SUCCESS),
        _outcome_card("In trouble", lately, *TROUBLE),
    ]


def _scheduler_card() -> dict[str, str]:
    status = leadership.read_status(now=database_now())
    if not status.running:
        return {"title": "Scheduler", "figure": "Stopped", "text": "Nothing fires. Start manage.py runscheduler."}
    since = f" since {local_text(status.leading_since)}" if status.leading_since else ""
    return {"title": "Scheduler", "figure": "Running", "text": f"{status.leader} leads{since}"}


def _jobs_card() -> dict[str, str]:
    active, unschedulable = Job.objects.active().count(), Job.objects.unschedulable().count()
    text = f"active, {Job.objects.count() - active} paused"
    if unschedulable:
        text += f", {unschedulable} cannot be scheduled"
    return {"title": "Jobs", "figure": str(active), "text": text, "link": reverse("admin:jobs_job_changelist")}


def _outcome_card(title: str, lately: Totals, *statuses: str) -> dict[str, str]:
    parts = [f"{lately.count(status)} {Status(status).label.lower()}" for status in statuses]
    query = f"?status__exact={statuses[0]}"
    return {
        "title": title,
        "figure": str(lately.count(*statuses)),
        "text": "in 24 hours" if len(statuses) == 1 else f"in 24 hours: {', '.join(parts)}",
        "link": reverse("admin:jobs_jobexecution_changelist") + query,
    }


def _upcoming() -> dict[str, Any]:
    jobs = Job.objects.filter(next_fire_at__isnull=False).order_by("next_fire_at", "id").select_related("pic_team")
    rows = [[_link(job), moment(job.next_fire_at), job.pic_team.name] for job in jobs[:LISTED] if job.next_fire_at]
    return {"headers": ["Job", "Fires at", "PIC team"], "rows": rows}


def _trouble(now: datetime) -> dict[str, Any]:
    lately = JobExecution.objects.filter(started_at__gte=now - LATELY).newest_first().select_related("job", "run")
    ended_badly = lately.filter(run__tracking=Tracking.CONCLUDED).exclude(run__conclusion__in=GOOD_CONCLUSIONS)
    found = [*lately.filter(status__in=TROUBLE)[:LISTED], *ended_badly[:LISTED]]
    found.sort(key=lambda row: (row.started_at, row.pk), reverse=True)
    rows = [[_link(row), moment(row.started_at), *_what_and_why(row)] for row in found[:LISTED]]
    return {"headers": ["Job", "Started", "Status", "Why"], "rows": rows}


def _what_and_why(row: JobExecution) -> tuple[str, str]:
    run = row.github_run
    if run is not None and run.conclusion:
        where = " / ".join(filter(None, (run.conclusion, run.failed_job, run.failed_step)))
        return "Run failed", shortened(where, REASON_LENGTH)
    return row.get_status_display(), shortened(row.error_message or row.reason, REASON_LENGTH)


def _link(row: Job | JobExecution) -> SafeString:
    name = row.name if isinstance(row, Job) else row.job.name
    url = reverse(f"admin:jobs_{row._meta.model_name}_change", args=[row.pk])
    return format_html('<a class="text-primary-600 dark:text-primary-500" href="{}">{}</a>', url, name)
