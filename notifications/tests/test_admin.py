"""Notices, deliveries and the Slack settings on the admin site."""

import pytest
from django.db import connection
from django.urls import reverse

from cronsched.tests.console.pages import errors_of, said, sent, shown, submit
from notifications import outbox
from notifications.message import NOBODY, Mail
from notifications.models import Delivery, SlackSettings
from notifications.services import notify
from notifications.tests.conftest import NOON, use_mail_server
from notifications.tests.factories import message, tell
from notifications.tests.slack_like import slack_like

NOTICES = reverse("admin:notifications_notification_changelist")
DELIVERIES = reverse("admin:notifications_delivery_changelist")
SLACK = reverse("admin:notifications_slacksettings_changelist")
URL = "https://hooks.slack.com/services/T000/B000/topsecret"


@pytest.fixture
def console(client, admin):
    client.force_login(admin)
    return client


@pytest.fixture
def delivery(db, settings):
    use_mail_server(settings, 1)
    mail = Mail("job_disabled", "Job Disabled: <b>X</b>", ("ops@example.com",), {})
    notify([message(audience=NOBODY, mail=mail)], now=NOON)
    return Delivery.objects.get()


@pytest.mark.parametrize("page", [NOTICES, DELIVERIES, SLACK])
def test_only_administrators_look(client, alice, charlie, page):
    for user in (alice, charlie):
        client.force_login(user)
        assert client.get(page).status_code == 403


def test_notices_are_listed_with_their_audience(console, bob):
    tell(title="to all")
    tell(bob, title="to one")
    page = console.get(NOTICES).content.decode()
    assert all(text in page for text in ("to all", "everybody", "to one", "bob"))


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the others plan by what the table holds")
@pytest.mark.parametrize("query", ["", "?type__exact=error"])
def test_a_million_notices_are_not_sorted_for_one_page(console, query):
    listed = console.get(NOTICES + query).context["cl"].queryset
    assert "TEMP B-TREE" not in listed.explain()


def test_the_newest_notice_stands_first(console):
    told = [tell() for _ in range(2)]
    assert list(console.get(NOTICES).context["cl"].result_list) == told[::-1]


def test_the_page_of_a_delivery_writes_its_times_as_the_others_do(console, delivery):
    page = reverse("admin:notifications_delivery_change", args=[delivery.pk])
    # 21:00 in Tokyo.
    assert ">2026-03-02 21:00:00</time>" in console.get(page).content.decode()


def test_a_notice_is_shown_and_cannot_be_changed(console):
    notice = tell(title="read me", text="<i>text</i>")
    page = reverse("admin:notifications_notification_change", args=[notice.pk])
    assert "&lt;i&gt;text&lt;/i&gt;" in console.get(page).content.decode()
    assert console.post(page, {"title": "changed"}).status_code == 403
    assert console.get(reverse("admin:notifications_notification_add")).status_code == 403


def test_deliveries_are_listed_with_their_state_and_reason(console, delivery):
    Delivery.objects.update(status="given_up", reason="550 no such user")
    page = console.get(DELIVERIES).content.decode()
    assert all(text in page for text in ("ops@example.com", "Given up", "550 no such user", "&lt;b&gt;X&lt;/b&gt;"))
    one = reverse("admin:notifications_delivery_change", args=[delivery.pk])
    assert "550 no such user" in console.get(one).content.decode()
    assert console.get(f"{DELIVERIES}?q=OPS@&status__exact=given_up").status_code == 200


@pytest.mark.parametrize(("status", "tried"), [("waiting", 1), ("given_up", 1), ("sent", 0), ("sending", 0)])
def test_trying_again(console, delivery, status, tried):
    Delivery.objects.update(status=status)
    answer = console.post(DELIVERIES, {"action": "try_again", "_selected_action": [delivery.pk], "confirmed": "1"})
    assert said(answer) == [f"{tried} will be tried within seconds, or as soon as their channel stops holding back."]
    delivery.refresh_from_db()
    assert (delivery.status, delivery.not_before > NOON) == ("waiting" if tried else status, bool(tried))


def test_giving_up(console, delivery):
    console.post(DELIVERIES, {"action": "give_up", "_selected_action": [delivery.pk], "confirmed": "1"})
    delivery.refresh_from_db()
    assert (delivery.status, delivery.reason) == ("given_up", "Given up by admin.")


@pytest.mark.parametrize("action", ["try_again", "give_up"])
@pytest.mark.parametrize(("status", "words"), [("waiting", "1 delivery will change"), ("sent", "None of the selected")])
def test_what_will_be_done_is_said_before_it_is_done(console, delivery, action, status, words):
    Delivery.objects.update(status=status)
    before = Delivery.objects.values().get()
    assert words in console.post(DELIVERIES, {"action": action, "_selected_action": [delivery.pk]}).content.decode()
    assert Delivery.objects.values().get() == before


# --- Slack -----------------------------------------------------------------------------------------------------------


def slack_page():
    return reverse("admin:notifications_slacksettings_change", args=[SlackSettings.objects.get().pk])


def test_there_is_one_page_of_slack_settings(console):
    assert console.get(SLACK).headers["Location"] == slack_page()
    assert console.get(slack_page()).status_code == 200
    assert console.get(reverse("admin:notifications_slacksettings_add")).status_code == 403


def test_the_address_is_never_shown(console):
    SlackSettings.objects.create(is_enabled=True, webhook_url=URL)
    page = console.get(slack_page()).content.decode()
    assert "hooks.slack.com/…cret" in page
    assert "topsecret" not in page


@pytest.mark.parametrize(
    ("sent", "stored"), [("", URL), ("https://hooks.slack.com/new", "https://hooks.slack.com/new")]
)
def test_a_blank_address_keeps_the_old_one(console, sent, stored):
    SlackSettings.objects.create(is_enabled=False, webhook_url=URL)
    data = {"is_enabled": "on", "new_webhook_url": sent, "channel": "#ops", "post_every": "3"}
    assert submit(console, slack_page(), **data).status_code == 302
    row = SlackSettings.objects.get()
    assert (row.is_enabled, row.webhook_url, row.channel, row.post_every) == (True, stored, "#ops", 3)


def test_what_the_api_refuses_the_form_refuses(console):
    console.get(SLACK)
    answer = submit(console, slack_page(), is_enabled="on")
    assert "Webhook URL is required when Slack is enabled." in answer.content.decode()
    assert not SlackSettings.objects.get().is_enabled


@pytest.fixture
def our_http_client(http_client, monkeypatch):
    """The process's HTTP client, which trusts the tests' own authority."""
    monkeypatch.setattr("notifications.slack_settings.http_client", lambda: http_client)


def press_test(console):
    return console.post(f"{slack_page().removesuffix('change/')}send_test/", {"_form_submitted": "true"})


def test_the_test_button_posts_at_once(console, server_tls, our_http_client):
    with slack_like(server_tls) as slack:
        SlackSettings.objects.create(is_enabled=False, webhook_url=slack.url, channel="#ops")
        assert said(press_test(console)) == ["Slack accepted the message."]
        assert slack.posts[0]["channel"] == "#ops"
        assert slack.texts == [":wave: Test message of Cron Job Scheduler, asked for by admin."]
    assert SlackSettings.objects.get().last_success_at is not None


def test_the_test_button_says_what_slack_answered(console, server_tls, our_http_client):
    with slack_like(server_tls) as slack:
        SlackSettings.objects.create(webhook_url=slack.url)
        slack.answers = [(404, "no_service", "")]
        assert said(press_test(console)) == ["Slack refused it: 404 no_service"]
    assert SlackSettings.objects.get().last_error == "404 no_service"


def test_a_test_needs_an_address(console):
    console.get(SLACK)
    assert said(press_test(console)) == ["Slack refused it: A test needs a webhook_url that starts with https://."]


@pytest.mark.parametrize(
    ("url", "shown"),
    [(URL, "hooks.slack.com/…cret"), ("https://a/b", "a/…"), ("no url", "/…"), ("https://[::1", "/…"), (None, "")],
)
def test_a_masked_address_still_tells_one_from_another(url, shown):
    assert outbox.masked(url) == shown


def test_a_late_form_undoes_nothing_that_another_set(console):
    SlackSettings.objects.create(is_enabled=True, webhook_url=URL, channel="#ops")
    form = shown(console, slack_page())
    SlackSettings.objects.update(is_enabled=False, channel="#theirs")
    assert console.post(slack_page(), sent(form, post_every="5")).status_code == 302
    row = SlackSettings.objects.get()
    assert (row.is_enabled, row.channel, row.post_every) == (False, "#theirs", 5)


def test_a_hook_that_is_not_https_is_refused_at_its_field(console):
    SlackSettings.objects.create(is_enabled=False)
    refused = submit(console, slack_page(), new_webhook_url="http://hooks.slack.com/x")
    assert "has to start with https://" in errors_of(refused)["new_webhook_url"][0]
    assert SlackSettings.objects.get().webhook_url is None
