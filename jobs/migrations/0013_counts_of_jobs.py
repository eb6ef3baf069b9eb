from itertools import islice
from uuid import UUID

from django.db import migrations, models
from django.db.models import Sum

BATCH = 1000
KEY = ("job_key", "status", "trigger_type", "execution_type")


def add_up(apps, schema_editor):
    """Add up each job's days. What an earlier release records beside this one, the next recount adds."""
    days = apps.get_model("jobs", "DailyCount").objects.exclude(job_key=UUID(int=0)).order_by()
    made = apps.get_model("jobs", "JobCount")
    sums = days.values_list(*KEY).annotate(Sum("count"), Sum("timed"), Sum("seconds")).iterator(BATCH)
    names = (*KEY, "count", "timed", "seconds")
    while portion := [made(**dict(zip(names, row, strict=True))) for row in islice(sums, BATCH)]:
        made.objects.bulk_create(portion)


class Migration(migrations.Migration):
    dependencies = [("jobs", "0012_loop_delay_of_senders")]

    operations = [
        migrations.CreateModel(
            name="JobCount",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("job_key", models.UUIDField()),
                ("status", models.CharField(max_length=10)),
                ("trigger_type", models.CharField(max_length=10)),
                ("execution_type", models.CharField(max_length=20)),
                ("count", models.BigIntegerField()),
                ("timed", models.BigIntegerField()),
                ("seconds", models.FloatField()),
            ],
            options={
                "db_table": "job_execution_counts",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("job_key", "status", "trigger_type", "execution_type"),
                        name="execution_counts_one_per_kind",
                    )
                ],
            },
        ),
        migrations.RunPython(add_up, migrations.RunPython.noop, elidable=True),
    ]
