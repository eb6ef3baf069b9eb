"""What of a failing job's story is told, and when."""

from datetime import timedelta

import pytest

from accounts.tests.factories import make_user
from jobs.models import Status
from jobs.notices import events
from jobs.tests.factories import make_execution, make_job
from notifications.models import Delivery, Incident, Notification, SlackSettings
from notifications.services import notify
from notifications.tests.conftest import NOON, use_mail_server
from taxonomy.tests.factories import make_category

OK, BAD, LOST = Status.SUCCESS, Status.FAILED, Status.UNKNOWN


@pytest.fixture(autouse=True)
def channels(db, settings):
    use_mail_server(settings, 1)
    SlackSettings.objects.create(is_enabled=True, webhook_url="https://hooks.slack.com/services/x")


def job_with(**fields):
    return make_job(name="Backup", enable_email_notifications=True, notification_emails=["ops@example.com"], **fields)


def tell(job, *outcomes, hours=1.0, start=NOON):
    """Tell of one run after another, `hours` apart; return what was queued, in order, by hour."""
    told = []
    for number, status in enumerate(outcomes):
        now = start + timedelta(hours=hours) * number
        execution = make_execution(job, status=status, started_at=now, error_message="boom", duration_seconds=1.0)
        word = events.unknown if status == LOST else events.run_finished
        notify([word(job, execution, now=now)], now=now)
        new = Delivery.objects.filter(created_at=now)
        told.append(" ".join(sorted(f"{row.channel}:{row.kind}" for row in new)))
    return told


BOTH = "email:job_failure slack:run_failed"
MAIL = "email:job_failure"


def test_by_default_each_failure_is_told_and_a_success_is_not():
    assert tell(job_with(), BAD, BAD, OK, BAD) == [BOTH, BOTH, "", BOTH]


def test_failures_are_told_from_the_nth_in_a_row_on():
    assert tell(job_with(notify_after_failures=3), BAD, BAD, OK, BAD, BAD, BAD, BAD) == [
        *["", "", "", "", ""],
        BOTH,
        BOTH,
    ]


def test_while_failing_it_is_told_again_after_so_many_hours_only():
    told = tell(job_with(remind_every_hours=3), *[BAD] * 8, OK, BAD)
    assert told == [BOTH, "", "", BOTH, "", "", BOTH, "", "", BOTH]


@pytest.mark.parametrize("earlier", [timedelta(seconds=2), timedelta(minutes=4)])
def test_a_run_that_ends_a_little_earlier_than_yesterday_is_told_again_all_the_same(earlier):
    """Otherwise a daily job with a reminder each day would be told of every other day."""
    job = job_with(remind_every_hours=24)
    assert tell(job, BAD, BAD, hours=24 - earlier / timedelta(hours=1)) == [BOTH, BOTH]


def test_a_recovery_is_told_where_asked_for():
    recovered = "email:job_recovered slack:job_recovered"
    assert tell(job_with(notify_on_recovery=True), BAD, BAD, OK, OK) == [BOTH, BOTH, recovered, ""]
    notice = Notification.objects.get(event="job_recovered")
    assert notice.message == 'Job "Backup" succeeded again after 2 failures (failing since 2026-03-02 21:00 JST).'


def test_a_recovery_from_failures_nobody_heard_of_is_not_told():
    assert tell(job_with(notify_on_recovery=True, notify_after_failures=3), BAD, BAD, OK) == ["", "", ""]


def test_slack_gets_the_first_failure_then_every_nth_then_the_recovery():
    SlackSettings.objects.update(post_every=3)
    assert tell(job_with(), BAD, BAD, BAD, BAD, BAD, OK) == [BOTH, MAIL, MAIL, BOTH, MAIL, "slack:job_recovered"]
    assert not Notification.objects.filter(event="job_recovered").exists()


def test_reminders_are_thin_enough_for_slack():
    SlackSettings.objects.update(post_every=5)
    assert tell(job_with(remind_every_hours=2), BAD, BAD, BAD) == [BOTH, "", BOTH]


def test_an_unknown_outcome_is_a_failure_of_the_incident():
    both = "email:job_unknown slack:run_unknown"
    assert tell(job_with(notify_after_failures=2), BAD, LOST) == ["", both]


def test_every_run_is_a_notice_in_the_application_whatever_is_mailed():
    tell(job_with(notify_after_failures=5), BAD, BAD, OK)
    assert sorted(Notification.objects.values_list("title", flat=True)) == ["Job Completed", "Job Failed", "Job Failed"]


def test_a_category_decides_unless_the_job_says_otherwise():
    patient = make_category(notify_after_failures=2, notify_on_recovery=True, remind_every_hours=24)
    told = tell(job_with(category=patient), BAD, BAD, BAD, OK)
    assert told == ["", BOTH, "", "email:job_recovered slack:job_recovered"]
    eager = make_job(
        category=patient,
        notify_after_failures=1,
        notify_on_recovery=False,
        remind_every_hours=0,
    )
    later = NOON + timedelta(days=1)
    assert tell(eager, BAD, BAD, OK, start=later) == ["slack:run_failed", "slack:run_failed", ""]


def test_runs_of_one_batch_are_told_in_their_order():
    job = job_with(notify_after_failures=2, notify_on_recovery=True)
    runs = [make_execution(job, status=status, error_message="boom") for status in (BAD, OK, BAD, BAD, OK, BAD)]
    notify([events.run_finished(job, run, now=NOON) for run in runs], now=NOON)
    kinds = sorted(Delivery.objects.filter(channel="email").values_list("kind", flat=True))
    assert kinds == ["job_failure", "job_recovered"]
    assert Incident.objects.get().failures == 1


def test_an_incident_goes_with_its_job():
    job = job_with()
    tell(job, BAD)
    job.delete()
    assert not Incident.objects.exists()


def test_jobs_have_incidents_of_their_own():
    one, other = job_with(notify_after_failures=2), make_job(notify_after_failures=2)
    assert tell(one, BAD) == [""]
    assert tell(other, BAD, start=NOON + timedelta(minutes=1)) == [""]
    assert tell(one, BAD, start=NOON + timedelta(minutes=2)) == [BOTH]


@pytest.mark.database
@pytest.mark.parametrize("status", [OK, BAD])
def test_a_batch_takes_as_many_statements_as_a_single_run(django_assert_max_num_queries, status):
    make_user(role="admin")
    jobs = [
        make_job(enable_email_notifications=True, notification_emails=["a@example.com", f"b{number}@example.com"])
        for number in range(40)
    ]
    runs = [make_execution(job, status=status, error_message="boom") for job in jobs]
    worded = [events.run_finished(job, run, now=NOON) for job, run in zip(jobs, runs, strict=True)]
    with django_assert_max_num_queries(15) as few:
        notify(worded[:1], now=NOON)
    with django_assert_max_num_queries(len(few)):
        notify(worded[1:], now=NOON + timedelta(minutes=1))
