"""Sessions are seen and ended by their owner, and last no longer than the setting says."""

from datetime import timedelta

import jwt
import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import LoginSession, SessionKind
from accounts.services import start_session
from accounts.tests.factories import PASSWORD, JSONClient, api_client, make_session
from accounts.tokens import issue_pair
from audit.models import AuditEntry
from cronsched.tests.console.pages import said

pytestmark = [pytest.mark.django_db, pytest.mark.database]

SESSIONS = "/api/v2/auth/sessions"
ME = "/api/v2/auth/me"


def browser(user):
    client = Client(HTTP_USER_AGENT="Browser/1.0", REMOTE_ADDR="192.0.2.7")
    sent = {"username": user.username, "password": PASSWORD, "next": "/admin/"}
    assert client.post("/admin/login/", sent).status_code == 302
    return client


def is_signed_in(client):
    return client.get("/admin/account/").status_code == 200


def listed(client, **params):
    return client.get(SESSIONS, params).json()["sessions"]


def console_row(user):
    return LoginSession.objects.get(user=user, kind=SessionKind.CONSOLE)


def test_the_own_sessions_are_listed_with_where_they_come_from(alice, bob):
    browser(alice)
    make_session(bob)
    sent = {"username": "alice", "password": PASSWORD}
    token = JSONClient(HTTP_USER_AGENT="script/2" + "x" * 300).post("/api/v2/auth/login", sent).json()["access_token"]
    client = JSONClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    own, console = listed(client)
    assert (own["kind"], own["current"], own["address"]) == ("api", True, "127.0.0.1")
    assert (len(own["user_agent"]), own["user_agent"][:8]) == (200, "script/2")
    assert (console["kind"], console["current"]) == ("console", False)
    assert (console["address"], console["user_agent"]) == ("192.0.2.7", "Browser/1.0")


def test_administrators_see_those_of_an_account(admin, alice):
    session = make_session(alice)
    client = api_client(admin)
    assert [one["id"] for one in listed(client, owner=str(alice.pk))] == [str(session.pk)]
    assert [one["current"] for one in listed(client)] == [True]
    assert client.get(SESSIONS, {"owner": "nobody"}).json()["error"] == "Invalid owner"
    assert api_client(alice).get(SESSIONS, {"owner": str(admin.pk)}).status_code == 403


def test_an_ended_session_is_refused_and_the_trail_says_who_ended_it(alice):
    client, other = api_client(alice), make_session(alice)
    token = issue_pair(other, now=timezone.now()).access
    assert client.delete(f"{SESSIONS}/{other.pk}").json() == {"message": "Session ended"}
    assert JSONClient().get(ME, HTTP_AUTHORIZATION=f"Bearer {token}").json()["message"] == "Token has been revoked"
    entry = AuditEntry.objects.get(action="session.ended")
    assert (entry.actor_name, entry.object_id, entry.object_name) == ("alice", str(other.pk), "alice")


@pytest.mark.parametrize("session_id", ["nonsense", "6f0f4c3e-6f3c-4a53-9a55-0c5d3b6a2f10", "theirs"])
def test_what_is_not_ones_own_cannot_be_ended(alice, bob, session_id):
    theirs = str(make_session(bob).pk) if session_id == "theirs" else session_id
    answer = api_client(alice).delete(f"{SESSIONS}/{theirs}")
    assert (answer.status_code, answer.json()["error"]) == (404, "Session not found")
    assert LoginSession.objects.filter(user=bob).exists() is (session_id == "theirs")


def test_all_others_end_at_once(alice, bob):
    make_session(bob)
    visitor, client = browser(alice), api_client(alice)
    make_session(alice)
    assert client.delete(SESSIONS).json() == {"message": "Sessions ended", "ended": 2}
    assert not is_signed_in(visitor)
    assert client.get(ME).status_code == 200
    assert LoginSession.objects.filter(user=bob).count() == 1


def test_a_browser_whose_session_was_ended_is_signed_out_by_its_next_page(alice):
    visitor = browser(alice)
    assert is_signed_in(visitor)
    api_client(alice).delete(f"{SESSIONS}/{console_row(alice).pk}")
    assert visitor.get("/admin/").status_code == 302
    assert not is_signed_in(visitor)


def test_signing_out_of_the_console_ends_its_session(alice):
    visitor = browser(alice)
    visitor.post("/admin/logout/")
    assert not LoginSession.objects.exists()


def test_a_cookie_from_before_sessions_were_listed_gets_its_row(alice):
    visitor = browser(alice)
    LoginSession.objects.all().delete()
    stored = visitor.session
    del stored["login_session"]
    stored.save()
    assert is_signed_in(visitor)
    assert console_row(alice).user == alice


def test_the_page_of_the_console_lists_and_ends_sessions(alice):
    visitor, other = browser(alice), make_session(alice)
    text = visitor.get("/admin/account/").content.decode()
    assert "Browser/1.0" in text
    assert str(other.pk) in text
    assert said(visitor.post("/admin/account/", {"end": str(other.pk)})) == ["The session was ended."]
    make_session(alice)
    assert said(visitor.post("/admin/account/", {"others": "1"}))[-1] == "1 other session ended."
    assert is_signed_in(visitor)
    assert said(visitor.post("/admin/account/", {"end": "nonsense"}))[-1] == "No session found with ID: nonsense"


def test_last_seen_is_noted_once_a_minute(alice, django_assert_num_queries):
    client = api_client(alice)
    long_ago = timezone.now() - timedelta(minutes=5)
    LoginSession.objects.update(last_seen_at=long_ago, address="192.0.2.1")
    client.get(ME)
    session = LoginSession.objects.get()
    assert session.last_seen_at > long_ago
    assert session.address == "127.0.0.1"
    with django_assert_num_queries(1):
        client.get(ME)


# --- Lifetime --------------------------------------------------------------------------------------------------------


def test_a_refresh_never_leads_beyond_the_greatest_age(alice, settings):
    settings.SESSION_MAX_AGE_DAYS = 7
    began = timezone.now() - timedelta(days=6, hours=23, minutes=30)
    session = start_session(alice, now=began)
    answer = JSONClient().post("/api/v2/auth/refresh", {"refresh_token": issue_pair(session, now=began).refresh})
    assert answer.status_code == 200
    latest = (began + timedelta(days=7)).timestamp()
    for name in ("access_token", "refresh_token"):
        claims = jwt.decode(answer.json()[name], options={"verify_signature": False})
        assert latest - 1 <= claims["exp"] <= latest
    session.refresh_from_db()
    assert session.expires_at == began + timedelta(days=7)


def test_a_session_that_is_too_old_is_over_even_if_its_tokens_say_otherwise(alice, settings):
    began = timezone.now() - timedelta(days=8)
    session = start_session(alice, now=began)
    pair = issue_pair(session, now=timezone.now())
    settings.SESSION_MAX_AGE_DAYS = 7
    refused = JSONClient().get(ME, HTTP_AUTHORIZATION=f"Bearer {pair.access}")
    assert (refused.status_code, refused.json()["message"]) == (401, "Token has expired")
    assert JSONClient().post("/api/v2/auth/refresh", {"refresh_token": pair.refresh}).status_code == 401


def test_without_the_setting_a_session_is_refreshed_for_ever(alice):
    session = start_session(alice, now=timezone.now() - timedelta(days=2000))
    token = issue_pair(session, now=timezone.now()).refresh
    assert JSONClient().post("/api/v2/auth/refresh", {"refresh_token": token}).status_code == 200


def test_a_browser_is_signed_out_at_the_greatest_age(alice, settings):
    settings.SESSION_MAX_AGE_DAYS = 7
    visitor = browser(alice)
    assert visitor.session.get_expiry_age() <= 7 * 86400
    LoginSession.objects.update(created_at=timezone.now() - timedelta(days=8))
    assert not is_signed_in(visitor)


# --- Passwords at the console ----------------------------------------------------------------------------------------


def test_a_new_own_password_stands_in_the_trail_and_ends_all_other_sessions(alice):
    visitor, elsewhere = browser(alice), browser(alice)
    sent = {"old_password": PASSWORD, "new_password1": "another horse", "new_password2": "another horse"}
    assert visitor.post(reverse("admin:password_change"), sent).status_code == 302
    assert (is_signed_in(visitor), is_signed_in(elsewhere)) == (True, False)
    entry = AuditEntry.objects.get(action="user.updated")
    assert (entry.actor_name, entry.changes) == ("alice", {"password": ["***", "***"]})


def test_a_wrong_old_password_changes_nothing(alice):
    visitor = browser(alice)
    sent = {"old_password": "wrong", "new_password1": "another horse", "new_password2": "another horse"}
    assert visitor.post(reverse("admin:password_change"), sent).status_code == 200
    assert not AuditEntry.objects.filter(action="user.updated").exists()


def test_a_password_set_by_an_administrator_stands_in_the_trail(admin, alice):
    visitor, theirs = browser(admin), browser(alice)
    address = reverse("admin:auth_user_password_change", args=[alice.pk])
    sent = {"password1": "another horse", "password2": "another horse"}
    assert visitor.post(address, sent).status_code == 302
    entry = AuditEntry.objects.get(action="user.updated")
    assert (entry.actor_name, entry.object_name, entry.changes) == ("admin", "alice", {"password": ["***", "***"]})
    assert (is_signed_in(visitor), is_signed_in(theirs)) == (True, False)


def test_an_administrator_who_sets_the_own_password_stays_signed_in(admin):
    visitor = browser(admin)
    address = reverse("admin:auth_user_password_change", args=[admin.pk])
    sent = {"password1": "another horse", "password2": "another horse"}
    assert visitor.post(address, sent).status_code == 302
    assert is_signed_in(visitor)
