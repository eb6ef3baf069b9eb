"""GET /auth/users, and GET, PUT, DELETE /auth/users/{id}."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from accounts.models import LoginSession, NotificationPreferences, Role, UiPreferences, User
from accounts.tests.factories import PASSWORD, JSONClient, api_client, make_user
from accounts.tests.test_login import user_object

USERS = "/api/v2/auth/users"
UNKNOWN_IDS = ["3f2b8c1a-5d4e-4f60-9a7b-1c2d3e4f5a6b", "x", "7d0f2c1e6d0b4d6e9a532f1f0b6c9d11", "%00", "a" * 3000]
NOT_FOUND = {"error": "User not found"}


@pytest.fixture
def boss(admin: User) -> JSONClient:
    return api_client(admin)


def url(user: User) -> str:
    return f"{USERS}/{user.id}"


# --- Reading ---------------------------------------------------------------------------------------------------------


def test_list_is_complete_and_oldest_first(boss, admin):
    now = timezone.now()
    younger, older = (make_user(created_at=now - timedelta(days=days)) for days in (1, 2))
    answer = boss.get(USERS)
    assert answer.status_code == 200
    assert answer.json() == {"count": 3, "users": [user_object(user) for user in (older, younger, admin)]}


def test_list_takes_the_same_queries_for_any_length(boss, django_assert_num_queries):
    with django_assert_num_queries(2):
        boss.get(USERS)
    User.objects.bulk_create(User(username=f"u{n}", email=f"u{n}@example.com") for n in range(200))
    with django_assert_num_queries(2):
        assert boss.get(USERS).json()["count"] == 201


def test_list_is_for_administrators(alice, charlie):
    for user in (alice, charlie):
        answer = api_client(user).get(USERS)
        assert (answer.status_code, answer.json()["message"]) == (403, "Admin access required")


def test_own_account_and_for_administrators_any_is_shown(boss, admin, alice):
    assert api_client(alice).get(url(alice)).json() == {"user": user_object(alice)}
    assert boss.get(url(alice)).json() == {"user": user_object(alice)}
    assert boss.get(url(admin)).json() == {"user": user_object(admin)}


def test_other_profiles_are_forbidden_whether_they_exist_or_not(alice, bob):
    client = api_client(alice)
    for wanted in (str(bob.id), *UNKNOWN_IDS):
        answer = client.get(f"{USERS}/{wanted}")
        assert answer.status_code == 403
        assert answer.json() == {"error": "Forbidden. You can only view your own profile."}


@pytest.mark.parametrize("unknown", UNKNOWN_IDS)
def test_unknown_account_is_not_found_by_administrators(boss, unknown):
    for answer in (
        boss.get(f"{USERS}/{unknown}"),
        boss.put(f"{USERS}/{unknown}", {}),
        boss.delete(f"{USERS}/{unknown}"),
    ):
        assert (answer.status_code, answer.json()) == (404, NOT_FOUND)


def test_id_in_capitals_is_unknown(boss, alice):
    assert boss.get(f"{USERS}/{str(alice.id).upper()}").status_code == 404


# --- Changing --------------------------------------------------------------------------------------------------------


def test_answer_names_what_was_sent_in_the_order_of_the_contract(boss, alice):
    sent = {"is_active": True, "role": "user", "password": "secret", "email": alice.email, "username": "eve"}
    answer = boss.put(url(alice), sent)
    assert answer.status_code == 200
    assert answer.json() == {
        "message": "User updated successfully",
        "updated_fields": ["email", "password", "role", "is_active"],
        "user": user_object(alice),
    }
    assert alice.username == "alice"
    assert alice.check_password("secret")


@pytest.mark.parametrize(
    "sent, stored",
    [
        ({"email": " New@Example.ORG "}, {"email": "new@example.org"}),
        ({"role": "admin"}, {"role": "admin"}),
        ({"role": " viewer "}, {"role": "viewer"}),
        ({"is_active": False}, {"is_active": False}),
        ({"is_active": "no"}, {"is_active": False}),
        ({"is_active": 0}, {"is_active": False}),
        ({"is_active": []}, {"is_active": False}),
        ({"is_active": "anything"}, {"is_active": True}),
        ({"email": "", "role": "viewer"}, {"email": "alice@example.com", "role": "viewer"}),
        ({"password": None, "is_active": False}, {"is_active": False}),
        ({"is_active": None, "role": "viewer"}, {"is_active": True, "role": "viewer"}),
    ],
)
def test_values_are_brought_into_their_stored_form(boss, alice, sent, stored):
    answer = boss.put(url(alice), sent)
    assert answer.status_code == 200, answer.json()
    alice.refresh_from_db()
    assert {name: getattr(alice, name) for name in stored} == stored
    assert answer.json()["user"] == user_object(alice)
    assert alice.check_password(PASSWORD)


def test_everybody_may_change_the_own_address_and_password(charlie):
    answer = api_client(charlie).put(url(charlie), {"email": "c@example.org", "password": "secret"})
    assert answer.json()["updated_fields"] == ["email", "password"]
    charlie.refresh_from_db()
    assert charlie.email == "c@example.org"
    assert charlie.check_password("secret")


def test_change_is_stamped(boss, alice):
    before = alice.updated_at
    boss.put(url(alice), {"role": "viewer"})
    alice.refresh_from_db()
    assert alice.updated_at > before


INVALID_EMAIL = {"error": "Invalid email", "message": "Enter a valid email address."}
INVALID_ROLE = {"error": "Invalid role", "message": "Role must be one of: admin, user, viewer"}
NOTHING = {"error": "No valid fields to update"}


def not_text(field: str) -> dict[str, str]:
    return {"error": "Invalid payload", "message": f'"{field}" must be a string.'}


@pytest.mark.parametrize(
    "sent, body",
    [
        ({}, NOTHING),
        ({"username": "eve", "id": "x", "created_at": None}, NOTHING),
        ({"email": "", "password": "", "is_active": None}, NOTHING),
        ({"email": "   "}, NOTHING),
        ({"email": "alice"}, INVALID_EMAIL),
        ({"email": "alice@localhost"}, INVALID_EMAIL),
        ({"email": "a" * 64 + "@" + "e" * 52 + ".com"}, INVALID_EMAIL),
        ({"email": 7}, not_text("email")),
        ({"email": False}, not_text("email")),
        ({"password": 1234567}, not_text("password")),
        ({"password": ["secret"]}, not_text("password")),
        ({"password": "short"}, {"error": "Password must be at least 6 characters long"}),
        ({"password": "     "}, {"error": "Password must be at least 6 characters long"}),
        ({"password": "       "}, {"error": "Invalid password", "message": "Password must not be blank."}),
        ({"role": None}, INVALID_ROLE),
        ({"role": ""}, INVALID_ROLE),
        ({"role": "root"}, INVALID_ROLE),
        ({"role": 1}, INVALID_ROLE),
        # The first field at fault is named.
        ({"email": "x", "password": "y", "role": "z"}, INVALID_EMAIL),
        ({"email": "new@example.org", "password": "secret", "role": "z"}, INVALID_ROLE),
    ],
)
def test_refused_change_changes_nothing(boss, alice, sent, body):
    before = User.objects.filter(id=alice.id).values().get()
    answer = boss.put(url(alice), sent)
    assert (answer.status_code, answer.json()) == (400, body)
    assert User.objects.filter(id=alice.id).values().get() == before


def test_address_of_another_account_is_a_conflict(boss, alice, bob):
    for taken in ("bob@example.com", "BOB@example.com"):
        answer = boss.put(url(alice), {"email": taken, "password": "short"})
        assert (answer.status_code, answer.json()["error"]) == (409, "Email already exists")
    assert boss.put(url(alice), {"email": "ALICE@example.com"}).status_code == 200


@pytest.mark.parametrize(
    "sent, text",
    [
        ({"role": "admin"}, "Only admins can change user roles"),
        ({"role": None}, "Only admins can change user roles"),
        ({"role": "user"}, "Only admins can change user roles"),
        ({"is_active": True}, "Only admins can change user active status"),
        ({"is_active": False, "email": "new@example.org"}, "Only admins can change user active status"),
    ],
)
def test_role_and_state_are_for_administrators(alice, sent, text):
    answer = api_client(alice).put(url(alice), sent)
    assert (answer.status_code, answer.json()) == (403, {"error": text})
    alice.refresh_from_db()
    assert (alice.role, alice.is_active, alice.email) == (Role.USER, True, "alice@example.com")


JSON = "application/json"


@pytest.mark.parametrize(
    "who, whose, content, content_type, status, error",
    [
        ("alice", "bob", b"", "text/plain", 400, "Content-Type must be application/json"),
        ("alice", "bob", b"{broken", JSON, 403, "Forbidden. You can only update your own profile."),
        ("alice", None, b"{}", JSON, 403, "Forbidden. You can only update your own profile."),
        ("admin", None, b"", "", 400, "Content-Type must be application/json"),
        ("admin", None, b"{broken", JSON, 404, "User not found"),
        ("alice", "alice", b"{broken", JSON, 400, "Invalid JSON"),
        ("alice", "alice", b"\xff", JSON, 400, "Invalid JSON"),
        ("alice", "alice", b"null", f"{JSON}; charset=utf-8", 400, "Invalid payload"),
    ],
)
def test_checks_come_in_the_order_of_the_contract(admin, alice, bob, who, whose, content, content_type, status, error):
    people = {"admin": admin, "alice": alice, "bob": bob}
    wanted = people[whose].id if whose else uuid4()
    answer = api_client(people[who]).generic("PUT", f"{USERS}/{wanted}", content, content_type=content_type)
    assert (answer.status_code, answer.json()["error"]) == (status, error)


def test_demotion_and_deactivation_act_at_once(boss, admin, alice):
    other = make_user("other", role=Role.ADMIN)
    client = api_client(other)
    boss.put(url(other), {"role": "viewer"})
    assert client.get(USERS).status_code == 403
    boss.put(url(other), {"is_active": False})
    assert client.get("/api/v2/auth/me").json()["message"] == "User account is deactivated"


LAST_ADMIN = {"error": "Last administrator", "message": "At least one active administrator is needed."}


@pytest.mark.parametrize("sent", [{"role": "user"}, {"is_active": False}, {"role": "admin", "is_active": False}])
def test_the_last_active_administrator_stays_one(boss, admin, sent):
    other = make_user("other", role=Role.ADMIN, is_active=False)
    answer = boss.put(url(admin), {**sent, "email": "new@example.org"})
    assert (answer.status_code, answer.json()) == (400, LAST_ADMIN)
    admin.refresh_from_db()
    assert (admin.role, admin.is_active, admin.email) == (Role.ADMIN, True, "admin@example.com")
    assert boss.put(url(admin), {"role": "admin", "is_active": True}).status_code == 200
    assert boss.put(url(other), sent).status_code == 200, "who is inactive is not needed"


def test_one_of_two_administrators_may_go(boss, admin):
    make_user("other", role=Role.ADMIN)
    assert boss.put(url(admin), {"role": "viewer"}).status_code == 200


# --- Deleting --------------------------------------------------------------------------------------------------------


def test_account_goes_with_its_preferences_and_sessions(boss, admin, alice):
    client = api_client(alice)
    for path in ("preferences", "ui-preferences"):
        assert client.get(f"{url(alice)}/{path}").status_code == 200
    answer = boss.delete(url(alice))
    assert answer.status_code == 200
    assert answer.json() == {
        "message": "User deleted successfully",
        "deleted_user": {"id": str(alice.id), "username": "alice"},
    }
    assert list(User.objects.all()) == [admin]
    assert not NotificationPreferences.objects.exists()
    assert not UiPreferences.objects.exists()
    assert not LoginSession.objects.exclude(user=admin).exists()
    assert client.get("/api/v2/auth/me").json()["message"] == "User not found"


def test_own_account_cannot_be_deleted(boss, admin):
    answer = boss.delete(url(admin))
    assert (answer.status_code, answer.json()) == (400, {"error": "Cannot delete your own account"})
    assert User.objects.filter(id=admin.id).exists()


def test_deleting_is_for_administrators(alice, charlie):
    for user in (alice, charlie):
        for wanted in (str(alice.id), str(uuid4())):
            answer = api_client(user).delete(f"{USERS}/{wanted}")
            assert (answer.status_code, answer.json()["message"]) == (403, "Admin access required")


@pytest.mark.parametrize("method", ["patch", "post"])
def test_other_methods_are_not_allowed(boss, alice, method):
    answer: Any = getattr(boss, method)(url(alice), {})
    assert answer.status_code == 405
    assert answer.json()["error"] == "Method not allowed"
    assert set(answer.headers["Allow"].split(", ")) >= {"GET", "PUT", "DELETE"}
