"""What people do to accounts, and when they come and go, stands in the audit trail."""

import pytest
from django.test import Client

from accounts.tests.factories import PASSWORD, api_client
from audit.models import AuditEntry
from cronsched.tests.console.pages import submit

pytestmark = [pytest.mark.django_db, pytest.mark.database]

NEW = {"username": "dana", "email": "dana@example.com", "password": "another horse", "role": "user"}


def trail(*, sign_ins=False):
    # A test's own client signs in, too.
    entries = AuditEntry.objects.exclude(action="" if sign_ins else "user.signed_in").order_by("at", "id")
    return [(entry.action, entry.object_name, entry.actor_name) for entry in entries]


def newest():
    return AuditEntry.objects.first()


def test_a_new_account_is_on_record_with_its_values_and_without_its_password(admin):
    assert api_client(admin).post("/api/v2/auth/register", NEW).status_code == 201
    entry = newest()
    assert (entry.action, entry.object_name, entry.actor_name) == ("user.created", "dana", "admin")
    assert entry.changes == {
        "username": [None, "dana"],
        "email": [None, "dana@example.com"],
        "role": [None, "user"],
        "is_active": [None, True],
    }


def test_a_change_is_on_record_with_both_values_and_masked_secrets(admin, alice):
    sent = {"role": "viewer", "password": "another horse", "is_active": True}
    assert api_client(admin).put(f"/api/v2/auth/users/{alice.pk}", sent).status_code == 200
    assert newest().changes == {"role": ["user", "viewer"], "password": ["***", "***"]}
    assert (newest().object_id, newest().owner_id) == (str(alice.pk), alice.pk)


def test_what_changes_nothing_is_not_on_record(admin, alice):
    assert api_client(admin).put(f"/api/v2/auth/users/{alice.pk}", {"role": "user"}).status_code == 200
    assert trail() == []


def test_a_refused_change_is_not_on_record(admin, alice, bob):
    answer = api_client(admin).put(f"/api/v2/auth/users/{alice.pk}", {"email": bob.email})
    assert answer.status_code == 409
    assert trail() == []


def test_a_deleted_account_is_still_named(admin, alice):
    assert api_client(admin).delete(f"/api/v2/auth/users/{alice.pk}").status_code == 200
    assert trail() == [("user.deleted", "alice", "admin")]


def test_coming_and_going_over_the_api_and_the_console_is_on_record(alice):
    sent = {"username": "alice", "password": PASSWORD}
    token = api_client().post("/api/v2/auth/login", sent).json()["access_token"]
    assert Client().post("/api/v2/auth/logout", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    console = Client()
    assert console.post("/admin/login/", sent).status_code == 302
    assert console.post("/admin/logout/").status_code == 200
    come, gone = ("user.signed_in", "alice", "alice"), ("user.signed_out", "alice", "alice")
    assert trail(sign_ins=True) == [come, gone, come, gone]
    assert newest().source_ip == "127.0.0.1"


def test_the_reason_in_the_header_is_kept(admin, alice):
    headers = {"X-Change-Reason": "geht in Rente – schön".encode().decode("latin-1")}
    answer = api_client(admin).put(f"/api/v2/auth/users/{alice.pk}", {"role": "viewer"}, headers=headers)
    assert answer.status_code == 200
    assert newest().reason == "geht in Rente – schön"


def test_a_reason_that_is_too_long_is_refused_before_anything_changes(admin, alice):
    answer = api_client(admin).put(
        f"/api/v2/auth/users/{alice.pk}", {"role": "viewer"}, headers={"X-Change-Reason": "w" * 501}
    )
    assert answer.status_code == 400
    assert answer.json()["error"] == "Invalid X-Change-Reason"
    alice.refresh_from_db()
    assert alice.role == "user"


def test_an_account_made_and_changed_at_the_console_is_on_record(admin, alice):
    console = Client()
    console.force_login(admin)
    page = f"/admin/accounts/user/{alice.pk}/change/"
    assert submit(console, page, email="al@example.org").status_code == 302
    assert newest().changes == {"email": ["alice@example.com", "al@example.org"]}
    confirmed = {"_form_submitted": "true", "role": "viewer"}
    assert console.post(f"/admin/accounts/user/{alice.pk}/change_role/", confirmed).status_code == 204
    assert trail() == [("user.updated", "alice", "admin")] * 2
    assert newest().changes == {"role": ["user", "viewer"]}
