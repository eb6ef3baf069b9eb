import django.db.models.deletion
from django.db import migrations, models

BATCH = 500


def encrypt_urls(apps, schema_editor):
    """Encrypt the URLs with a password that manual runs were given, as the service does when a run is made."""
    from cronsched.lib import crypto
    from jobs.definitions.url_credentials import UrlCredentials

    manual = apps.get_model("jobs", "JobExecution").objects.filter(scheduled_for=None, overrides__isnull=False)
    last = None
    while rows := list((manual if last is None else manual.filter(pk__gt=last)).order_by("pk")[:BATCH]):
        last = rows[-1].pk
        for row in rows:
            url = row.overrides.get("target_url") if isinstance(row.overrides, dict) else None
            if isinstance(url, str) and UrlCredentials.of(url) is not None:
                overrides = {**row.overrides, "target_url": f"encrypted:{crypto.encrypt(url)}"}
                manual.filter(pk=row.pk).update(overrides=overrides)


def replace_index_on_mariadb(apps, schema_editor):
    """MariaDB has no indexes with a condition and made one of all rows. It gets the trigger as first column instead."""
    if schema_editor.connection.vendor == "mysql":
        schema_editor.execute("DROP INDEX executions_manual ON job_executions")
        columns = "trigger_type, started_at DESC, id DESC"
        schema_editor.execute(f"CREATE INDEX executions_manual ON job_executions ({columns})")


class Migration(migrations.Migration):
    dependencies = [("jobs", "0007_execution_totals_and_last_pass")]

    operations = [
        migrations.CreateModel(
            name="SharedRequest",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("last_used_on", models.DateField(db_index=True)),
                ("content", models.JSONField()),
                (
                    "job",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="jobs.job"
                    ),
                ),
            ],
            options={"db_table": "job_shared_requests"},
        ),
        migrations.AddField(
            model_name="jobexecution",
            name="shared_request_id",
            field=models.UUIDField(blank=True, editable=False, null=True),
        ),
        migrations.AddIndex(
            model_name="jobexecution",
            index=models.Index(
                condition=models.Q(("scheduled_for", None)),
                fields=["-started_at", "-id"],
                name="executions_manual",
            ),
        ),
        migrations.RunPython(replace_index_on_mariadb, migrations.RunPython.noop, atomic=False),
        migrations.RunPython(encrypt_urls, migrations.RunPython.noop, elidable=True),
    ]
