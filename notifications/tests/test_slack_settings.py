"""The Slack settings over HTTP (contract, section 14), and how their secret is kept."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from accounts.tests.factories import api_client, make_user
from audit.models import AuditEntry
from notifications import slack_settings
from notifications.models import SlackSettings
from notifications.tests.slack_like import slack_like

PATH = "/api/v2/settings/slack"
URL = "https://hooks.slack.com/services/T000/B000/secret"


@pytest.fixture
def client(admin):
    return api_client(admin)


def settings_of(response):
    return response.json()["slack_settings"]


def test_the_settings_exist_from_the_first_look(client):
    shown = settings_of(client.get(PATH))
    assert {key: shown[key] for key in ("is_enabled", "webhook_url", "channel")} == {
        "is_enabled": False,
        "webhook_url": None,
        "channel": None,
    }
    assert settings_of(client.get(PATH)) == shown
    assert SlackSettings.objects.count() == 1


def test_that_the_address_was_shown_stands_in_the_trail_once_an_hour_for_each(client, admin):
    def shown():
        return list(AuditEntry.objects.filter(action="slack_settings.shown").values_list("actor_name", "changes"))

    client.get(PATH)
    assert shown() == []
    client.put(PATH, {"webhook_url": URL})
    client.get(PATH)
    client.get(PATH)
    assert shown() == [(admin.username, {})]
    other = make_user(role="admin")
    api_client(other).get(PATH)
    assert {name for name, _ in shown()} == {admin.username, other.username}
    slack_settings.show(by=admin, now=timezone.now() + timedelta(hours=1))
    assert [name for name, _ in shown()].count(admin.username) == 2


def test_any_part_may_be_changed_and_texts_are_trimmed(client):
    answer = client.put(PATH, {"webhook_url": f"  {URL} ", "channel": " #ops "})
    assert (answer.status_code, answer.json()["message"]) == (200, "Slack settings updated")
    client.put(PATH, {"is_enabled": True})
    shown = settings_of(client.get(PATH))
    assert (shown["is_enabled"], shown["webhook_url"], shown["channel"]) == (True, URL, "#ops")


@pytest.mark.parametrize("blank", ["", "   ", None])
def test_a_blank_clears(client, blank):
    client.put(PATH, {"webhook_url": URL, "channel": "#ops"})
    shown = settings_of(client.put(PATH, {"webhook_url": blank, "channel": blank}))
    assert (shown["webhook_url"], shown["channel"]) == (None, None)


@pytest.mark.parametrize("change", [{"is_enabled": True}, {"is_enabled": "yes", "webhook_url": " "}])
def test_slack_is_not_enabled_without_an_address(client, change):
    answer = client.put(PATH, {**change, "channel": "#x"})
    assert answer.status_code == 400
    message = "webhook_url is required when Slack is enabled."
    assert answer.json() == {"error": "Invalid settings", "message": message}
    assert settings_of(client.get(PATH))["channel"] is None


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"channel": "x" * 256}, "Invalid channel"),
        ({"channel": 5}, "Invalid payload"),
        ({"webhook_url": ["x"]}, "Invalid payload"),
        ({"webhook_url": "https://x/" + "y" * 2048}, "Invalid webhook_url"),
        ({"post_every": 0}, "Invalid post_every"),
        ({"post_every": True}, "Invalid post_every"),
        ({"post_every": "2"}, "Invalid post_every"),
        ([1], "Invalid payload"),
    ],
)
def test_what_cannot_be_stored_is_refused(client, change, error):
    answer = client.put(PATH, change)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_the_form_of_the_address_is_not_judged(client):
    assert settings_of(client.put(PATH, {"webhook_url": "not a url", "is_enabled": True}))["webhook_url"] == "not a url"


@pytest.mark.parametrize("method", ["get", "put"])
def test_only_administrators_may_look(method, alice, charlie):
    for user in (alice, charlie):
        answer = api_client(user).generic(method.upper(), PATH, "no json", content_type="text/plain")
        assert (answer.status_code, answer.json()["message"]) == (403, "Admin access required")


def test_the_address_is_not_readable_in_the_database(client):
    client.put(PATH, {"webhook_url": URL})
    with connection.cursor() as cursor:
        cursor.execute("SELECT webhook_url FROM slack_settings")
        (stored,) = cursor.fetchone()
    assert "hooks.slack.com" not in stored
    assert SlackSettings.objects.get().webhook_url == URL


def test_an_address_survives_a_new_secret_key_with_the_old_one_as_fallback(client, settings):
    client.put(PATH, {"webhook_url": URL})
    old, settings.SECRET_KEY = settings.SECRET_KEY, "another-secret-of-enough-characters-0123456789"
    settings.SECRET_KEY_FALLBACKS = [old]
    assert SlackSettings.objects.get().webhook_url == URL


def test_an_address_whose_key_is_lost_reads_as_none_and_can_be_set_anew(client, settings, caplog):
    client.put(PATH, {"webhook_url": URL})
    settings.SECRET_KEY = "another-secret-of-enough-characters-0123456789"
    assert SlackSettings.objects.get().webhook_url is None
    assert "cannot be decrypted" in caplog.text
    row = SlackSettings.objects.get()
    row.webhook_url = URL
    row.save()
    assert SlackSettings.objects.get().webhook_url == URL


# --- The test message ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([], {"ok": True, "message": "Slack accepted the message."}),
        ([(410, "channel_is_archived", "")], {"ok": False, "message": "410 channel_is_archived"}),
    ],
)
def test_a_test_message_is_posted_at_once(client, server_tls, http_client, monkeypatch, answers, told):
    monkeypatch.setattr("notifications.slack_settings.http_client", lambda: http_client)
    with slack_like(server_tls) as slack:
        slack.answers = answers
        client.put(PATH, {"webhook_url": slack.url})
        answer = client.post(f"{PATH}/test")
    assert (answer.status_code, answer.json()) == (200, told)


@pytest.mark.parametrize("url", [None, "http://hooks.slack.com/services/x"])
def test_a_test_message_needs_an_https_address(client, url):
    client.put(PATH, {"webhook_url": url})
    answer = client.post(f"{PATH}/test")
    assert (answer.status_code, answer.json()["error"]) == (400, "Invalid settings")


def test_only_administrators_may_test(alice):
    assert api_client(alice).post(f"{PATH}/test").status_code == 403
