"""What a job's page shows around its form: its state, how it went, what comes, its executions and its changes."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.decorators import display

from accounts.console import account
from audit.models import AuditEntry
from cronsched.console import ConsoleAdmin
from cronsched.console.texts import local_text, moment
from jobs.admin.changes import changes_link, changes_table, label_of
from jobs.admin.jobs import words
from jobs.admin.jobs.forms import DECIDED_ELSEWHERE
from jobs.admin.jobs.layout import IN_WORDS
from jobs.admin.texts import (
    OUTCOME_COLOURS,
    as_json,
    cut_line,
    executions_of,
    happened,
    page_link,
    seconds,
    strip,
    why,
)
from jobs.definitions import request_options
from jobs.definitions.owner_names import names_of
from jobs.definitions.validation import local_date
from jobs.history import outcomes
from jobs.models import NEVER_SENT_STATUSES, Job, JobExecution, TriggerType

SHOWN = 30
CHANGES = 20
# More fields than this, such as those of a new job, are shown once they are asked for.
OPEN_FIELDS = 6


def _in_words(name: str) -> Callable[[Any, Job], str]:
    """Return what shows a field to whoever only reads it."""

    @display(description=label_of(name))
    def shown(page: Any, job: Job) -> str:
        value = getattr(job, name)
        if value is None:
            return DECIDED_ELSEWHERE[name]
        if isinstance(value, list):
            return ", ".join(map(str, value)) or "Nobody"
        return "Yes" if value else "No"

    return shown


class JobOverview(ConsoleAdmin):
    overview_fields = ("next_runs", "signing", "chosen_options", *IN_WORDS.values())
    track_run_in_words = _in_words("track_run")
    notify_on_recovery_in_words = _in_words("notify_on_recovery")
    enable_email_notifications_in_words = _in_words("enable_email_notifications")
    notification_emails_in_words = _in_words("notification_emails")
    notify_on_success_in_words = _in_words("notify_on_success")

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Show around the form of a stored job what its tabs hold, and its acts in the page instead of the head."""
        if job := context.get("original"):
            acts = context.pop("actions_detail", [])
            context |= {"job_page": _around(job, request, timezone.now()), "acts": acts, "subtitle": None}
        return super().render_change_form(request, context, *args, **kwargs)

    @display(description="Next runs")
    def next_runs(self, job: Job) -> SafeString:
        return words.next_runs(job, timezone.now())

    @display(description="Signature")
    def signing(self, job: Job) -> str:
        match request_options.shown(job.request_options)["signing_secrets"]:
            case 0:
                return "Calls are not signed."
            case 1:
                return "Calls are signed."
        return "Calls are signed by the new secret and the previous one."

    @display(description="How it is sent")
    def chosen_options(self, job: Job) -> SafeString | None:
        return as_json(dict(request_options.shown(job.request_options)))


def _around(job: Job, request: HttpRequest, now: datetime) -> dict[str, Any]:
    rows = outcomes.latest([job.pk], SHOWN)[job.pk]
    sent = [row for row in reversed(rows) if row.duration_seconds is not None and row.status not in NEVER_SENT_STATUSES]
    user = account(request)
    return {
        "state": words.state_sentence(job, now),
        "strip": strip(rows, job.name),
        "charts": _charts(sent) if len(sent) > 1 else [],
        "upcoming": words.upcoming(job, now),
        "same_minute": words.same_minute(job),
        "facts": _facts(job, rows, now),
        "executions": _executions(rows),
        "all_executions": executions_of(job),
        "changes": _changes(job, may_restore=job.may_be_changed_by(user)),
        # The list shows the others their own acts only.
        "all_changes": changes_link("job", job.pk) if user.is_admin or user.pk == job.created_by_id else "",
    }


# --- Overview --------------------------------------------------------------------------------------------------------


def _facts(job: Job, rows: Sequence[JobExecution], now: datetime) -> list[tuple[str, Any]]:
    left = (job.end_date - local_date(now)).days
    ends = f"{job.end_date} (in {left} days)" if left > 0 else str(job.end_date)
    return [
        ("Schedule", f"{words.in_words(job.cron_expression)} ({job.zone_name})"),
        ("Target", words.target_text(job)),
        ("Last check of it", _findings(job)),
        ("Lately", _counted(rows) or "Never ran"),
        ("Ends", ends),
        ("PIC team", page_link("taxonomy_picteam_change", job.pic_team_id, job.pic_team.name)),
        ("Category", page_link("taxonomy_jobcategory_change", job.category_id, job.category.name)),
        ("Owner", job.created_by.username if job.created_by else "Nobody"),
        ("Created", local_text(job.created_at)),
        ("Last changed", local_text(job.updated_at)),
        ("Id", str(job.pk)),
    ]


def _counted(rows: Iterable[JobExecution]) -> str:
    counted = Counter(outcomes.of(row).label.lower() for row in rows)
    return ", ".join(f"{number} {label}" for label, number in counted.most_common())


def _findings(job: Job) -> SafeString:
    if job.target_findings is None or job.target_checked_at is None:
        return format_html("{}", "Not checked yet")
    found = [finding["message"] for finding in job.target_findings] or ["Nothing stands in its way."]
    lines = format_html_join("", "<li>{}</li>", ((text,) for text in found))
    return format_html("<ul>{}</ul>{}", lines, local_text(job.target_checked_at))


def _charts(rows: Sequence[JobExecution]) -> list[dict[str, str]]:
    """Draw how long the executions took and how late they were, the oldest first; each on a scale of its own."""
    durations = [(row, row.duration_seconds) for row in rows]
    late = [(row, row.lateness_seconds) for row in rows if row.lateness_seconds is not None]
    found = [_chart("Durations", "#2563eb", durations)]
    return found if len(late) < 2 else [*found, _chart("Lateness of scheduled runs", "#b45309", late)]


def _chart(title: str, colour: str, points: Sequence[tuple[JobExecution, float | None]]) -> dict[str, str]:
    values = [value or 0.0 for _, value in points]
    labels = [f"{timezone.localtime(row.started_at):%m-%d %H:%M}" for row, _ in points]
    line = {"label": "Seconds", "data": values, "borderColor": colour, "borderWidth": 2, "pointRadius": 2}
    axis = {"border": {"display": False}, "ticks": {"color": "#6b7280", "maxTicksLimit": 5, "maxRotation": 0}}
    options = {
        "animation": False,
        "maintainAspectRatio": False,
        "plugins": {"legend": {"display": False}},
        "scales": {"x": {**axis, "grid": {"display": False}}, "y": {**axis, "beginAtZero": True}},
    }
    middle = sorted(values)[len(values) // 2]
    return {
        "title": title,
        "data": json.dumps({"labels": labels, "datasets": [line]}),
        "options": json.dumps(options),
        "summary": f"Half of the latest {len(values)} within {seconds(middle)}, all within {seconds(max(values))}.",
    }


# --- Executions ------------------------------------------------------------------------------------------------------


def _executions(rows: Iterable[JobExecution]) -> dict[str, Any]:
    headers = ["When", "Outcome", "Trigger", "Late by", "Duration", "Answer"]
    return {"headers": headers, "rows": [_execution(row) for row in rows]}


def _execution(row: JobExecution) -> list[Any]:
    label = outcomes.of(row).label
    text, status = why(row), str(row.response_status or "")
    answer = text if status in text and text else " ".join(filter(None, (status, text)))
    took = None if row.status in NEVER_SENT_STATUSES else seconds(row.duration_seconds)
    return [
        page_link("jobs_jobexecution_change", row.pk, moment(happened(row)) or ""),
        format_html('<span class="mark mark-{}">{}</span>', OUTCOME_COLOURS[label], label),
        TriggerType(row.trigger_type).label,
        seconds(row.lateness_seconds) or "-",
        took or "-",
        cut_line(answer) if answer else "-",
    ]


# --- Changes ---------------------------------------------------------------------------------------------------------


def _changes(job: Job, *, may_restore: bool) -> list[dict[str, Any]]:
    entries = list(AuditEntry.objects.of_object("job", str(job.pk)).order_by("-at", "-id")[:CHANGES])
    names = names_of(entries)
    return [_change(job, entry, names, may_restore=may_restore) for entry in entries]


def _change(job: Job, entry: AuditEntry, names: Mapping[str, str], *, may_restore: bool) -> dict[str, Any]:
    is_earlier = entry.revision is not None and entry.revision < job.revision
    restore = reverse("admin:jobs_job_restore_job", args=[job.pk])
    return {
        "verb": entry.action.partition(".")[2].replace("_", " "),
        "entry": entry,
        "at": moment(entry.at),
        "table": changes_table(entry, names) if entry.changes else "",
        "is_open": len(entry.changes) <= OPEN_FIELDS,
        "restore": f"{restore}?number={entry.revision}" if may_restore and is_earlier else "",
    }
