"""The daily digest and the weekly report: who gets one, what it says, that it comes once, and how to leave it."""

import re
from datetime import UTC, date, datetime, timedelta

import pytest
from django.test import Client

from accounts.models import NotificationPreferences
from accounts.tests.factories import make_user
from jobs.models import GitHubRun, JobExecution, Status, Tracking
from jobs.notices import digests
from jobs.notices.digests import DAILY, WEEKLY
from jobs.tests.factories import make_execution, make_job
from notifications.channels.base import OutgoingMessage
from notifications.channels.email import render
from notifications.models import Delivery
from taxonomy.tests.factories import make_team

# Monday 09:00 in Tokyo. Yesterday there began at 15:00 UTC on Saturday; the last week ended with it.
MONDAY = datetime(2026, 3, 2, 0, 0, tzinfo=UTC)
YESTERDAY = datetime(2026, 2, 28, 15, 0, tzinfo=UTC)
LAST_WEEK = datetime(2026, 2, 22, 15, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def mail(settings):
    settings.MAIL_ENABLED, settings.EMAIL_HOST = True, "localhost"
    settings.DEFAULT_FROM_EMAIL = "cron@scheduler.example"


@pytest.fixture
def dora(db):
    dora = make_user("dora", email="dora@example.com")
    NotificationPreferences.objects.create(user=dora, daily_digest=True, weekly_report=True)
    return dora


def ran(job, status=Status.SUCCESS, *, at=YESTERDAY, times=1, **fields):
    for number in range(times):
        make_execution(job, status=status, started_at=at + timedelta(minutes=number), **fields)


def content():
    return Delivery.objects.get().payload


@pytest.mark.parametrize(
    ("kind", "first", "last", "start"),
    [
        (DAILY, date(2026, 3, 1), date(2026, 3, 1), YESTERDAY),
        (WEEKLY, date(2026, 2, 23), date(2026, 3, 1), LAST_WEEK),
    ],
)
def test_a_period_ends_at_a_midnight_of_the_schedulers_zone(kind, first, last, start):
    over = digests.period(kind, now=MONDAY)
    assert (over.first, over.last, over.start) == (first, last, start)
    assert over.end == datetime(2026, 3, 1, 15, 0, tzinfo=UTC)


def test_a_week_is_the_last_whole_one_on_every_day_of_the_next():
    weeks = {digests.period(WEEKLY, now=MONDAY + timedelta(days=day)).first for day in range(7)}
    assert weeks == {date(2026, 2, 23)}


def test_it_counts_what_ran_failed_and_was_missed(dora):
    bad, fine = make_job(name="Bad", created_by=dora), make_job(name="Fine", created_by=dora)
    ran(bad, Status.FAILED, times=2, error_message="first boom")
    ran(bad, Status.FAILED, at=YESTERDAY + timedelta(hours=5), error_message="last boom")
    ran(bad, Status.MISSED, times=4)
    ran(fine, times=5)
    ran(fine, Status.UNKNOWN)
    ran(fine, Status.FAILED, at=YESTERDAY - timedelta(minutes=1))
    ran(fine, Status.FAILED, at=YESTERDAY + timedelta(days=1))
    assert digests.send(DAILY, now=MONDAY) == 1
    assert content()["totals"] == {"ran": 9, "failed": 3, "missed": 4, "unknown": 1, "skipped": 0}
    lines = [(line["name"], line["ran"], line["failed"], line["missed"], line["error"]) for line in content()["jobs"]]
    assert lines == [("Bad", 3, 3, 4, "last boom"), ("Fine", 6, 0, 0, "")]


def test_one_row_for_many_missed_fire_times_counts_as_many(dora):
    job = make_job(created_by=dora)
    ran(job, Status.MISSED, missed_from=YESTERDAY - timedelta(hours=1), missed_count=20)
    ran(job, Status.MISSED)
    ran(job)
    digests.send(DAILY, now=MONDAY)
    assert (content()["totals"]["missed"], content()["totals"]["ran"]) == (21, 1)
    assert content()["jobs"][0]["missed"] == 21


def test_an_error_of_many_lines_takes_one(dora):
    ran(make_job(created_by=dora), Status.FAILED, error_message="  Traceback:\r\n\n  boom\n" + 300 * "x")
    digests.send(DAILY, now=MONDAY)
    error = content()["jobs"][0]["error"]
    assert error.startswith("Traceback: boom xxx")
    assert len(error) == digests.ERROR_LENGTH


def test_it_is_about_own_jobs_and_those_of_own_teams(dora):
    team = make_team(emails=["Dora@example.com"])
    for job in (
        make_job(name="own", created_by=dora),
        make_job(name="team's", pic_team=team),
        make_job(name="both", created_by=dora, pic_team=team),
        make_job(name="others'"),
    ):
        ran(job)
    digests.send(DAILY, now=MONDAY)
    assert [line["name"] for line in content()["jobs"]] == ["both", "own", "team's"]


@pytest.mark.parametrize(
    ("before", "now", "listed"), [(10.0, 15.0, True), (10.0, 14.9, False), (0.2, 0.9, False), (1.0, 2.0, True)]
)
def test_a_job_got_slower_by_half_and_by_a_second(dora, before, now, listed):
    job = make_job(name="Slow", created_by=dora)
    ran(job, times=3, duration_seconds=now)
    ran(job, times=3, duration_seconds=before, at=YESTERDAY - timedelta(days=3))
    ran(job, times=3, duration_seconds=1000.0, at=YESTERDAY - timedelta(days=5))
    digests.send(DAILY, now=MONDAY)
    assert [line["name"] for line in content()["slower"]] == (["Slow"] if listed else [])


def test_what_ends_soon_is_listed_with_the_days_left(dora):
    today = date(2026, 3, 2)
    for days in (0, 14, 15):
        make_job(name=f"in {days}", created_by=dora, end_date=today + timedelta(days=days))
    make_job(name="paused", created_by=dora, end_date=today, is_active=False)
    digests.send(DAILY, now=MONDAY)
    assert [(line["name"], line["days"]) for line in content()["ending"]] == [("in 0", 0), ("in 14", 14)]


def test_a_day_on_which_nothing_happened_is_not_mailed_but_a_week_is(dora):
    make_job(created_by=dora)
    assert (digests.send(DAILY, now=MONDAY), digests.send(WEEKLY, now=MONDAY)) == (0, 1)


def test_who_has_no_jobs_gets_nothing(dora):
    ran(make_job())
    assert (digests.send(DAILY, now=MONDAY), digests.send(WEEKLY, now=MONDAY)) == (0, 0)


@pytest.mark.parametrize("kind", [DAILY, WEEKLY])
def test_each_is_sent_once_for_a_period_and_by_preference(dora, kind):
    ran(make_job(created_by=dora))
    assert digests.send(kind, now=MONDAY) == 1
    assert digests.send(kind, now=MONDAY + timedelta(hours=5)) == 0
    assert Delivery.objects.get().recipient == "dora@example.com"
    NotificationPreferences.objects.update(**{kind.preference: False})
    assert digests.send(kind, now=MONDAY + timedelta(days=7)) == 0


def test_what_another_process_sends_meanwhile_is_not_counted(dora, monkeypatch):
    ran(make_job(created_by=dora))
    compose = digests.compose

    def compose_while_another_sends(*args, **kwargs):
        monkeypatch.setattr(digests, "compose", compose)
        assert digests.send(DAILY, now=MONDAY) == 1
        return compose(*args, **kwargs)

    monkeypatch.setattr(digests, "compose", compose_while_another_sends)
    assert digests.send(DAILY, now=MONDAY) == 0
    assert Delivery.objects.count() == 1


def test_inactive_accounts_get_none(dora):
    ran(make_job(created_by=dora))
    dora.is_active = False
    dora.save()
    assert digests.send(DAILY, now=MONDAY) == 0


def test_without_mail_no_period_is_used_up(dora, settings):
    ran(make_job(created_by=dora))
    settings.EMAIL_HOST = ""
    assert digests.send(DAILY, now=MONDAY) == 0
    settings.EMAIL_HOST = "localhost"
    assert digests.send(DAILY, now=MONDAY) == 1


@pytest.mark.parametrize("size", [1, 60])
def test_the_mail_shows_it_all_with_markup_escaped(dora, size):
    for number in range(size):
        job = make_job(name=f"<b>{number}</b>", created_by=dora, end_date=date(2026, 3, 5))
        ran(job, Status.FAILED, error_message="<script>")
    digests.send(DAILY, now=MONDAY)
    row = Delivery.objects.get()
    mail = render(OutgoingMessage(row.pk, row.kind, row.recipient, row.summary, row.payload, None))
    assert mail.subject == f"Daily digest 2026-03-01: {size} of {size} runs failed"
    html = str(mail.alternatives[0][0])
    assert "&lt;b&gt;0&lt;/b&gt;" in html
    assert "<script>" not in html
    assert "<b>0</b>" in mail.body
    assert ("and 35 more jobs" in html) == (size > digests.LINES)


def test_a_digest_can_be_left_from_the_mail_program(dora):
    ran(make_job(created_by=dora))
    digests.send(DAILY, now=MONDAY)
    row = Delivery.objects.get()
    headers = render(OutgoingMessage(row.pk, row.kind, row.recipient, row.summary, row.payload, None)).extra_headers
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    path = re.fullmatch(r"<http://localhost:5001(/links/unsubscribe/.*)>", headers["List-Unsubscribe"])[1]
    browser = Client(enforce_csrf_checks=True)
    assert "No more daily digest?" in browser.get(path).content.decode()
    dora.notification_preferences.refresh_from_db()
    assert dora.notification_preferences.daily_digest
    assert browser.post(path, {"List-Unsubscribe": "One-Click"}).status_code == 200
    dora.notification_preferences.refresh_from_db()
    assert (dora.notification_preferences.daily_digest, dora.notification_preferences.weekly_report) == (False, True)


def test_a_damaged_link_leaves_nothing(db):
    assert Client().post("/links/unsubscribe/x:y:z").status_code == 404


@pytest.mark.parametrize(
    ("tracking", "conclusion", "failed"),
    [
        (Tracking.CONCLUDED, "failure", 1),
        (Tracking.CONCLUDED, "cancelled", 1),
        (Tracking.CONCLUDED, "timed_out", 1),
        (Tracking.CONCLUDED, "success", 0),
        (Tracking.CONCLUDED, "skipped", 0),
        (Tracking.FOLLOWED, "", 0),
        (Tracking.FOLLOWED, "action_required", 0),
        (Tracking.LOST, "", 0),
    ],
)
def test_a_run_that_failed_at_github_counts_as_failed(dora, tracking, conclusion, failed):
    job = make_job(name="Deploy", created_by=dora)
    ran(job, at=YESTERDAY + timedelta(hours=1), execution_type="github_actions")
    GitHubRun.objects.create(
        execution=JobExecution.objects.get(),
        repository="acme/shop",
        tracking=tracking,
        conclusion=conclusion,
        failed_job="build" if failed else "",
        failed_step="Run tests" if failed else "",
        created_at=YESTERDAY,
    )
    ran(job, times=2)
    digests.send(DAILY, now=MONDAY)
    line = content()["jobs"][0]
    assert (line["ran"], line["failed"], line["succeeded"]) == (3, failed, 3 - failed)
    assert line["error"] == (f"The GitHub run ended with {conclusion} at build / Run tests." if failed else "")
    assert content()["totals"]["failed"] == failed


def test_the_error_of_a_digest_is_the_last_of_either_kind(dora):
    job = make_job(created_by=dora)
    ran(job, at=YESTERDAY + timedelta(hours=1), execution_type="github_actions")
    GitHubRun.objects.create(
        execution=JobExecution.objects.get(),
        repository="acme/shop",
        tracking=Tracking.CONCLUDED,
        conclusion="failure",
        created_at=YESTERDAY,
    )
    ran(job, Status.FAILED, error_message="refused", at=YESTERDAY)
    digests.send(DAILY, now=MONDAY)
    assert content()["jobs"][0]["error"] == "The GitHub run ended with failure."


def test_a_digest_that_cannot_be_made_costs_nobody_else_theirs(dora, monkeypatch, caplog):
    eve = make_user("eve", email="eve@example.com")
    NotificationPreferences.objects.create(user=eve, daily_digest=True)
    for user in (dora, eve):
        ran(make_job(created_by=user))
    compose = digests.compose

    def unless_doras(jobs, *arguments, **named):
        if jobs[0].created_by == dora:
            raise TypeError("no")
        return compose(jobs, *arguments, **named)

    monkeypatch.setattr(digests, "compose", unless_doras)
    assert digests.send(DAILY, now=MONDAY) == 1
    assert Delivery.objects.get().recipient == "eve@example.com"
    assert "The daily digest of dora could not be queued" in caplog.text
