"""Forms that come back late: what others changed meanwhile is never undone."""

from datetime import date
from typing import Any

import pytest
from django.urls import reverse

from accounts.tests.factories import api_client
from cronsched.lib.clock import database_now
from cronsched.tests.console.pages import errors_of, said, sent, shown, submit
from jobs import services
from jobs.models import Job
from jobs.tests.admin.test_jobs import page_of
from jobs.tests.factories import make_job
from notifications.models import Notification

pytestmark = pytest.mark.django_db


@pytest.fixture
def console(client, admin):
    client.force_login(admin)
    return client


@pytest.fixture
def job() -> Job:
    return make_job(cron_expression="0 0 1 * *", metadata={"a": 1}, request_options={"webhook_body": "one\ntwo\n"})


def by_another(job: Job, bob: Any, **values: Any) -> None:
    Job.objects.filter(pk=job.pk).update(created_by=bob)
    services.update_job(job.pk, values, by=bob, now=database_now())


@pytest.mark.parametrize(
    "theirs",
    [
        {"is_active": False},
        {"cron_expression": "0 5 1 * *"},
        {"name": "Theirs", "timeout_seconds": 77},
        {"webhook_body": "three", "secret_headers": {"X-Key": "hidden"}},
        {"end_date": "2098-01-01", "track_run": True, "notify_after_failures": 3},
    ],
)
def test_what_another_changed_and_the_form_did_not_stays(console, bob, job, theirs):
    form = shown(console, page_of(job))
    by_another(job, bob, **theirs)
    before: dict[str, Any] = dict(Job.objects.values().get())
    answer = console.post(page_of(job), sent(form, metadata='{"a": 2}'))
    assert answer.status_code == 302, errors_of(answer)
    after: dict[str, Any] = dict(Job.objects.values().get())
    assert after["metadata"] == {"a": 2}
    same = set(before) - {"metadata", "updated_at", "next_fire_at", "revision"}
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    # Whether it is active is no field of the form.
    assert "is_active" in theirs or any("kept as they left it" in text for text in said(answer))


def test_a_form_that_was_not_touched_changes_nothing(console, bob, job):
    form = shown(console, page_of(job))
    by_another(job, bob, is_active=False, cron_expression="0 5 1 * *")
    before, notices = Job.objects.values().get(), Notification.objects.count()
    assert console.post(page_of(job), form).status_code == 302
    assert Job.objects.values().get() == before
    assert Notification.objects.count() == notices


def test_the_same_field_is_refused_with_both_values_and_taken_when_saved_again(console, bob, job):
    form = shown(console, page_of(job))
    by_another(job, bob, cron_expression="0 5 1 * *", is_active=False)
    refused = console.post(page_of(job), sent(form, cron_expression="0 7 1 * *"))
    (text,) = errors_of(refused)["cron_expression"]
    assert "now it is “0 5 1 * *”" in text
    assert 'value="0 7 1 * *"' in refused.content.decode()
    assert Job.objects.get().cron_expression == "0 5 1 * *"
    again = {**sent(form, cron_expression="0 7 1 * *"), "_shown": refused.context["adminform"].form.snapshot}
    assert console.post(page_of(job), again).status_code == 302
    stored = Job.objects.get()
    assert (stored.cron_expression, stored.is_active) == ("0 7 1 * *", False)


@pytest.mark.parametrize("door", ["console", "API"])
def test_the_refusal_names_who_it_was(console, client, bob, job, door):
    Job.objects.update(created_by=bob)
    form = shown(console, page_of(job))
    if door == "console":
        other = type(client)()
        other.force_login(bob)
        assert submit(other, page_of(job), name="Bob's").status_code == 302
    else:
        assert api_client(bob).put(f"/api/v2/jobs/{job.pk}", {"name": "Bob's"}).status_code == 200
    (text,) = errors_of(console.post(page_of(job), sent(form, name="Mine")))["name"]
    assert text.startswith("Changed meanwhile by bob at ")


def test_both_making_the_same_change_is_no_conflict(console, bob, job):
    form = shown(console, page_of(job))
    by_another(job, bob, name="Same")
    assert console.post(page_of(job), sent(form, name="Same")).status_code == 302


@pytest.mark.parametrize("snapshot", ["", "forged", None])
def test_a_form_without_what_it_showed_is_refused(console, job, snapshot):
    form = {**shown(console, page_of(job)), "name": "Forged", "_shown": snapshot}
    refused = console.post(page_of(job), sent(form))
    assert "Load the page again" in str(refused.context["adminform"].form.non_field_errors())
    assert Job.objects.get().name == job.name


def test_a_form_of_another_row_is_refused(console, job):
    other = make_job()
    form = {**shown(console, page_of(job)), "_shown": shown(console, page_of(other))["_shown"]}
    refused = console.post(page_of(job), form)
    assert "Load the page again" in str(refused.context["adminform"].form.non_field_errors())


def test_a_deleted_job_is_told(console, job):
    form = shown(console, page_of(job))
    Job.objects.all().delete()
    answer = console.post(page_of(job), form, follow=True)
    assert answer.status_code == 200
    assert "Perhaps it was deleted" in answer.content.decode()


def test_the_history_names_what_was_really_changed(console, bob, job):
    form = shown(console, page_of(job))
    by_another(job, bob, cron_expression="0 5 1 * *")
    console.post(page_of(job), sent(form, end_date="2097-01-01"))
    assert Job.objects.get().end_date == date(2097, 1, 1)
    page = console.get(reverse("admin:jobs_job_history", args=[job.pk])).content.decode()
    assert "Changed End date." in page
