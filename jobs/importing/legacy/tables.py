"""The tables of the older service, as unmanaged models in a registry of their own: no migration, no permission.

Every column is read as the driver gives it. SQLite keeps whatever was written, so that what a cell means is decided in
`values`, where a bad one becomes a finding and not an exception.
"""

from typing import Any, ClassVar

from django.apps.registry import Apps
from django.db import models

REGISTRY = Apps()


class RawField(models.Field):  # type: ignore[type-arg]  # it takes none at run time
    """A column of any type."""

    def get_internal_type(self) -> str:
        return "TextField"


class LegacyTable(models.Model):
    """What the tables have in common. Without the `essential` columns it is another database."""

    essential: ClassVar[frozenset[str]]
    # A database without the table can be imported, too.
    is_optional: ClassVar[bool]

    id = RawField(primary_key=True)

    class Meta:
        abstract = True
        apps = REGISTRY
        app_label = "legacy"
        managed = False

    def __str__(self) -> str:
        return f"{self._meta.db_table} {self.id}"


def _table(name: str, essential: str, others: str, *, is_optional: bool = True) -> type[LegacyTable]:
    """Return the model of the table `name` with these columns, besides `id`."""
    meta = type("Meta", (LegacyTable.Meta,), {"db_table": name, "abstract": False})
    columns: dict[str, Any] = {column: RawField() for column in f"{essential} {others}".split()}
    required = frozenset({"id", *essential.split()})
    made = {"__module__": __name__, "Meta": meta, "essential": required, "is_optional": is_optional, **columns}
    return type(f"Legacy_{name}", (LegacyTable,), made)


LegacyUser = _table("users", "username email password_hash role", "is_active created_at updated_at", is_optional=False)
LegacyCategory = _table("job_categories", "slug name", "is_active created_at updated_at")
LegacyTeam = _table("pic_teams", "slug name", "slack_handle is_active created_at updated_at")
LegacyJob = _table(
    "jobs",
    "name cron_expression is_active",
    "target_url github_owner github_repo github_workflow_name metadata category end_date pic_team created_by "
    "enable_email_notifications notification_emails notify_on_success created_at updated_at",
    is_optional=False,
)
LegacyExecution = _table(
    "job_executions",
    "job_id status started_at",
    "trigger_type completed_at duration_seconds execution_type target response_status error_message output",
    is_optional=False,
)
LegacyNotification = _table(
    "notifications",
    "user_id title message created_at",
    "type related_job_id related_execution_id is_read read_at",
)
LegacySlackSettings = _table("slack_settings", "webhook_url", "is_enabled channel")
LegacyNotificationPreferences = _table(
    "user_notification_preferences",
    "user_id",
    "email_on_job_success email_on_job_failure email_on_job_disabled browser_notifications daily_digest weekly_report",
)
LegacyUiPreferences = _table("user_ui_preferences", "user_id jobs_table_columns", "")

# In the order of their references.
TABLES: tuple[type[LegacyTable], ...] = (
    LegacyUser,
    LegacyNotificationPreferences,
    LegacyUiPreferences,
    LegacyCategory,
    LegacyTeam,
    LegacySlackSettings,
    LegacyJob,
    LegacyExecution,
    LegacyNotification,
)
