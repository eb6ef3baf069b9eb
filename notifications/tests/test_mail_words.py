"""How every kind of mail reads, in text and in HTML, whatever users and targets wrote."""

from datetime import date, timedelta
from html.parser import HTMLParser

import pytest

from accounts.models import NotificationPreferences
from accounts.tests.factories import make_user
from cronsched.tests.browser import opened_page
from jobs.models import Status, TriggerType
from jobs.notices import digests, events
from jobs.tests.factories import make_execution, make_job
from notifications.channels.base import OutgoingMessage
from notifications.channels.email import render
from notifications.models import Delivery
from notifications.security import tell_of_changed_credentials
from notifications.services import notify
from notifications.tests.conftest import NOON, use_mail_server
from taxonomy.tests.factories import make_team

KINDS = [
    *("job_failure", "job_success", "job_recovered", "job_unknown", "job_missed"),
    *("job_disabled", "job_ending", "jobs_without_owner", "digest", "account_changed"),
]
# HTML leaves these open.
VOID = {"meta", "br", "img", "input", "hr"}
# What does not fit, by its tag.
WIDER_THAN_ITS_BOX = """
    [...document.querySelectorAll("*")].filter(tag => tag.clientWidth && tag.scrollWidth > tag.clientWidth + 1)
        .map(tag => tag.tagName)
"""
PLAIN = "Nightly backup"


class Outline(HTMLParser):
    """Reads a page: every tag that is closed must be the last one opened."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        if tag == "a":
            self.links.append(dict(attrs)["href"] or "")

    def handle_endtag(self, tag):
        if not self.open or self.open[-1] != tag:
            self.wrong.append(tag)
        else:
            self.open.pop()

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


@pytest.fixture(autouse=True)
def mail(db, settings):
    use_mail_server(settings, 1)


def mails(name=PLAIN, **run):
    """Return one mail of every kind about a job of this name, by kind."""
    dora = make_user(username="dora", email="dora@example.com")
    NotificationPreferences.objects.create(user=dora, email_on_job_disabled=True, daily_digest=True)
    job = make_job(
        pic_team=make_team(emails=[dora.email]),
        name=name,
        created_by=dora,
        enable_email_notifications=True,
        notification_emails=[dora.email],
        notify_on_success=True,
        notify_on_recovery=True,
        end_date=date(2026, 3, 9),
    )
    fields = {
        "trigger_type": TriggerType.SCHEDULED,
        "started_at": NOON,
        "duration_seconds": 12.34,
        "error_message": "Webhook returned status 502",
        "output": "away",
        **run,
    }
    failed = make_execution(job, **fields, status=Status.FAILED, scheduled_for=NOON)
    succeeded = make_execution(job, **fields, status=Status.SUCCESS)
    lost = make_execution(job, **fields, status=Status.UNKNOWN, reason="The sender died.")
    told = [
        events.run_finished(job, failed, now=NOON),
        events.run_finished(job, succeeded, now=NOON),
        events.unknown(job, lost, now=NOON),
        missed(job, lost.pk),
        events.job_disabled(job, dora),
        events.without_owner(job.pic_team, [job], now=NOON),
        events.end_date_reminder(job, 7, due=7, to=dora.email, renew_url="https://cron.example/renew/x", now=NOON),
    ]
    notify(told, now=NOON)
    tell_of_changed_credentials(user=dora, address=dora.email, changed=["password"])
    digests.send(digests.DAILY, now=NOON + timedelta(days=1))
    return {row.kind: rendered(row) for row in Delivery.objects.all()}


def missed(job, execution_id):
    return events.missed(
        job, first=NOON, last=NOON, count=1, reason="No scheduler was running.", execution_id=execution_id, now=NOON
    )


def rendered(row):
    return render(OutgoingMessage(row.pk, row.kind, row.recipient, row.summary, row.payload, row.thread))


def page(mail):
    return Outline(str(mail.alternatives[0][0]))


@pytest.mark.parametrize("name", [PLAIN, '</p></table><b>"&amp;', "W" * 255])
def test_every_page_closes_what_it_opens(name):
    pages = {kind: page(mail) for kind, mail in mails(name, error_message=name, output=name).items()}
    assert sorted(pages) == sorted(KINDS)
    assert {kind: (outline.open, outline.wrong) for kind, outline in pages.items()} == dict.fromkeys(KINDS, ([], []))


def test_a_reminder_says_that_the_job_runs_on_its_last_day():
    told = mails()["job_ending"]
    assert "On 2026-03-09 it still runs; afterwards it is paused." in page(told).text
    assert "It still runs on that day and is paused afterwards." in told.body


def test_a_sentence_ends_once():
    told = mails()
    for kind in ("job_unknown", "job_missed"):
        assert ".." not in told[kind].body.replace("...", "")
        assert ".." not in page(told[kind]).text


@pytest.mark.browser
def test_long_words_are_broken_everywhere():
    """Whatever is wider than the page would be cut off at its edge."""
    pages = {kind: str(mail.alternatives[0][0]) for kind, mail in mails("W" * 255, error_message="X" * 1000).items()}
    with opened_page() as page:
        for width in (360, 700):
            page.set_viewport_size({"width": width, "height": 500})
            for kind, html in pages.items():
                page.set_content(html)
                assert page.evaluate(WIDER_THAN_ITS_BOX) == [], (kind, width)


def test_a_name_that_turns_text_around_turns_only_itself():
    """An override that is never ended would otherwise reverse the words after it."""
    for kind, mail in mails("good\u202egpj.exe").items():
        html = str(mail.alternatives[0][0]).partition("</title>")[2]
        for before in html.split("good\u202e")[:-1]:
            assert "dir=" in before.rpartition("<")[2], kind


def test_control_characters_of_an_answer_reach_no_terminal():
    told = mails(output="\x1b[31mred\x07\r\nsecond\tline", error_message="a\x1bb")
    for kind in ("job_failure", "job_success", "job_recovered"):
        for text in (told[kind].body, str(told[kind].alternatives[0][0])):
            assert "[31mred" in text
            assert "second\tline" in text
            assert not set(text) & set("\x1b\x07\r"), kind


def test_the_way_to_the_execution_stands_before_what_may_be_long():
    html = str(mails()["job_failure"].alternatives[0][0])
    assert html.index("Show the execution") < html.index("away")


def test_missed_runs_lead_to_the_row_that_says_why():
    told = mails()["job_missed"]
    url = next(url for url in page(told).links if "jobexecution" in url)
    assert f"Execution: {url}" in told.body


def test_a_run_at_github_without_an_address_has_no_dead_link():
    job = make_job(enable_email_notifications=True, notification_emails=["ops@example.com"])
    execution = make_execution(job, started_at=NOON, status=Status.SUCCESS)
    notify([events.run_concluded(job, execution, conclusion="timed_out", url="", failed_step=None, now=NOON)], now=NOON)
    told = rendered(Delivery.objects.get())
    assert all(page(told).links)
    assert "timed_out" in page(told).text
    assert "GitHub:    timed_out\n" in told.body


@pytest.mark.parametrize("days, words", [(0, "today"), (1, "1 day left"), (2, "2 days left")])
def test_the_days_that_are_left_read_the_same_in_text_and_page(days, words):
    content = {
        "totals": {},
        "ending": [{"name": PLAIN, "url": "https://cron.example/", "end_date": "2026-03-09", "days": days}],
    }
    told = render(OutgoingMessage(make_user().pk, "digest", "a@example.com", "Daily digest", content, None))
    assert words in told.body
    assert words in page(told).text


def test_who_asked_for_a_mail_is_told_where_to_stop_it():
    assert "your preferences ask" in mails()["job_disabled"].body
