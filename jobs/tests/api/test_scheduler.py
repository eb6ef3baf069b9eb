"""The scheduler as the web shows it (contract, section 14)."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.utils import timezone

from accounts.models import Role
from accounts.tests.factories import api_client, make_user
from jobs.models import SchedulerLease, Sender
from jobs.scheduler.leadership import read_status
from jobs.scheduler.runner import Runner
from jobs.tests.factories import make_job

pytestmark = pytest.mark.django_db

STATUS, RESYNC = "/api/v2/scheduler/status", "/api/v2/scheduler/resync"
RECONCILED_AT = datetime(2026, 1, 15, 10, 30, 0, 123456, tzinfo=UTC)


@pytest.fixture
def admin():
    return api_client(make_user(role=Role.ADMIN))


def lead(**fields):
    return SchedulerLease.objects.create(holder="host:1", renewed_at=timezone.now(), scheduled_jobs=12, **fields)


def test_status_says_what_the_leader_published(admin):
    lead(last_reconcile_at=RECONCILED_AT)
    answer = admin.get(STATUS)
    assert answer.status_code == 200
    assert answer.json() == {
        "scheduler_running": True,
        "scheduler_is_leader": True,
        "scheduled_jobs_count": 12,
        "last_resync_at": "2026-01-15T10:30:00.123Z",
    }


def test_status_without_a_scheduler(admin):
    assert admin.get(STATUS).json() == {
        "scheduler_running": False,
        "scheduler_is_leader": False,
        "scheduled_jobs_count": 0,
        "last_resync_at": None,
    }


def test_a_lease_that_ran_out_is_no_leader(admin):
    lead()
    SchedulerLease.objects.update(renewed_at=timezone.now() - timedelta(seconds=20))
    assert admin.get(STATUS).json()["scheduler_running"] is False


def test_resync_without_a_scheduler_is_a_conflict(admin):
    text = "Scheduler is not running as leader in this process."
    answer = admin.post(RESYNC)
    assert answer.status_code == 409
    assert answer.json() == {"error": "Conflict", "message": text, "detail": text}


@pytest.fixture
def leader(transactional_db) -> Iterator[None]:
    """A scheduler that leads, in a thread of this process."""
    stop = threading.Event()
    thread = threading.Thread(target=Runner(instance="leader", drain_timeout=1).run, args=(stop,))
    thread.start()
    ends_at = time.monotonic() + 30
    while not read_status(now=timezone.now()).last_reconcile_at:
        assert time.monotonic() < ends_at
        time.sleep(0.02)
    yield
    stop.set()
    thread.join()


@pytest.mark.django_db(transaction=True)
def test_resync_answers_with_a_reconcile_that_ran_after_the_call(admin, leader):
    make_job(next_fire_at=None)
    make_job(is_active=False)
    called_at = timezone.now()
    answer = admin.post(RESYNC, content_type="text/plain")
    assert answer.status_code == 200
    body = answer.json()
    assert datetime.fromisoformat(body.pop("ran_at")) >= called_at - timedelta(milliseconds=1)
    # The job and the scheduler's own chores.
    assert body.pop("scheduled_now") > 1
    assert body == {
        "message": "Scheduler resync completed",
        "db_jobs_total": 2,
        "db_jobs_active": 1,
        "scheduled_added": 1,
        "scheduled_removed": 0,
        "expired_auto_paused": 0,
        "orphaned_removed": 0,
        "invalid_cron": 0,
    }
    status = admin.get(STATUS).json()
    assert (status["scheduler_running"], status["scheduled_jobs_count"]) == (True, 1)


@pytest.mark.parametrize("role", [Role.USER, Role.VIEWER])
def test_only_admins_may_look_or_ask(role):
    client = api_client(make_user(role=role))
    for answer in (client.get(STATUS), client.post(RESYNC)):
        assert answer.status_code == 403
        assert answer.json()["message"] == "Admin access required"


def test_senders_are_listed_with_the_leader_first(admin):
    started, seen = RECONCILED_AT, RECONCILED_AT + timedelta(seconds=5)
    for number, (host, kind) in enumerate([("a", "standby"), ("b", "local"), ("b", "celery")]):
        Sender.objects.create(
            token=UUID(int=number), host=host, kind=kind, started_at=started, seen_at=seen, in_flight=number, limit=100
        )
    answer = admin.get("/api/v2/scheduler/senders")
    assert answer.status_code == 200
    assert [sender["kind"] for sender in answer.json()["senders"]] == ["local", "standby", "celery"]
    assert answer.json()["senders"][0] == {
        "id": "00000000-0000-0000-0000-000000000001",
        "host": "b",
        "kind": "local",
        "started_at": "2026-01-15T10:30:00.123Z",
        "seen_at": "2026-01-15T10:30:05.123Z",
        "in_flight": 1,
        "limit": 100,
    }
