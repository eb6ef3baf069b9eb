"""What the web knows of the scheduler, and how it asks for a reconcile."""

import time
from datetime import timedelta

import pytest
from django.utils import timezone

from jobs.models import SchedulerLease
from jobs.scheduler import leadership
from jobs.scheduler.leadership import NoScheduler, read_status, resync
from jobs.tests.factories import NOON

pytestmark = [pytest.mark.database, pytest.mark.django_db]


def lead(renewed_at=NOON, **fields):
    return SchedulerLease.objects.create(holder="host:1", renewed_at=renewed_at, leading_since=NOON, **fields)


def never(_seconds):
    raise AssertionError("waited")


def test_without_a_row_nobody_leads():
    assert read_status(now=NOON) == leadership.NOT_RUNNING


@pytest.mark.parametrize("seconds, running", [(0, True), (14.9, True), (15, False), (-14.9, True), (-16, False)])
def test_a_leader_is_alive_as_long_as_it_renewed_within_the_lease(seconds, running):
    lead(scheduled_jobs=3)
    status = read_status(now=NOON + timedelta(seconds=seconds))
    assert (status.running, status.leader, status.scheduled_jobs) == (running, "host:1", 3)


def test_a_lease_that_was_handed_over_has_no_leader():
    lead()
    SchedulerLease.objects.update(holder="")
    assert not read_status(now=NOON).running


def test_a_resync_without_a_leader_is_refused_at_once():
    lead(renewed_at=timezone.now() - timedelta(minutes=1))
    with pytest.raises(NoScheduler) as refusal:
        resync(wait=never)
    assert refusal.value.status == 409
    assert SchedulerLease.objects.get().resync_requested == 0


def test_a_resync_returns_what_a_reconcile_after_it_found():
    lead(renewed_at=timezone.now(), resync_requested=4, resync_answered=4, last_reconcile={"db_jobs_total": 1})

    def leader(_seconds):
        SchedulerLease.objects.update(resync_answered=5, last_reconcile={"db_jobs_total": 2})

    assert resync(wait=leader).last_reconcile == {"db_jobs_total": 2}


def test_a_leader_that_does_not_answer_in_time_is_none(monkeypatch):
    lead(renewed_at=timezone.now())
    monkeypatch.setattr(leadership, "RESYNC_WAIT_SECONDS", 0.05)
    with pytest.raises(NoScheduler):
        resync(wait=lambda seconds: time.sleep(seconds / 10))
    assert SchedulerLease.objects.get().resync_requested == 1
