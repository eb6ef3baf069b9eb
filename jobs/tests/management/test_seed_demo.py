"""The demo is whole, believable and harms nobody."""

import json
from datetime import timedelta
from io import StringIO
from urllib.parse import urlsplit

import pytest
from django.core.management import CommandError, call_command
from django.db.models import F
from django.utils import timezone

from audit.models import AuditEntry, LeaderTerm
from jobs.history import daily_counts
from jobs.management.demo import PLANS
from jobs.models import Job, JobExecution, JobPause, Status
from jobs.tests.factories import make_job

pytestmark = pytest.mark.django_db


def test_the_demo_has_all_that_a_tour_shows():
    out = StringIO()
    call_command("seed_demo", "--password", "demo-password", "--json", stdout=out)
    made = json.loads(out.getvalue())
    assert made["jobs"] == len(PLANS) == Job.objects.count()
    assert made["executions"] == JobExecution.objects.count() > 5000
    statuses = set(JobExecution.objects.values_list("status", flat=True))
    assert statuses == {Status.SUCCESS, Status.FAILED, Status.MISSED}
    paused = JobPause.objects.filter(ended_at=None)
    assert (paused.filter(batch_id=None).count(), paused.exclude(batch_id=None).count()) == (3, 7)
    # Nothing ran while it was paused, and the nightly load was when it was due last.
    assert not JobExecution.objects.filter(
        job__pauses__began_at__lte=F("scheduled_for"), job__pauses__ended_at__gte=F("scheduled_for")
    ).exists()
    assert LeaderTerm.objects.count() == 2
    actions = set(AuditEntry.objects.values_list("action", flat=True))
    assert {"user.created", "job.created", "job.updated", "job.paused", "job.resumed"} <= actions
    now = timezone.now()
    oldest = JobExecution.objects.order_by("scheduled_for").values_list("scheduled_for", flat=True)[0]
    assert timedelta(days=28) < now - oldest < timedelta(days=31)
    # Nothing that has passed falls due, and every job that runs has its next time.
    assert not Job.objects.filter(next_fire_at__lte=now - timedelta(minutes=1)).exists()
    assert Job.objects.scheduled().count() == len(PLANS) - paused.count()
    assert {urlsplit(url).hostname for url in Job.objects.values_list("target_url", flat=True)} == {"127.0.0.1"}
    assert sum(total.number for total in daily_counts.totals()) == made["executions"]


def test_a_database_with_jobs_is_left_alone():
    make_job()
    with pytest.raises(CommandError, match="Name an empty one") as caught:
        call_command("seed_demo", stdout=StringIO())
    assert caught.value.returncode == 2
    call_command("seed_demo", "--unless-filled", stdout=StringIO())
    assert Job.objects.count() == 1
