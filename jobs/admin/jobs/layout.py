"""Where what stands in the form of a job."""

from typing import Any

from jobs.admin.jobs.forms import REQUEST_FIELDS

REQUEST = "Request"
DEFINITION: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "Definition",
        {
            "fields": (
                *("name", "pic_team", "category", "end_date"),
                *("cron_expression", "timezone", "next_runs"),
            )
        },
    ),
    (
        "Target",
        {
            "fields": (
                *("target_url", "github_owner", "github_repo", "github_workflow_name"),
                "metadata",
                "track_run",
            ),
            "description": "Either an address, or owner, repository and workflow on GitHub. With all three GitHub "
            "fields set, the workflow is dispatched and the address ignored.",
        },
    ),
    (
        REQUEST,
        {
            "classes": ("collapse",),
            "fields": (
                "webhook_method",
                ("webhook_headers", "secret_headers"),
                "webhook_body",
                ("success_statuses", "success_contains"),
                "signing",
            ),
        },
    ),
    ("Mail", {"fields": ("enable_email_notifications", "notification_emails", "notify_on_success")}),
    (
        "Alerts",
        {
            "classes": ("collapse",),
            "fields": ("notify_after_failures", "remind_every_hours", "notify_on_recovery"),
            "description": "When mail and Slack hear of a failing job. Blank: as the category says.",
        },
    ),
    (
        "When things go wrong",
        {
            "classes": ("collapse",),
            "fields": (
                *("catch_up", "overlap", "retry_on"),
                ("max_attempts", "backoff_seconds"),
                ("retry_max_age_seconds", "timeout_seconds"),
                ("misfire_grace_seconds", "spread_seconds"),
                "pause_after_failures",
            ),
        },
    ),
)


# Fields that the theme shows by pictures or as JSON to whoever only reads, and what says them in words.
IN_WORDS = {
    "track_run": "track_run_in_words",
    "notify_on_recovery": "notify_on_recovery_in_words",
    "enable_email_notifications": "enable_email_notifications_in_words",
    "notification_emails": "notification_emails_in_words",
    "notify_on_success": "notify_on_success_in_words",
}

# Later it is paused and resumed by the buttons, which ask for a reason.
NEW = (("Definition", {"fields": ("name", "is_active", *DEFINITION[0][1]["fields"][1:])}), *DEFINITION[1:])


def to_read(fieldsets: Any) -> Any:
    """Return the fieldsets without the fields that only the form has; they are shown together as they are stored."""
    shown = []
    for title, section in fieldsets:
        rows = [row if isinstance(row, tuple) else (row,) for row in section["fields"]]
        kept = [tuple(IN_WORDS.get(name, name) for name in row if name not in REQUEST_FIELDS) for row in rows]
        fields = [row for row in kept if row]
        shown.append((title, {**section, "fields": ("chosen_options", *fields) if title == REQUEST else fields}))
    return shown
