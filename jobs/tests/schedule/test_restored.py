"""`manage.py mark_restored`: what an older backup knows nothing of is neither missed nor sent a second time."""

import json
from datetime import date, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from audit.models import AuditEntry
from cronsched.lib.clock import database_now
from jobs.history import daily_counts
from jobs.history.reasons import RESTORED
from jobs.management import acting
from jobs.models import LEASE_TTL, DailyCount, Job, JobExecution, SchedulerLease, Status, TriggerType
from jobs.schedule import reschedule, restored
from jobs.tests.factories import make_execution, make_job
from notifications.models import Notification

pytestmark = [pytest.mark.database, pytest.mark.django_db]


def hour(now: datetime, ago: int) -> datetime:
    return now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=ago)


def ran(*args: str) -> dict[str, object]:
    out = StringIO()
    call_command("mark_restored", "--json", *args, stdout=out)
    return dict(json.loads(out.getvalue()))


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """The time of the command, too: no hour begins in between."""
    moment = database_now()
    monkeypatch.setattr(acting, "database_now", lambda: moment)
    return moment


def test_every_fire_time_of_the_gap_gets_a_row_and_none_is_sent(now, monkeypatch):
    monkeypatch.setattr(restored, "PORTION", 2)
    hourly = make_job(cron_expression="0 * * * *", next_fire_at=hour(now, 3), catch_up="all")
    minutes = make_job(cron_expression="* * * * *", next_fire_at=hour(now, 3), timezone="Europe/Berlin")
    ended = make_job(cron_expression="0 * * * *", next_fire_at=hour(now, 72), end_date=date(2020, 1, 1))
    broken = make_job(cron_expression="nonsense", next_fire_at=hour(now, 1))
    others = [make_job(next_fire_at=hour(now, -1)), make_job(is_active=False)]
    waiting = make_execution(hourly, status=Status.QUEUED, trigger_type=TriggerType.SCHEDULED, started_at=hour(now, 4))
    marked = ran()
    rows = JobExecution.objects.filter(job=hourly, scheduled_for__isnull=False).order_by("scheduled_for")
    assert list(rows.values_list("scheduled_for", flat=True)) == [hour(now, ago) for ago in (3, 2, 1, 0)]
    many = JobExecution.objects.filter(job=minutes)
    assert sum(row.missed_count or 1 for row in many) >= 180
    settled = JobExecution.objects.all()
    assert set(settled.values_list("status", "reason")) == {(Status.SKIPPED, RESTORED)}
    assert JobExecution.objects.get(pk=waiting.pk).completed_at
    fire_times = sum(row.missed_count or 1 for row in settled.filter(scheduled_for__isnull=False))
    assert marked == {"dry_run": False, "jobs": 4, "fire_times": fire_times, "queued": 1}
    for job in (hourly, minutes):
        assert Job.objects.get(pk=job.pk).next_fire_at > now
    assert Job.objects.get(pk=broken.pk).schedule_error
    assert not JobExecution.objects.filter(job__in=[ended, *others]).exists()
    assert Job.objects.get(pk=others[0].pk).next_fire_at == hour(now, -1)
    assert not Notification.objects.exists()
    assert AuditEntry.objects.get(action="history.restored").actor_name == "mark_restored"
    assert [daily_counts.recount((now - timedelta(days=days)).date()) for days in (0, 1)] == [0, 0]
    assert ran() | {"dry_run": 0} == {"dry_run": 0, "jobs": 0, "fire_times": 0, "queued": 0}


def test_a_dry_run_only_counts(now):
    job = make_job(cron_expression="0 * * * *", next_fire_at=hour(now, 3))
    assert ran("--dry-run") == {"dry_run": True, "jobs": 1, "fire_times": 4, "queued": 0}
    assert (JobExecution.objects.count(), AuditEntry.objects.count()) == (0, 0)
    assert Job.objects.get(pk=job.pk).next_fire_at == hour(now, 3)


def test_a_fire_time_that_has_a_row_keeps_it(now):
    job = make_job(cron_expression="0 * * * *", next_fire_at=hour(now, 2))
    make_execution(job, scheduled_for=hour(now, 1), trigger_type=TriggerType.SCHEDULED)
    ran()
    rows = JobExecution.objects.order_by("scheduled_for").values_list("scheduled_for", "status")
    assert list(rows) == [
        (hour(now, 2), Status.SKIPPED),
        (hour(now, 1), Status.SUCCESS),
        (hour(now, 0), Status.SKIPPED),
    ]


def test_it_is_refused_while_a_scheduler_is_at_work(now):
    SchedulerLease.objects.update_or_create(pk=1, defaults={"holder": "host-1", "renewed_at": now})
    make_job(cron_expression="0 * * * *", next_fire_at=hour(now, 2))
    with pytest.raises(CommandError, match="stop all of them") as refused:
        ran()
    assert (refused.value.returncode, JobExecution.objects.count()) == (2, 0)
    SchedulerLease.objects.update(renewed_at=now - LEASE_TTL)
    assert ran()["jobs"] == 1


def test_why_says_that_the_database_was_restored(now):
    job = make_job(cron_expression="0 * * * *", next_fire_at=hour(now, 20), created_at=hour(now, 48))
    Job.objects.filter(pk=job.pk).update(created_at=hour(now, 48))
    ran()
    out = StringIO()
    call_command("why", job.name, "--at", hour(now, 10).isoformat(), "--json", stdout=out)
    (verdict,) = json.loads(out.getvalue())["verdicts"]
    assert (verdict["verdict"], verdict["sentence"]) == ("unknown", RESTORED)


def test_nothing_is_half_marked_where_it_fails_on_the_way(now, monkeypatch):
    monkeypatch.setattr(restored, "PORTION", 1)
    jobs = [make_job(cron_expression="0 * * * *", next_fire_at=hour(now, 3)) for _ in range(2)]
    waiting = make_execution(jobs[0], status=Status.QUEUED, trigger_type=TriggerType.SCHEDULED, started_at=hour(now, 4))
    before = list(Job.objects.order_by("pk").values()), list(DailyCount.objects.values())

    def fail(*arguments: Any, **keywords: Any) -> int:
        reschedule.give_up(*arguments, **keywords)
        raise RuntimeError("the power is cut")

    monkeypatch.setattr(restored, "give_up", fail)
    with pytest.raises(RuntimeError, match="the power is cut"):
        ran()
    assert (list(Job.objects.order_by("pk").values()), list(DailyCount.objects.values())) == before
    assert list(JobExecution.objects.values_list("pk", "status")) == [(waiting.pk, Status.QUEUED)]
    assert not AuditEntry.objects.exists()
