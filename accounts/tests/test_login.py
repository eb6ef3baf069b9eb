"""POST /auth/login and /auth/login/form."""

from typing import Any

import pytest

from accounts.models import LoginSession, User
from accounts.tests.factories import PASSWORD, JSONClient, api_client, make_user

URL = "/api/v2/auth/login"
FORM = "application/x-www-form-urlencoded"
BAD_CREDENTIALS = "Invalid email/username or password"
INACTIVE = "Account is inactive. Contact administrator."


@pytest.fixture
def anyone(db: None) -> JSONClient:
    return api_client()


def user_object(user: User) -> dict[str, Any]:
    user.refresh_from_db()
    return {
        "id": str(user.id),
        "username": user.username,
        "email": user.email,
        "role": user.role,
        "is_active": user.is_active,
        "created_at": user.created_at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{user.created_at.microsecond // 1000:03d}Z",
        "updated_at": user.updated_at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{user.updated_at.microsecond // 1000:03d}Z",
    }


@pytest.mark.parametrize("prefix", ["/api/v2", "/api"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_sign_in_answers_both_tokens_and_the_account(anyone, alice, prefix, slash):
    answer = anyone.post(f"{prefix}/auth/login{slash}", {"username": "alice", "password": PASSWORD})
    assert answer.status_code == 200
    body = answer.json()
    access, refresh = body.pop("access_token"), body.pop("refresh_token")
    assert body == {
        "success": True,
        "message": "Login successful",
        "token_type": "bearer",
        "user": user_object(alice),
    }
    assert access != refresh
    assert anyone.get("/api/v2/auth/me", HTTP_AUTHORIZATION=f"Bearer {access}").status_code == 200


@pytest.mark.parametrize(
    "identifier",
    [
        {"username": "alice"},
        {"username": "  alice\t"},
        {"username": "alice@example.com"},
        {"username": "ALICE@Example.COM"},
        {"email": "alice@example.com"},
        {"email": " Alice@EXAMPLE.com "},
        {"username": None, "email": "alice@example.com"},
        {"username": "", "email": "alice@example.com"},
        # The name wins.
        {"username": "alice", "email": "bob@example.com"},
    ],
)
def test_name_and_address_both_lead_to_the_account(anyone, alice, bob, identifier):
    answer = anyone.post(URL, {**identifier, "password": PASSWORD})
    assert (answer.status_code, answer.json()["user"]["username"]) == (200, "alice")


@pytest.mark.parametrize(
    "sent",
    [
        {"username": "alice", "password": "wrong password"},
        {"username": "alice", "password": PASSWORD + " "},
        {"username": "nobody", "password": PASSWORD},
        {"email": "nobody@example.com", "password": PASSWORD},
        # Names are compared with their case, addresses without.
        {"username": "Alice", "password": PASSWORD},
    ],
)
def test_unknown_account_and_wrong_password_look_the_same(anyone, alice, sent):
    answer = anyone.post(URL, sent)
    assert answer.status_code == 401
    assert answer.json() == {
        "error": "Invalid credentials",
        "message": BAD_CREDENTIALS,
        "detail": BAD_CREDENTIALS,
    }
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert not LoginSession.objects.exists()


def test_inactive_account_is_told_only_after_the_right_password(anyone):
    make_user("gone", is_active=False)
    right = anyone.post(URL, {"username": "gone", "password": PASSWORD})
    wrong = anyone.post(URL, {"username": "gone", "password": "wrong password"})
    assert right.status_code == wrong.status_code == 401
    assert right.json() == {"error": "Account inactive", "message": INACTIVE, "detail": INACTIVE}
    assert wrong.json()["error"] == "Invalid credentials"
    assert not LoginSession.objects.exists()


def test_token_sent_along_is_not_looked_at(anyone, alice):
    sent = {"username": "alice", "password": PASSWORD}
    assert anyone.post(URL, sent, HTTP_AUTHORIZATION="Bearer broken").status_code == 200


# --- 422 -------------------------------------------------------------------------------------------------------------


def test_missing_field_is_answered_as_the_contract_shows(anyone):
    answer = anyone.post(URL, {"username": "alice"})
    assert answer.status_code == 422
    assert answer.json() == {
        "error": "Validation error",
        "message": "password: Field required",
        "detail": [{"loc": ["body", "password"], "msg": "Field required", "type": "missing"}],
        "details": {"password": ["Field required"]},
    }


@pytest.mark.parametrize(
    "sent, broken",
    [
        ({"password": PASSWORD}, [["body"]]),
        ({"username": None, "email": None, "password": PASSWORD}, [["body"]]),
        ({"username": "  ", "password": PASSWORD}, [["body"]]),
        ({"username": "al", "password": PASSWORD}, [["body", "username"]]),
        ({"username": " al ", "password": PASSWORD}, [["body", "username"]]),
        ({"username": "a" * 81, "password": PASSWORD}, [["body", "username"]]),
        ({"username": 12345, "password": PASSWORD}, [["body", "username"]]),
        ({"username": ["alice"], "password": PASSWORD}, [["body", "username"]]),
        ({"email": "alice", "password": PASSWORD}, [["body", "email"]]),
        ({"email": "alice@localhost", "password": PASSWORD}, [["body", "email"]]),
        ({"email": True, "password": PASSWORD}, [["body", "email"]]),
        ({"username": "alice"}, [["body", "password"]]),
        ({"username": "alice", "password": None}, [["body", "password"]]),
        ({"username": "alice", "password": ""}, [["body", "password"]]),
        ({"username": "alice", "password": "      "}, [["body", "password"]]),
        ({"username": "alice", "password": "short"}, [["body", "password"]]),
        ({"username": "alice", "password": 123456}, [["body", "password"]]),
        ({"username": "alice", "password": {"$ne": ""}}, [["body", "password"]]),
        ({}, [["body", "password"]]),
        (
            {"username": "al", "email": "no", "password": "x"},
            [["body", "username"], ["body", "email"], ["body", "password"]],
        ),
    ],
)
def test_broken_fields_are_all_named_at_once(anyone, sent, broken):
    answer = anyone.post(URL, sent)
    assert answer.status_code == 422
    body = answer.json()
    assert body["error"] == "Validation error"
    assert [item["loc"] for item in body["detail"]] == broken
    assert all(item["msg"] and item["type"] for item in body["detail"])
    assert set(body["details"]) == {loc[-1] for loc in broken}
    assert body["message"]


def test_submitted_values_are_not_repeated(anyone):
    answer = anyone.post(URL, {"username": "me", "email": "secret-address", "password": "12345"})
    text = answer.content.decode()
    assert answer.status_code == 422
    assert "secret-address" not in text
    assert "12345" not in text


@pytest.mark.parametrize(
    "content, content_type",
    [
        (b"{}", ""),
        (b"{}", "text/plain"),
        (b"username=alice", FORM),
        (b"{", "application/json"),
        (b"", "application/json"),
        (b"\xff\xfe", "application/json"),
        (b'{"password": NaN}', "application/json"),
        (b'{"password": "\\u0000aaaaaa"}', "application/json"),
        (b'{"password": "\\ud800aaaaaa"}', "application/json"),
        (b'{"username": "a", "username": "b"}', "application/json"),
        (b"null", "application/json"),
        (b"[]", "application/json"),
        (b'"text"', "application/json"),
        (b"7", "application/json"),
    ],
)
def test_unreadable_body_breaks_the_schema(anyone, content, content_type):
    answer = anyone.generic("POST", URL, content, content_type=content_type)
    assert answer.status_code == 422
    assert [item["loc"] for item in answer.json()["detail"]] == [["body"]]
    assert answer.json()["error"] == "Validation error"


# --- Form ------------------------------------------------------------------------------------------------------------


def test_form_signs_in_like_json(anyone, alice):
    content = (
        f"grant_type=password&username=alice%40example.com&password={PASSWORD.replace(' ', '+')}&scope=&client_id="
    )
    answer = anyone.generic("POST", f"{URL}/form", content, content_type=FORM)
    assert answer.status_code == 200
    assert answer.json()["user"] == user_object(alice)


@pytest.mark.parametrize(
    "content, broken",
    [
        ("", [["body", "username"], ["body", "password"]]),
        ("username=alice", [["body", "password"]]),
        ("username=&password=secret", [["body", "username"]]),
        ("username=alice&password=", [["body", "password"]]),
        ("username=al%00ice&password=secret", [["body", "username"]]),
        ("username=%ff&password=secret", [["body"]]),
        ("&".join(f"field{number}=x" for number in range(200)), [["body"]]),
    ],
)
def test_incomplete_form_breaks_the_schema(anyone, content, broken):
    answer = anyone.generic("POST", f"{URL}/form", content, content_type=FORM)
    assert answer.status_code == 422
    assert [item["loc"] for item in answer.json()["detail"]] == broken


def test_form_of_another_content_type_has_no_fields(anyone, alice):
    answer = anyone.post(f"{URL}/form", {"username": "alice", "password": PASSWORD}, format="json")
    assert answer.status_code == 422


def test_short_password_in_the_form_is_merely_wrong(anyone, alice):
    answer = anyone.generic("POST", f"{URL}/form", "username=alice&password=x", content_type=FORM)
    assert (answer.status_code, answer.json()["error"]) == (401, "Invalid credentials")
