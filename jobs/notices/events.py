"""The notices about jobs: audience, title and text of each event (contract, sections 12 and 15).

Each function returns the message of one event for `notifications.services.notify`. Those that send mails or posts take
`now`, because these wait for the end of the team's quiet hours. Jobs come with `pic_team` and `category`
loaded (`select_related`), or each message costs two queries.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import partial
from typing import Any
from urllib.parse import quote
from uuid import UUID

from django.conf import settings

from accounts.models import User
from jobs import cron
from jobs.calendar import zone_label
from jobs.models import GOOD_CONCLUSIONS, Job, JobExecution, Status, TriggerType
from notifications.message import NOBODY, Alarm, Audience, Mail, Message, Recovery, SlackPost
from notifications.models import Level
from notifications.slack_markup import escape, link, mention
from taxonomy.models import PicTeam

SLACK_ERROR_LENGTH = 300
# What a mail shows of a target's answer; the whole of it is behind the link.
MAIL_OUTPUT_LENGTH = 1000
# How many jobs one mail lists.
MAIL_JOBS = 50


# --- What people did to a job ----------------------------------------------------------------------------------------


def job_created(job: Job, actor: User | None) -> Message:
    return _edited(job, actor, "job_created", "New Job Created", "created")


def job_updated(job: Job, actor: User | None) -> Message:
    return _edited(job, actor, "job_updated", "Job Updated", "updated")


def job_enabled(job: Job, actor: User | None) -> Message:
    return _edited(job, actor, "job_enabled", "Job Enabled", "enabled")


def pause_ran_out(job: Job) -> Message:
    return Message(
        "job_enabled", "Job Enabled", f'Job "{job.name}" was enabled: its pause has run out.', Level.INFO, job_id=job.pk
    )


def job_disabled(job: Job, actor: User | None) -> Message:
    text = f'Job "{job.name}" was disabled by {_name(actor)}.'
    return Message(
        "job_disabled",
        "Job Disabled",
        text,
        Level.WARNING,
        job_id=job.pk,
        mail=_disabled_mail(job, because=text),
        share=job.pic_team_id,
    )


def job_deleted(name: str, actor: User | None) -> Message:
    return Message("job_deleted", "Job Deleted", f'Job "{name}" was deleted by {_name(actor)}.', Level.WARNING)


def job_renewed(job: Job, *, by: str, old_end_date: date, reason: str) -> Message:
    text = f'Job "{job.name}" now ends on {_end_date(job)} (before: {old_end_date}). Renewed by {by}: {reason}'
    return Message("job_renewed", "Job Renewed", text, Level.INFO, job_id=job.pk)


def _edited(job: Job, actor: User | None, event: str, title: str, done: str) -> Message:
    return Message(event, title, f'Job "{job.name}" was {done} by {_name(actor)}.', Level.INFO, job_id=job.pk)


def _end_date(job: Job) -> str:
    return f"{job.end_date} {zone_label(job.end_date)}"


def _name(actor: User | None) -> str:
    return (actor and (actor.email or actor.username)) or "Unknown"


# --- Runs ------------------------------------------------------------------------------------------------------------


def run_finished(job: Job, execution: JobExecution, *, now: datetime) -> Message:
    """A run succeeded or failed. Other outcomes have functions of their own below."""
    if execution.status == Status.SUCCESS:
        return _succeeded(job, execution, now)
    return _failed(job, execution, now)


def run_succeeded(job_id: UUID, name: str, execution_id: UUID) -> Message:
    """A success that is shown in the application only: no mail is wanted, and the run before did not fail."""
    text = f'Job "{name}" completed successfully.'
    return Message("run_succeeded", "Job Completed", text, Level.SUCCESS, job_id=job_id, execution_id=execution_id)


def _succeeded(job: Job, execution: JobExecution, now: datetime) -> Message:
    return replace(
        run_succeeded(job.pk, job.name, execution.pk),
        mail=_run_mail(job, execution, "job_success", "Success") if job.notify_on_success else None,
        alarm=Alarm(
            job.pk,
            failing=False,
            tell_recovery=_own_or_category(job, "notify_on_recovery"),
            recovered=partial(_recovered, job, execution, now),
        ),
        hold_until=quiet_until(job.pic_team, now),
        share=job.pic_team_id,
    )


def run_failed(job_id: UUID, name: str, execution_id: UUID, error: str | None) -> Message:
    """A failure that is shown in the application only."""
    text = f'Job "{name}" failed: {error or ""}'
    return Message("run_failed", "Job Failed", text, Level.ERROR, job_id=job_id, execution_id=execution_id)


def _failed(job: Job, execution: JobExecution, now: datetime) -> Message:
    error = execution.error_message or ""
    return replace(
        run_failed(job.pk, job.name, execution.pk, execution.error_message),
        mail=_run_mail(job, execution, "job_failure", "Failure"),
        slack=_post(job, "x", "Job failed: ", f": {escape(error[:SLACK_ERROR_LENGTH])}", _run_facts(job, execution)),
        alarm=_failing(job),
        hold_until=quiet_until(job.pic_team, now),
        share=job.pic_team_id,
    )


def unknown(job: Job, execution: JobExecution, *, now: datetime) -> Message:
    """A run whose outcome is unknown: the sender died while the request was in flight."""
    reason = execution.reason or "it is unknown whether the request arrived"
    return Message(
        "run_unknown",
        "Job Outcome Unknown",
        f'Job "{job.name}" has an unknown outcome: {reason}',
        Level.ERROR,
        job_id=job.pk,
        execution_id=execution.pk,
        mail=_run_mail(job, execution, "job_unknown", "Outcome Unknown"),
        slack=_post(job, "grey_question", "Job outcome unknown: ", f": {escape(reason)}", _run_facts(job, execution)),
        alarm=_failing(job),
        hold_until=quiet_until(job.pic_team, now),
        share=job.pic_team_id,
    )


def missed(
    job: Job, *, first: datetime, last: datetime, count: int, reason: str, execution_id: UUID | None, now: datetime
) -> Message:
    """Fire times of one outage were not run. `execution_id` is the row of the last of them."""
    when = _local(job, first) if count == 1 else f"{_local(job, first)} to {_local(job, last)}"
    runs = "1 run" if count == 1 else f"{count} runs"
    text = f'Job "{job.name}" missed {runs} ({when}): {reason}'
    mail = None
    if _has_list(job):
        context = _job_context(job) | {"missed": {"runs": runs, "when": when, "reason": reason}}
        if execution_id:
            context["execution"] = {"url": execution_url(execution_id)}
        addresses = tuple(job.notification_emails)
        mail = Mail("job_missed", f"Job Missed: {job.name}", addresses, context, "email_on_job_failure")
    return Message(
        "run_missed",
        "Job Missed",
        text,
        Level.WARNING,
        job_id=job.pk,
        execution_id=execution_id,
        mail=mail,
        slack=_post(job, "warning", f"Job missed {runs}: ", f" ({escape(when)}): {escape(reason)}"),
        hold_until=quiet_until(job.pic_team, now),
        share=job.pic_team_id,
    )


def run_concluded(
    job: Job, execution: JobExecution, *, conclusion: str, url: str, failed_step: str | None, now: datetime
) -> Message:
    """A tracked GitHub run ended. `failed_step` names job and step that failed, where that is known."""
    succeeded = conclusion in GOOD_CONCLUSIONS
    where = f" at {failed_step}" if failed_step else ""
    text = f'Job "{job.name}": the GitHub run ended with {conclusion}{where}.'
    facts = (*_run_facts(job, execution), *([("Run", link(url, "on GitHub"))] if url else []))
    outcome = {"conclusion": conclusion, "url": url, "failed_step": failed_step}
    mail = None
    if not succeeded:
        error = f"The GitHub run ended with {conclusion}{where}."
        mail = _run_mail(job, execution, "job_failure", "Failure", error=error, run=outcome)
    elif job.notify_on_success:
        mail = _run_mail(job, execution, "job_success", "Success", run=outcome)
    recovery = partial(_recovered, job, execution, now)
    return Message(
        "run_concluded",
        "GitHub Run Concluded",
        text,
        Level.SUCCESS if succeeded else Level.ERROR,
        job_id=job.pk,
        execution_id=execution.pk,
        mail=mail,
        slack=None
        if succeeded
        else _post(job, "x", "GitHub run failed: ", f": {escape(conclusion)}{escape(where)}", facts),
        alarm=Alarm(job.pk, False, tell_recovery=_own_or_category(job, "notify_on_recovery"), recovered=recovery)
        if succeeded
        else _failing(job),
        hold_until=quiet_until(job.pic_team, now),
        share=job.pic_team_id,
    )


def run_lost(job: Job, execution: JobExecution, *, reason: str, now: datetime) -> Message:
    """A GitHub run was followed and its end is unknown."""
    return Message(
        "run_lost",
        "GitHub Run Lost",
        f'Job "{job.name}": how the GitHub run ended is not known: {reason}.',
        Level.WARNING,
        job_id=job.pk,
        execution_id=execution.pk,
        slack=_post(job, "grey_question", "GitHub run lost: ", f": {escape(reason)}", _run_facts(job, execution)),
        hold_until=quiet_until(job.pic_team, now),
        share=job.pic_team_id,
    )


def target_check(job: Job, *, finding: str, now: datetime) -> Message:
    """A check of the job's target found a problem before its next run. Owner and administrators see it."""
    return Message(
        "target_check",
        "Job Target Problem",
        f'Job "{job.name}": {finding}',
        Level.WARNING,
        job_id=job.pk,
        audience=_owner(job),
        and_admins=True,
        slack=_post(job, "warning", "Job target problem: ", f": {escape(finding[:SLACK_ERROR_LENGTH])}"),
        hold_until=quiet_until(job.pic_team, now),
        share=job.pic_team_id,
    )


def paused_after_failures(job: Job, *, failures: int, now: datetime) -> Message:
    """A job was paused because it failed so often in a row."""
    text = f'Job "{job.name}" failed {failures} times in a row and was paused.'
    return Message(
        "job_paused_after_failures",
        "Job paused (too many failures)",
        text,
        Level.WARNING,
        job_id=job.pk,
        audience=_owner(job),
        and_admins=True,
        mail=_disabled_mail(job, because=text),
        slack=_post(job, "warning", f"Job paused after {failures} failures: ", ""),
        hold_until=quiet_until(job.pic_team, now),
        share=job.pic_team_id,
    )


def _failing(job: Job) -> Alarm:
    return Alarm(
        job.pk,
        failing=True,
        after=_own_or_category(job, "notify_after_failures"),
        remind_hours=_own_or_category(job, "remind_every_hours"),
    )


def _own_or_category(job: Job, setting: str) -> Any:
    own = getattr(job, setting)
    return getattr(job.category, setting) if own is None else own


def _recovered(job: Job, execution: JobExecution, now: datetime, recovery: Recovery) -> Message:
    failures = "1 failure" if recovery.failures == 1 else f"{recovery.failures} failures"
    since = _local(job, recovery.failing_since)
    mail = _run_mail(job, execution, "job_recovered", "Recovered", recovery={"failures": failures, "since": since})
    return Message(
        "job_recovered",
        "Job Recovered",
        f'Job "{job.name}" succeeded again after {failures} (failing since {since}).',
        Level.SUCCESS,
        job_id=job.pk,
        execution_id=execution.pk,
        mail=mail,
        slack=_post(job, "white_check_mark", "Job recovered: ", f" after {failures} (failing since {since})"),
        hold_until=quiet_until(job.pic_team, now),
        share=job.pic_team_id,
    )


# --- End dates -------------------------------------------------------------------------------------------------------


def auto_paused(job: Job, *, now: datetime, with_team: bool = False) -> Message:
    """A job was paused because its end date has passed. The weekly task names the team."""
    text = f'Job "{job.name}" passed its end_date ({_end_date(job)}) and was auto-paused.'
    return Message(
        "job_auto_paused",
        "Job auto-paused (end date passed)",
        text + (f" PIC Team: {_slug(job)}" if with_team else ""),
        Level.WARNING,
        job_id=job.pk,
        audience=_owner(job),
        and_admins=True,
        mail=_disabled_mail(job, because=text),
        slack=_post(job, "warning", "Job auto-paused (end date passed): ", f" (end_date {_end_date(job)})"),
        hold_until=quiet_until(job.pic_team, now),
        share=job.pic_team_id,
    )


def ending_soon(job: Job, days: int, *, now: datetime) -> Message:
    """The weekly warning: `days` are left until the end date, 0 on the day itself."""
    return Message(
        "job_ending_soon",
        "Job ending soon",
        f'Job "{job.name}" ends on {_end_date(job)} ({days} day(s) left). PIC Team: {_slug(job)}',
        Level.WARNING,
        job_id=job.pk,
        audience=_owner(job),
        and_admins=True,
        slack=_post(job, "warning", f"Job ending soon ({days}d): ", f" (end_date {_end_date(job)})"),
        hold_until=quiet_until(job.pic_team, now),
        share=job.pic_team_id,
    )


def end_date_reminder(job: Job, days: int, *, due: int, to: str, renew_url: str, now: datetime) -> Message:
    """The reminder to one address, with its own signed link. `due` is the reminder's number; each is sent once."""
    when = {0: "today", 1: "in 1 day"}.get(days, f"in {days} days")
    return Message(
        "end_date_reminder",
        "Job ending soon",
        f'Job "{job.name}" ends on {_end_date(job)} ({when}).',
        Level.WARNING,
        job_id=job.pk,
        audience=NOBODY,
        mail=Mail(
            "job_ending", f"Job Ending {when}: {job.name}", (to,), _job_context(job) | {"when": when, "url": renew_url}
        ),
        hold_until=quiet_until(job.pic_team, now),
        share=job.pic_team_id,
        dedup_key=f"ending/{job.pk}/{job.end_date}/{due}/{_digest(to)}",
    )


def without_owner(team: PicTeam, jobs: Sequence[Job], *, now: datetime) -> Message:
    """The jobs of a team without an owner, for the team and the administrators. Sent once a week."""
    year, week, _ = now.isocalendar()
    number = f"{len(jobs)} job{'s' if len(jobs) != 1 else ''}"
    rows = [
        {"name": job.name, "url": job_url(job), "owner": job.created_by.username if job.created_by else ""}
        for job in jobs[:MAIL_JOBS]
    ]
    context = {"team": team.name, "number": number, "jobs": rows, "more": len(jobs) - len(rows)}
    return Message(
        "jobs_without_owner",
        "Jobs Without Owner",
        f"{number} of {team.name} without an owner who can sign in: {', '.join(job.name for job in jobs[:3])}"
        + (" and others." if len(jobs) > 3 else "."),
        Level.WARNING,
        audience=NOBODY,
        and_admins=True,
        mail=Mail("jobs_without_owner", f"{number} of {team.name} without owner", tuple(team.emails), context),
        hold_until=quiet_until(team, now),
        share=team.pk,
        dedup_key=f"ownerless/{team.pk}/{year}-{week}",
    )


def _owner(job: Job) -> Audience:
    return (job.created_by_id,) if job.created_by_id else NOBODY


def _slug(job: Job) -> str:
    return job.pic_team.slug or "-"


def _digest(address: str) -> str:
    """Return a short name of an address for keys of limited length."""
    return hashlib.blake2b(address.lower().encode(), digest_size=12).hexdigest()


# --- Quiet hours -----------------------------------------------------------------------------------------------------


def quiet_until(team: PicTeam, now: datetime) -> datetime | None:
    """Return when the team's quiet hours end, None outside them. They may span midnight."""
    start, end = team.quiet_from, team.quiet_until
    if start is None or end is None or start == end:
        return None
    zone = _zone(team.quiet_timezone or settings.SCHEDULER_TIMEZONE)
    local = now.astimezone(zone)
    clock = local.time()
    if start < end:
        return _at(local.date(), end, zone) if start <= clock < end else None
    if clock >= start:
        return _at(local.date() + timedelta(days=1), end, zone)
    return _at(local.date(), end, zone) if clock < end else None


def _at(day: date, clock: time, zone: tzinfo) -> datetime:
    return datetime.combine(day, clock, tzinfo=zone).astimezone(UTC)


# --- Slack -----------------------------------------------------------------------------------------------------------


def _post(job: Job, icon: str, before: str, after: str, facts: tuple[tuple[str, str], ...] = ()) -> SlackPost:
    handle = mention(job.pic_team.slack_handle)
    text = f":{icon}: {handle + ' ' if handle else ''}{before}{link(job_url(job), job.name)}{after}"
    return SlackPost(text, handle, facts)


def _run_facts(job: Job, execution: JobExecution) -> tuple[tuple[str, str], ...]:
    fire_time = execution.scheduled_for
    return (
        ("Fire time", escape(_local(job, fire_time)) if fire_time else "manual run"),
        ("Team", escape(job.pic_team.name)),
        ("Execution", link(execution_url(execution.pk), str(execution.pk))),
    )


# --- Mail ------------------------------------------------------------------------------------------------------------


def _run_mail(
    job: Job, execution: JobExecution, kind: str, subject: str, *, error: str | None = None, **more: Any
) -> Mail | None:
    """Return the mail about a run to the job's list. `error` is what a run at GitHub failed with."""
    if not _has_list(job):
        return None
    told = _execution_context(job, execution)
    if error is not None:
        # How long its dispatch took says nothing about the run.
        told |= {"error": error, "duration": None}
    preference = "email_on_job_success" if kind == "job_success" else "email_on_job_failure"
    context = _job_context(job) | {"execution": told} | more
    return Mail(kind, f"Job {subject}: {job.name}", tuple(job.notification_emails), context, preference)


def _disabled_mail(job: Job, *, because: str) -> Mail | None:
    """Return the mail for listed accounts that asked for it; other addresses of the list do not get it."""
    if not _has_list(job):
        return None
    context = _job_context(job) | {"because": because}
    subject = f"Job Disabled: {job.name}"
    return Mail(
        "job_disabled", subject, tuple(job.notification_emails), context, "email_on_job_disabled", accounts_only=True
    )


def _has_list(job: Job) -> bool:
    return bool(job.enable_email_notifications and job.notification_emails)


def _job_context(job: Job) -> dict[str, Any]:
    return {
        "job": {
            "id": str(job.pk),
            "name": job.name,
            "schedule": job.cron_expression,
            "schedule_in_words": _in_words(job.cron_expression),
            "timezone": job.zone_name,
            "category": job.category.name,
            "team": job.pic_team.name,
            "end_date": str(job.end_date),
            "url": job_url(job),
        }
    }


def _execution_context(job: Job, execution: JobExecution) -> dict[str, Any]:
    seconds = execution.duration_seconds
    late = execution.lateness_seconds
    return {
        "id": str(execution.pk),
        "trigger": "manual" if execution.trigger_type == TriggerType.MANUAL else "scheduled",
        "fire_time": _local(job, execution.scheduled_for) if execution.scheduled_for else None,
        "started": _local(job, execution.started_at, seconds=True),
        "lateness": _span(late) if late is not None else None,
        "duration": f"{seconds:.2f}s" if seconds is not None else None,
        "attempt": execution.attempt,
        "target": execution.target,
        "response_status": execution.response_status,
        "error": execution.error_message,
        "reason": execution.reason,
        "output": (execution.output or "")[:MAIL_OUTPUT_LENGTH],
        "url": execution_url(execution.pk),
    }


def _span(seconds: float) -> str:
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes}m" if hours else f"{minutes}m {seconds}s"


def _in_words(expression: str) -> str:
    try:
        return cron.describe(expression)
    except cron.CronError:
        # Broken in the database directly; the mail must go out all the same.
        return expression


def _local(job: Job, moment: datetime, *, seconds: bool = False) -> str:
    """Write an instant in the job's own zone, with the zone's abbreviation."""
    local = moment.astimezone(_zone(job.zone_name))
    return local.strftime("%Y-%m-%d %H:%M:%S %Z" if seconds else "%Y-%m-%d %H:%M %Z")


def _zone(name: str) -> tzinfo:
    """Return the zone, UTC where it is unknown (it vanished from the zone data): a notice goes out all the same."""
    try:
        return cron.zone(name)
    except cron.ZoneError:
        return UTC


# --- Links -----------------------------------------------------------------------------------------------------------


def job_url(job: Job) -> str:
    """Return where the job is shown and changed: in the web frontend, or where there is none, in the console."""
    if settings.FRONTEND_BASE_URL:
        return f"{settings.FRONTEND_BASE_URL.rstrip('/')}/jobs/{job.pk}/edit"
    return f"{settings.PUBLIC_BASE_URL.rstrip('/')}/admin/jobs/job/{job.pk}/change/"


def execution_url(execution_id: UUID) -> str:
    """Return where the execution is shown: the console, since the web frontend has no page of one execution."""
    return f"{settings.PUBLIC_BASE_URL.rstrip('/')}/admin/jobs/jobexecution/{quote(str(execution_id))}/change/"
