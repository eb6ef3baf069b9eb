"""GET /auth/me and /auth/verify, POST /auth/logout, and what ends a session."""

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.utils import timezone

from accounts.models import FailedSignIns, LoginSession, User
from accounts.services import check_credentials, prune, start_session
from accounts.tests.factories import PASSWORD, JSONClient, api_client, make_session
from accounts.tests.test_login import user_object
from accounts.tokens import issue_pair

ME = "/api/v2/auth/me"
NEW_PASSWORD = "another horse battery"


class Visit:
    """One session of an account, seen from its client."""

    def __init__(self, user: User) -> None:
        self.session = make_session(user)
        self.access, self.refresh = issue_pair(self.session, now=timezone.now())
        self.client = JSONClient()
        self.client.credentials(HTTP_AUTHORIZATION=f"Bearer {self.access}")

    def answers(self) -> list[Any]:
        """Use both tokens and return what they are answered."""
        refreshing = JSONClient().post("/api/v2/auth/refresh", HTTP_AUTHORIZATION=f"Bearer {self.refresh}")
        return [(answer.status_code, answer.json().get("message")) for answer in (self.client.get(ME), refreshing)]


REVOKED = [(401, "Token has been revoked")] * 2
ALIVE = [(200, None)] * 2


def test_me_is_the_bare_account(alice):
    answer = api_client(alice).get(ME)
    assert (answer.status_code, answer.json()) == (200, user_object(alice))


def test_verify_says_whose_token_it_is(alice):
    answer = api_client(alice).get("/api/v2/auth/verify")
    assert answer.status_code == 200
    assert answer.json() == {
        "valid": True,
        "user_id": str(alice.id),
        "username": "alice",
        "role": "user",
        "message": "Token is valid",
    }


@pytest.mark.parametrize("method, path", [("get", "me"), ("get", "verify"), ("post", "logout")])
def test_without_a_token_nobody_is_recognised(db, method, path):
    answer = getattr(api_client(), method)(f"/api/v2/auth/{path}")
    assert (answer.status_code, answer.json()["message"]) == (401, "Not authenticated")


def test_logout_ends_its_session_only(alice):
    visit, other = Visit(alice), Visit(alice)
    answer = visit.client.post("/api/v2/auth/logout")
    assert answer.status_code == 200
    assert answer.json() == {
        "success": True,
        "message": "Logout successful",
        "detail": "Please discard your tokens on the client side",
    }
    assert visit.answers() == REVOKED
    assert other.answers() == ALIVE


@pytest.mark.parametrize("content", [b"", b"null", b"{broken", b"[]"])
def test_logout_needs_no_body_and_ignores_any(alice, content):
    answer = api_client(alice).generic("POST", "/api/v2/auth/logout", content, content_type="text/plain")
    assert answer.status_code == 200


def test_own_new_password_ends_the_other_sessions(alice, bob):
    visit, other, stranger = Visit(alice), Visit(alice), Visit(bob)
    answer = visit.client.put(f"/api/v2/auth/users/{alice.id}", {"password": NEW_PASSWORD})
    assert answer.status_code == 200
    assert (visit.answers(), other.answers(), stranger.answers()) == (ALIVE, REVOKED, ALIVE)


def test_same_password_set_again_counts_as_a_change(alice):
    visit, other = Visit(alice), Visit(alice)
    visit.client.put(f"/api/v2/auth/users/{alice.id}", {"password": PASSWORD})
    assert (visit.answers(), other.answers()) == (ALIVE, REVOKED)


def test_reset_by_an_administrator_ends_all_sessions_of_the_account(alice, admin):
    visit, boss = Visit(alice), Visit(admin)
    boss.client.put(f"/api/v2/auth/users/{alice.id}", {"password": NEW_PASSWORD})
    assert (visit.answers(), boss.answers()) == (REVOKED, ALIVE)


def test_new_password_over_the_api_ends_the_cookies_of_the_admin_site(alice, client):
    client.force_login(alice)
    assert client.get("/admin/").status_code == 200
    api_client(alice).put(f"/api/v2/auth/users/{alice.id}", {"password": NEW_PASSWORD})
    assert client.get("/admin/").status_code == 302


def test_other_changes_end_no_session(alice):
    visit, other = Visit(alice), Visit(alice)
    visit.client.put(f"/api/v2/auth/users/{alice.id}", {"email": "al@example.org"})
    assert (visit.answers(), other.answers()) == (ALIVE, ALIVE)


def test_changepassword_command_ends_all_sessions(alice, monkeypatch):
    visit = Visit(alice)
    monkeypatch.setattr("getpass.getpass", lambda *args, **kwargs: NEW_PASSWORD)
    call_command("changepassword", "alice", stdout=StringIO())
    assert visit.answers() == REVOKED


def test_taking_the_password_away_ends_all_sessions(alice):
    visit = Visit(alice)
    alice.set_unusable_password()
    alice.save()
    assert visit.answers() == REVOKED


def test_password_that_is_refused_ends_no_session(alice):
    visit, other = Visit(alice), Visit(alice)
    assert visit.client.put(f"/api/v2/auth/users/{alice.id}", {"password": "short"}).status_code == 400
    assert other.answers() == ALIVE


def test_hash_renewed_at_sign_in_ends_no_session(alice, settings):
    visit = Visit(alice)
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.ScryptPasswordHasher",
        "django.contrib.auth.hashers.MD5PasswordHasher",
    ]
    before = alice.password
    answer = api_client().post("/api/v2/auth/login", {"username": "alice", "password": PASSWORD})
    alice.refresh_from_db()
    assert (answer.status_code, alice.password != before) == (200, True)
    assert visit.answers() == ALIVE


def test_no_session_starts_with_a_password_that_has_just_been_replaced(alice):
    checked = check_credentials("alice", PASSWORD, address="192.0.2.1", now=timezone.now())
    alice.set_password(NEW_PASSWORD)
    alice.save()
    assert start_session(checked, now=timezone.now()) is None
    assert not LoginSession.objects.exists()


def test_no_session_starts_for_an_account_that_has_just_been_deleted(alice):
    checked = check_credentials("alice", PASSWORD, address="192.0.2.1", now=timezone.now())
    alice.delete()
    assert start_session(checked, now=timezone.now()) is None


def test_sign_in_is_remembered_without_counting_as_a_change(alice):
    before = alice.updated_at
    now = timezone.now()
    make_session(alice, now=now)
    alice.refresh_from_db()
    assert (alice.last_login, alice.updated_at) == (now, before)


def test_what_has_run_out_is_pruned(alice, settings):
    now = timezone.now()
    old = now - timedelta(seconds=settings.REFRESH_TOKEN_SECONDS)
    make_session(alice, now=old)
    kept = make_session(alice, now=old + timedelta(seconds=1))
    Session.objects.create(session_key="old", session_data="", expire_date=now)
    Session.objects.create(session_key="new", session_data="", expire_date=now + timedelta(seconds=1))
    FailedSignIns.objects.create(key="old", expires_at=now)
    assert prune(now) == {"sessions": 1, "cookies": 1, "failed sign-ins": 1}
    assert prune(now) == {"sessions": 0, "cookies": 0, "failed sign-ins": 0}
    assert list(LoginSession.objects.all()) == [kept]
    assert Session.objects.get().session_key == "new"
