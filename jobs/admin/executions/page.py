"""The page of one execution: its outcome in a sentence, a time line, and its request as a command to copy."""

import json
import shlex
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from cronsched.console.texts import local_text
from jobs.admin.texts import OUTCOME_COLOURS, preformatted, seconds, span, why
from jobs.history import outcomes, snapshots
from jobs.history.outcomes import Outcome
from jobs.models import JobExecution

# A start later than this is called late.
LATE_SECONDS = 5.0


class Step(NamedTuple):
    """A point of the time line."""

    name: str
    at: datetime
    note: str = ""


def verdict(execution: JobExecution) -> SafeString:
    """Return one sentence on the outcome of an execution."""
    outcome = outcomes.of(execution)
    colour = OUTCOME_COLOURS[outcome.label]
    return format_html(
        '<p class="verdict verdict-{}"><strong>{}.</strong> {}</p>', colour, outcome.label, _told(execution)
    )


def _told(execution: JobExecution) -> str:
    reason = why(execution).rstrip(".")
    status = f"Answered {execution.response_status}" if execution.response_status else "Ended"
    took = f" after {seconds(execution.duration_seconds)}" if execution.duration_seconds is not None else ""
    match outcomes.of(execution):
        case Outcome.SUCCESS:
            return f"{status}{took}{_late(execution)}."
        case Outcome.FAILED:
            return f"{reason or status}{took}{_late(execution)}."
        case Outcome.RUN_FAILED:
            return f"GitHub accepted it, and the run failed: {reason or 'without a reason'}."
        case Outcome.RUN_GOING:
            return "GitHub accepted it; the run has not ended yet."
        case Outcome.MISSED | Outcome.SKIPPED:
            return f"It was never sent. {reason or 'No reason is on record'}."
        case Outcome.UNKNOWN:
            return f"The target may have acted or not. {reason or 'No answer is on record'}."
        case Outcome.QUEUED:
            planned = execution.planned_at
            return f"It waits to be sent{f', planned for {local_text(planned)}' if planned else ''}."
    return f"Sent at {local_text(execution.started_at)}; no answer yet."


def _late(execution: JobExecution) -> str:
    late = execution.lateness_seconds
    return f", {span(late)} late" if late is not None and late >= LATE_SECONDS else ""


def time_line(execution: JobExecution) -> SafeString:
    """Show when what happened, in the order in which it did."""
    steps = sorted(_steps(execution), key=lambda step: step.at)
    first = steps[0].at
    rows = (
        (
            step.name,
            local_text(step.at),
            f"+{span((step.at - first).total_seconds())}" if step.at > first else "",
            step.note,
        )
        for step in steps
    )
    lines = format_html_join("", "<li><strong>{}</strong><time>{}</time><span>{}</span><span>{}</span></li>", rows)
    return format_html('<ol class="time-line">{}</ol>', lines)


def _steps(execution: JobExecution) -> Iterator[Step]:
    never_sent = execution.status in ("missed", "skipped")
    if execution.missed_from:
        yield Step("First was due", execution.missed_from, f"{execution.missed_count} in all")
    if execution.scheduled_for:
        yield Step("Was due", execution.scheduled_for)
    yield Step("Recorded" if never_sent else "Queued", execution.queued_at)
    if execution.not_before and execution.not_before != execution.scheduled_for:
        yield Step("Planned", execution.not_before)
    if never_sent or execution.status == "queued":
        return
    late = execution.lateness_seconds
    yield Step("Sent", execution.started_at, f"{seconds(late)} after it was due" if late is not None else "")
    if execution.completed_at:
        yield Step("Answered", execution.completed_at, _answer(execution))
    run = execution.github_run
    if run is not None and run.concluded_at:
        yield Step("Run ended", run.concluded_at, run.conclusion)


def _answer(execution: JobExecution) -> str:
    status = str(execution.response_status or "")
    return " ".join(filter(None, (status, f"attempt {execution.attempt}" if execution.attempt > 1 else "")))


def request_text(execution: JobExecution) -> SafeString | None:
    """Show the request as a command to copy; secrets are masked."""
    sent = snapshots.whole(execution)
    return as_command(sent) if sent else None


def as_command(sent: Mapping[str, Any]) -> SafeString:
    """Show a request as a command to copy, a dispatch as it was sent."""
    return preformatted(_as_curl(sent) if "url" in sent else json.dumps(sent, indent=2, ensure_ascii=False))


def _as_curl(sent: Mapping[str, Any]) -> str:
    parts = ["curl", "-X", str(sent.get("method") or "GET")]
    for name, value in (sent.get("headers") or {}).items():
        parts += ["-H", f"{name}: {value}"]
    if body := sent.get("body"):
        parts += ["--data-raw", body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)]
    return " ".join(shlex.quote(part) for part in [*parts, str(sent["url"])])


def attempts(execution: JobExecution) -> SafeString | None:
    """Show the attempts before the current one as a table."""
    if not execution.earlier_attempts:
        return None
    rows = (
        (item.get("attempt"), _instant(item.get("completed_at")), _result(item)) for item in execution.earlier_attempts
    )
    lines = format_html_join("", "<tr><td>{}</td><td>{}</td><td>{}</td></tr>", rows)
    head = format_html("<tr><th>{}</th><th>{}</th><th>{}</th></tr>", "Attempt", "Ended", "Answer")
    return format_html('<table class="plain-table"><thead>{}</thead><tbody>{}</tbody></table>', head, lines)


def _result(item: Mapping[str, Any]) -> str:
    return " ".join(str(value) for value in (item.get("response_status"), item.get("error_message")) if value)


def _instant(text: Any) -> str:
    try:
        return local_text(datetime.fromisoformat(str(text)))
    except ValueError:
        return ""
