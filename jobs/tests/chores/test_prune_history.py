"""Old history is deleted, and counts are repaired."""

from datetime import date, timedelta

import pytest

from jobs.chores.prune_history import prune_history, recount
from jobs.history import daily_counts
from jobs.models import DailyCount, JobCount, JobExecution, Status, TriggerType
from jobs.tests.factories import NOON, make_execution, make_job

pytestmark = [pytest.mark.database, pytest.mark.django_db]

TODAY = date(2026, 1, 15)


def always():
    return True


def test_old_settled_history_is_pruned_and_open_rows_never(settings, monkeypatch):
    settings.EXECUTION_RETENTION_DAYS = 10
    monkeypatch.setattr("jobs.chores.prune_history.BATCH", 2)
    job = make_job()
    old = NOON - timedelta(days=11)
    for status in (Status.SUCCESS, Status.FAILED, Status.MISSED, Status.UNKNOWN, Status.SKIPPED):
        make_execution(job, status=status, started_at=old)
    for status in (Status.RUNNING, Status.QUEUED):
        make_execution(job, status=status, started_at=old, trigger_type=TriggerType.SCHEDULED)
    make_execution(job, started_at=NOON - timedelta(days=9))
    assert prune_history(now=NOON, may_act=always) == 5
    assert sorted(JobExecution.objects.values_list("status", flat=True)) == ["queued", "running", "success"]
    assert DailyCount.objects.count() == 2


def test_history_is_kept_for_ever_where_no_days_are_set(settings):
    settings.EXECUTION_RETENTION_DAYS = 0
    make_execution(started_at=NOON - timedelta(days=5000))
    assert prune_history(now=NOON, may_act=always) == 0


def test_a_chore_stops_between_portions_when_the_lease_is_lost(settings):
    settings.EXECUTION_RETENTION_DAYS = 1
    make_execution(started_at=NOON - timedelta(days=3))
    assert prune_history(now=NOON, may_act=lambda: False) == 0


def test_yesterday_is_recounted():
    make_execution(started_at=NOON - timedelta(days=1))
    DailyCount.objects.all().delete()
    JobCount.objects.all().delete()
    assert recount(now=NOON) == 3
    assert daily_counts.totals()[0].number == 1
