"""Reminders of end dates and the renewals they lead to: by link, by API, within the category's limit, recorded."""

import re
from datetime import UTC, date, datetime, timedelta

import pytest
from django.core import signing
from django.test import Client

from accounts.models import Role
from accounts.tests.factories import api_client, make_user
from cronsched.lib.errors import DomainError, NotFound
from cronsched.tests.browser import opened_page
from jobs.definitions.validation import local_date
from jobs.end_dates import renewal
from jobs.models import Job, JobRenewal
from jobs.notices import events
from jobs.tests.factories import make_job
from notifications.models import Delivery, Notification
from taxonomy.tests.factories import make_category, make_team

MORNING = datetime(2026, 3, 2, 0, 0, tzinfo=UTC)
TODAY = date(2026, 3, 2)


@pytest.fixture
def mail(settings):
    settings.MAIL_ENABLED, settings.EMAIL_HOST = True, "localhost"
    settings.DEFAULT_FROM_EMAIL = "cron@scheduler.example"


@pytest.fixture
def owner(db):
    return make_user("owner", email="owner@example.com")


@pytest.fixture
def job(owner):
    team = make_team(name="Ops", emails=["ops@example.com", "Owner@example.com"])
    return make_job(name="Backup", created_by=owner, pic_team=team, end_date=TODAY + timedelta(days=30))


def reminded():
    return sorted(Delivery.objects.values_list("recipient", "summary"))


# --- Reminders -------------------------------------------------------------------------------------------------------


def test_owner_and_team_are_reminded_each_once(mail, job):
    assert renewal.remind(now=MORNING) == 2
    assert reminded() == [
        ("Owner@example.com", "Job Ending in 30 days: Backup"),
        ("ops@example.com", "Job Ending in 30 days: Backup"),
    ]
    assert renewal.remind(now=MORNING + timedelta(hours=1)) == 0


TOO_LONG = "a" * 250 + "@example.com"


@pytest.mark.database
def test_an_address_that_cannot_be_stored_costs_its_reminder_alone(mail, job, caplog):
    other = make_job(
        name="Other", end_date=TODAY + timedelta(days=7), pic_team=make_team(name="Long", emails=[TOO_LONG])
    )
    renewal.remind(now=MORNING)
    assert {address for address, _ in reminded()} == {"Owner@example.com", "ops@example.com"}
    assert other.name in caplog.text
    assert "recipient: 262 characters, at most 254" in caplog.text


def test_a_job_nobody_can_word_costs_its_own_reminder_alone(mail, job, caplog, monkeypatch):
    bad = make_job(name="Bad", end_date=TODAY + timedelta(days=7), pic_team=job.pic_team)
    word = events.end_date_reminder

    def unless_bad(worded, *arguments, **named):
        if worded.pk == bad.pk:
            raise TypeError("no")
        return word(worded, *arguments, **named)

    monkeypatch.setattr(events, "end_date_reminder", unless_bad)
    assert renewal.remind(now=MORNING) == 2
    assert {address for address, _ in reminded()} == {"Owner@example.com", "ops@example.com"}
    assert f"The reminder of the end of job {bad.pk} cannot be stored" in caplog.text


def test_reminders_come_at_30_14_7_and_1_days(mail, job):
    told = [30 - day for day in range(32) if renewal.remind(now=MORNING + timedelta(days=day))]
    assert told == [30, 14, 7, 1]


def test_without_mail_no_reminder_is_used_up(mail, job, settings):
    settings.MAIL_ENABLED = False
    assert renewal.remind(now=MORNING) == 0
    settings.MAIL_ENABLED = True
    assert renewal.remind(now=MORNING) == 2


def test_a_day_without_a_leader_loses_no_reminder(mail, job):
    renewal.remind(now=MORNING)
    assert renewal.remind(now=MORNING + timedelta(days=20)) == 2
    assert ("ops@example.com", "Job Ending in 10 days: Backup") in reminded()


def test_a_renewed_job_is_reminded_of_its_new_end(mail, job, owner):
    renewal.remind(now=MORNING)
    renewal.renew(job.pk, days=30, reason="Still needed", by=owner, now=MORNING)
    assert renewal.remind(now=MORNING + timedelta(days=1)) == 0
    assert renewal.remind(now=MORNING + timedelta(days=30)) == 2


@pytest.mark.parametrize(
    "fields",
    [{"is_active": False}, {"end_date": TODAY + timedelta(days=31)}, {"end_date": TODAY - timedelta(days=1)}],
)
def test_who_is_not_reminded(mail, job, fields):
    Job.objects.update(**fields)
    assert renewal.remind(now=MORNING) == 0


def test_an_owner_who_left_is_not_reminded(mail, job, owner):
    owner.is_active = False
    owner.save()
    job.pic_team.emails = []
    job.pic_team.save()
    assert renewal.remind(now=MORNING) == 0


def test_the_last_day_is_called_today(mail, job):
    Job.objects.update(end_date=TODAY)
    renewal.remind(now=MORNING)
    assert ("ops@example.com", "Job Ending today: Backup") in reminded()


@pytest.mark.database
def test_reminders_of_many_jobs_take_few_statements(mail, job, django_assert_max_num_queries):
    for _ in range(60):
        make_job(pic_team=job.pic_team, end_date=job.end_date)
    with django_assert_max_num_queries(15):
        assert renewal.remind(now=MORNING) == 62 + 60


# --- Renewing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("days", [30, 90, 180])
def test_a_renewal_moves_the_end_date_on_and_is_recorded(job, owner, days):
    renewal.renew(job.pk, days=days, reason=" Still needed ", by=owner, now=MORNING)
    job.refresh_from_db()
    assert job.end_date == TODAY + timedelta(days=30 + days)
    row = JobRenewal.objects.get()
    assert (row.old_end_date, row.new_end_date) == (TODAY + timedelta(days=30), job.end_date)
    assert (row.reason, row.renewed_by, row.renewed_by_address) == ("Still needed", owner, "")
    notice = Notification.objects.get()
    assert notice.title == "Job Renewed"
    assert notice.message.endswith("Renewed by owner@example.com: Still needed")


def test_a_job_that_has_ended_is_extended_from_today_and_stays_paused(job, owner):
    Job.objects.update(end_date=TODAY - timedelta(days=100), is_active=False)
    renewal.renew(job.pk, days=30, reason="x", by=owner, now=MORNING)
    job.refresh_from_db()
    assert (job.end_date, job.is_active, job.next_fire_at) == (TODAY + timedelta(days=30), False, None)


def test_a_category_limits_how_far(job, owner):
    job.category = make_category(name="Campaigns", max_extension_days=60)
    job.save()
    renewal.renew(job.pk, days=30, reason="x", by=owner, now=MORNING)
    with pytest.raises(DomainError) as refusal:
        renewal.renew(job.pk, days=30, reason="x", by=owner, now=MORNING)
    assert str(refusal.value) == "Jobs of the category Campaigns may be extended until 2026-05-01 at most."
    assert JobRenewal.objects.count() == 1


# --- The API ---------------------------------------------------------------------------------------------------------


def renew_call(user, job_id, body):
    return api_client(user).post(f"/api/v2/jobs/{job_id}/renew", body)


def test_the_owner_renews_by_api(owner):
    job = make_job(created_by=owner)
    answer = renew_call(owner, job.pk, {"days": 90, "reason": "Still needed"})
    assert (answer.status_code, answer.json()["message"]) == (200, "Job renewed successfully")
    shown = answer.json()["renewal"]
    assert (shown["old_end_date"], shown["new_end_date"]) == ("2099-12-31", "2100-03-31")
    assert (shown["renewed_by"], shown["renewed_by_address"]) == (str(owner.pk), None)
    assert api_client(make_user(role=Role.VIEWER)).get(f"/api/v2/jobs/{job.pk}/renewals").json() == {
        "renewals": [shown]
    }


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, "Invalid days"),
        ({"days": 31, "reason": "x"}, "Invalid days"),
        ({"days": "30", "reason": "x"}, "Invalid days"),
        ({"days": True, "reason": "x"}, "Invalid days"),
        ({"days": [30], "reason": "x"}, "Invalid days"),
        ({"days": 30}, "Invalid reason"),
        ({"days": 30, "reason": "  "}, "Invalid reason"),
        ({"days": 30, "reason": 5}, "Invalid reason"),
        ({"days": 30, "reason": "x" * 501}, "Invalid reason"),
        ([], "Invalid payload"),
    ],
)
def test_a_renewal_that_is_none_is_refused(job, owner, body, error):
    answer = renew_call(owner, job.pk, body)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_who_may_renew(job):
    body = {"days": 30, "reason": "x"}
    assert renew_call(make_user(), job.pk, body).status_code == 403
    assert renew_call(make_user(role=Role.VIEWER), job.pk, body).status_code == 403
    assert renew_call(make_user(role=Role.ADMIN), "0198f2a4-7c1e-7d3a-9b52-3f1c0a6d8e11", body).status_code == 404
    assert renew_call(make_user(role=Role.ADMIN), job.pk, body).status_code == 200


# --- The link --------------------------------------------------------------------------------------------------------


@pytest.fixture
def path(job):
    Job.objects.update(end_date=local_date(datetime.now(UTC)) + timedelta(days=7))
    job.refresh_from_db()
    url = renewal.link(job, "ops@example.com")
    assert url.startswith("http://localhost:5001/links/renew/")
    return url.removeprefix("http://localhost:5001")


def press(path, **fields):
    """Press the button as a browser does, with the page's own token."""
    browser = Client(enforce_csrf_checks=True)
    page = browser.get(path).content.decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    return browser.post(path, {"csrfmiddlewaretoken": token[1], **fields})


def test_opening_the_link_shows_the_job_and_changes_nothing(path, job):
    assert Client().head(path).status_code == 200
    Client().get(path)
    page = Client().get(path)
    assert page.status_code == 200
    assert 'Renew <span dir="auto">Backup</span>' in page.content.decode()
    assert page.headers["Cache-Control"].startswith("max-age=0, no-cache, no-store")
    assert JobRenewal.objects.count() == 0


def test_the_button_renews_and_the_mailbox_is_recorded(path, job):
    answer = press(path, days="90", reason="Still needed")
    assert "Backup</span> is renewed" in answer.content.decode()
    row = JobRenewal.objects.get()
    assert (row.renewed_by, row.renewed_by_address, row.reason) == (None, "ops@example.com", "Still needed")
    assert row.new_end_date == job.end_date + timedelta(days=90)


def test_a_link_works_once(path):
    press(path, days="30", reason="x")
    answer = Client().get(path)
    assert (answer.status_code, renewal.USED_LINK in answer.content.decode()) == (404, True)
    assert Client().post(path, {"days": "30", "reason": "x"}).status_code == 404
    assert JobRenewal.objects.count() == 1


def test_a_link_works_once_though_the_date_is_set_back(path, job):
    invitation, now = renewal.open_link(path.rpartition("/")[2]), datetime.now(UTC)
    press(path, days="30", reason="x")
    Job.objects.update(end_date=job.end_date)
    assert Client().get(path).status_code == 404
    with pytest.raises(NotFound, match="has done its work"):
        renewal.renew(job.pk, days=30, reason="x", now=now, address="ops@example.com", link_for=invitation.job.end_date)
    assert JobRenewal.objects.count() == 1
    # In the application it can be renewed as ever.
    renewal.renew(job.pk, days=30, reason="x", now=now, by=job.created_by)


def test_a_button_pressed_twice_at_once_renews_once(path, job, monkeypatch):
    """Both found the link unused before either of them acted."""
    invitation = renewal.open_link(path.rpartition("/")[2])
    monkeypatch.setattr(renewal, "open_link", lambda token: invitation)
    first, second = (Client().post(path, {"days": "90", "reason": "x"}) for _ in range(2))
    assert (first.status_code, second.status_code) == (200, 404)
    assert renewal.USED_LINK in second.content.decode()
    assert JobRenewal.objects.get().new_end_date == job.end_date + timedelta(days=90)


@pytest.mark.parametrize("fields", [{"days": "31"}, {"days": ""}, {"days": "٣٠"}, {"days": "9" * 5000}, {"reason": ""}])
def test_what_cannot_be_done_is_said_on_the_page(path, fields):
    answer = press(path, **{"days": "30", "reason": "<b>x</b>", **fields})
    assert answer.status_code == 400
    assert 'role="alert"' in answer.content.decode()
    assert "<b>" not in answer.content.decode()
    assert JobRenewal.objects.count() == 0


def test_what_the_category_forbids_cannot_be_chosen(path, job):
    job.category = make_category(max_extension_days=40)
    job.save()
    page = Client().get(path).content.decode()
    assert page.count("disabled") == 2
    assert press(path, days="90", reason="x").status_code == 400


def test_where_the_category_forbids_all_the_page_says_so_and_has_no_button(path, job):
    job.category = make_category(name="Short <b>", max_extension_days=10)
    job.save()
    page = Client().get(path).content.decode()
    latest = local_date(datetime.now(UTC)) + timedelta(days=10)
    assert f"Jobs of the category Short &lt;b&gt; may be extended until {latest} at most." in page
    assert "<form" not in page


@pytest.mark.browser
def test_the_longest_name_stays_on_the_page(path, job):
    job.name = "W" * 255
    job.save()
    html = Client().get(path).content.decode()
    with opened_page() as page:
        page.set_viewport_size({"width": 360, "height": 500})
        page.set_content(html)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("damage", [lambda path: path[:-2], lambda path: f"{path}x", lambda path: "/links/renew/x"])
def test_a_damaged_link_opens_nothing(path, damage):
    answer = Client().get(damage(path))
    assert (answer.status_code, renewal.INVALID_LINK in answer.content.decode()) == (404, True)


def test_a_link_to_a_deleted_job_says_so(path, job):
    job.delete()
    assert renewal.GONE in Client().get(path).content.decode()


def test_a_link_for_something_else_does_not_renew(job):
    token = signing.dumps([str(job.pk), str(job.end_date), "x@example.com"], salt="something else")
    assert Client().post(f"/links/renew/{token}", {"days": "30", "reason": "x"}).status_code == 404


def test_an_old_link_asks_to_use_the_application(path, time_machine):
    time_machine.move_to(datetime.now(UTC) + renewal.LINK_AGE + timedelta(days=1))
    answer = Client().get(path)
    assert (answer.status_code, renewal.EXPIRED_LINK in answer.content.decode()) == (404, True)
