"""The attribute says what it holds; its column keeps the older name, which the release before still reads and writes."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0010_sends_alone")]

    operations = [
        migrations.AlterField(
            "job",
            "sealed_secrets",
            models.TextField(blank=True, db_column="sealed_secrets", editable=False, null=True),
        ),
        migrations.RenameField("job", "sealed_secrets", "encrypted_secrets"),
    ]
