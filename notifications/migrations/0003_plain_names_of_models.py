"""Give two models names that say what they are. The tables keep theirs, so the code before this one goes on."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("notifications", "0002_longer_summaries")]

    operations = [
        migrations.RenameModel("Once", "DedupKey"),
        migrations.RenameModel("Tally", "HourlyCount"),
        migrations.AlterModelOptions("DedupKey", {}),
    ]
