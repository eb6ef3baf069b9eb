"""The audit trail in the console, and what it tells on the pages of jobs and accounts."""

import pytest
from django.urls import reverse

from accounts.services import delete_account
from accounts.tests.factories import make_user
from audit.services import Entry, record
from cronsched.lib.clock import database_now
from cronsched.tests.console.pages import said
from jobs import services
from jobs.tests.factories import make_job

pytestmark = pytest.mark.django_db

AUDIT = reverse("admin:audit_auditentry_changelist")
PEOPLE = reverse("admin:accounts_user_changelist")


@pytest.fixture
def renamed(alice):
    job = make_job(name="before", created_by=alice)
    services.update_job(job.pk, {"name": "after"}, by=alice, now=database_now())
    return job


def test_a_change_is_listed_with_who_and_both_values_and_leads_to_its_job(client, admin, renamed):
    client.force_login(admin)
    page = client.get(AUDIT, {"kind": "job"}).content.decode()
    for text in ("alice", "Job updated", "Name: before → after", reverse("admin:jobs_job_change", args=[renamed.pk])):
        assert text in page


def test_the_page_of_a_job_shows_its_changes_and_leads_to_all(client, alice, renamed):
    client.force_login(alice)
    page = client.get(reverse("admin:jobs_job_change", args=[renamed.pk])).content.decode()
    assert "</strong> by alice at" in page
    assert '<th scope="row">Name</th><td>before</td><td>after</td>' in page
    assert f"{AUDIT}?kind=job&amp;q={renamed.pk}" in page
    listed = client.get(AUDIT, {"kind": "job", "q": str(renamed.pk)})
    assert [entry.action for entry in listed.context["cl"].result_list] == ["job.updated"]


def test_entries_are_found_by_what_was_changed_and_by_whom(client, admin, alice):
    job = make_job(name="Exchange rates", created_by=alice)
    services.update_job(job.pk, {"name": "Exchange rates of all"}, by=alice, now=database_now())
    gone = make_job(name="Old invoices", created_by=alice)
    services.delete_job(gone.pk, by=admin, now=database_now())
    record(Entry("job.paused", str(job.pk), job.name), by=None, now=database_now())
    client.force_login(admin)

    def found(text):
        return sorted(entry.action for entry in client.get(AUDIT, {"q": text}).context["cl"].result_list)

    assert found("exchange rates") == ["job.paused", "job.updated"]
    assert found("Old inv") == found(str(gone.pk)) == ["job.deleted"]
    assert found("alice") == ["job.updated"]
    assert found("sched") == ["job.paused"]
    assert found("rates") == found("nobody of that name") == []


def test_a_change_of_the_owner_is_told_by_names(client, admin, alice, bob, renamed):
    services.hand_over(renamed.pk, bob, by=admin, now=database_now())
    client.force_login(admin)
    page = client.get(reverse("admin:jobs_job_change", args=[renamed.pk])).content.decode()
    assert '<th scope="row">Owner</th><td>alice</td><td>bob</td>' in page


def test_an_owner_who_is_gone_is_told_by_the_name_of_then(client, admin, alice, bob, renamed):
    services.hand_over(renamed.pk, bob, by=admin, now=database_now())
    delete_account(alice, by=admin, now=database_now())
    client.force_login(admin)
    assert "Owner: alice → bob" in client.get(AUDIT).content.decode()
    page = client.get(reverse("admin:jobs_job_change", args=[renamed.pk])).content.decode()
    assert '<th scope="row">Owner</th><td>alice</td><td>bob</td>' in page


def test_each_earlier_revision_offers_to_be_restored_to_whoever_may(client, alice, charlie, renamed):
    services.update_job(renamed.pk, {"name": "again"}, by=alice, now=database_now())
    restore = reverse("admin:jobs_job_restore_job", args=[renamed.pk])
    page = reverse("admin:jobs_job_change", args=[renamed.pk])
    for user, offered in ((alice, True), (charlie, False)):
        client.force_login(user)
        content = client.get(page).content.decode()
        assert (f'href="{restore}?number=1"' in content) is offered
        assert f'href="{restore}?number=2"' not in content


@pytest.mark.parametrize(
    ("number", "told"),
    [
        ("0", '<th scope="row">Name</th><td>after</td><td>before</td>'),
        ("1", "The job reads as in revision 1 already."),
        ("77", "has no revision 77"),
        ("x", "Choose a revision"),
        ("9" * 40, "Choose a revision"),
        ("", "Choose a revision"),
    ],
)
def test_the_question_before_a_restore_says_what_it_changes(client, alice, renamed, number, told):
    client.force_login(alice)
    restore = reverse("admin:jobs_job_restore_job", args=[renamed.pk])
    assert told in client.get(restore, {"number": number}).content.decode()


def test_others_see_their_own_acts_and_jobs_only(client, bob, charlie, renamed):
    for user in (bob, charlie):
        client.force_login(user)
        assert "before → after" not in client.get(AUDIT).content.decode()


def test_nobody_changes_the_trail(client, admin, renamed):
    client.force_login(admin)
    entry = client.get(AUDIT).context["cl"].result_list[0]
    page = reverse("admin:audit_auditentry_change", args=[entry.pk])
    assert client.get(page).status_code == 200
    assert client.post(page, {"reason": "forged"}).status_code == 403
    assert client.post(reverse("admin:audit_auditentry_delete", args=[entry.pk]), {"post": "yes"}).status_code == 403


def test_who_deletes_or_deactivates_an_owner_is_told_of_the_jobs(client, admin):
    owner = make_user("leaver")
    for _ in range(3):
        make_job(created_by=owner)
    client.force_login(admin)
    page = client.get(f"{PEOPLE}{owner.pk}/delete/").content.decode()
    assert "It owns 3 jobs, which will have no owner unless you choose one." in page
    told = "It owns 3 jobs. Hand them over first: Jobs, filter Owner: leaver, action “Hand over”."
    response = client.post(f"{PEOPLE}{owner.pk}/deactivate/", {"_form_submitted": "true"})
    assert said(response) == ["leaver is deactivated.", told]
    page = client.get(PEOPLE).content.decode()
    assert f'href="{reverse("admin:jobs_job_changelist")}?owner={owner.pk}">3</a>' in page


def test_a_definition_is_put_back_by_the_button(client, alice, renamed):
    client.force_login(alice)
    restore = reverse("admin:jobs_job_restore_job", args=[renamed.pk])
    told = said(client.post(restore, {"_form_submitted": "true", "number": "0", "reason": "Wrong name"}))
    renamed.refresh_from_db()
    assert renamed.name == "before", told
    refused = said(client.post(restore, {"_form_submitted": "true", "number": "77"}))
    assert "77" in refused[-1]
