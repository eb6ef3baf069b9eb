"""How the endpoints of jobs describe themselves in OpenAPI; each constant decorates the view method of its name."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

from accounts.idempotency import KEY_REFUSALS
from cronsched.api import openapi
from cronsched.api.examples import example_of
from cronsched.api.openapi import ACCOUNT, WRITER, Answer, Body, Refusal, operation, path_id
from jobs.api import serializers
from jobs.api.listing import MAX_LIMIT, ORDERS
from jobs.api.lookup import JOB_NOT_FOUND
from jobs.definitions import error_texts, github_names, validation
from jobs.definitions.job_filter import STATES
from jobs.importing.export import FORMATS
from jobs.importing.weekdays import Weekdays
from jobs.models import ExecutionType

JOBS = "Jobs"
CRON = "Cron expressions"

JOB_ID = path_id("job_id", "job")
JOB: dict[str, Any] = {
    **example_of(serializers.JobSerializer),
    "target_url": None,
    "github_owner": "myorg",
    "github_repo": "myrepo",
    "github_workflow_name": "backup.yml",
    "metadata": {"env": "production"},
    "next_execution_at": "2026-01-17T02:00:00+09:00",
}
PAUSED_JOB = {**JOB, "is_active": False, "next_execution_at": None, "paused": example_of(serializers.PausedSerializer)}
SENT = ("name", "cron_expression", "github_owner", "github_repo", "github_workflow_name", "metadata", "category")
NEW_GITHUB_JOB = {name: JOB[name] for name in (*SENT, "pic_team", "end_date")}
NEW_WEBHOOK_JOB = {
    "name": "Ping the shop",
    "cron_expression": "*/5 * * * *",
    "target_url": "https://shop.example.com/hooks/ping",
    "pic_team": "devops",
    "end_date": "2026-12-31",
    "timezone": "Europe/Berlin",
    "webhook_method": "PUT",
    "webhook_headers": {"X-Team": "devops"},
    "secret_headers": {"Authorization": "Bearer a-token-of-the-shop"},
    "webhook_body": '{"shop": "north", "run": "{{ execution_id }}"}',
    "success_statuses": "200-299,409",
    "max_attempts": 3,
    "retry_on": "temporary",
    "pause_after_failures": 10,
}
EXECUTION = {
    **example_of(serializers.ExecutionSerializer),
    "job_id": JOB["id"],
    "trigger_type": "manual",
    "execution_type": "github_actions",
    "target": "myorg/myrepo/backup.yml",
    "response_status": 204,
    "run": {
        **example_of(serializers.GitHubRunSerializer),
        "id": 9876543210,
        "url": "https://github.com/myorg/myrepo/actions/runs/9876543210",
        "status": "in_progress",
        "tracking": "followed",
    },
}
BAD_CRON = Refusal(
    400,
    "Invalid cron expression",
    "Cron expression must have exactly 5 fields (minute hour day month day-of-week).",
)
UPLOAD = {
    **example_of(serializers.UploadAnswerSerializer),
    "message": "Bulk upload processed",
    "created_count": 10,
    "created": 10,
    "error_count": 1,
    "failed": 1,
    "summary": ['invalid cron expression "* * *": 1 row'],
    "errors": [
        {
            "row": 7,
            "job_name": "Bad job",
            "name": "Bad job",
            "error": "Invalid cron expression",
            "message": BAD_CRON.message,
            "faults": [{"field": "cron_expression", "error": BAD_CRON.error, "message": BAD_CRON.message}],
        }
    ],
    "jobs": [{"id": JOB["id"], "name": "Daily backup", "is_active": True}],
}
NO_GOOD_ROW = "No jobs were created. Fix CSV errors and try again."
REFUSED_UPLOAD = {
    **UPLOAD,
    "message": NO_GOOD_ROW,
    "created_count": 0,
    "created": 0,
    "jobs": [],
}

# What is refused alike in new and in changed jobs.
BAD_FIELDS = (
    Refusal(400, "Job name cannot be empty"),
    Refusal(400, "Invalid name", "Job name must be at most 255 characters."),
    BAD_CRON,
    Refusal(400, "Invalid target_url", error_texts.NEEDS_SCHEME),
    Refusal(400, "Invalid github_owner", "github_owner must be at most 255 characters."),
    Refusal(
        400,
        "Invalid category",
        "Unknown category. Create it in Settings → Categories first, or choose General.",
    ),
    Refusal(400, "Invalid metadata", "metadata must be a JSON object"),
    Refusal(400, "Invalid notification_emails", "notification_emails must contain valid email addresses."),
    Refusal(400, "Invalid end_date", "end_date must be today or in the future (JST)."),
    Refusal(400, "Invalid PIC team", "Unknown PIC team. Create it in Settings → PIC Teams first."),
    Refusal(400, "Invalid timeout_seconds", "timeout_seconds must be a whole number from 1 to 3600."),
    Refusal(400, "Invalid webhook_method", "webhook_method must be one of GET, POST, PUT, PATCH, DELETE, HEAD."),
    Refusal(400, "Invalid secret_headers", "secret_headers must not set Host: the service sets it itself."),
    Refusal(400, "Invalid signing_secret", "A signing secret starts with whsec_."),
    Refusal(400, "Invalid payload", '"name" must be a string.'),
)


UNREADABLE_SECRETS = Refusal(
    409,
    "Conflict",
    "The stored secrets cannot be decrypted any more. Set secret_headers and signing_secret anew.",
)


def _not_yours(act: str) -> Refusal:
    refusal = error_texts.not_yours(act)
    return Refusal(403, refusal.error, refusal.message)


def _query(name: str, text: str, **limits: int) -> OpenApiParameter:
    return OpenApiParameter(name, {"type": "integer", "minimum": 1, **limits}, description=text)


FILTER_PARAMETERS = [
    OpenApiParameter("category", str, description="Slug or name of a category."),
    OpenApiParameter("pic_team", str, description="Slug or name of a PIC team."),
    OpenApiParameter("is_active", str, description="`true` or `false`."),
    OpenApiParameter("owner", str, description="`me`, or the id of an account."),
    OpenApiParameter("target", str, enum=[*ExecutionType.values, ""], description="What the job calls."),
    OpenApiParameter("repo", str, description="`owner/repository`, or the name of a repository."),
    OpenApiParameter("ends_before", str, description="Jobs whose end date is before this one, YYYY-MM-DD."),
    OpenApiParameter(
        "state",
        str,
        enum=[*STATES, ""],
        description="`paused`: switched off before its end date; `unschedulable`: its fire times cannot be computed.",
    ),
]
BAD_FILTERS = [
    Refusal(400, "Invalid category", "category must be the slug or name of a category."),
    Refusal(400, "Invalid pic_team", "pic_team must be the slug or name of a PIC team."),
    Refusal(400, "Invalid is_active", "is_active must be true or false."),
    Refusal(400, "Invalid owner", "owner must be me or the id of an account."),
    Refusal(400, "Invalid target", f"target must be one of: {', '.join(ExecutionType.values)}."),
    Refusal(400, "Invalid repo", "repo must be owner/repository or the name of a repository."),
    Refusal(400, "Invalid ends_before", "ends_before must be a date, YYYY-MM-DD."),
    Refusal(400, "Invalid state", f"state must be one of: {', '.join(STATES)}."),
]

LIST_JOBS = operation(
    "list_jobs",
    tag=JOBS,
    summary="List jobs",
    description="Every job, newest first. With `page` or `limit` one page of them. The answer has a weak `ETag`: "
    "a client that sends it back in `If-None-Match` gets 304 without a body while nothing has changed.",
    query=[
        openapi.SEARCH,
        openapi.ordering(*ORDERS),
        _query("page", "Page, from 1; without `page` and `limit` there is one page of everything."),
        _query("limit", "Jobs on a page.", maximum=MAX_LIMIT),
        *FILTER_PARAMETERS,
    ],
    answers={200: Answer(serializers.JobListSerializer, {"count": 1, "jobs": [JOB]})},
    refusals=[
        openapi.BAD_SEARCH,
        openapi.bad_ordering(*ORDERS),
        Refusal(400, "Invalid page", "page must be a whole number of at least 1."),
        Refusal(400, "Invalid limit", f"limit must be a whole number from 1 to {MAX_LIMIT}."),
        *BAD_FILTERS,
    ],
)

EXPORT_JOBS = operation(
    "export_jobs",
    tag=JOBS,
    summary="Export jobs as a file",
    description="The jobs of the list, with its filters. As CSV the file has the columns of the upload and comes back "
    "by it unchanged; as YAML it also holds addresses and headers, and secret headers by their names.",
    query=[
        OpenApiParameter("format", str, enum=[*FORMATS, ""], description="`csv` unless given."),
        openapi.SEARCH,
        openapi.ordering(*ORDERS),
        *FILTER_PARAMETERS,
    ],
    answers={
        200: Answer(
            OpenApiTypes.STR,
            "Job Name,Cron Expression,Status,...\nDaily backup,0 2 * * *,enable,...\n",
            media_type="text/csv",
        )
    },
    refusals=[
        Refusal(400, "Invalid format", f"format must be one of: {', '.join(FORMATS)}."),
        openapi.BAD_SEARCH,
        openapi.bad_ordering(*ORDERS),
        *BAD_FILTERS,
    ],
)

GET_JOB = operation(
    "get_job",
    tag=JOBS,
    summary="Show a job",
    path=[JOB_ID],
    answers={200: Answer(serializers.JobAnswerSerializer, {"job": JOB})},
    refusals=[JOB_NOT_FOUND],
)

CREATE_JOB = operation(
    "create_job",
    tag=JOBS,
    summary="Create a job",
    description="A webhook (`target_url`) or a GitHub Actions workflow (owner, repository, workflow). "
    "With both, the workflow is what runs. The job belongs to the caller.",
    access=WRITER,
    body=Body(serializers.NewJobSerializer, {"Workflow": NEW_GITHUB_JOB, "Webhook": NEW_WEBHOOK_JOB}),
    answers={
        201: Answer(
            serializers.JobWrittenSerializer,
            {"message": "Job created successfully", "job": JOB},
            "Created.",
            leads_to=openapi.leads_to(
                "get_job",
                "update_job",
                "delete_job",
                "execute_job",
                "list_executions_of_job",
                "get_statistics_of_job",
                job_id="job/id",
            ),
        )
    },
    refusals=[
        *KEY_REFUSALS,
        Refusal(400, "Missing required fields", None, {"missing_fields": ["name", "end_date"]}),
        Refusal(400, "Duplicate job name", error_texts.CREATE.duplicate_name.format("Daily backup")),
        *BAD_FIELDS,
        Refusal(400, "Missing target configuration", error_texts.CREATE.no_target),
    ],
)

UPDATE_JOB = operation(
    "update_job",
    tag=JOBS,
    summary="Update a job",
    description="Only the keys sent count. Users may update their own jobs.",
    access=WRITER,
    path=[JOB_ID],
    body=Body(
        serializers.ChangedJobSerializer,
        {"Pause": {"is_active": False}, "Reschedule": {"cron_expression": "30 4 * * 1-5", "end_date": "2027-06-30"}},
    ),
    answers={200: Answer(serializers.JobWrittenSerializer, {"message": "Job updated successfully", "job": JOB})},
    refusals=[
        Refusal(412, "Precondition failed", "john changed the job at 2026-01-15 12:00:00Z: cron_expression."),
        Refusal(400, "Duplicate job name", error_texts.UPDATE.duplicate_name.format("Daily backup")),
        *BAD_FIELDS,
        Refusal(
            400,
            validation.JOB_EXPIRED,
            "Job cannot be enabled after end_date has passed. Update end_date first.",
        ),
        Refusal(400, "Missing target configuration", error_texts.UPDATE.no_target),
        _not_yours("update"),
        JOB_NOT_FOUND,
    ],
)

DELETE_JOB = operation(
    "delete_job",
    tag=JOBS,
    summary="Delete a job",
    description="Its executions go with it; notices about it stay. Users may delete their own jobs.",
    access=WRITER,
    path=[JOB_ID],
    answers={
        200: Answer(
            serializers.JobDeletedSerializer,
            {"message": "Job deleted successfully", "deleted_job": {"id": JOB["id"], "name": JOB["name"]}},
        )
    },
    refusals=[_not_yours("delete"), JOB_NOT_FOUND],
)

EXECUTE_JOB = operation(
    "execute_job",
    tag=JOBS,
    summary="Run a job now",
    description="Waits for the run, up to a limit after which the execution is shown as it is then. A run that fails "
    "is an answer like any other. Inactive jobs can be run manually. What is sent holds for this run only; the body "
    "may be empty.",
    access=WRITER,
    path=[JOB_ID],
    body=Body(
        serializers.RunOverridesSerializer,
        {"As stored": {}, "Other inputs": {"metadata": {"env": "staging", "branchDetails": "develop"}}},
        required=False,
    ),
    answers={
        200: Answer(
            serializers.RunAnswerSerializer,
            {"message": "Job triggered successfully", "job_id": JOB["id"], "execution": EXECUTION},
            leads_to={
                "get_execution": {"execution_id": "execution/id"},
                "get_execution_of_job": {"job_id": "job_id", "execution_id": "execution/id"},
            },
        )
    },
    refusals=[
        *KEY_REFUSALS,
        Refusal(400, validation.JOB_EXPIRED, "This job has passed its end_date and was auto-paused."),
        Refusal(400, "Invalid payload", '"metadata" must be a JSON object.'),
        Refusal(400, "Invalid payload", github_names.BAD_DISPATCH_URL),
        _not_yours("execute"),
        JOB_NOT_FOUND,
        Refusal(429, "Too many requests", "Too many runs are out at the moment. Try again."),
    ],
)

CHECK_TARGET = operation(
    "check_target",
    tag=JOBS,
    summary="Check a job's target",
    description="Finds out what would keep the job from running, without running it: whether the host of a webhook can "
    "be reached; whether workflow, branch, trigger and required inputs exist, and the token may start it. The findings "
    "stay on the job. Active jobs are also checked every night.",
    access=WRITER,
    path=[JOB_ID],
    answers={
        200: Answer(
            serializers.CheckAnswerSerializer,
            {
                "message": "Target checked",
                "job_id": JOB["id"],
                "target_check": {
                    "checked_at": "2026-01-15T12:00:00.000Z",
                    "ok": False,
                    "findings": [
                        {
                            "code": "ref_not_found",
                            "message": "There is no branch or tag develop.",
                            "conclusive": True,
                        }
                    ],
                },
            },
        )
    },
    refusals=[_not_yours("check"), JOB_NOT_FOUND, openapi.TOO_MANY],
)

RENEW_SIGNING_SECRET = operation(
    "renew_signing_secret",
    tag=JOBS,
    summary="Make a new signing secret",
    description="Calls of the job are signed by it from now on, as the Standard Webhooks specification has it. It "
    "is in this answer and never shown again.",
    access=WRITER,
    path=[JOB_ID],
    body=Body(
        serializers.NewSecretSerializer, {"Rotate": {}, "The old one leaked": {"keep_previous": False}}, required=False
    ),
    answers={
        200: Answer(
            serializers.NewSecretAnswerSerializer,
            {
                "message": "Signing secret renewed",
                "job_id": JOB["id"],
                "signing_secret": "whsec_dGhpcyBpcyBhbiBleGFtcGxlLCBub3QgYSBzZWNyZXQ=",
            },
        )
    },
    refusals=[_not_yours("update"), JOB_NOT_FOUND, UNREADABLE_SECRETS],
)

DROP_SIGNING_SECRET = operation(
    "drop_previous_signing_secret",
    tag=JOBS,
    summary="Stop signing by the previous secret",
    description="For when all receivers know the new one. Without a previous secret nothing happens.",
    access=WRITER,
    path=[JOB_ID],
    answers={
        200: Answer(
            serializers.SecretDroppedSerializer, {"message": "Previous signing secret dropped", "job_id": JOB["id"]}
        )
    },
    refusals=[_not_yours("update"), JOB_NOT_FOUND, UNREADABLE_SECRETS],
)

BULK_UPLOAD = operation(
    "bulk_upload_jobs",
    tag=JOBS,
    summary="Create jobs from a CSV file",
    description="Good rows become jobs, bad ones are reported. UTF-8, separated by commas, with a header row.",
    access=WRITER,
    body=Body(
        serializers.UploadSerializer,
        {"Upload": {"file": "jobs.csv", "default_github_owner": "myorg"}},
        media_type="multipart/form-data",
    ),
    answers={200: Answer(serializers.UploadAnswerSerializer, UPLOAD)},
    refusals=[
        Refusal(400, "Missing file", 'Upload a CSV file using form field "file".'),
        Refusal(400, "Missing file", "No file selected."),
        Refusal(400, "Invalid CSV", "CSV is empty."),
        Refusal(
            400,
            "Invalid map_team",
            "map_team must be OLD=NEW: the team in the file, and the slug or name of the team here.",
        ),
        Refusal(400, "Invalid weekdays", f"weekdays must be one of: {', '.join(Weekdays)}."),
        openapi.ADMINS_ONLY,
        Refusal(400, "Bulk upload failed", NO_GOOD_ROW, REFUSED_UPLOAD),
        Refusal(409, "Conflict", "Others are changing the same jobs all the time. Try again."),
    ],
)

TEST_RUN = operation(
    "test_run_job",
    tag=JOBS,
    summary="Try a target",
    description="Calls the target once, by POST. Nothing is stored and no notice is sent. With both kinds of target "
    "the webhook is called. A target that fails is an answer like any other.",
    access=WRITER,
    body=Body(
        serializers.TestRunSerializer,
        {"Webhook": {"target_url": "https://shop.example.com/hooks/ping", "metadata": {"dry": True}}},
    ),
    answers={
        200: Answer(
            serializers.TestRunAnswerSerializer,
            {"ok": True, "type": "webhook", "status_code": 200, "message": "Webhook test run succeeded."},
        )
    },
    refusals=[
        Refusal(400, "Invalid metadata", '"metadata" must be an object.'),
        Refusal(400, "Missing target configuration", error_texts.ROW.no_target),
        Refusal(400, "Invalid timeout_seconds", "timeout_seconds must be a number."),
        Refusal(400, "Invalid target_url", "Webhook URL must start with http:// or https://"),
        Refusal(429, "Too many requests", "Too many runs are out at the moment. Try again."),
    ],
)

VALIDATE_CRON = operation(
    "validate_cron",
    tag=CRON,
    summary="Check a cron expression",
    description="The answer is 200 for an invalid expression, too: see `valid`.",
    access=ACCOUNT,
    body=Body(serializers.ExpressionSerializer, {"Every night": {"expression": "0 2 * * *"}}),
    answers={
        200: Answer(
            serializers.CronVerdictSerializer,
            {
                "valid": True,
                "message": "Valid cron expression",
                "cron_expression": "0 2 * * *",
                "description": "At 02:00 AM every day",
                "warnings": [],
            },
        )
    },
)

PREVIEW_CRON = operation(
    "preview_cron",
    tag=CRON,
    summary="Show the next fire times",
    access=ACCOUNT,
    body=Body(serializers.PreviewSerializer, {"Two of every night": {"expression": "0 2 * * *", "count": 2}}),
    answers={
        200: Answer(
            serializers.PreviewAnswerSerializer,
            {
                "cron_expression": "0 2 * * *",
                "timezone": "Asia/Tokyo",
                "count": 2,
                "next_runs": ["2026-01-16T02:00:00+09:00", "2026-01-17T02:00:00+09:00"],
                "warnings": [],
            },
        )
    },
    refusals=[
        BAD_CRON,
        Refusal(400, "Invalid count", "count must be an integer."),
        Refusal(400, "Invalid timezone", "Unknown time zone 'Mars/Base'. Use an IANA name such as Asia/Tokyo."),
    ],
)
