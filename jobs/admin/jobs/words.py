"""A job in words: its state, its schedule, its target."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from cronsched.console.texts import local_text
from jobs import cron
from jobs.admin.texts import link, relative
from jobs.definitions.validation import local_date
from jobs.models import Job, JobExecution, JobPause, OnResume, Status
from jobs.schedule import pauses

PREVIEWED_RUNS = 10
HALF_DAY_CLOCK = re.compile(r"\b(\d\d):(\d\d) (AM|PM)\b")
# What is due and longer not claimed than a pass of a scheduler takes is overdue.
OVERDUE_AFTER = timedelta(seconds=10)
STATE_COLOURS = {"Active": "success", "Paused": "warning", "Ended": "info", "Cannot be scheduled": "danger"}


def state(job: Job) -> str:
    if job.is_active:
        return "Cannot be scheduled" if job.next_fire_at is None and job.schedule_error else "Active"
    return "Ended" if job.has_expired(local_date(timezone.now())) else "Paused"


def state_sentence(job: Job, now: datetime) -> SafeString:
    """Say how a job is doing: whether it fires, why not, since when it fails."""
    name = state(job)
    failing = f" It failed {_times(job.consecutive_failures)} in a row." if job.consecutive_failures else ""
    told = {"Active": _active, "Paused": _paused, "Ended": _ended, "Cannot be scheduled": _broken}[name](job, now)
    colour = "warning" if name == "Active" and is_overdue(job, now) else STATE_COLOURS[name]
    colour = "danger" if failing and name == "Active" else colour
    return format_html('<p class="verdict verdict-{}"><strong>{}.</strong> {}{}</p>', colour, name, told, failing)


def _active(job: Job, now: datetime) -> SafeString:
    if job.next_fire_at is None:
        return format_html("{}", "It does not fire again before its end.")
    told = relative(job.next_fire_at, now), local_text(job.next_fire_at)
    if is_overdue(job, now):
        return format_html("It was due {} ({}): no scheduler is running, or it is behind.", *told)
    return format_html("Fires {} ({}).", *told)


def is_overdue(job: Job, now: datetime) -> bool:
    """Whether a job's time came a while ago and no scheduler has claimed it."""
    return job.is_active and job.next_fire_at is not None and job.next_fire_at < now - OVERDUE_AFTER


def next_run(job: Job, now: datetime) -> SafeString | None:
    """Return when a job fires next, or since when it is due."""
    told = relative(job.next_fire_at, now)
    return format_html("due {}", told) if is_overdue(job, now) else told


def _paused(job: Job, now: datetime) -> SafeString:
    pause = pauses.current(job)
    if pause is None:
        return format_html("{}", "It does not fire until it is resumed.")
    until = f"until {local_text(pause.until)}" if pause.until else "until somebody resumes it"
    because = f" because: {pause.reason.rstrip('.')}" if pause.reason else ""
    told = format_html("By {} at {}, {}{}.", pause.by_name, local_text(pause.began_at), until, because)
    return format_html("{} {}", told, _kept_back(job, pause, now))


def _kept_back(job: Job, pause: JobPause, now: datetime) -> str:
    try:
        number = pauses.kept_back(job, pause, now=now)
    except (cron.CronError, cron.ZoneError):
        return ""
    if not number:
        return "No run was due since."
    runs = f"{number} run{'s' if number != 1 else ''}"
    match pause.on_resume:
        case OnResume.LAST:
            return f"{runs} kept back so far; the latest is run once it resumes."
        case OnResume.ALL:
            return f"{runs} kept back so far; each is run once it resumes."
    return f"{runs} skipped so far."


def _ended(job: Job, now: datetime) -> SafeString:
    return format_html("Its last day was {}. Renew it to let it fire again.", job.end_date)


def _broken(job: Job, now: datetime) -> SafeString:
    return format_html("{}", job.schedule_error)


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def in_words(expression: str) -> str:
    try:
        return in_24_hours(cron.describe(expression))
    except cron.CronError as error:
        return error.message


def in_24_hours(words: str) -> str:
    """Write the hours in a schedule's words as all other times of the console; the API's are fixed by its contract."""
    return HALF_DAY_CLOCK.sub(lambda found: f"{int(found[1]) % 12 + 12 * (found[3] == 'PM'):02}:{found[2]}", words)


def target_text(job: Job) -> str:
    if job.is_github:
        return f"{job.github_owner}/{job.github_repo}/{job.github_workflow_name}"
    return job.target_url or "no target"


def preview_schedule(expression: str, zone: str, now: datetime, *, last_day: Any = None) -> dict[str, Any]:
    """Return description, warnings and next runs of an expression, or `error` and `hint` for one that is refused.

    Nothing is named after `last_day`, a date in the zone of the scheduler.
    """
    try:
        schedule = cron.parse(expression)
        runs = list(cron.fire_times_between(schedule, zone, after=now, until=None, limit=PREVIEWED_RUNS))
    except cron.CronError as error:
        return {"error": error.message, "hint": error.hint}
    except cron.ZoneError as error:
        return {"error": str(error), "hint": None}
    kept = [run for run in runs if last_day is None or local_date(run) <= last_day]
    notes = cron.coming_clock_changes(schedule, cron.zone(zone), runs, now=now)
    warnings = [*schedule.warnings, *notes]
    if len(kept) < len(runs):
        warnings.append(f"It ends on {last_day}; it would not fire after that day.")
    local = [run.astimezone(cron.zone(zone)) for run in kept]
    return {
        "description": in_24_hours(cron.describe(schedule)),
        "warnings": warnings,
        "next_runs": [run.strftime("%a %Y-%m-%d %H:%M %Z") + _clock_change(run) for run in local],
    }


def _clock_change(run: datetime) -> str:
    """Say of a run that the clocks are changed on its day, which may move it."""
    midnight = run.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    changes = midnight.utcoffset() != (midnight + timedelta(days=1)).utcoffset()
    return " (the clocks change on this day)" if changes else ""


def edit_preview(job: Job, shown: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return what an edit of the schedule changes: the next runs as they are stored, and what becomes of those due."""
    before = preview_schedule(job.cron_expression, job.zone_name, now, last_day=job.end_date)
    if shown.get("error") or shown.get("next_runs") == before.get("next_runs"):
        return {}
    due = JobExecution.objects.open().filter(job=job, status=Status.QUEUED).count()
    waiting = "No run is due at the moment" if not due else f"{due} run{' is' if due == 1 else 's are'} due already"
    kept = "" if not due else " and will still be sent, with the request as it is saved by then"
    return {
        "before": before.get("next_runs", []),
        "due": f"The new schedule holds from the moment you save. {waiting}{kept}.",
    }


def same_minute(job: Job) -> SafeString:
    """Say how many other jobs fire in the minute of the job's next run; blank where it has none."""
    if not job.is_active or job.next_fire_at is None:
        return SafeString("")
    minute = job.next_fire_at.replace(second=0, microsecond=0)
    others = Job.objects.scheduled().filter(next_fire_at__gte=minute, next_fire_at__lt=minute + timedelta(minutes=1))
    number = others.exclude(pk=job.pk).count()
    hour = urlencode({"hour": minute.replace(minute=0).isoformat()})
    told = "no other job" if not number else f"{number} other job{'s' if number != 1 else ''}"
    shown = link(f"{reverse('admin:jobs_calendar')}?{hour}#minutes", told)
    return format_html("<p>Also at {}: {}.</p>", f"{timezone.localtime(minute):%m-%d %H:%M}", shown)


def next_runs(job: Job, now: datetime) -> SafeString:
    """Show when the stored schedule fires next; the page's script shows the same for what is being typed."""
    preview, idle = ({}, "") if job._state.adding else _stored_preview(job, now)
    told = preview.get("description") or preview.get("error") or "Type an expression to see when it fires."
    return format_html(
        '<div id="schedule-preview" data-url="{}" data-idle="{}"><div>{}</div>'
        '<div class="runs"><ol class="{}">{}</ol></div></div>',
        reverse("admin:jobs_job_preview") + ("" if job._state.adding else f"?job={job.pk}"),
        idle,
        _paragraphs(filter(None, [told, *preview.get("warnings", []), idle])),
        "idle" if idle else "",
        _items(preview.get("next_runs", [])),
    )


def upcoming(job: Job, now: datetime) -> SafeString:
    """Show when a stored job fires next."""
    preview, idle = _stored_preview(job, now)
    told = [preview.get("error"), *preview.get("warnings", []), idle]
    runs = format_html('<ol class="{}">{}</ol>', "idle" if idle else "", _items(preview.get("next_runs", [])))
    return format_html("{}{}", _paragraphs(filter(None, told)), runs)


def _stored_preview(job: Job, now: datetime) -> tuple[dict[str, Any], str]:
    """Return the preview of a stored schedule. A job that does not fire would fire then: that is said in words."""
    name = state(job)
    idle = {"Paused": "Paused: would fire", "Ended": "Ended: would fire"}.get(name, "")
    last_day = None if name == "Ended" else job.end_date
    return preview_schedule(job.cron_expression, job.zone_name, now, last_day=last_day), idle


def _items(texts: Iterable[str]) -> SafeString:
    return format_html_join("", "<li>{}</li>", ((text,) for text in texts))


def _paragraphs(texts: Iterable[str]) -> SafeString:
    return format_html_join("", "<p>{}</p>", ((text,) for text in texts))
