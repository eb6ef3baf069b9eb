"""The upper part of a job's page: how it is doing, its latest executions, its next runs."""

import json
from collections.abc import Sequence
from typing import Any

from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.decorators import display

from audit.models import AuditEntry
from cronsched.console import ConsoleAdmin
from cronsched.console.texts import local_text
from jobs.admin.audit import changes_link, changes_of
from jobs.admin.jobs import words
from jobs.admin.texts import (
    OUTCOME_COLOURS,
    as_json,
    cut_line,
    executions_of,
    happened,
    page_link,
    relative,
    strip,
    why,
)
from jobs.definitions import request_options
from jobs.history import outcomes
from jobs.models import Job, JobExecution

STRIP = 30
LISTED = 5


class JobOverview(ConsoleAdmin):
    overview_fields = (
        *("how_it_is", "recent", "charts", "next_runs", "owner_name", "created_at", "updated_at", "changes"),
        *("consecutive_failures", "findings", "signing", "chosen_options"),
    )

    @display(description="Now")
    def how_it_is(self, job: Job) -> SafeString:
        return words.state_sentence(job, timezone.now())

    @display(description="Latest executions", empty_value="None yet")
    def recent(self, job: Job) -> SafeString | None:
        rows = self._latest(job)
        if not rows:
            return None
        lines = format_html_join("", "<li>{} {} {} {}</li>", (_line(row) for row in rows[:LISTED]))
        return format_html(
            '{}<ul class="console-list">{}</ul><a class="console-link" href="{}">All executions of this job</a>',
            strip(rows, job.name),
            lines,
            executions_of(job),
        )

    @display(description="Durations and lateness")
    def charts(self, job: Job) -> SafeString | None:
        rows = [row for row in reversed(self._latest(job)) if row.duration_seconds is not None]
        return _chart(rows) if len(rows) > 1 else None

    @display(description="Next runs")
    def next_runs(self, job: Job) -> SafeString:
        return words.next_runs(job, timezone.now())

    @display(description="Owner", empty_value="Nobody")
    def owner_name(self, job: Job) -> SafeString | None:
        return cut_line(job.created_by.username) if job.created_by else None

    @display(description="Latest changes", empty_value="None on record")
    def changes(self, job: Job) -> SafeString | None:
        entries = AuditEntry.objects.of_object("job", str(job.pk)).order_by("-at", "-id")[:LISTED]
        rows = [
            (page_link("audit_auditentry_change", entry.pk, local_text(entry.at)), entry.actor_name, _changed(entry))
            for entry in entries
        ]
        if not rows:
            return None
        lines = format_html_join("", "<li>{} {}: {}</li>", rows)
        return format_html('<ul class="console-list">{}</ul>{}', lines, changes_link("job", job.pk))

    @display(description="Last check")
    def findings(self, job: Job) -> SafeString:
        if job.target_findings is None or job.target_checked_at is None:
            return format_html("{}", "Not checked yet")
        found = [finding["message"] for finding in job.target_findings] or ["Nothing stands in its way."]
        lines = format_html_join("", "<li>{}</li>", ((text,) for text in found))
        return format_html("<ul>{}</ul>{}", lines, local_text(job.target_checked_at))

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

    def _latest(self, job: Any) -> list[JobExecution]:
        """Return the executions that the page shows, asked for once."""
        if job._state.adding:
            return []
        if not hasattr(job, "latest_executions"):
            job.latest_executions = outcomes.latest([job.pk], STRIP)[job.pk]
        found: list[JobExecution] = job.latest_executions
        return found


def _changed(entry: AuditEntry) -> SafeString:
    told = ", ".join(name for name, *_ in changes_of(entry)) or entry.action.partition(".")[2]
    told = told if entry.revision is None else f"revision {entry.revision}, {told}"
    return cut_line(f"{told} ({entry.reason})" if entry.reason else told)


def _line(row: JobExecution) -> tuple[SafeString, str, SafeString | None, str]:
    label = outcomes.of(row).label
    mark = format_html('<span class="mark mark-{}">{}</span>', OUTCOME_COLOURS[label], label)
    link = page_link("jobs_jobexecution_change", row.pk, local_text(happened(row)))
    return link, "", mark, format_html("{} {}", relative(happened(row), timezone.now()), cut_line(why(row)))


def _chart(rows: Sequence[JobExecution]) -> SafeString:
    data = {
        "labels": [f"{timezone.localtime(row.started_at):%d. %H:%M}" for row in rows],
        "datasets": [
            {"label": "Duration (s)", "data": [row.duration_seconds for row in rows], "borderColor": "#2563eb"},
            {"label": "Late by (s)", "data": [row.lateness_seconds for row in rows], "borderColor": "#b45309"},
        ],
    }
    slowest = max(row.duration_seconds or 0.0 for row in rows)
    summary = f"Durations of the latest {len(rows)} executions, at most {slowest:.2f} s."
    return SafeString(
        render_to_string("console/chart.html", {"data": json.dumps(data), "kind": "line", "summary": summary})
    )
