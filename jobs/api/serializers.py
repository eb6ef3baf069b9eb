"""Jobs and executions as JSON, and the schemas of requests and answers for the API description.

Jobs are written from plain rows, not from models: clients poll the whole list, and a thousand models with their
relations cost more than everything else about that answer.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import cache, partial
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import QuerySet, UUIDField
from rest_framework import serializers

from cronsched.lib.clock import utc_text
from cronsched.lib.db import batches
from cronsched.lib.db.batches import IdIn
from cronsched.lib.db.prepared import Param, PreparedQuery
from jobs import cron
from jobs.definitions import request_options
from jobs.definitions.github_names import MAX_GITHUB_LENGTH
from jobs.definitions.scheduling_options import OPTION_FIELDS, limits
from jobs.definitions.validation import MAX_NAME_LENGTH, MAX_URL_LENGTH
from jobs.executors import rules
from jobs.models import (
    CatchUp,
    GitHubRun,
    Job,
    JobExecution,
    JobPause,
    JobQuerySet,
    OnResume,
    Overlap,
    RetryOn,
    Status,
    Tracking,
    TriggerType,
)

# --- Jobs ------------------------------------------------------------------------------------------------------------

COLUMNS = (
    "id",
    "name",
    "cron_expression",
    "target_url",
    "github_owner",
    "github_repo",
    "github_workflow_name",
    "metadata",
    "enable_email_notifications",
    "notification_emails",
    "notify_on_success",
    "is_active",
    "created_at",
    "updated_at",
    *OPTION_FIELDS,
    "request_options",
    "consecutive_failures",
    "revision",
    "target_findings",
    "target_checked_at",
    "end_date",
    "created_by_id",
    "category__slug",
    "pic_team__slug",
    "last_execution_at",
)


def job_objects(jobs: JobQuerySet, *, now: datetime) -> list[dict[str, Any]]:
    """Return `jobs` in their order as the contract's job objects. One query, whatever their number."""
    return _written(batches.read(_rows(jobs)), now)


def job_object(job_id: UUID, *, now: datetime) -> dict[str, Any] | None:
    """Return the job with that id as the contract's job object, None where there is none."""
    return next(iter(_written(_ONE.all(id=job_id), now)), None)


def _rows(jobs: JobQuerySet) -> QuerySet[Job, tuple[Any, ...]]:
    return jobs.with_last_execution(last_execution_at="started_at").values_list(*COLUMNS)


_ONE = PreparedQuery(lambda: _rows(Job.objects.filter(pk=Param("id", UUIDField()))))


def _written(rows: Iterable[tuple[Any, ...]], now: datetime) -> list[dict[str, Any]]:
    # Many jobs share a schedule.
    next_execution_at = cache(partial(_next_execution_at, now=now))
    jobs = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    paused = _pauses([job["id"] for job in jobs if not job["is_active"]])
    return [_job_object(job, next_execution_at, paused.get(job["id"])) for job in jobs]


def _pauses(job_ids: Sequence[UUID]) -> dict[UUID, dict[str, Any]]:
    """Return the pauses that these jobs are in, as far as they are on record."""
    if not job_ids:
        return {}
    found = JobPause.objects.filter(IdIn("job_id", job_ids), ended_at=None).order_by("began_at", "id")
    return {pause.job_id: paused_object(pause) for pause in found}


def paused_object(pause: JobPause) -> dict[str, Any]:
    """Return a pause as the API shows it."""
    return {
        "by": pause.by_name,
        "at": utc_text(pause.began_at),
        "reason": pause.reason or None,
        "until": utc_text(pause.until),
        "on_resume": pause.on_resume,
        "batch_id": None if pause.batch_id is None else str(pause.batch_id),
    }


def _job_object(
    row: dict[str, Any], next_execution_at: Callable[[str, str], str | None], paused: dict[str, Any] | None
) -> dict[str, Any]:
    owner = row["created_by_id"]
    zone = row["timezone"] or settings.SCHEDULER_TIMEZONE
    return {
        "id": str(row["id"]),
        "name": row["name"],
        "cron_expression": row["cron_expression"],
        "target_url": row["target_url"],
        "github_owner": row["github_owner"],
        "github_repo": row["github_repo"],
        "github_workflow_name": row["github_workflow_name"],
        "metadata": row["metadata"],
        "category": row["category__slug"],
        "pic_team": row["pic_team__slug"],
        "end_date": row["end_date"].isoformat(),
        "enable_email_notifications": row["enable_email_notifications"],
        "notification_emails": row["notification_emails"],
        "notify_on_success": row["notify_on_success"],
        "created_by": None if owner is None else str(owner),
        "is_active": row["is_active"],
        "created_at": utc_text(row["created_at"]),
        "updated_at": utc_text(row["updated_at"]),
        "last_execution_at": utc_text(row["last_execution_at"]),
        "next_execution_at": next_execution_at(row["cron_expression"], zone) if row["is_active"] else None,
        **{name: row[name] for name in OPTION_FIELDS},
        **request_options.shown(row["request_options"]),
        "consecutive_failures": row["consecutive_failures"],
        "target_check": target_check(row["target_findings"], row["target_checked_at"]),
        "paused": paused,
        "revision": row["revision"],
    }


def target_check(findings: list[dict[str, Any]] | None, checked_at: datetime | None) -> dict[str, Any] | None:
    """Return what the last check of a target came to, None before the first."""
    if findings is None:
        return None
    is_ok = not any(finding["conclusive"] for finding in findings)
    return {"checked_at": utc_text(checked_at), "ok": is_ok, "findings": findings}


def _next_execution_at(expression: str, zone: str, *, now: datetime) -> str | None:
    try:
        return local_text(cron.next_fire_time(expression, zone, after=now))
    except (cron.CronError, cron.ZoneError):
        # Stored under older rules, or written into the database directly: the job's schedule error says so.
        return None


def local_text(moment: datetime | None, zone: str | None = None) -> str | None:
    """Write an instant with the offset of `zone`, the scheduler's unless given, without decimals."""
    if moment is None:
        return None
    return moment.astimezone(ZoneInfo(zone or settings.SCHEDULER_TIMEZONE)).isoformat(timespec="seconds")


def execution_object(execution: JobExecution) -> dict[str, Any]:
    """Return the contract's execution object, with the keys this service adds at the end."""
    return {
        "id": str(execution.id),
        "job_id": str(execution.job_id),
        "status": execution.status,
        "trigger_type": execution.trigger_type,
        "started_at": utc_text(execution.started_at),
        "completed_at": utc_text(execution.completed_at),
        "duration_seconds": execution.duration_seconds,
        "execution_type": execution.execution_type,
        "target": execution.target,
        "response_status": execution.response_status,
        "error_message": execution.error_message,
        "output": execution.output,
        "scheduled_for": utc_text(execution.scheduled_for),
        "queued_at": utc_text(execution.queued_at),
        "attempt": execution.attempt,
        "lateness_seconds": execution.lateness_seconds,
        "reason": execution.reason,
        "details": execution.details,
        "missed_from": utc_text(execution.missed_from),
        "missed_count": execution.missed_count,
        "planned_at": utc_text(execution.planned_at),
        "run": run_object(execution.github_run),
    }


def run_object(run: GitHubRun | None) -> dict[str, Any] | None:
    """Return the GitHub run that an execution started, as far as it is known."""
    if run is None:
        return None
    return {
        "id": run.run_id,
        "url": run.url or None,
        "status": run.status or None,
        "conclusion": run.conclusion or None,
        "attempt": run.attempt,
        "failed_job": run.failed_job or None,
        "failed_step": run.failed_step or None,
        "tracking": run.tracking,
        "checked_at": utc_text(run.checked_at),
        "concluded_at": utc_text(run.concluded_at),
    }


# --- Forms, for the description only: `jobs.definitions.validation` reads what is sent -------------------------------


# No docstring: the description would show it with every form that has none of its own.
class Form(serializers.Serializer[Any]):
    pass


def _text(limit: int | None = None, **options: Any) -> serializers.CharField:
    return serializers.CharField(max_length=limit, **options)


def _optional_text(limit: int | None = None, help_text: str = "") -> serializers.CharField:
    return _text(limit, required=False, allow_null=True, allow_blank=True, help_text=help_text)


def _number(name: str, **options: Any) -> serializers.IntegerField:
    low, high = limits(name)
    return serializers.IntegerField(min_value=low, max_value=high, help_text=_help(name), **options)


def _help(name: str) -> str:
    return str(getattr(Job._meta.get_field(name), "help_text", ""))


class OptionsForm(Form):
    """How a job is scheduled and sent, beyond its expression."""

    timezone = _optional_text(64, "IANA zone the expression is read in; null: the scheduler's.")
    misfire_grace_seconds = _number("misfire_grace_seconds", required=False, allow_null=True)
    catch_up = serializers.ChoiceField(CatchUp.choices, required=False, allow_null=True)
    overlap = serializers.ChoiceField(Overlap.choices, required=False, allow_null=True)
    timeout_seconds = _number("timeout_seconds", required=False, allow_null=True)
    max_attempts = _number("max_attempts", required=False, allow_null=True)
    backoff_seconds = _number("backoff_seconds", required=False, allow_null=True)
    spread_seconds = _number("spread_seconds", required=False, allow_null=True)
    pause_after_failures = _number("pause_after_failures", required=False, allow_null=True)
    track_run = serializers.BooleanField(required=False, allow_null=True, help_text=_help("track_run"))
    notify_after_failures = _number("notify_after_failures", required=False, allow_null=True)
    remind_every_hours = _number("remind_every_hours", required=False, allow_null=True)
    notify_on_recovery = serializers.BooleanField(
        required=False, allow_null=True, help_text=_help("notify_on_recovery")
    )
    retry_on = serializers.ChoiceField(RetryOn.choices, required=False, allow_null=True)
    retry_max_age_seconds = serializers.IntegerField(
        min_value=request_options.RETRY_MAX_AGE_LIMITS[0],
        max_value=request_options.RETRY_MAX_AGE_LIMITS[1],
        required=False,
        allow_null=True,
        help_text="How long after the first attempt another one may still begin; null: a day.",
    )
    webhook_method = serializers.ChoiceField(
        rules.METHODS,
        required=False,
        allow_null=True,
        allow_blank=True,
        help_text="Null: POST where there is something to send, else GET.",
    )
    webhook_headers = serializers.DictField(
        child=_text(), required=False, allow_null=True, help_text="Headers to send besides the service's own."
    )
    webhook_body = _optional_text(
        rules.MAX_BODY_CHARACTERS,
        "Sent instead of the metadata. May hold {{ job_id }}, {{ job_name }}, {{ execution_id }}, {{ fire_time }} and "
        "{{ attempt }}.",
    )
    success_statuses = _optional_text(None, "Statuses that mean success, such as `200-299,404`; null: any 2xx.")
    success_contains = _optional_text(
        rules.MAX_SUBSTRING_CHARACTERS, "Text that the answer must hold, too, to be a success."
    )
    secret_headers = serializers.DictField(
        child=_text(),
        required=False,
        allow_null=True,
        help_text="Headers whose values are stored encrypted and never shown. All of them are replaced; a value of "
        f"`{request_options.MASK}` keeps the one that is stored.",
    )
    signing_secret = _optional_text(
        None,
        "Secret to sign calls with by the Standard Webhooks specification (`whsec_...`); never shown. Blank: calls are "
        "not signed. `POST /jobs/{job_id}/signing-secret` makes one.",
    )


class ChangedJobSerializer(OptionsForm):
    """What may be sent about a job. Absent keys are left alone."""

    name = _text(MAX_NAME_LENGTH, required=False)
    cron_expression = _text(cron.MAX_LENGTH, required=False, help_text="Five fields, as in crontab(5).")
    end_date = serializers.DateField(required=False, help_text="The last day on which the job runs.")
    pic_team = _text(required=False, help_text="Slug or name of an enabled team.")
    pic_team_slug = _text(required=False, help_text="Other name of `pic_team`.")
    category = _optional_text(None, "Slug or name; blank: `general`.")
    target_url = _optional_text(MAX_URL_LENGTH, "http(s) address, or `owner/repo/workflow`.")
    github_owner = _optional_text(MAX_GITHUB_LENGTH)
    github_repo = _optional_text(MAX_GITHUB_LENGTH)
    github_workflow_name = _optional_text(MAX_GITHUB_LENGTH, "File name or id; the extension may be left out.")
    metadata = serializers.DictField(
        required=False, allow_null=True, help_text="Sent as JSON body to a webhook, as inputs to a workflow."
    )
    enable_email_notifications = serializers.BooleanField(required=False)
    notification_emails = serializers.ListField(child=serializers.EmailField(), required=False)
    notify_on_success = serializers.BooleanField(required=False)
    is_active = serializers.BooleanField(required=False)


class NewJobSerializer(ChangedJobSerializer):
    """A new job. It needs a team and a target besides what is marked as required."""

    name = _text(MAX_NAME_LENGTH)
    cron_expression = _text(cron.MAX_LENGTH, help_text="Five fields, as in crontab(5).")
    end_date = serializers.DateField(help_text="The last day on which the job runs, today or later.")


class FindingSerializer(Form):
    code = _text(help_text="Stable.")
    message = _text()
    conclusive = serializers.BooleanField(
        help_text="False: the check could not find out, which says nothing about the target."
    )


class TargetCheckSerializer(Form):
    checked_at = serializers.DateTimeField()
    ok = serializers.BooleanField(help_text="Whether nothing was found that would keep the job from running.")
    findings = FindingSerializer(many=True)


class PausedSerializer(Form):
    by = serializers.CharField(help_text="Name of the account, or `scheduler`.")
    at = serializers.DateTimeField()
    reason = serializers.CharField(allow_null=True)
    until = serializers.DateTimeField(allow_null=True)
    on_resume = serializers.ChoiceField(OnResume.choices)
    batch_id = serializers.UUIDField(allow_null=True)


class JobSerializer(Form):
    """A job as every answer shows it."""

    id = serializers.UUIDField()
    name = _text()
    cron_expression = _text()
    target_url = _text(allow_null=True)
    github_owner = _text(allow_null=True)
    github_repo = _text(allow_null=True)
    github_workflow_name = _text(allow_null=True)
    metadata = serializers.DictField()
    category = _text(help_text="Slug.")
    pic_team = _text(help_text="Slug.")
    end_date = serializers.DateField()
    enable_email_notifications = serializers.BooleanField()
    notification_emails = serializers.ListField(child=_text())
    notify_on_success = serializers.BooleanField()
    created_by = serializers.UUIDField(allow_null=True)
    is_active = serializers.BooleanField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    last_execution_at = serializers.DateTimeField(allow_null=True)
    next_execution_at = serializers.DateTimeField(allow_null=True, help_text="In the scheduler's zone.")
    timezone = _text(allow_null=True)
    misfire_grace_seconds = _number("misfire_grace_seconds")
    catch_up = serializers.ChoiceField(CatchUp.choices)
    overlap = serializers.ChoiceField(Overlap.choices)
    timeout_seconds = _number("timeout_seconds")
    max_attempts = _number("max_attempts")
    backoff_seconds = _number("backoff_seconds")
    spread_seconds = _number("spread_seconds")
    pause_after_failures = _number("pause_after_failures", allow_null=True)
    track_run = serializers.BooleanField(allow_null=True, help_text=_help("track_run"))
    notify_after_failures = _number("notify_after_failures", allow_null=True)
    remind_every_hours = _number("remind_every_hours", allow_null=True)
    notify_on_recovery = serializers.BooleanField(allow_null=True, help_text=_help("notify_on_recovery"))
    webhook_method = serializers.ChoiceField(rules.METHODS, allow_null=True)
    webhook_headers = serializers.DictField(child=_text())
    webhook_body = _text(allow_null=True)
    success_statuses = _text(allow_null=True)
    success_contains = _text(allow_null=True)
    retry_on = serializers.ChoiceField(RetryOn.choices)
    retry_max_age_seconds = serializers.IntegerField()
    secret_headers = serializers.DictField(
        child=_text(), help_text=f"Names only; every value is `{request_options.MASK}`."
    )
    signing_secrets = serializers.IntegerField(
        min_value=0,
        max_value=request_options.MAX_SIGNING_SECRETS,
        help_text="How many secrets sign its calls: none, one, or two while receivers change over.",
    )
    consecutive_failures = serializers.IntegerField(help_text="Runs that failed in a row, up to now.")
    target_check = TargetCheckSerializer(allow_null=True, help_text="What the last check of the target came to.")
    paused = PausedSerializer(allow_null=True, help_text="The pause the job is in; null where none is on record.")
    revision = serializers.IntegerField(help_text="Counts the changes of the definition; the entity tag of the job.")


class JobAnswerSerializer(Form):
    job = JobSerializer()


class ActedSerializer(JobAnswerSerializer):
    message = serializers.CharField()


class JobWrittenSerializer(JobAnswerSerializer):
    message = _text()
    warnings = serializers.ListField(child=_text(), help_text="Doubts about the cron expression.")


class JobListSerializer(Form):
    count = serializers.IntegerField(help_text="Jobs in this answer.")
    jobs = JobSerializer(many=True)
    total = serializers.IntegerField(required=False, help_text="Jobs on all pages; with paging only.")
    page = serializers.IntegerField(required=False)
    limit = serializers.IntegerField(required=False)
    total_pages = serializers.IntegerField(required=False)


class NamedJobSerializer(Form):
    id = serializers.UUIDField()
    name = _text()


class JobDeletedSerializer(Form):
    message = _text()
    deleted_job = NamedJobSerializer()


class GitHubRunSerializer(Form):
    """The workflow run that an execution started. `status` and `conclusion` are GitHub's words."""

    id = serializers.IntegerField(allow_null=True, help_text="Null where GitHub did not say which run it is.")
    url = _text(allow_null=True)
    status = _text(allow_null=True)
    conclusion = _text(allow_null=True, help_text="How the run ended; null before.")
    attempt = serializers.IntegerField(help_text="Grows when the run is run again.")
    failed_job = _text(allow_null=True)
    failed_step = _text(allow_null=True)
    tracking = serializers.ChoiceField(Tracking.choices, help_text="Whether the run is followed, and how that ended.")
    checked_at = serializers.DateTimeField(allow_null=True)
    concluded_at = serializers.DateTimeField(allow_null=True)


class ExecutionSerializer(Form):
    """One run, or one fire time that did not become a run."""

    id = serializers.UUIDField()
    job_id = serializers.UUIDField()
    status = serializers.ChoiceField(Status.choices)
    trigger_type = serializers.ChoiceField(TriggerType.choices)
    started_at = serializers.DateTimeField()
    completed_at = serializers.DateTimeField(allow_null=True)
    duration_seconds = serializers.FloatField(allow_null=True)
    execution_type = serializers.ChoiceField(["webhook", "github_actions"], allow_null=True)
    target = _text(allow_null=True, help_text="The URL, or `owner/repo/workflow`.")
    response_status = serializers.IntegerField(allow_null=True)
    error_message = _text(allow_null=True)
    output = _text(allow_null=True)
    scheduled_for = serializers.DateTimeField(allow_null=True, help_text="The fire time; null for manual runs.")
    queued_at = serializers.DateTimeField()
    attempt = serializers.IntegerField()
    lateness_seconds = serializers.FloatField(allow_null=True)
    reason = _text(allow_null=True, help_text="Why it did not run, or why the outcome is unknown.")
    details = serializers.DictField(help_text="Facts the target gave back, such as the id of a GitHub run.")
    missed_from = serializers.DateTimeField(
        allow_null=True, help_text="For one row that stands for many missed fire times: the first of them."
    )
    missed_count = serializers.IntegerField(allow_null=True, help_text="How many it stands for.")
    planned_at = serializers.DateTimeField(
        allow_null=True,
        help_text="When it is, or was, to be sent: later than the fire time for its spread, a retry or its turn at "
        "GitHub. Null for a manual run that left at once.",
    )
    run = GitHubRunSerializer(allow_null=True, help_text="What became of the workflow; `status` is the dispatch's.")


class RunOverridesSerializer(Form):
    """What holds for this run only. Nothing of it is stored."""

    metadata = serializers.DictField(required=False, allow_null=True, help_text="Instead of the stored metadata.")
    inputs = serializers.DictField(required=False, allow_null=True, help_text="Other name of `metadata`.")
    target_url = _optional_text(None, "For jobs with a stored URL.")
    dispatch_url = _optional_text(None, "For the others: `owner/repo/workflow` or GitHub's address of the workflow.")
    github_owner = _optional_text()
    github_repo = _optional_text()
    github_workflow_name = _optional_text()
    github_token = _optional_text(None, "Used instead of the server's own.")


class CheckAnswerSerializer(Form):
    message = _text()
    job_id = serializers.UUIDField()
    target_check = TargetCheckSerializer()


class NewSecretSerializer(Form):
    keep_previous = serializers.BooleanField(
        required=False,
        help_text="Sign by the secret before this one as well, while receivers change over. Default: true.",
    )


class NewSecretAnswerSerializer(Form):
    message = _text()
    job_id = serializers.UUIDField()
    signing_secret = _text(help_text="Shown this once.")


class SecretDroppedSerializer(Form):
    message = _text()
    job_id = serializers.UUIDField()


class RunAnswerSerializer(Form):
    message = _text()
    job_id = serializers.UUIDField()
    execution = ExecutionSerializer()


class TestRunSerializer(Form):
    """A target to try out."""

    target_url = _optional_text()
    github_owner = _optional_text()
    github_repo = _optional_text()
    github_workflow_name = _optional_text()
    metadata = serializers.DictField(required=False, allow_null=True)
    timeout_seconds = serializers.FloatField(required=False, allow_null=True, help_text="1 to 30, default 10.")


class TestRunAnswerSerializer(Form):
    ok = serializers.BooleanField()
    type = serializers.ChoiceField(["webhook", "github"])
    message = _text()
    status_code = serializers.IntegerField(required=False)
    error = _text(required=False)


class UploadSerializer(Form):
    file = serializers.FileField(help_text="CSV: UTF-8, commas, a header row.")
    default_github_owner = _optional_text(MAX_GITHUB_LENGTH, "Owner for rows that name none.")
    dry_run = _optional_text(None, "`true`: only check the rows.")
    update_existing = _optional_text(None, "`true`: rows that name an existing job change it.")
    end_date = _optional_text(None, "For rows without an end date, and for active rows whose end date is past.")
    create_teams = _optional_text(None, "`true`: teams that do not exist are created (admins).")
    map_team = _optional_text(
        None, "`OLD=NEW`, one a line: rows of the team OLD, blank for none, belong to the team NEW."
    )
    weekdays = _optional_text(
        None,
        "What numbers in the weekday field mean. `as-written`: as in crontab, 0 is Sunday. `as-fired`: as in the older "
        "service, 0 is Monday; they become names, and what cannot fire as before comes in paused with the reason.",
    )


class UploadStatsSerializer(Form):
    original_column_count = serializers.IntegerField()
    original_row_count = serializers.IntegerField()
    removed_column_count = serializers.IntegerField()
    removed_empty_row_count = serializers.IntegerField()


class FaultSerializer(Form):
    field = _text(allow_null=True)
    error = _text()
    message = _text(allow_null=True)


class UploadWarningSerializer(Form):
    """A row that went in, with what is doubtful about it."""

    row = serializers.IntegerField()
    job_name = _text()
    name = _text()
    warnings = serializers.ListField(child=_text())


class UndecodableSerializer(Form):
    """Bytes that are no UTF-8 and were replaced."""

    count = serializers.IntegerField()
    rows = serializers.ListField(child=serializers.IntegerField())


class UploadErrorSerializer(Form):
    """A row that was left out. Some errors add keys of their own."""

    row = serializers.IntegerField(help_text="Counts the header as 1 and leaves blank rows out.")
    job_name = _text(allow_null=True)
    name = _text(allow_null=True)
    error = _text()
    message = _text()
    pic_team = _text(required=False, allow_null=True)
    pic_team_slug = _text(required=False, allow_null=True)
    hint = _text(required=False)
    faults = FaultSerializer(many=True, help_text="All that is wrong with the row.")


class UploadedJobSerializer(Form):
    id = serializers.UUIDField(required=False, help_text="Not in a dry run.")
    name = _text()
    is_active = serializers.BooleanField()
    cron_expression = _text(required=False)
    end_date = serializers.DateField(required=False)
    pic_team = _text(required=False)


class UploadAnswerSerializer(Form):
    message = _text()
    dry_run = serializers.BooleanField()
    stats = UploadStatsSerializer()
    created_count = serializers.IntegerField()
    error_count = serializers.IntegerField()
    created = serializers.IntegerField()
    updated = serializers.IntegerField()
    failed = serializers.IntegerField()
    changed = serializers.IntegerField(help_text="How many of `updated` were really changed.")
    summary = serializers.ListField(child=_text(), help_text="Each fault once, with its value and number of rows.")
    ignored_columns = serializers.ListField(child=_text(), help_text="Columns that mean nothing here.")
    undecodable_bytes = UndecodableSerializer()
    created_teams = serializers.ListField(child=_text(), help_text="Slugs of the teams that were created.")
    warnings = UploadWarningSerializer(many=True)
    # DRF takes declared fields off the class, so its own `errors` stays what it is.
    errors = UploadErrorSerializer(many=True)  # type: ignore[assignment]
    jobs = UploadedJobSerializer(many=True)


class ExpressionSerializer(Form):
    """One of the two names of the expression is enough."""

    expression = _optional_text()
    cron_expression = _optional_text()


class CronVerdictSerializer(Form):
    valid = serializers.BooleanField()
    message = _text()
    cron_expression = _text(allow_blank=True)
    description = _text(required=False, allow_null=True)
    warnings = serializers.ListField(child=_text(), required=False)
    error = _text(required=False)
    hint = _text(required=False)


class PreviewSerializer(ExpressionSerializer):
    count = serializers.IntegerField(required=False, allow_null=True, help_text="At most 20, default 5.")
    timezone = _optional_text(64, "IANA zone to preview in; blank: the scheduler's.")


class PreviewAnswerSerializer(Form):
    cron_expression = _text()
    timezone = _text()
    count = serializers.IntegerField()
    next_runs = serializers.ListField(child=serializers.DateTimeField())
    warnings = serializers.ListField(
        child=_text(), help_text="Doubts about the expression, and what it does on the next nights of a clock change."
    )
