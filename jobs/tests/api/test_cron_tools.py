"""POST /jobs/validate-cron and /jobs/cron-preview."""

from datetime import datetime

import pytest
from django.utils import timezone

from accounts.tests.factories import api_client

VALIDATE = "/api/v2/jobs/validate-cron"
PREVIEW = "/api/v2/jobs/cron-preview"

pytestmark = pytest.mark.django_db


@pytest.fixture
def client(charlie):
    return api_client(charlie)


def verdict(client, **body):
    response = client.post(VALIDATE, body)
    assert response.status_code == 200, response.content
    return response.json()


def preview(client, **body):
    response = client.post(PREVIEW, body)
    assert response.status_code == 200, response.content
    return response.json()


@pytest.mark.parametrize(
    "body",
    [
        {"expression": " 0 2 * * * "},
        {"cron_expression": "0 2 * * *"},
        {"expression": "", "cron_expression": "0 2 * * *"},
        {"expression": None, "cron_expression": "0 2 * * *"},
        {"expression": "  ", "cron_expression": "0 2 * * *"},
        {"expression": "0 2 * * *", "cron_expression": "nonsense"},
    ],
)
def test_a_valid_expression_is_described(client, body):
    answer = verdict(client, **body)
    assert answer.pop("description")
    assert answer == {"valid": True, "message": "Valid cron expression", "cron_expression": "0 2 * * *", "warnings": []}


@pytest.mark.parametrize(
    "body, message",
    [
        ({}, "Cron expression is required."),
        ({"expression": " "}, "Cron expression is required."),
        (
            {"expression": "* * *"},
            "Cron expression must have exactly 5 fields (minute hour day month day-of-week).",
        ),
    ],
)
def test_an_invalid_expression_is_an_answer_too(client, body, message):
    answer = verdict(client, **body)
    answer.pop("hint", None)
    assert answer == {
        "valid": False,
        "error": "Invalid cron expression",
        "message": message,
        "cron_expression": body.get("expression", "").strip(),
        "description": None,
    }


@pytest.mark.parametrize("expression", [5, ["* * * * *"], {"a": 1}, True, "0 0 31 2 *", "@daily", "1" * 5000])
def test_odd_expressions_are_invalid_and_no_errors(client, expression):
    assert verdict(client, expression=expression)["valid"] is False


def test_help_and_doubts_come_in_keys_of_their_own(client):
    assert verdict(client, expression="@daily")["hint"]
    assert verdict(client, expression="0 9 1-7 * 1")["warnings"]


def test_a_preview_shows_the_next_fire_times_in_the_schedulers_zone(client):
    now = timezone.now()
    answer = preview(client, expression="0 2 * * *", count=3)
    runs = [datetime.fromisoformat(run) for run in answer.pop("next_runs")]
    assert answer == {"cron_expression": "0 2 * * *", "timezone": "Asia/Tokyo", "count": 3, "warnings": []}
    assert now < runs[0] < runs[1] < runs[2]
    assert all(run.isoformat().endswith("T02:00:00+09:00") for run in runs)


def test_a_preview_in_another_zone(client):
    answer = preview(client, cron_expression="0 2 * * *", timezone="Pacific/Honolulu", count=1)
    assert answer["timezone"] == "Pacific/Honolulu"
    assert answer["next_runs"][0].endswith("T02:00:00-10:00")


def test_a_preview_tells_of_doubts_and_of_the_next_clock_change(client):
    (doubt,) = preview(client, expression="0 10,12 3-20 * 1-5")["warnings"]
    assert "either field may match" in doubt
    (note,) = preview(client, expression="30 2 * * *", timezone="America/New_York")["warnings"]
    assert note.startswith("02:30 does not exist on ")
    assert note.endswith("runs at 03:00.")


@pytest.mark.parametrize(
    "count, entries",
    [
        (None, 5),
        (0, 5),
        ("", 5),
        (1, 1),
        ("3", 3),
        (" 3 ", 3),
        (2.9, 2),
        ("2.9", 2),
        (-1, 0),
        (-(10**40), 0),
        (20, 20),
        (21, 20),
        (10**400, 20),
        (1e300, 20),
    ],
)
def test_the_count_is_converted_and_cut(client, count, entries):
    answer = preview(client, expression="* * * * *", count=count)
    assert (answer["count"], len(answer["next_runs"])) == (entries, entries)


@pytest.mark.parametrize(
    "body, error, message",
    [
        ({}, "Invalid cron expression", "Cron expression is required."),
        ({"expression": 5}, "Invalid payload", '"expression" must be a string.'),
        (
            {"expression": "* *"},
            "Invalid cron expression",
            "Cron expression must have exactly 5 fields (minute hour day month day-of-week).",
        ),
        ({"expression": "* * * * *", "count": "x"}, "Invalid count", "count must be an integer."),
        ({"expression": "* * * * *", "count": True}, "Invalid count", "count must be an integer."),
        ({"expression": "* * * * *", "count": [1]}, "Invalid count", "count must be an integer."),
        ({"expression": "* * * * *", "count": "inf"}, "Invalid count", "count must be an integer."),
        (
            {"expression": "* * * * *", "timezone": "Mars/Base"},
            "Invalid timezone",
            "Unknown time zone 'Mars/Base'. Use an IANA name such as Asia/Tokyo.",
        ),
    ],
)
def test_what_cannot_be_previewed_is_refused(client, body, error, message):
    response = client.post(PREVIEW, body)
    assert response.status_code == 400
    assert (response.json()["error"], response.json()["message"]) == (error, message)


@pytest.mark.parametrize("path", [VALIDATE, PREVIEW])
@pytest.mark.parametrize(
    "raw, content_type, error",
    [
        (b"{}", "text/plain", "Content-Type must be application/json"),
        (b"{", "application/json", "Invalid JSON"),
        (b"[]", "application/json", "Invalid payload"),
    ],
)
def test_a_body_that_is_no_object_is_refused(client, path, raw, content_type, error):
    response = client.post(path, raw, content_type=content_type)
    assert (response.status_code, response.json()["error"]) == (400, error)


def test_the_helper_of_the_frontend_that_nobody_uses_is_no_endpoint(client):
    assert client.post("/api/v2/jobs/cron-description", {}).status_code == 405


def test_without_a_token_nothing_is_answered(db):
    assert api_client().post(VALIDATE, {}).status_code == 401
