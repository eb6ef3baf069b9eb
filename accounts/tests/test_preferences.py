"""GET and PUT of /auth/users/{id}/preferences and /auth/users/{id}/ui-preferences."""

from typing import Any
from uuid import uuid4

import pytest

from accounts.models import NotificationPreferences, UiPreferences, User
from accounts.tests.factories import JSONClient, api_client

BOTH = ["preferences", "ui-preferences"]
DEFAULTS = {
    "email_on_job_success": True,
    "email_on_job_failure": True,
    "email_on_job_disabled": False,
    "browser_notifications": False,
    "daily_digest": False,
    "weekly_report": False,
}
COLUMNS = {
    "pic_team": True,
    "end_date": True,
    "cron_expression": False,
    "target_url": False,
    "last_execution_at": False,
}
NOT_READABLE = "Forbidden: Cannot access other users preferences"
NOT_WRITABLE = "Forbidden: Cannot update other users preferences"
JSON = "application/json"


def url(user: User | str, kind: str) -> str:
    return f"/api/v2/auth/users/{user.id if isinstance(user, User) else user}/{kind}"


def flags(answer: Any) -> dict[str, bool]:
    return {name: answer.json()["preferences"][name] for name in DEFAULTS}


@pytest.fixture
def client(alice: User) -> JSONClient:
    return api_client(alice)


# --- Notifications ---------------------------------------------------------------------------------------------------


def test_first_look_creates_the_defaults(client, alice):
    answer = client.get(url(alice, "preferences"))
    assert answer.status_code == 200
    body = answer.json()
    assert body["message"] == "Notification preferences retrieved successfully"
    row = NotificationPreferences.objects.get()
    shown = body["preferences"]
    assert shown.keys() == {"id", "user_id", *DEFAULTS, "created_at", "updated_at"}
    assert (shown["id"], shown["user_id"]) == (str(row.id), str(alice.id))
    assert shown["created_at"].endswith("Z")
    assert flags(answer) == DEFAULTS
    assert client.get(url(alice, "preferences")).json() == body


@pytest.mark.parametrize(
    "sent, changed",
    [
        ({}, {}),
        ({"daily_digest": True}, {"daily_digest": True}),
        ({name: not value for name, value in DEFAULTS.items()}, {name: not value for name, value in DEFAULTS.items()}),
        ({"daily_digest": "yes", "email_on_job_success": "OFF"}, {"daily_digest": True, "email_on_job_success": False}),
        (
            {"email_on_job_success": "", "email_on_job_failure": 0},
            {"email_on_job_success": False, "email_on_job_failure": False},
        ),
        ({"weekly_report": [1], "daily_digest": {}}, {"weekly_report": True}),
        ({"email_on_job_success": None}, {}),
        ({"id": "x", "user_id": "y", "unknown": True, "created_at": None}, {}),
    ],
)
def test_any_part_of_them_can_be_changed(client, alice, sent, changed):
    answer = client.put(url(alice, "preferences"), sent)
    assert answer.status_code == 200
    assert answer.json()["message"] == "Notification preferences updated successfully"
    assert flags(answer) == {**DEFAULTS, **changed}
    assert client.get(url(alice, "preferences")).json()["preferences"] == answer.json()["preferences"]


def test_later_change_keeps_the_earlier_one(client, alice):
    client.put(url(alice, "preferences"), {"daily_digest": True})
    assert flags(client.put(url(alice, "preferences"), {"weekly_report": True})) == {
        **DEFAULTS,
        "daily_digest": True,
        "weekly_report": True,
    }


# --- Columns ---------------------------------------------------------------------------------------------------------


def test_columns_start_with_the_defaults(client, alice):
    answer = client.get(url(alice, "ui-preferences"))
    assert (answer.status_code, answer.json()) == (200, {"preferences": {"jobs_table_columns": COLUMNS}})
    assert UiPreferences.objects.get().user == alice


@pytest.mark.parametrize(
    "sent, changed",
    [
        ({}, {}),
        ({"target_url": True, "pic_team": False}, {"target_url": True, "pic_team": False}),
        (
            {"target_url": "on", "pic_team": "no", "end_date": 0},
            {"target_url": True, "pic_team": False, "end_date": False},
        ),
        ({"pic_team": None, "unknown": True}, {}),
    ],
)
def test_columns_sent_lie_over_the_defaults(client, alice, sent, changed):
    client.put(url(alice, "ui-preferences"), {"jobs_table_columns": {"last_execution_at": True}})
    answer = client.put(url(alice, "ui-preferences"), {"jobs_table_columns": sent})
    expected = {"preferences": {"jobs_table_columns": {**COLUMNS, **changed}}}
    assert (answer.status_code, answer.json()) == (200, expected)
    assert client.get(url(alice, "ui-preferences")).json() == expected


@pytest.mark.parametrize(
    "sent, error, message",
    [
        ({}, "Missing required fields", '"jobs_table_columns" is required.'),
        ({"jobs_table_columns": None}, "Missing required fields", '"jobs_table_columns" is required.'),
        ({"jobs_table_columns": []}, "Invalid payload", '"jobs_table_columns" must be an object.'),
        ({"jobs_table_columns": "pic_team"}, "Invalid payload", '"jobs_table_columns" must be an object.'),
        ({"jobs_table_columns": False}, "Invalid payload", '"jobs_table_columns" must be an object.'),
    ],
)
def test_columns_must_be_an_object(client, alice, sent, error, message):
    answer = client.put(url(alice, "ui-preferences"), sent)
    assert (answer.status_code, answer.json()) == (400, {"error": error, "message": message})
    assert not UiPreferences.objects.exists()


# --- Both ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", BOTH)
def test_administrators_reach_those_of_any_account(admin, alice, kind):
    boss = api_client(admin)
    sent = {"daily_digest": True, "jobs_table_columns": {"target_url": True}}
    assert boss.put(url(alice, kind), sent).status_code == 200
    assert boss.get(url(alice, kind)).status_code == 200
    assert (
        api_client(alice).get(url(alice, kind)).json()["preferences"]
        == boss.get(url(alice, kind)).json()["preferences"]
    )


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(
    "who, whose, content_type, content, status, error",
    [
        ("alice", "bob", "text/plain", b"", 403, NOT_WRITABLE),
        ("alice", None, JSON, b"{}", 403, NOT_WRITABLE),
        ("alice", "x", JSON, b"{}", 403, NOT_WRITABLE),
        ("admin", None, "text/plain", b"{}", 400, "Content-Type must be application/json"),
        ("admin", None, JSON, b"{broken", 404, "User not found"),
        ("admin", "x", JSON, b"{broken", 404, "User not found"),
        ("alice", "alice", "", b"{}", 400, "Content-Type must be application/json"),
        ("alice", "alice", JSON, b"{broken", 400, "Invalid JSON"),
        ("alice", "alice", JSON, b"[]", 400, "Invalid payload"),
    ],
)
def test_checks_come_in_the_order_of_the_contract(
    admin, alice, bob, kind, who, whose, content_type, content, status, error
):
    people = {"admin": admin, "alice": alice, "bob": bob}
    wanted = str(people[whose].id) if whose in people else whose or str(uuid4())
    answer = api_client(people[who]).generic("PUT", url(wanted, kind), content, content_type=content_type)
    assert (answer.status_code, answer.json()["error"]) == (status, error)


@pytest.mark.parametrize("kind", BOTH)
def test_reading_those_of_others_is_forbidden_whether_they_exist_or_not(client, admin, bob, kind):
    for wanted in (bob, str(uuid4()), "x"):
        answer = client.get(url(wanted, kind))
        assert (answer.status_code, answer.json()) == (403, {"error": NOT_READABLE})
    for unknown in (str(uuid4()), "x"):
        answer = api_client(admin).get(url(unknown, kind))
        assert (answer.status_code, answer.json()) == (404, {"error": "User not found"})


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("method", ["get", "put"])
def test_without_a_token_nobody_is_recognised(alice, kind, method):
    assert getattr(api_client(), method)(url(alice, kind), {}).status_code == 401
