"""Say with whom a delivery shares the way, and find the mails a job had within the hour."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("notifications", "0003_plain_names_of_models")]

    operations = [
        migrations.AddField("delivery", "share", models.UUIDField(blank=True, editable=False, null=True)),
        migrations.AddIndex(
            "delivery", models.Index(fields=["related_job", "finished_at"], name="deliveries_of_job")
        ),
    ]
