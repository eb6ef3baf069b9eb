from django.db import migrations

BATCH = 500


def move_credentials(apps, schema_editor):
    """Set user names and passwords of URLs apart, as the service does when a job is saved."""
    from cronsched.lib import crypto
    from jobs.definitions.request_options import Secrets
    from jobs.definitions.url_credentials import UrlCredentials, marked

    jobs = apps.get_model("jobs", "Job").objects.filter(target_url__contains="@").order_by("pk")
    last = None
    while True:
        rows = list((jobs if last is None else jobs.filter(pk__gt=last)).only("target_url", "sealed_secrets")[:BATCH])
        if not rows:
            return
        last = rows[-1].pk
        for job in rows:
            credentials = UrlCredentials.of(job.target_url)
            if credentials is None:
                continue
            try:
                secrets = Secrets.decrypted(job.sealed_secrets)
            except crypto.Undecipherable:
                # Nothing may be added to what cannot be read; saving the job anew repairs both.
                continue
            encrypted = Secrets(secrets.headers, secrets.signing, credentials).encrypted()
            jobs.filter(pk=job.pk, target_url=job.target_url, sealed_secrets=job.sealed_secrets).update(
                target_url=marked(job.target_url), sealed_secrets=encrypted
            )


class Migration(migrations.Migration):
    dependencies = [("jobs", "0005_rate_limit_buckets")]

    operations = [migrations.RunPython(move_credentials, migrations.RunPython.noop, elidable=True)]
