"""What has ended is paused, and what ends soon is announced."""

from datetime import date, timedelta

import pytest
from django.db import connection

from accounts.tests.factories import make_user
from jobs.end_dates.reminders import maintain_end_dates
from jobs.models import Job
from jobs.tests.factories import NOON, break_in_database, make_job
from notifications.models import Notification

pytestmark = [pytest.mark.database, pytest.mark.django_db]

TODAY = date(2026, 1, 15)


def test_the_weekly_task_pauses_what_has_ended_and_warns_of_what_will():
    ended = make_job(end_date=TODAY - timedelta(days=1))
    soon = make_job(end_date=TODAY + timedelta(days=30))
    today = make_job(end_date=TODAY)
    make_job(end_date=TODAY + timedelta(days=31))
    make_job(end_date=TODAY, is_active=False)
    report = maintain_end_dates(now=NOON)
    assert (report["paused_expired_jobs"], report["ending_soon_jobs"]) == (1, 2)
    ended.refresh_from_db()
    assert not ended.is_active
    assert Job.objects.filter(pk__in=[soon.pk, today.pk], is_active=True).count() == 2


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the others look at what they store")
def test_a_job_nobody_can_read_keeps_no_other_from_being_warned_of(caplog):
    bad, good = (make_job(end_date=TODAY, created_by=make_user()) for _ in range(2))
    break_in_database(bad, "name", "CAST(x'ff41' AS TEXT)")
    report = maintain_end_dates(now=NOON)
    assert (report["ending_soon_jobs"], report["notifications_created"]) == (2, 1)
    assert Notification.objects.values_list("related_job", flat=True).get() == good.pk
    assert f"job {bad.pk} ends soon" in caplog.text


def test_the_report_counts_the_notices_of_what_was_paused():
    owner = make_user()
    make_job(end_date=TODAY - timedelta(days=1), created_by=owner)
    make_job(end_date=TODAY, created_by=owner)
    report = maintain_end_dates(now=NOON)
    assert (report["paused_expired_jobs"], report["ending_soon_jobs"]) == (1, 1)
    assert report["notifications_created"] == Notification.objects.count() == 2
