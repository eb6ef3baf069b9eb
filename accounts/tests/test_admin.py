"""Signing in to the admin site, and accounts there."""

import re
from datetime import datetime
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import services
from accounts.models import LoginSession, NotificationPreferences, Role, User
from accounts.signals import LeaverJobs
from accounts.tests.factories import PASSWORD, api_client, make_session, make_user, token_for
from cronsched.tests.console.pages import errors_of, said, sent, shown, submit

LOGIN = "/admin/login/"
USERS = "/admin/accounts/user/"
NEW_PASSWORD = "another horse battery"


def sign_in(client: Client, username: str, password: str = PASSWORD, **extra: Any) -> Any:
    # The theme's form sends no `next`.
    return client.post(LOGIN, {"username": username, "password": password}, **extra)


def page_of(user: User) -> str:
    return f"{USERS}{user.pk}/change/"


@pytest.fixture
def admin_site(client: Client, admin: User) -> Client:
    client.force_login(admin)
    return client


# --- Signing in ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", Role.values)
@pytest.mark.parametrize("identifier", ["dana", "dana@example.com", " Dana@Example.com "])
def test_every_role_may_enter_by_name_or_address(client, db, role, identifier):
    make_user("dana", role=role)
    answer = sign_in(client, identifier)
    assert (answer.status_code, answer.headers.get("Location")) == (302, "/admin/")
    assert client.get("/admin/").status_code == 200


def test_wrong_password_says_nothing_about_the_account(client, alice):
    gone = make_user("gone", is_active=False)
    for name in ("alice", gone.username, "nobody"):
        page = sign_in(client, name, "wrong password").content.decode()
        assert "Invalid email/username or password." in page
        assert "inactive" not in page


def test_inactive_account_is_told_so_after_the_right_password(client, db):
    make_user("gone", is_active=False)
    answer = sign_in(client, "gone")
    assert "Account is inactive. Contact administrator." in answer.content.decode()
    assert "_auth_user_id" not in client.session


def test_too_many_failures_are_told_with_the_time_to_wait(client, alice, settings):
    settings.SIGN_IN_ATTEMPTS = 2
    for _ in range(2):
        sign_in(client, "alice", "wrong password")
    answer = sign_in(client, "alice")
    assert answer.status_code == 429
    assert re.search(r"Too many failed sign-ins. Try again in \d+ seconds.", answer.content.decode())
    assert "_auth_user_id" not in client.session


def test_failures_at_the_admin_site_count_for_the_api_too(client, alice, settings):
    settings.SIGN_IN_ATTEMPTS = 1
    sign_in(client, "alice", "wrong password")
    answer = api_client().post("/api/v2/auth/login", {"username": "alice", "password": PASSWORD})
    assert answer.status_code == 429


def test_deactivated_account_is_signed_out_at_once(client, alice):
    client.force_login(alice)
    User.objects.update(is_active=False)
    assert client.get("/admin/").status_code == 302


def test_a_cookie_does_not_come_back_with_its_account(client, alice):
    client.force_login(alice)
    assert client.get("/admin/").status_code == 200
    for is_active in (False, True):
        alice.is_active = is_active
        alice.save(update_fields=["is_active"])
    assert client.get("/admin/").status_code == 302
    client.force_login(alice)
    assert client.get("/admin/").status_code == 200


# --- Who sees what ---------------------------------------------------------------------------------------------------


def test_administrator_finds_accounts_by_name_and_address(admin_site, alice, bob):
    for wanted in ("alic", "alice@exam"):
        page = admin_site.get(USERS, {"q": wanted}).content.decode()
        assert page_of(alice) in page
        assert page_of(bob) not in page


@pytest.mark.parametrize("role", [Role.USER, Role.VIEWER])
def test_others_see_their_own_account_only_and_change_nothing(client, alice, role):
    dana = make_user("dana", role=role)
    client.force_login(dana)
    page = client.get(USERS).content.decode()
    assert page_of(dana) in page
    assert page_of(alice) not in page
    assert client.get(page_of(dana)).status_code == 200
    assert client.get(page_of(alice)).status_code == 302
    assert client.post(page_of(dana), {"role": "admin"}).status_code == 403
    assert client.get(f"{USERS}add/").status_code == 403
    assert client.get(f"{USERS}{dana.pk}/password/").status_code == 403
    assert client.post(f"{USERS}{dana.pk}/delete/", {"post": "yes"}).status_code == 403
    dana.refresh_from_db()
    assert dana.role == role


def test_own_page_offers_nothing_to_change(client, alice):
    client.force_login(alice)
    page = client.get(page_of(alice)).content.decode()
    assert '<input type="checkbox"' not in page
    NotificationPreferences.objects.create(user=alice)
    page = client.get(page_of(alice)).content.decode()
    assert "Mail when a job succeeds, Mail when a job fails" in page
    assert 'name="email_on_job_success"' not in page


@pytest.mark.parametrize("viewer", ["admin", "alice"])
def test_no_page_shows_anything_of_a_hash(client, admin, alice, viewer):
    client.force_login(User.objects.get(username=viewer))
    salt_and_hash = alice.password.split("$")[1:]
    for address in (USERS, page_of(alice), f"{USERS}{alice.pk}/password/", f"{USERS}{alice.pk}/history/"):
        page = client.get(address).content.decode()
        assert not any(part[:6] in page for part in salt_and_hash)


def test_groups_are_not_offered(admin_site):
    assert "auth/group" not in admin_site.get("/admin/").content.decode()


# --- What administrators change --------------------------------------------------------------------------------------


def test_account_is_created_with_its_password(admin_site):
    sent = {
        "username": "  Dana ",
        "email": "Dana@Example.com",
        "role": "user",
        "is_active": "on",
        "password1": NEW_PASSWORD,
        "password2": NEW_PASSWORD,
    }
    answer = admin_site.post(f"{USERS}add/", sent)
    dana = User.objects.get(username="dana")
    assert (answer.status_code, answer.headers["Location"]) == (302, page_of(dana))
    assert (dana.email, dana.role, dana.is_active) == ("dana@example.com", "user", True)
    assert dana.check_password(NEW_PASSWORD)


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"username": "ab"}, "at least 3 characters"),
        ({"username": "d a"}, "letters, digits, underscores and hyphens"),
        ({"username": "---"}, "at least one letter or digit"),
        ({"username": "ALICE"}, "Username already exists"),
        ({"email": "dana@localhost"}, "Enter a valid email address."),
        ({"email": "Alice@Example.com"}, "Email already exists"),
        ({"password1": "short", "password2": "short"}, "at least 6 characters"),
        ({"password1": "       ", "password2": "       "}, "must not be blank"),
        ({"password1": "", "password2": ""}, "This field is required"),
        ({"role": "root"}, "Select a valid choice"),
    ],
)
def test_account_of_bad_values_is_not_created(admin_site, alice, wrong, message):
    sent = {
        "username": "dana",
        "email": "dana@example.com",
        "role": "user",
        "password1": NEW_PASSWORD,
        "password2": NEW_PASSWORD,
        **wrong,
    }
    answer = admin_site.post(f"{USERS}add/", sent)
    assert answer.status_code == 200
    assert message in answer.content.decode()
    assert User.objects.count() == 2


def press(client: Client, user: User, action: str, **fields: str) -> str:
    """Press a button of the account's page and confirm; return what was said last."""
    answer = client.post(f"{USERS}{user.pk}/{action}/", {"_form_submitted": "true", **fields})
    assert answer.status_code == 204, answer.content
    return said(answer)[-1]


def test_the_form_changes_the_address_but_neither_name_nor_role_nor_state(admin_site, alice):
    changes = {"username": "eve", "email": "Al@Example.org", "role": "viewer", "is_active": None}
    assert submit(admin_site, page_of(alice), **changes).status_code == 302
    alice.refresh_from_db()
    assert (alice.username, alice.email, alice.role, alice.is_active) == ("alice", "al@example.org", "user", True)


def test_an_address_that_is_taken_is_refused(admin_site, alice, bob):
    assert "Email already exists" in errors_of(submit(admin_site, page_of(alice), email="BOB@example.com"))["email"]


def test_role_and_state_are_changed_by_buttons_that_ask_first(admin_site, alice):
    asked = admin_site.get(f"{USERS}{alice.pk}/deactivate/")
    assert "Deactivate this account?" in asked.content.decode()
    assert press(admin_site, alice, "change_role", role="viewer") == "alice is Viewer now."
    assert press(admin_site, alice, "deactivate") == "alice is deactivated."
    alice.refresh_from_db()
    assert (alice.role, alice.is_active) == ("viewer", False)
    assert press(admin_site, alice, "activate") == "alice is active again."
    alice.refresh_from_db()
    assert alice.is_active


@pytest.mark.parametrize("action, fields", [("change_role", {"role": "viewer"}), ("deactivate", {})])
def test_the_last_active_administrator_stays_one(admin_site, admin, action, fields):
    assert press(admin_site, admin, action, **fields) == "At least one active administrator is needed."
    admin.refresh_from_db()
    assert (admin.role, admin.is_active) == (Role.ADMIN, True)


def test_one_of_two_administrators_may_go(admin_site, admin):
    make_user("other", role=Role.ADMIN)
    press(admin_site, admin, "change_role", role="viewer")
    admin.refresh_from_db()
    assert admin.role == Role.VIEWER


@pytest.mark.parametrize("role", [Role.USER, Role.VIEWER])
@pytest.mark.parametrize("action", ["change_role", "activate", "deactivate"])
def test_nobody_else_changes_roles_and_states(client, alice, role, action):
    dana = make_user("dana", role=role)
    client.force_login(dana)
    for user in (dana, alice):
        answer = client.post(f"{USERS}{user.pk}/{action}/", {"_form_submitted": "true", "role": "admin"})
        assert answer.status_code == 403
        user.refresh_from_db()
        assert (user.role, user.is_active) == (role if user == dana else Role.USER, True)


def test_preferences_stand_on_the_page_of_the_account(admin_site, alice):
    row = NotificationPreferences.objects.create(user=alice)
    changes = {"daily_digest": "on", "email_on_job_success": None}
    assert submit(admin_site, page_of(alice), **changes).status_code == 302
    row.refresh_from_db()
    assert (row.daily_digest, row.email_on_job_success, row.email_on_job_failure) == (True, False, True)


def test_saving_an_address_undoes_nothing_that_another_did_meanwhile(admin_site, alice):
    form = shown(admin_site, page_of(alice))
    NotificationPreferences.objects.create(user=alice, weekly_report=True)
    User.objects.filter(pk=alice.pk).update(is_active=False, role=Role.VIEWER)
    assert admin_site.post(page_of(alice), sent(form, email="al@example.org")).status_code == 302
    alice.refresh_from_db()
    assert (alice.email, alice.role, alice.is_active) == ("al@example.org", "viewer", False)
    assert alice.notification_preferences.weekly_report


def test_two_new_addresses_at_once_are_both_shown_to_whoever_is_second(admin_site, alice):
    form = shown(admin_site, page_of(alice))
    changes = services.AccountChanges(email="first@example.com")
    services.update_account(alice, changes, keep_session=None, by=None, now=timezone.now())
    refused = admin_site.post(page_of(alice), sent(form, email="second@example.com"))
    (text,) = errors_of(refused)["email"]
    assert "now it is “first@example.com”" in text
    assert 'value="second@example.com"' in refused.content.decode()
    alice.refresh_from_db()
    assert alice.email == "first@example.com"


def test_new_password_set_by_an_administrator_ends_all_sessions_of_the_account(admin_site, alice):
    cookie = Client()
    cookie.force_login(alice)
    bearer = api_client(alice)
    sent = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    assert admin_site.post(f"{USERS}{alice.pk}/password/", sent).status_code == 302
    assert cookie.get("/admin/").status_code == 302
    assert bearer.get("/api/v2/auth/me").json()["message"] == "Token has been revoked"
    assert sign_in(Client(), "alice", NEW_PASSWORD).status_code == 302


def test_own_new_password_keeps_this_cookie_and_ends_everything_else(client, alice):
    other = Client()
    other.force_login(alice)
    client.force_login(alice)
    token_for(alice)
    sent = {"old_password": PASSWORD, "new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}
    assert client.post(reverse("admin:password_change"), sent).status_code == 302
    assert client.get("/admin/").status_code == 200
    assert other.get("/admin/").status_code == 302
    assert [str(session.pk) for session in LoginSession.objects.all()] == [client.session["login_session"]]


def test_sessions_of_other_accounts_live_on(admin_site, alice, bob):
    kept = make_session(bob)
    sent = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    admin_site.post(f"{USERS}{alice.pk}/password/", sent)
    assert list(LoginSession.objects.filter(user__in=[alice, bob])) == [kept]


# --- Deleting --------------------------------------------------------------------------------------------------------


def test_account_is_deleted_with_what_belongs_to_it(admin_site, alice):
    NotificationPreferences.objects.create(user=alice)
    make_session(alice)
    assert admin_site.get(f"{USERS}{alice.pk}/delete/").status_code == 200
    assert admin_site.post(f"{USERS}{alice.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not User.objects.filter(pk=alice.pk).exists()
    assert not NotificationPreferences.objects.exists()


def test_own_account_cannot_be_deleted(admin_site, admin):
    assert admin_site.post(f"{USERS}{admin.pk}/delete/", {"post": "yes"}).status_code == 403
    assert User.objects.filter(pk=admin.pk).exists()


@pytest.mark.parametrize("with_own, left", [(True, {"admin", "alice", "bob"}), (False, {"admin"})])
def test_several_accounts_are_deleted_unless_the_own_is_among_them(admin_site, admin, alice, bob, with_own, left):
    chosen = [str(alice.pk), str(bob.pk), *([str(admin.pk)] if with_own else [])]
    sent = {"action": "delete_selected", "_selected_action": chosen, "post": "yes"}
    admin_site.post(USERS, sent)
    assert set(User.objects.values_list("username", flat=True)) == left


@pytest.mark.parametrize("several", [False, True])
def test_a_deletion_that_is_refused_is_told_and_deletes_nothing(admin_site, alice, monkeypatch, several):
    # Two administrators delete each other at the same moment; this one comes second.
    last = make_user("last", role=Role.ADMIN)
    delete = services.delete_account

    def delete_beside_another(user: User, *, by: User, now: datetime, **_: Any) -> LeaverJobs:
        User.objects.filter(pk=by.pk).update(role=Role.VIEWER)
        return delete(user, by=by, now=now)

    monkeypatch.setattr(services, "delete_account", delete_beside_another)
    if several:
        sent = {"action": "delete_selected", "_selected_action": [str(alice.pk), str(last.pk)], "post": "yes"}
        page = admin_site.post(USERS, sent, follow=True)
    else:
        page = admin_site.post(f"{USERS}{last.pk}/delete/", {"post": "yes"}, follow=True)
    assert "At least one active administrator is needed." in page.content.decode()
    assert User.objects.filter(username="last").exists()
    assert User.objects.filter(username="alice").exists()
    assert not LogEntry.objects.exists(), "the history must not tell what did not happen"
