"""Runs whose sender is gone become unknown."""

from datetime import date, timedelta

import pytest
from django.db import connection

from jobs.chores import sweep as chore
from jobs.chores.sweep import SENDER_GONE
from jobs.history import daily_counts
from jobs.models import JobExecution, Status
from jobs.tests.factories import NOON, UNREADABLE, break_in_database, make_execution, make_job
from jobs.tests.scheduler.helpers import MINUTE, claim, make_due_job, only_row, record, success
from notifications.models import Notification

pytestmark = [pytest.mark.database, pytest.mark.django_db]

TODAY = date(2026, 1, 15)


def always():
    return True


def sweep(now):
    return chore.sweep(now=now, may_act=always)


def test_a_run_whose_sender_is_gone_becomes_unknown_and_alerts():
    make_due_job(timeout_seconds=10)
    claim()
    assert sweep(NOON + timedelta(seconds=45)) == 0
    assert sweep(NOON + timedelta(seconds=46)) == 1
    row = only_row()
    assert (row.status, row.reason) == ("unknown", SENDER_GONE)
    notice = Notification.objects.get()
    assert (notice.title, notice.related_execution_id) == ("Job Outcome Unknown", row.pk)
    assert daily_counts.totals()[0].status == "unknown"


def test_a_run_without_a_deadline_is_swept_after_hours():
    make_execution(status=Status.RUNNING)
    assert sweep(NOON + timedelta(hours=1)) == 0
    assert sweep(NOON + timedelta(hours=3)) == 1


def test_only_running_rows_are_swept():
    make_execution(status=Status.QUEUED, deadline_at=NOON)
    make_execution(status=Status.SUCCESS, deadline_at=NOON)
    assert sweep(NOON + timedelta(days=1)) == 0


def test_what_was_swept_is_corrected_by_its_sender():
    make_due_job()
    prepared = claim().prepared
    sweep(NOON + MINUTE)
    record(prepared, success(), at=NOON + MINUTE)
    assert only_row().status == "success"
    assert [(total.status, total.number) for total in daily_counts.totals()] == [("success", 1)]


def test_more_than_a_batch_is_swept_in_one_pass(monkeypatch):
    monkeypatch.setattr("jobs.chores.sweep.BATCH", 2)
    for _ in range(5):
        make_execution(status=Status.RUNNING, deadline_at=NOON)
    assert sweep(NOON + MINUTE) == 5


@pytest.mark.parametrize(("column", "value"), UNREADABLE)
def test_a_run_whose_job_nobody_can_read_is_swept_and_keeps_no_other_back(column, value, caplog):
    sound = [make_execution(status=Status.RUNNING, deadline_at=NOON) for _ in range(2)]
    bad = make_execution(make_job(enable_email_notifications=True), status=Status.RUNNING, deadline_at=NOON)
    break_in_database(bad.job, column, value)
    assert sweep(NOON + MINUTE) == 3
    assert JobExecution.objects.filter(status=Status.UNKNOWN, reason=SENDER_GONE).count() == 3
    assert sorted(Notification.objects.values_list("related_execution", flat=True)) == [row.pk for row in sound]
    assert [total.number for total in daily_counts.totals()] == [3]
    assert str(bad.pk) in caplog.text


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the others look at what they store")
def test_a_run_that_cannot_be_read_itself_is_left(caplog):
    sound, bad = (make_execution(status=Status.RUNNING, deadline_at=NOON) for _ in range(2))
    break_in_database(bad, "started_at", "'never'")
    assert sweep(NOON + MINUTE) == 1
    sound.refresh_from_db()
    assert sound.status == Status.UNKNOWN
    assert f"Execution {bad.pk} cannot be marked unknown" in caplog.text
