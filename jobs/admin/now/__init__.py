"""The console's first page: what is wrong, what comes next, how it went lately."""

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Avg, Case, Count, IntegerField, Min, Q, Value, When
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from accounts.console import account
from accounts.models import User
from cronsched.console.dialogs import dialog_link
from jobs.admin import lateness
from jobs.admin.jobs import words
from jobs.admin.jobs.filters import failing, list_of
from jobs.admin.now.charts import per_day, per_hour
from jobs.admin.now.counters import counters
from jobs.admin.texts import compact_strip, cut_line, executions_of, page_link, relative, seconds, span, why
from jobs.history import outcomes
from jobs.models import Job, JobExecution, JobQuerySet, Status

UPCOMING, LISTED, SLOWEST = 20, 12, 5
STRIP = 10
# How many executions back the first of a job's consecutive failures is searched.
LOOKED_BACK = 30
LATELY = timedelta(hours=24)


def fill(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add what the template of the first page shows."""
    now = timezone.now()
    has_jobs = Job.objects.exists()
    return {
        **context,
        "title": "Now",
        "has_jobs": has_jobs,
        "may_add": account(request).can_write,
        "counters": counters(request, now),
        "trouble": _trouble(account(request), now),
        "failing_link": list_of(state="failing"),
        "upcoming": _upcoming(now),
        "charts": [per_hour(now), per_day(now)] if has_jobs else [],
        "queue": _queue(now),
        "lateness": lateness.measured(now),
        "slowest": _slowest(now),
    }


def _queue(now: datetime) -> str:
    """Say what waits to be sent, what waits for its own time, and what is out."""
    # One status at a time: asked for both at once, SQLite goes through the whole history.
    is_ready = Q(not_before=None) | Q(not_before__lte=now)
    queued = JobExecution.objects.filter(status=Status.QUEUED).aggregate(
        ready=Count("pk", filter=is_ready),
        oldest=Min(Coalesce("not_before", "queued_at"), filter=is_ready),
        later=Count("pk", filter=~is_ready),
    )
    out = JobExecution.objects.filter(status=Status.RUNNING).count()
    since = f", the oldest for {span((now - queued['oldest']).total_seconds())}" if queued["oldest"] else ""
    later = f" {queued['later']} wait for their time: a retry, a turn at GitHub." if queued["later"] else ""
    return f"{queued['ready']} wait to be sent{since}; {out} are out.{later}"


def _own_first(jobs: JobQuerySet, user: User) -> JobQuerySet:
    own = Case(When(created_by=user, then=Value(0)), default=Value(1), output_field=IntegerField())
    return jobs.order_by(own, "-consecutive_failures", "name")


def _trouble(user: User, now: datetime) -> dict[str, Any]:
    """One row for each failing job, one's own first."""
    jobs = list(_own_first(Job.objects.filter(failing()), user).select_related("pic_team")[:LISTED])
    found = outcomes.latest([job.pk for job in jobs], LOOKED_BACK)
    headers = ["Job", "Failing since", "Times in a row", "Last reason", "Lately", "PIC team", "Do"]
    return {"headers": headers, "rows": [[*_failing_job(job, found[job.pk], now), _acts(job, user)] for job in jobs]}


def _failing_job(job: Job, rows: list[JobExecution], now: datetime) -> list[Any]:
    failed = outcomes.streak(rows)
    since = relative(failed[-1].started_at, now) if failed else None
    told = cut_line(why(failed[0]) or outcomes.of(failed[0]).label) if failed else "-"
    reason = page_link("jobs_jobexecution_change", failed[0].pk, told) if failed else told
    name = page_link("jobs_job_change", job.pk, job.name)
    lately = compact_strip(rows[:STRIP], executions_of(job))
    return [name, since or "-", job.consecutive_failures, reason, lately, job.pic_team.name]


def _acts(job: Job, user: User) -> SafeString:
    """Return links to what is done about a failing job: run or pause it, where `user` may, and ask why."""
    offered = [("run_job", "Run"), ("pause_job", "Pause")] if job.may_be_changed_by(user) else []
    links = [
        dialog_link(reverse(f"admin:jobs_job_{name}", args=[job.pk]), text, label=f"{text} {job.name}")
        for name, text in offered
    ]
    why_link = '<a class="console-link" href="{}" aria-label="Why {} ran or did not">Why</a>'
    links.append(format_html(why_link, reverse("admin:jobs_job_why_job", args=[job.pk]), job.name))
    return format_html('<span class="row-acts">{}</span>', format_html_join(" ", "{}", ((one,) for one in links)))


def _upcoming(now: datetime) -> dict[str, Any]:
    jobs = Job.objects.scheduled().order_by("next_fire_at", "id").select_related("pic_team")[:UPCOMING]
    rows = [
        [page_link("jobs_job_change", job.pk, job.name), words.next_run(job, now), _at(job), job.pic_team.name]
        for job in jobs
    ]
    return {"headers": ["Job", "Fires", "At", "PIC team"], "rows": rows}


def _at(job: Job) -> str:
    return f"{timezone.localtime(job.next_fire_at):%m-%d %H:%M}" if job.next_fire_at else "-"


def _slowest(now: datetime) -> dict[str, Any]:
    lately = JobExecution.objects.filter(started_at__gte=now - LATELY, duration_seconds__isnull=False).order_by()
    found = lately.values_list("job_id").annotate(mean=Avg("duration_seconds"), number=Count("pk"))
    slowest = list(found.order_by("-mean", "job_id")[:SLOWEST])
    # Names are asked for apart: joined, they would be looked up for each of the jobs that ran.
    names = dict(Job.objects.filter(pk__in=[key for key, *_ in slowest]).values_list("pk", "name"))
    rows = [
        [page_link("jobs_job_change", key, names[key]), seconds(mean), number]
        for key, mean, number in slowest
        if key in names
    ]
    return {"headers": ["Job", "Mean duration", "Executions"], "rows": rows}
