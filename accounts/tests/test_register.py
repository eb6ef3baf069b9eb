"""POST /auth/register."""

from typing import Any

import pytest
from django.contrib.auth import hashers

import cronsched.settings
from accounts.models import Role, User
from accounts.tests.factories import JSONClient, api_client, make_user
from accounts.tests.test_login import user_object

URL = "/api/v2/auth/register"
GOOD: dict[str, Any] = {"username": "dana", "email": "dana@example.com", "password": "secret"}


@pytest.fixture
def boss(admin: User) -> JSONClient:
    return api_client(admin)


def test_account_is_created_and_shown(boss):
    answer = boss.post(URL, {**GOOD, "role": "user"})
    dana = User.objects.get(username="dana")
    assert answer.status_code == 201
    assert answer.json() == {
        "success": True,
        "message": "User registered successfully",
        "user": user_object(dana),
    }
    assert dana.check_password("secret")
    assert dana.role == Role.USER


@pytest.mark.parametrize(
    "sent, stored",
    [
        ({}, {"role": "viewer", "is_active": True}),
        ({"username": "  Dana_-7 "}, {"username": "dana_-7"}),
        ({"username": "d" * 80}, {"username": "d" * 80}),
        ({"username": "__7"}, {"username": "__7"}),
        ({"email": " Dana@Example.COM "}, {"email": "dana@example.com"}),
        ({"email": "d" * 64 + "@" + "e" * 51 + ".com"}, {"email": "d" * 64 + "@" + "e" * 51 + ".com"}),
        ({"role": " admin "}, {"role": "admin"}),
        ({"is_active": False}, {"is_active": False}),
        ({"is_active": None}, {"is_active": True}),
        ({"is_active": "off"}, {"is_active": False}),
        ({"is_active": ""}, {"is_active": False}),
        ({"is_active": 0}, {"is_active": False}),
        ({"is_active": "Yes"}, {"is_active": True}),
        ({"id": "7d0f2c1e-6d0b-4d6e-9a53-2f1f0b6c9d11", "is_admin": True, "unknown": []}, {"role": "viewer"}),
    ],
)
def test_values_are_brought_into_their_stored_form(boss, admin, sent, stored):
    answer = boss.post(URL, {**GOOD, **sent})
    assert answer.status_code == 201, answer.json()
    user = User.objects.exclude(id=admin.id).get()
    assert {name: getattr(user, name) for name in stored} == stored
    assert answer.json()["user"] == user_object(user)


@pytest.mark.parametrize("password", ["  secret ", "pässwörd", "\U0001f511" * 6, "x" * 5000])
def test_passwords_are_taken_as_they_are(boss, password):
    assert boss.post(URL, {**GOOD, "password": password}).status_code == 201
    assert User.objects.get(username="dana").check_password(password)


@pytest.mark.parametrize(
    "field, values",
    [
        (
            "username",
            [None, "", "  ", "ab", "d" * 81, "da na", "däna", "dana@x", "d.ana", "---", "_-_", 12345, True, []],
        ),
        (
            "email",
            [
                *(None, "", "dana", "dana@", "@example.com", "dana@example", "dana@localhost", "dana@[192.0.2.1]"),
                *("a b@example.com", "dana@example..com", "dana@example.com\nBcc: x@example.com", 7, {}),
                "d" * 64 + "@" + "e" * 52 + ".com",
            ],
        ),
        ("password", [None, "", "short", "      ", 1234567, ["secret"], True]),
        ("role", [None, "", "root", "ADMIN", 1, ["admin"], {}]),
        ("is_active", ["maybe", 2, [], {}, 0.5]),
    ],
)
def test_wrong_values_are_refused_by_name(boss, field, values):
    for value in values:
        answer = boss.post(URL, {**GOOD, field: value})
        assert answer.status_code == 422, value
        body = answer.json()
        assert body["error"] == "Validation error"
        assert [item["loc"] for item in body["detail"]] == [["body", field]], value
        assert body["details"].keys() == {field}
        assert body["message"].startswith(f"{field}: ")
    assert User.objects.count() == 1


@pytest.mark.parametrize("field", ["username", "email", "password"])
def test_missing_field_is_named(boss, field):
    answer = boss.post(URL, {name: value for name, value in GOOD.items() if name != field})
    assert answer.json()["detail"] == [{"loc": ["body", field], "msg": "Field required", "type": "missing"}]


def test_all_broken_fields_are_named_at_once(boss):
    answer = boss.post(URL, {"username": "a", "email": "b", "role": "c", "is_active": "d"})
    assert [item["loc"][-1] for item in answer.json()["detail"]] == [
        "username",
        "email",
        "password",
        "role",
        "is_active",
    ]


@pytest.mark.parametrize(
    "content, content_type",
    [(b"{}", "text/plain"), (b"{", "application/json"), (b"null", "application/json"), (b"[]", "application/json")],
)
def test_unreadable_body_breaks_the_schema(boss, content, content_type):
    answer = boss.generic("POST", URL, content, content_type=content_type)
    assert answer.status_code == 422
    assert [item["loc"] for item in answer.json()["detail"]] == [["body"]]


@pytest.mark.parametrize(
    "sent, text",
    [
        ({"username": "alice"}, "Username already exists"),
        ({"username": "ALICE"}, "Username already exists"),
        ({"email": "alice@example.com"}, "Email already exists"),
        ({"email": "Alice@Example.Com"}, "Email already exists"),
        ({"username": "alice", "email": "alice@example.com"}, "Username already exists"),
    ],
)
def test_taken_name_or_address_is_a_conflict(boss, alice, sent, text):
    answer = boss.post(URL, {**GOOD, **sent})
    assert answer.status_code == 409
    assert answer.json() == {"error": text, "message": text, "detail": text}
    assert User.objects.count() == 2


def test_loser_of_a_race_is_told_like_anybody_else(boss, monkeypatch):
    """The other request commits between our look and our insert."""

    def insert_first(password: str, *args: Any, **kwargs: Any) -> str:
        monkeypatch.undo()
        make_user("dana", email="first@example.com")
        return hashers.make_password(password)

    monkeypatch.setattr("django.contrib.auth.base_user.make_password", insert_first)
    answer = boss.post(URL, GOOD)
    assert (answer.status_code, answer.json()["error"]) == (409, "Username already exists")


@pytest.mark.parametrize("sent", [GOOD, {}, {"username": "alice"}])
@pytest.mark.parametrize("role", [Role.USER, Role.VIEWER])
def test_role_is_judged_before_the_body(db, role, sent):
    answer = api_client(make_user("eve", role=role)).post(URL, sent)
    text = "Admin access required"
    assert answer.status_code == 403
    assert answer.json() == {"error": "Insufficient permissions", "message": text, "detail": text}


def test_token_is_judged_before_everything(db):
    assert api_client().post(URL, GOOD).status_code == 401


def test_passwords_are_stored_as_pbkdf2():
    # The tests themselves hash cheaply; what counts is what the project is configured with.
    assert cronsched.settings.PASSWORD_HASHERS[0] == "django.contrib.auth.hashers.PBKDF2PasswordHasher"
