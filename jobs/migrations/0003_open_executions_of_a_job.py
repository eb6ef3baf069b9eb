import django.db.models.deletion
from django.db import migrations, models


def drop_index_of_foreign_key(apps, schema_editor):
    """Drop what Django made for the key alone. Altering the field would copy the whole history on SQLite."""
    if schema_editor.connection.vendor == "mysql":
        # The database made it, and drops it by itself where another one begins with the key.
        return
    model = apps.get_model("jobs", "JobExecution")
    with schema_editor.connection.cursor() as cursor:
        constraints = schema_editor.connection.introspection.get_constraints(cursor, model._meta.db_table)
    for name, found in constraints.items():
        if found["columns"] == ["job_id"] and found["index"] and not found["unique"] and not found["foreign_key"]:
            schema_editor.remove_index(model, models.Index(fields=["job"], name=name))


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0002_one_execution_for_a_run"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="githubrun",
            index=models.Index(fields=["tracking"], name="github_runs_tracked"),
        ),
        migrations.AddIndex(
            model_name="jobexecution",
            index=models.Index(
                fields=["job", "status", "-started_at", "-id"], name="executions_of_job_by_status"
            ),
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunPython(drop_index_of_foreign_key, migrations.RunPython.noop)],
            state_operations=[
                migrations.AlterField(
                    model_name="jobexecution",
                    name="job",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="executions",
                        to="jobs.job",
                    ),
                ),
            ],
        ),
    ]
