from django.db import migrations


class Migration(migrations.Migration):
    """Renames the model. Its table keeps its name, so that the database has nothing to do."""

    dependencies = [("jobs", "0004_pauses_and_revisions")]

    operations = [
        migrations.RenameModel(old_name="GitHubLane", new_name="RateLimitBucket"),
        migrations.AlterModelOptions(name="ratelimitbucket", options={"verbose_name": "rate limit bucket"}),
    ]
