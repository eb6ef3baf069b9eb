"""Who leaves can leave the jobs to somebody, and teams hear of jobs that nobody owns any more."""

from datetime import date, timedelta

import pytest
from django.urls import reverse

from accounts.models import User
from accounts.tests.factories import api_client, make_user
from audit.models import AuditEntry
from cronsched.tests.console.pages import said
from jobs import owners
from jobs.models import Job
from jobs.tests.factories import NOON, make_job
from notifications.models import Delivery, Notification
from notifications.tests.conftest import use_mail_server
from taxonomy.tests.factories import make_team

pytestmark = [pytest.mark.django_db, pytest.mark.database]

USERS = "/api/v2/auth/users/"


def owner_of(name):
    owner = Job.objects.get(name=name).created_by
    return owner and owner.username


def leave(admin, user, way, to=None):
    client = api_client(admin)
    if way == "deleted":
        return client.delete(f"{USERS}{user.pk}" + (f"?hand_over_to={to}" if to else ""))
    return client.put(f"{USERS}{user.pk}", {"is_active": False, **({"hand_over_to": str(to)} if to else {})})


@pytest.mark.parametrize("way", ["deleted", "deactivated"])
@pytest.mark.parametrize("by_name", [True, False])
def test_jobs_of_somebody_who_leaves_are_handed_over(admin, alice, bob, way, by_name):
    make_job(name="one", created_by=alice)
    make_job(name="two", created_by=alice)
    answer = leave(admin, alice, way, bob.username if by_name else bob.pk)
    assert (answer.status_code, answer.json()["jobs"]) == (200, {"owned": 2, "handed_over": 2})
    assert (owner_of("one"), owner_of("two")) == ("bob", "bob")
    entry = AuditEntry.objects.filter(action="job.updated").first()
    assert (entry.actor_name, entry.reason) == ("admin", "Its owner has left.")


@pytest.mark.parametrize("way, left", [("deleted", None), ("deactivated", "alice")])
def test_without_a_new_owner_the_answer_says_how_many_jobs_are_left(admin, alice, way, left):
    make_job(name="one", created_by=alice)
    assert leave(admin, alice, way).json()["jobs"] == {"owned": 1, "handed_over": 0}
    assert owner_of("one") == left


def test_who_owns_no_jobs_is_answered_as_ever(admin, alice):
    assert "jobs" not in leave(admin, alice, "deleted").json()


@pytest.mark.parametrize("way", ["deleted", "deactivated"])
@pytest.mark.parametrize("to", ["nobody", "charlie", "alice", "6f0f4c3e-6f3c-4a53-9a55-0c5d3b6a2f10"])
def test_who_may_not_own_jobs_gets_none_and_nobody_leaves(admin, alice, charlie, way, to):
    make_job(name="one", created_by=alice)
    answer = leave(admin, alice, way, to)
    assert (answer.status_code, answer.json()["error"][:8]) == (400, "Invalid ")
    assert User.objects.get(pk=alice.pk).is_active
    assert owner_of("one") == "alice"


def test_a_new_owner_is_named_only_where_somebody_leaves(admin, alice, bob):
    answer = api_client(admin).put(f"{USERS}{alice.pk}", {"role": "viewer", "hand_over_to": "bob"})
    assert (answer.status_code, answer.json()["error"]) == (400, "Invalid hand_over_to")
    assert User.objects.get(pk=alice.pk).role == "user"


def test_jobs_without_a_living_owner_are_found(admin, alice, bob):
    make_job(name="of nobody", created_by=None)
    make_job(name="of bob", created_by=bob)
    make_job(name="of alice", created_by=alice)
    leave(admin, bob, "deactivated")
    client = api_client(admin)
    found = {
        owner: [job["name"] for job in client.get(f"/api/v2/jobs?owner={owner}").json()["jobs"]]
        for owner in ("none", "inactive")
    }
    assert found == {"none": ["of nobody"], "inactive": ["of bob"]}
    sent = {"action": "hand_over", "owner": "alice", "filter": {"owner": "inactive"}}
    assert client.post("/api/v2/jobs/bulk", sent).json()["results"][0]["outcome"] == "done"
    assert owner_of("of bob") == "alice"


def test_the_console_offers_a_new_owner_when_it_deactivates(client, admin, alice, bob):
    make_job(name="one", created_by=alice)
    client.force_login(admin)
    page = client.get(reverse("admin:accounts_user_change", args=[alice.pk]))
    assert page.status_code == 200
    address = reverse("admin:accounts_user_deactivate", args=[alice.pk])
    answer = client.post(address, {"_form_submitted": "true", "hand_over_to": str(bob.pk)})
    assert said(answer)[-1] == "bob owns its jobs now (1)."
    assert owner_of("one") == "bob"


def test_the_console_offers_a_new_owner_when_it_deletes(client, admin, alice, bob):
    make_job(name="one", created_by=alice)
    client.force_login(admin)
    address = reverse("admin:accounts_user_delete", args=[alice.pk])
    page = client.get(address).content.decode()
    assert "It owns 1 job, which will have no owner unless you choose one." in page
    offered = page.partition("<select")[2].partition("</select>")[0]
    assert (str(bob.pk) in offered, str(alice.pk) in offered) == (True, False)
    for refused in (alice.pk, "nonsense"):
        answer = client.post(address, {"post": "yes", "hand_over_to": str(refused)})
        assert said(answer)[-1].startswith("Nothing was deleted")
        assert owner_of("one") == "alice"
    answer = client.post(address, {"post": "yes", "hand_over_to": str(bob.pk)})
    assert "bob owns its jobs now (1)." in said(answer)
    assert (owner_of("one"), User.objects.filter(pk=alice.pk).exists()) == ("bob", False)


def test_the_console_offers_a_new_owner_when_it_deletes_several(client, admin, alice, bob):
    make_job(name="one", created_by=alice)
    dave = make_user("dave")
    make_job(name="two", created_by=dave)
    client.force_login(admin)
    address = reverse("admin:accounts_user_changelist")
    chosen = {"action": "delete_selected", "_selected_action": [str(alice.pk), str(dave.pk)]}
    page = client.post(address, chosen).content.decode()
    assert "Their jobs will have no owner unless you choose one" in page
    offered = page.partition('name="hand_over_to"')[2].partition("</select>")[0]
    assert [str(user.pk) in offered for user in (bob, alice, dave)] == [True, False, False]
    for refused in (dave.pk, "nonsense"):
        answer = client.post(address, {**chosen, "post": "yes", "hand_over_to": str(refused)})
        assert said(answer)[-1].startswith("Nothing was deleted")
        assert (owner_of("one"), owner_of("two")) == ("alice", "dave")
    answer = client.post(address, {**chosen, "post": "yes", "hand_over_to": str(bob.pk)})
    assert "bob owns their jobs now (2)." in said(answer)
    assert (owner_of("one"), owner_of("two")) == ("bob", "bob")
    assert not User.objects.filter(pk__in=[alice.pk, dave.pk]).exists()


def test_an_account_without_jobs_is_deleted_without_a_question_of_owners(client, admin, alice):
    client.force_login(admin)
    address = reverse("admin:accounts_user_delete", args=[alice.pk])
    assert "<select" not in client.get(address).content.decode()
    client.post(address, {"post": "yes"})
    assert not User.objects.filter(pk=alice.pk).exists()


# --- The weekly notice -----------------------------------------------------------------------------------------------


def test_each_team_and_the_administrators_hear_of_its_jobs_once_a_week(settings, admin, alice):
    use_mail_server(settings, 1)
    ops, web = make_team(name="Ops", emails=["ops@example.com"]), make_team(name="Web", emails=["web@example.com"])
    User.objects.filter(pk=alice.pk).update(is_active=False)
    make_job(name="of alice", pic_team=ops, created_by=alice)
    make_job(name="of nobody", pic_team=ops, created_by=None)
    make_job(name="well owned", pic_team=web, created_by=admin)
    make_job(name="over", pic_team=web, created_by=None, end_date=date(2020, 1, 1), is_active=False)
    assert owners.tell_teams(now=NOON) == {"jobs": 2, "notices": 1}
    owners.tell_teams(now=NOON + timedelta(hours=1))
    mail = Delivery.objects.get(kind="jobs_without_owner")
    assert mail.recipient == "ops@example.com"
    notice = Notification.objects.get(event="jobs_without_owner")
    assert "of alice" in notice.message
    owners.tell_teams(now=NOON + timedelta(days=7))
    assert Delivery.objects.filter(kind="jobs_without_owner").count() == 2
