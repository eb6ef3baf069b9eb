"""Values as the pages show them."""

import json
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from cronsched.console.texts import local_text
from jobs.history import outcomes
from jobs.history.outcomes import Outcome
from jobs.models import NEVER_SENT_STATUSES, Job, JobExecution

MINUTE, HOUR, DAY = 60, 3600, 86400

# The theme's names of colours, by what is written beside them.
OUTCOME_COLOURS = {
    Outcome.SUCCESS.label: "success",
    Outcome.FAILED.label: "danger",
    Outcome.RUN_FAILED.label: "danger",
    Outcome.UNKNOWN.label: "danger",
    Outcome.MISSED.label: "warning",
    Outcome.SKIPPED.label: "warning",
    Outcome.QUEUED.label: "info",
    Outcome.RUNNING.label: "info",
    Outcome.RUN_GOING.label: "info",
}
# One letter for each, so that no colour has to be told from another.
LETTERS = {
    Outcome.SUCCESS: "S",
    Outcome.FAILED: "F",
    Outcome.RUN_FAILED: "R",
    Outcome.UNKNOWN: "?",
    Outcome.MISSED: "M",
    Outcome.SKIPPED: "-",
    Outcome.QUEUED: "q",
    Outcome.RUNNING: "r",
    Outcome.RUN_GOING: "g",
}


def as_json(value: Any) -> SafeString | None:
    return preformatted(json.dumps(value, indent=2, ensure_ascii=False)) if value else None


def shortened(text: str | None, length: int) -> str:
    return Truncator(text or "").chars(length)


def preformatted(text: str) -> SafeString:
    return format_html('<pre class="raw-text" tabindex="0">{}</pre>', text)


def link(url: str, text: str) -> SafeString:
    """Return a link to `url`, plain text where it is no web address."""
    if not url.startswith(("https://", "http://", "/", "?")):
        return format_html("{}", text)
    return format_html('<a class="console-link" href="{}" rel="noopener">{}</a>', url, text)


def page_link(page: str, key: Any, text: str) -> SafeString:
    return link(reverse(f"admin:{page}", args=[key]), text)


def seconds(number: float | None) -> str | None:
    return None if number is None else f"{number:.2f}\N{NO-BREAK SPACE}s"


def span(length: float) -> str:
    """Return a short text for a number of seconds."""
    length = abs(length)
    for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if length >= unit * (2 if unit == DAY else 1):
            return f"{length / unit:.0f}\N{NO-BREAK SPACE}{name}"
    return f"{length:.0f}\N{NO-BREAK SPACE}s"


def relative(instant: datetime | None, now: datetime) -> SafeString | None:
    """Return how far an instant is from now; its title is the exact instant, and the page's script keeps it current."""
    if instant is None:
        return None
    left = (instant - now).total_seconds()
    text = f"in {span(left)}" if left >= 0 else f"{span(left)} ago"
    exact = local_text(instant)
    return format_html('<time class="whitespace-nowrap" datetime="{}" title="{}">{}</time>', exact, exact, text)


def happened(execution: JobExecution) -> datetime:
    """Return the instant to list an execution by: when it was due where it was never sent, else when it started."""
    never_sent = execution.status in NEVER_SENT_STATUSES
    return execution.scheduled_for or execution.queued_at if never_sent else execution.started_at


def why(execution: JobExecution) -> str:
    """Return why an execution did not end well, blank where it did or the reason is unknown."""
    run = execution.github_run
    if outcomes.of(execution) == Outcome.RUN_FAILED and run is not None:
        return " / ".join(filter(None, (run.conclusion, run.failed_job, run.failed_step)))
    return execution.error_message or execution.reason or ""


def strip(executions: Iterable[JobExecution], name: str) -> SafeString | None:
    """Show outcomes side by side, the oldest first, each a letter and a colour that leads to its execution."""
    cells = [
        (
            outcomes.of(row),
            reverse("admin:jobs_jobexecution_change", args=[row.pk]),
            f"{outcomes.of(row).label} at {local_text(happened(row))}",
            LETTERS[outcomes.of(row)],
        )
        for row in reversed(list(executions))
    ]
    if not cells:
        return None
    letters = format_html_join(
        "",
        '<a class="outcome outcome-{0}" href="{1}" title="{2}"><span aria-hidden="true">{3}</span>'
        '<span class="sr-only">{2}</span></a>',
        cells,
    )
    return format_html(
        '<span class="outcomes" role="group" aria-label="Latest executions of {}">{}</span>', name, letters
    )


def compact_strip(executions: Iterable[JobExecution], link_to: str) -> SafeString | None:
    """Show outcomes as one link: in a long list each letter would be one more tab stop."""
    told = [outcomes.of(row) for row in reversed(list(executions))]
    if not told:
        return None
    cells = format_html_join("", '<span class="outcome outcome-{}">{}</span>', ((o, LETTERS[o]) for o in told))
    counted = ", ".join(f"{number} {outcome.label.lower()}" for outcome, number in Counter(told).most_common())
    summary = f"Latest {len(told)}: {counted}"
    return format_html(
        '<a class="outcomes" href="{0}" title="{1}"><span aria-hidden="true">{2}</span>'
        '<span class="sr-only">{1}</span></a>',
        link_to,
        summary,
        cells,
    )


def executions_of(job: Job) -> str:
    """Return the address of the list of a job's executions."""
    return f"{reverse('admin:jobs_jobexecution_changelist')}?job={job.pk}"


def cut_line(text: str, shown: str | None = None) -> SafeString:
    """Cut a text that is too long for a list at the end of the line; its title has the whole text."""
    return format_html('<span class="one-line" title="{}">{}</span>', text, shown or text)
