"""A pause says who, why and until when; what it kept back is made up for as it says, and each time once."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from accounts.tests.factories import make_user
from audit.models import AuditEntry
from cronsched.lib.errors import DomainError, Forbidden
from jobs import services
from jobs.models import Job, JobExecution, JobPause, Status
from jobs.schedule import pauses
from jobs.schedule.pauses import Terms
from jobs.tests.factories import make_execution, make_job
from notifications.models import Notification

NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.fixture
def job(alice):
    return make_job(created_by=alice, cron_expression="*/10 * * * *", timezone="UTC")


def pause(job, by, **terms):
    return services.pause_job(job.pk, by=by, now=NOON, terms=Terms(**terms))


def queued(job):
    rows = JobExecution.objects.filter(job=job, status=Status.QUEUED).order_by("scheduled_for")
    return [row.scheduled_for for row in rows]


def test_a_pause_is_on_record_with_its_terms(job, alice):
    until, batch = NOON + timedelta(days=1), uuid4()
    acted = pause(job, alice, reason="broken target", until=until, on_resume="last", batch_id=batch)
    assert acted.changed
    assert not acted.job.is_active
    assert acted.job.next_fire_at is None
    row = pauses.current(job)
    assert (row.by, row.by_name, row.reason, row.until) == (alice, "alice", "broken target", until)
    assert (row.on_resume, row.batch_id, row.began_at, row.ended_at) == ("last", batch, NOON, None)


def test_pausing_what_is_paused_writes_nothing(job, alice):
    pause(job, alice, reason="first")
    updated_at, notices = Job.objects.get().updated_at, Notification.objects.count()
    assert not pause(job, alice, reason="second").changed
    assert Job.objects.get().updated_at == updated_at
    assert Notification.objects.count() == notices
    assert [row.reason for row in JobPause.objects.all()] == ["first"]
    assert AuditEntry.objects.count() == 1


def test_resuming_what_runs_writes_nothing(job, alice):
    assert not services.resume_job(job.pk, by=alice, now=NOON).changed
    assert not Notification.objects.exists()
    assert not AuditEntry.objects.exists()


def test_a_pause_that_would_be_over_already_is_refused(job, alice):
    with pytest.raises(DomainError, match="until must lie in the future"):
        pause(job, alice, until=NOON)
    assert Job.objects.get().is_active


def test_only_who_may_change_the_job_may_pause_it(job, bob):
    with pytest.raises(Forbidden):
        pause(job, bob)
    with pytest.raises(Forbidden):
        services.resume_job(job.pk, by=bob, now=NOON)


@pytest.mark.parametrize(("missed", "minutes"), [("skip", []), ("last", [30]), ("all", [10, 20, 30])])
def test_runs_that_were_kept_back_are_made_up_for_as_asked(job, alice, missed, minutes):
    pause(job, alice)
    services.resume_job(job.pk, by=alice, now=NOON + 35 * MINUTE, missed=missed)
    assert queued(job) == [NOON + number * MINUTE for number in minutes]
    assert Job.objects.get().next_fire_at == NOON + 40 * MINUTE
    assert JobPause.objects.get().ended_at == NOON + 35 * MINUTE


def test_the_pause_itself_says_what_is_made_up_for(job, alice):
    pause(job, alice, on_resume="last")
    services.resume_job(job.pk, by=alice, now=NOON + 35 * MINUTE)
    assert queued(job) == [NOON + 30 * MINUTE]


def test_a_fire_time_that_has_a_row_is_not_run_again(job, alice):
    pause(job, alice)
    make_execution(job, scheduled_for=NOON + 20 * MINUTE, status=Status.SUCCESS)
    services.resume_job(job.pk, by=alice, now=NOON + 35 * MINUTE, missed="all")
    assert queued(job) == [NOON + 10 * MINUTE, NOON + 30 * MINUTE]


def test_the_rule_about_overlaps_holds_for_what_is_made_up(job, alice):
    Job.objects.update(overlap="skip")
    pause(job, alice)
    services.resume_job(job.pk, by=alice, now=NOON + 35 * MINUTE, missed="all")
    assert queued(job) == [NOON + 10 * MINUTE]
    assert JobExecution.objects.filter(status=Status.SKIPPED).count() == 2


def test_what_lies_behind_the_end_date_is_not_made_up_for(job, alice):
    Job.objects.update(end_date=NOON.date())
    pause(job, alice)
    with pytest.raises(DomainError):
        services.resume_job(job.pk, by=alice, now=NOON + timedelta(days=2), missed="all")
    assert not JobExecution.objects.exists()


def test_too_many_runs_to_make_up_are_refused_and_the_job_stays_paused(job, alice):
    Job.objects.update(cron_expression="* * * * *")
    pause(job, alice)
    with pytest.raises(DomainError, match="More than 1000 runs"):
        services.resume_job(job.pk, by=alice, now=NOON + timedelta(days=1), missed="all")
    assert not Job.objects.get().is_active
    assert not JobExecution.objects.exists()


# --- By itself -------------------------------------------------------------------------------------------------------


def test_a_pause_that_has_run_out_ends_once(job, alice):
    pause(job, alice, until=NOON + 15 * MINUTE, on_resume="last")
    assert services.resume_what_has_run_out(now=NOON + 14 * MINUTE) == 0
    assert services.resume_what_has_run_out(now=NOON + 15 * MINUTE) == 1
    assert services.resume_what_has_run_out(now=NOON + 16 * MINUTE) == 0
    assert queued(job) == [NOON + 10 * MINUTE]
    assert Job.objects.get().is_active
    entry = AuditEntry.objects.first()
    assert (entry.action, entry.actor_name, entry.reason) == ("job.resumed", "scheduler", "The pause has run out.")
    assert "enabled: its pause has run out" in Notification.objects.order_by("-created_at").first().message


def test_a_job_whose_end_date_has_passed_meanwhile_stays_paused_and_is_not_asked_again(job, alice, caplog):
    Job.objects.update(end_date=NOON.date())
    pause(job, alice, until=NOON + timedelta(days=3))
    assert services.resume_what_has_run_out(now=NOON + timedelta(days=3)) == 0
    assert services.resume_what_has_run_out(now=NOON + timedelta(days=3)) == 0
    assert not Job.objects.get().is_active
    assert len([record for record in caplog.records if "stays paused" in record.message]) == 1


def test_a_leader_that_lost_its_term_resumes_nothing(job, alice):
    pause(job, alice, until=NOON + MINUTE)
    assert services.resume_what_has_run_out(now=NOON + 2 * MINUTE, may_act=lambda: False) == 0
    assert not Job.objects.get().is_active


def test_an_edit_and_the_end_date_pause_with_a_reason_as_well(job, alice):
    services.update_job(job.pk, {"is_active": False}, by=alice, now=NOON)
    assert pauses.current(job).by == alice
    services.update_job(job.pk, {"is_active": True}, by=alice, now=NOON)
    assert pauses.current(job) is None
    Job.objects.update(end_date=NOON.date() - timedelta(days=1))
    assert services.auto_pause(job.pk, now=NOON) is not None
    assert (pauses.current(job).by_name, pauses.current(job).reason) == ("scheduler", "The end date has passed.")


def test_the_name_of_who_paused_outlives_the_account(job):
    leaver = make_user("leaver", role="admin")
    pause(job, leaver)
    leaver.delete()
    assert (pauses.current(job).by, pauses.current(job).by_name) == (None, "leaver")
