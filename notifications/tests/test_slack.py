"""From an event of a job to an endpoint that enforces Slack's rules."""

import time
from datetime import timedelta

import pytest

from cronsched.lib.tests.servers import target
from jobs.models import Status
from jobs.notices import events
from jobs.tests.factories import make_execution, make_job
from notifications.channels.slack import body, cut
from notifications.delivery import Deliverer, slack_backlog
from notifications.message import NOBODY, SlackPost
from notifications.models import Delivery, Notification, SlackSettings
from notifications.services import notify
from notifications.slack_markup import escape, link, mention
from notifications.tests.conftest import NOON
from notifications.tests.factories import message
from notifications.tests.slack_like import slack_like
from taxonomy.tests.factories import make_team


def fail(job, error="Webhook returned status 500"):
    execution = make_execution(job, status=Status.FAILED, started_at=NOON, error_message=error)
    notify([events.run_finished(job, execution, now=NOON)], now=NOON)


def post(text="hello", **fields):
    notify([message(audience=NOBODY, slack=SlackPost(text), **fields)], now=NOON)


def states():
    return [(row.status, row.reason) for row in Delivery.objects.order_by("created_at", "id")]


# --- What is posted --------------------------------------------------------------------------------------------------


def test_a_failure_is_posted_in_the_documented_words(slack, deliverer):
    job = make_job(name="Backup", pic_team=make_team(name="SRE", slack_handle="@sre"))
    fail(job)
    deliverer.run_once(NOON)
    link = f"<http://localhost:5001/admin/jobs/job/{job.pk}/change/|Backup>"
    assert slack.texts == [f":x: @sre Job failed: {link}: Webhook returned status 500"]
    assert "channel" not in slack.posts[0]
    assert slack.posts[0]["blocks"][0]["text"]["text"] == slack.texts[0]


def test_the_channel_is_named_only_if_set(slack, deliverer):
    SlackSettings.objects.update(channel="#ops")
    post()
    deliverer.run_once(NOON)
    assert slack.posts[0]["channel"] == "#ops"


def test_of_a_long_error_300_characters_are_posted(slack, deliverer):
    fail(make_job(), "é" * 1000)
    deliverer.run_once(NOON)
    assert slack.texts[0].endswith(f": {'é' * 300}")


@pytest.mark.parametrize(
    ("handle", "posted"),
    [
        ("@here", "<!here> "),
        ("@channel", "<!channel> "),
        ("<!subteam^S012ABCDE>", "<!subteam^S012ABCDE> "),
        ("<@U012ABCDE>", "<@U012ABCDE> "),
        ("U012ABCDE", "<@U012ABCDE> "),
        ("S012ABCDE", "<!subteam^S012ABCDE> "),
        ("@oncall", "@oncall "),
        ("SUPPORTER", "SUPPORTER "),
        ("@here <!subteam^S012ABCDE>", "<!here> <!subteam^S012ABCDE> "),
        ("<!channel> & <http://evil|click>", "<!channel> &amp; &lt;http://evil|click&gt; "),
        ("", ""),
    ],
)
def test_the_handle_of_the_team_really_mentions(slack, deliverer, handle, posted):
    fail(make_job(name="Backup", pic_team=make_team(slack_handle=handle)))
    deliverer.run_once(NOON)
    assert slack.texts[0].startswith(f":x: {posted}Job failed: <http")


def test_what_users_wrote_mentions_nobody_and_links_nowhere(slack, deliverer):
    fail(make_job(name="<!channel> a|b\n> c"), "<!here> & <http://evil|ok>")
    deliverer.run_once(NOON)
    assert "|&lt;!channel&gt; a|b &gt; c>" in slack.texts[0]
    assert slack.texts[0].endswith(": &lt;!here&gt; &amp; &lt;http://evil|ok&gt;")


@pytest.mark.parametrize(
    ("text", "limit", "kept"),
    [
        ("short", 10, "short"),
        ("x" * 11, 10, "x" * 9 + "…"),
        ("ab <http://x|y> c", 12, "ab …"),
        ("abcde&amp;fgh", 8, "abcde…"),
        ("<!here> abcdef", 10, "<!here> a…"),
        # What a link is called is shortened; it stays a link.
        ("ab <http://x|name> c", 17, "ab <http://x|na…>"),
        ("ab <http://x|n&amp;me> c", 18, "ab <http://x|n…>"),
        ("ab <http://x|name> c", 15, "ab <http://x|…>"),
        ("ab <http://x|name> c", 14, "ab …"),
    ],
)
def test_markup_is_never_cut_in_two(text, limit, kept):
    assert cut(text, limit) == kept


def test_the_longest_text_stays_within_slacks_limits():
    document = body({"text": "&amp;" * 20_000, "facts": [["x", "y" * 5000]] * 20}, None)
    assert len(document["text"]) <= 40_000
    assert len(document["blocks"][0]["text"]["text"]) <= 3000
    assert len(document["blocks"][1]["elements"]) == 10


@pytest.mark.parametrize("text", ["a & b", "<>&", "&amp;"])
def test_escaped_text_has_no_markup_left(text):
    assert not set("<>") & set(escape(text))
    assert escape(text).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") == text


def test_a_link_label_is_one_line():
    assert link("http://x/?a=1&b=2", "a\n b") == "<http://x/?a=1&amp;b=2|a b>"


def test_a_lone_bracket_in_a_handle_is_text():
    assert mention("<@here") == "&lt; <!here>"


# --- When nothing is posted ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings", [{"is_enabled": False}, {"webhook_url": None}, {"webhook_url": "http://hooks.slack.com/services/x"}]
)
def test_nothing_is_queued_unless_slack_is_on_and_https(slack, settings):
    row = SlackSettings.objects.get()
    for name, value in settings.items():
        setattr(row, name, value)
    row.save()
    fail(make_job())
    assert states() == []


def test_what_waits_when_slack_is_switched_off_is_given_up(slack, deliverer):
    post()
    SlackSettings.objects.update(is_enabled=False)
    deliverer.run_once(NOON)
    assert states() == [("given_up", "Slack was switched off.")]


# --- Answers of all kinds --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 403, 404, 410, 302])
def test_a_refusal_is_final_and_shown(slack, deliverer, admin, status):
    slack.answers = [(status, "no_service", "Location: https://elsewhere/\r\n")]
    post()
    deliverer.run_once(NOON)
    assert states() == [("given_up", f"{status} no_service")]
    settings = SlackSettings.objects.get()
    assert (settings.last_error, settings.last_error_at) == (f"{status} no_service", NOON)
    assert Notification.objects.get(user=admin).title == "Slack refused a message"


def test_administrators_are_told_once_until_slack_works_again(slack, deliverer, admin):
    slack.answers = [(404, "no_service", "")] * 3
    for _ in range(3):
        post()
    deliverer.run_once(NOON)
    assert Notification.objects.count() == 1
    post()
    deliverer.run_once(NOON)
    assert SlackSettings.objects.get().last_error == ""
    slack.answers = [(410, "channel_is_archived", "")]
    post()
    deliverer.run_once(NOON)
    assert Notification.objects.count() == 2


def test_an_error_of_the_server_is_tried_again(slack, deliverer, clock):
    slack.answers = [(500, "rollup_error", "")]
    post()
    deliverer.run_once(NOON)
    assert states() == [("waiting", "500 rollup_error")]
    deliverer.run_once(clock.forward(minutes=1))
    assert (slack.texts, states()) == (["hello"], [("sent", "")])


def test_slack_says_how_long_to_hold_back(slack, deliverer, clock):
    slack.answers = [(429, "rate_limited", "Retry-After: 90\r\n")]
    post("one")
    post("two")
    deliverer.run_once(NOON)
    deliverer.run_once(clock.forward(seconds=80))
    assert slack.texts == []
    deliverer.run_once(clock.forward(seconds=15))
    assert sorted(slack.texts) == ["one", "two"]


def test_another_process_holds_back_as_well(slack, deliverer, clock, http_client):
    slack.answers = [(429, "rate_limited", "Retry-After: 90\r\n")]
    post("one")
    post("two")
    deliverer.run_once(NOON)
    Deliverer(clock=clock, client=lambda: http_client).run_once(clock.forward(seconds=80))
    assert slack.texts == []


def test_a_hook_that_never_answers(db, deliverer, server_tls, monkeypatch):
    monkeypatch.setattr("notifications.channels.slack.TIMEOUT_SECONDS", 0.3)
    with target(lambda visit: visit.stall(), server_tls) as server:
        SlackSettings.objects.create(is_enabled=True, webhook_url=server.url("/services/secret", host="localhost"))
        post()
        deliverer.run_once(NOON)
    ((status, reason),) = states()
    assert (status, "timed out" in reason, "secret" in reason) == ("waiting", True, False)


@pytest.mark.parametrize("url", ["https://", "https://hooks.slack.com:99999/x", "https://[::1", "https://exa mple/"])
def test_an_address_that_is_none_is_given_up(db, deliverer, url):
    SlackSettings.objects.create(is_enabled=True, webhook_url=url)
    post()
    deliverer.run_once(NOON)
    assert states()[0][0] == "given_up"


def test_the_address_stands_in_no_log_and_no_reason(slack, deliverer, caplog):
    caplog.set_level("DEBUG")
    slack.answers = [(500, "x", ""), (404, "no_service", "")]
    post()
    post()
    deliverer.run_once(NOON)
    shown = caplog.text + str(states()) + SlackSettings.objects.get().last_error
    assert "services/T000" not in shown


def test_an_answer_that_repeats_the_address_does_not_show_it(slack, deliverer, caplog, admin):
    caplog.set_level("DEBUG")
    slack.answers = [(404, "Cannot POST /services/T000/B000/secret", "")]
    post()
    deliverer.run_once(NOON)
    ((_, reason),) = states()
    assert reason == "404 Cannot POST …"
    shown = caplog.text + SlackSettings.objects.get().last_error + Notification.objects.get().message
    assert "secret" not in shown


@pytest.mark.database
def test_an_answer_with_control_characters_becomes_one_line_that_can_be_stored(slack, deliverer):
    slack.answers = [(404, "no\x00such\x1b[1m\r\n  hook", "")]
    post()
    deliverer.run_once(NOON)
    assert states() == [("given_up", "404 nosuch[1m hook")]


# --- Many at once ----------------------------------------------------------------------------------------------------


def test_up_to_twenty_posts_are_posted_one_by_one(slack, deliverer):
    for number in range(slack_backlog.MOST_WAITING):
        post(f"post {number}")
    deliverer.run_once(NOON)
    assert len(slack.texts) == 20


def test_more_than_twenty_waiting_posts_become_one(slack, deliverer):
    here = make_team(name="A", slack_handle="@here")
    for number in range(25):
        fail(make_job(name=f"Job <{number}>", pic_team=here))
    notify([events.ending_soon(make_job(name="Old"), 3, now=NOON)], now=NOON)
    deliverer.run_once(NOON)
    (text,) = slack.texts
    first, *lines = text.split("\n")
    assert first == ":warning: <!here> @oncall 26 alerts at once: 25 x Job Failed, 1 x Job ending soon"
    assert len(lines) == 11
    assert all("<!here>" not in line for line in lines)
    assert lines[-1].startswith("and 16 more")
    assert {status for status, _ in states()} == {"summarised", "sent"}


def test_posts_held_back_by_quiet_hours_are_not_summarised(slack, deliverer, clock):
    for number in range(25):
        post(f"post {number}", hold_until=NOON + timedelta(hours=8))
    post("now")
    deliverer.run_once(NOON)
    assert slack.texts == ["now"]
    deliverer.run_once(clock.forward(hours=8))
    assert slack.texts[1].startswith(":warning: 25 alerts at once")


def test_after_an_outage_of_slack_one_summary_is_posted(slack, deliverer, clock):
    slack.answers = [(503, "down", "")] * 15
    for number in range(15):
        post(f"post {number}")
    deliverer.run_once(NOON)
    for number in range(10):
        post(f"later {number}")
    deliverer.run_once(clock.forward(seconds=10))
    assert [text.split(":")[2][:21] for text in slack.texts] == [" 25 alerts at once"]


def test_a_long_outage_of_slack_ends_in_one_summary(slack, deliverer, clock):
    """A summary that waits is told together with what came after it."""
    oncall = make_team(name="A", slack_handle="@here")
    slack.answers = [(503, "down", "")] * 1000
    for number in range(5):
        for _ in range(25):
            fail(make_job(pic_team=oncall))
        notify([events.ending_soon(make_job(name=f"Old {number}"), 3, now=NOON)], now=NOON)
        deliverer.run_once(clock.forward(minutes=1))
    slack.answers = []
    deliverer.run_once(clock.forward(hours=1))
    (text,) = slack.texts
    first, *lines = text.split("\n")
    assert first == ":warning: <!here> @oncall 130 alerts at once: 125 x Job Failed, 5 x Job ending soon"
    assert len(lines) == 11
    assert lines[-1].startswith("and 120 more")
    assert {status for status, _ in states()} == {"summarised", "sent"}


@pytest.mark.database
def test_the_pace_is_kept_whoever_posts(transactional_db, server_tls, http_client, monkeypatch):
    pace = timedelta(seconds=0.2)
    monkeypatch.setattr("notifications.delivery.slack_worker.SLACK_PACE", pace)
    with slack_like(server_tls) as slack:
        SlackSettings.objects.create(is_enabled=True, webhook_url=slack.url)
        for number in range(6):
            post(f"post {number}")
        two = [Deliverer(client=lambda: http_client) for _ in range(2)]
        begin = time.monotonic()
        for deliverer in two:
            deliverer.start(NOON.replace(year=2099))
        assert all(deliverer.join(timeout=20) for deliverer in two)
        assert time.monotonic() - begin >= 5 * pace.total_seconds()
        assert sorted(slack.texts) == [f"post {number}" for number in range(6)]
