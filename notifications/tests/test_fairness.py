"""Mail is fair: teams and jobs take turns, no job floods anybody, and an outage ends in one mail of each job."""

import threading
import time
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from accounts.models import NotificationPreferences
from accounts.tests.factories import make_user
from jobs.models import Status
from jobs.notices import events
from jobs.tests.factories import make_execution, make_job
from notifications.channels.base import OutgoingMessage
from notifications.channels.email import render
from notifications.delivery import Deliverer
from notifications.delivery.email_worker import SendRate
from notifications.delivery.plan import MailPlan, in_turns
from notifications.message import NOBODY, Mail
from notifications.models import Delivery
from notifications.services import notify
from notifications.tests.conftest import NOON, use_mail_server
from notifications.tests.factories import message
from notifications.tests.mail_server import free_port, mail_server
from taxonomy.tests.factories import make_team

pytestmark = [pytest.mark.database, pytest.mark.django_db]

OPS = "ops@example.com"


@pytest.fixture(autouse=True)
def configured(settings):
    use_mail_server(settings, free_port())
    settings.NOTIFICATION_MAILS_PER_JOB_HOUR = 0


def mailing_job(team=None, *addresses, **fields):
    team = {"pic_team": team} if team else {}
    return make_job(enable_email_notifications=True, notification_emails=list(addresses) or [OPS], **team, **fields)


def fail(job, *, now=NOON, error="Webhook returned status 500", times=1):
    execution = make_execution(job, status=Status.FAILED, started_at=now, error_message=error)
    notify(times * [events.run_finished(job, execution, now=now)], now=now)


def order(now=NOON):
    """Return the summaries of what leaves next, in order."""
    summaries = dict(Delivery.objects.values_list("pk", "summary"))
    return [summaries[pk].removeprefix("Job Failure: ") for pk in in_turns(now)]


def state(job):
    return sorted(Delivery.objects.filter(related_job=job).values_list("status", flat=True))


# --- Turns -----------------------------------------------------------------------------------------------------------


def test_a_team_s_thousand_mails_do_not_delay_another_s_alert():
    loud, quiet = make_team(name="Loud"), make_team(name="Quiet")
    for number in range(10):
        fail(mailing_job(loud, name=f"Loud {number}"), times=20)
    fail(mailing_job(quiet, name="Quiet"), now=NOON + timedelta(seconds=1))
    assert order(NOON + timedelta(seconds=1)).index("Quiet") <= 1


def test_jobs_of_a_team_take_turns():
    team = make_team(name="Team")
    fail(mailing_job(team, name="A"), times=5)
    fail(mailing_job(team, name="B"), now=NOON + timedelta(seconds=1), times=2)
    assert order(NOON + timedelta(seconds=1)) == ["A", "B", "A", "B", "A", "A", "A"]


def test_what_belongs_to_no_job_has_its_turn_too():
    fail(mailing_job(name="A"), times=3)
    mail = Mail("digest", "Daily digest", ("dora@example.com",), {"totals": {}})
    notify([message(audience=NOBODY, mail=mail)], now=NOON)
    assert order().index("Daily digest") <= 1


def test_a_young_plan_gives_no_mail_twice_and_an_old_one_sees_what_came():
    fail(mailing_job(name="A"), times=3)
    plan = MailPlan()
    first = plan.take(2, now=NOON)
    assert len({*first, *plan.take(2, now=NOON)}) == 3
    fail(mailing_job(name="B"), now=NOON)
    assert len(plan.take(10, now=NOON + timedelta(seconds=2))) == 4


@pytest.mark.django_db(transaction=True)
def test_an_alert_amid_a_flood_arrives_first(settings, clock, http_client):
    loud, quiet = make_team(name="Loud"), make_team(name="Quiet")
    fail(mailing_job(loud, *(f"p{number}@example.com" for number in range(200)), name="Loud"))
    fail(mailing_job(quiet, "alert@example.com", name="Quiet"))
    with mail_server() as server:
        use_mail_server(settings, server.port)
        deliverer = Deliverer(clock=clock, client=lambda: http_client)
        deliverer.start(NOON)
        assert deliverer.join(timeout=60)
    sent = [mail["To"] for mail in server.mails]
    # The three threads have ten each at a time.
    assert sent.index("alert@example.com") < 60


# --- A share of an hour ----------------------------------------------------------------------------------------------


def test_a_job_has_so_many_mails_an_hour_and_then_one_that_says_the_rest(settings, mailbox, deliverer, clock):
    settings.NOTIFICATION_MAILS_PER_JOB_HOUR = 3
    job, other = mailing_job(name="Noisy"), mailing_job(name="Other")
    for _ in range(8):
        fail(job, now=clock.now)
        deliverer.run_once(clock.forward(seconds=20))
    fail(other, now=clock.now)
    deliverer.run_once(clock.forward(seconds=2))
    assert [mail["Subject"] for mail in mailbox.mails] == 3 * ["Job Failure: Noisy"] + ["Job Failure: Other"]
    assert "More than 3 mails about this job within an hour" in Delivery.objects.filter(status="waiting")[0].reason
    deliverer.run_once(clock.forward(hours=1))
    assert [mail["Subject"] for mail in mailbox.mails[4:]] == ["Job Failure: Noisy (and 4 more)"]
    deliverer.run_once(clock.forward(hours=1))
    assert len(mailbox.mails) == 5


def test_without_a_limit_every_mail_leaves(mailbox, deliverer, clock):
    job = mailing_job()
    for _ in range(8):
        fail(job, now=clock.now)
        deliverer.run_once(clock.forward(seconds=2))
    assert len(mailbox.mails) == 8


# --- An outage -------------------------------------------------------------------------------------------------------


def test_after_an_outage_each_person_gets_one_mail_of_each_job(settings, deliverer, clock):
    """300 jobs that fail each minute made 2,100 mails."""
    jobs = [mailing_job(None, OPS, "dev@example.com", name=f"Job no. {number}") for number in range(5)]
    for minute in range(7):
        for job in jobs:
            fail(job, now=clock.now, error=f"boom {minute}")
        deliverer.run_once(clock.forward(minutes=1))
    with mail_server() as server:
        use_mail_server(settings, server.port)
        deliverer.run_once(clock.forward(seconds=15))
    told = sorted((mail["To"], mail["Subject"]) for mail in server.mails)
    assert told == sorted(
        (address, f"Job Failure: Job no. {number} (and 6 more)")
        for number in range(5)
        for address in ("dev@example.com", OPS)
    )
    text = server.mails[0].get_body(("plain",)).get_content()
    assert all(f"boom {minute}" in text for minute in range(7))
    assert state(jobs[0]).count("sent") == 2
    assert set(state(jobs[0])) == {"sent", "summarised"}
    assert not Delivery.objects.exclude(claim=None).exists()


def test_a_mail_server_that_is_back_is_noticed_within_15_seconds(settings, deliverer, clock):
    fail(mailing_job())
    for _ in range(600):
        deliverer.run_once(clock.forward(seconds=1))
    with mail_server() as server:
        use_mail_server(settings, server.port)
        for _ in range(15):
            deliverer.run_once(clock.forward(seconds=1))
        assert len(server.mails) == 1


def test_a_summary_that_waits_is_told_with_what_comes_after_it(settings, deliverer, clock):
    job = mailing_job(name="Backup")
    for number in range(30):
        fail(job, now=clock.now, error=f"boom {number}")
        deliverer.run_once(clock.forward(minutes=1))
    row = Delivery.objects.exclude(status="summarised").get()
    with mail_server() as server:
        use_mail_server(settings, server.port)
        deliverer.run_once(clock.forward(seconds=15))
    (mail,) = server.mails
    assert mail["Subject"] == "Job Failure: Backup (and 29 more)", row.summary
    text = mail.get_body(("plain",)).get_content()
    assert "boom 29" in text
    assert "boom 19" not in text
    assert "and 20 before these" in text


def test_a_renewal_and_a_digest_stay_mails_of_their_own(settings, mailbox, deliverer, clock):
    job = mailing_job(name="Backup")
    for days in (7, 1):
        reminder = events.end_date_reminder(job, days, due=days, to=OPS, renew_url="https://cron.example/", now=NOON)
        notify([reminder], now=NOON)
    deliverer.run_once(clock.forward(minutes=5))
    assert len(mailbox.mails) == 2


def test_quiet_hours_end_in_one_mail(mailbox, deliverer, clock):
    job = mailing_job(name="Backup")
    for minute in range(5):
        execution = make_execution(job, status=Status.FAILED, started_at=NOON, error_message="boom")
        told = events.run_finished(job, execution, now=NOON)
        mail = message(audience=NOBODY, mail=told.mail, job_id=job.pk, hold_until=NOON + timedelta(hours=8))
        notify([mail], now=NOON + timedelta(minutes=minute))
    deliverer.run_once(clock.forward(hours=8))
    assert [mail["Subject"] for mail in mailbox.mails] == ["Job Failure: Backup (and 4 more)"]


def test_the_longest_name_fits_into_the_subject_of_a_summary(mailbox, deliverer, clock):
    job = mailing_job(name="é" * 255)
    fail(job, times=3)
    deliverer.run_once(clock.forward(minutes=1))
    assert mailbox.mails[0]["Subject"].endswith(" (and 2 more)")


def test_what_stands_in_a_summary_is_text_and_no_markup():
    payload = {
        "job": {"name": "<b>x</b>", "url": "https://cron.example/"},
        "number": 2,
        "newest": "<i>y</i>",
        "lines": [{"summary": "<u>z</u>", "at": "now", "said": "<script>", "url": ""}],
        "left_out": 1,
    }
    page = render(OutgoingMessage(uuid4(), "job_backlog", OPS, "x", payload, None)).alternatives[0][0]
    assert not any(mark in str(page) for mark in ("<b>x", "<i>y", "<u>z", "<script>"))


# --- The pace, and where mail may go ---------------------------------------------------------------------------------


def test_mails_leave_at_the_pace_that_is_set(settings):
    settings.NOTIFICATION_MAILS_PER_SECOND = 50
    rate, stopping = SendRate(), threading.Event()
    began = time.monotonic()
    for _ in range(11):
        rate.wait(stopping)
    # Ten waits of a fiftieth of a second; a busy machine takes longer, never less.
    assert time.monotonic() - began >= 0.19
    stopping.set()
    settings.NOTIFICATION_MAILS_PER_SECOND = 1
    rate.wait(stopping)
    rate.wait(stopping)


def test_mail_goes_to_allowed_domains_only(settings):
    job = mailing_job(None, OPS, "x@elsewhere.example")
    dora = make_user("dora", email="dora@elsewhere.example")
    NotificationPreferences.objects.create(user=dora)
    settings.NOTIFICATION_EMAIL_DOMAINS = ["example.com"]
    fail(job)
    assert list(Delivery.objects.values_list("recipient", flat=True)) == [OPS]


def test_the_team_of_a_job_is_who_shares_the_way():
    job = mailing_job()
    fail(job)
    share = Delivery.objects.values_list("share", flat=True).get()
    assert isinstance(share, UUID)
    assert share == job.pic_team_id
