"""From an event of a job to the mailboxes of real servers."""

from datetime import timedelta
from uuid import uuid4

import pytest

from accounts.models import NotificationPreferences
from accounts.tests.factories import make_user
from cronsched.lib.tests.servers import target
from jobs.models import Status, TriggerType
from jobs.notices import events
from jobs.tests.factories import make_execution, make_job
from notifications.channels.base import DeliveryError, OutgoingMessage, one_line
from notifications.channels.email import MailSession
from notifications.models import Delivery, DeliveryStatus
from notifications.services import notify
from notifications.tests.conftest import NOON, SENDER, use_mail_server
from notifications.tests.mail_server import free_port, mail_server

OPS = "ops@example.com"


def mailing_job(*addresses, **fields):
    return make_job(
        enable_email_notifications=True, notification_emails=list(addresses) or [OPS], **{"name": "Backup", **fields}
    )


def run(job, status=Status.FAILED, **fields):
    """Tell of a run of `job`, as recording one does."""
    defaults = {"status": status, "started_at": NOON, "duration_seconds": 12.341, "error_message": None}
    if status == Status.FAILED:
        defaults["error_message"] = "Webhook returned status 500"
    execution = make_execution(job, **{**defaults, **fields})
    notify([events.run_finished(job, execution, now=NOON)], now=NOON)
    return execution


def plain(mail):
    return mail.get_body(("plain",)).get_content()


def html(mail):
    return mail.get_body(("html",)).get_content()


def states():
    return sorted(Delivery.objects.values_list("recipient", "status"))


# --- What a mail says ------------------------------------------------------------------------------------------------


def test_a_failure_is_mailed_with_what_one_needs_to_act(db, mailbox, deliverer):
    job = mailing_job(timezone="Europe/Berlin", cron_expression="30 13 * * *")
    fire_time = NOON + timedelta(minutes=30)
    execution = run(
        job,
        trigger_type=TriggerType.SCHEDULED,
        scheduled_for=fire_time,
        started_at=fire_time + timedelta(seconds=2.5),
        response_status=500,
        output="stack trace",
    )
    deliverer.run_once(NOON)
    mail = mailbox.mail_to(OPS)
    assert (mail["Subject"], mail["From"]) == ("Job Failure: Backup", SENDER)
    for body in (plain(mail), html(mail)):
        for wanted in (
            "Backup",
            str(job.pk),
            "Webhook returned status 500",
            "At 01:30 PM",
            "2026-03-02 13:30 CET",
            "2.5s",
            "12.34s",
            "stack trace",
            f"http://localhost:5001/admin/jobs/jobexecution/{execution.pk}/change/",
            f"http://localhost:5001/admin/jobs/job/{job.pk}/change/",
        ):
            assert wanted in body, wanted


@pytest.mark.database
def test_the_longest_name_stands_in_the_subject_as_a_whole(db, mailbox, deliverer):
    name = "é" * 250 + "THEND"
    run(mailing_job(name=name))
    deliverer.run_once(NOON)
    assert mailbox.mail_to(OPS)["Subject"].strip() == f"Job Failure: {name}"


def test_a_success_is_mailed_only_where_asked_for(db, mailbox, deliverer):
    run(mailing_job(), Status.SUCCESS)
    run(mailing_job("dev@example.com", name="Report", notify_on_success=True), Status.SUCCESS)
    deliverer.run_once(NOON)
    assert mailbox.recipients == ["dev@example.com"]
    mail = mailbox.mail_to("dev@example.com")
    assert mail["Subject"] == "Job Success: Report"
    assert "12.34s" in plain(mail)


def test_mails_say_that_a_machine_wrote_them(db, mailbox, deliverer):
    run(mailing_job())
    deliverer.run_once(NOON)
    mail = mailbox.mail_to(OPS)
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Message-ID"] == f"<{Delivery.objects.get().pk}@scheduler.example>"


def test_mails_of_one_incident_stand_together(db, mailbox, deliverer):
    job = mailing_job(notify_on_recovery=True)
    run(job)
    run(job)
    run(job, Status.SUCCESS)
    run(job)
    deliverer.run_once(NOON)
    threads = [(mail["Subject"], mail["References"]) for mail in mailbox.mails]
    first = threads[0][1]
    assert sorted(threads[:3]) == [
        ("Job Failure: Backup", first),
        ("Job Failure: Backup", first),
        ("Job Recovered: Backup", first),
    ]
    assert threads[3][1] != first


# --- Who gets it -----------------------------------------------------------------------------------------------------


def test_each_address_gets_one_mail_of_its_own(db, mailbox, deliverer):
    run(mailing_job("a@example.com", "b@example.com", "A@Example.com", "a@example.com"))
    deliverer.run_once(NOON)
    assert mailbox.recipients == ["a@example.com", "b@example.com"]
    assert sorted(mail["To"] for mail in mailbox.mails) == ["a@example.com", "b@example.com"]


def test_a_hundred_recipients_go_over_few_connections(db, mailbox, deliverer):
    run(mailing_job(*(f"p{i}@example.com" for i in range(100))))
    deliverer.run_once(NOON)
    assert len(set(mailbox.recipients)) == len(mailbox.mails) == 100
    assert mailbox.connections == 1


@pytest.mark.parametrize(
    ("status", "preference"), [(Status.FAILED, "email_on_job_failure"), (Status.SUCCESS, "email_on_job_success")]
)
@pytest.mark.parametrize("wants", [True, False])
def test_an_account_decides_about_its_own_address(db, mailbox, deliverer, status, preference, wants):
    account = make_user("dora", email="dora@example.com")
    NotificationPreferences.objects.create(user=account, **{preference: wants})
    run(mailing_job("Dora@Example.com", OPS, notify_on_success=True), status)
    deliverer.run_once(NOON)
    assert mailbox.recipients == (["Dora@Example.com", OPS] if wants else [OPS])


@pytest.mark.parametrize(("wants", "mailed"), [(True, ["dora@example.com"]), (False, []), (None, [])])
def test_a_pause_is_mailed_to_listed_accounts_that_asked_for_it(db, mailbox, deliverer, wants, mailed):
    account = make_user("dora", email="dora@example.com")
    if wants is not None:
        NotificationPreferences.objects.create(user=account, email_on_job_disabled=wants)
    job = mailing_job("dora@example.com", OPS)
    notify([events.job_disabled(job, account)], now=NOON)
    notify([events.auto_paused(job, now=NOON)], now=NOON)
    deliverer.run_once(NOON)
    assert mailbox.recipients == mailed * 2
    assert {mail["Subject"] for mail in mailbox.mails} == ({"Job Disabled: Backup"} if mailed else set())


def test_an_account_that_never_chose_is_mailed_as_the_defaults_say(db, mailbox, deliverer):
    make_user("dora", email="dora@example.com")
    run(mailing_job("dora@example.com", notify_on_success=True))
    deliverer.run_once(NOON)
    assert mailbox.recipients == ["dora@example.com"]


@pytest.mark.parametrize("fields", [{"enable_email_notifications": False}, {"notification_emails": []}])
def test_a_job_without_mail_sends_none(db, mailbox, deliverer, fields):
    job = mailing_job()
    for name, value in fields.items():
        setattr(job, name, value)
    run(job)
    assert states() == []


@pytest.mark.parametrize("missing", [{"MAIL_ENABLED": False}, {"EMAIL_HOST": ""}, {"DEFAULT_FROM_EMAIL": ""}])
def test_nothing_is_queued_unless_mail_is_configured(db, mailbox, settings, missing):
    for name, value in missing.items():
        setattr(settings, name, value)
    run(mailing_job())
    assert states() == []


def test_what_waits_when_mail_is_switched_off_is_given_up(db, mailbox, deliverer, settings):
    run(mailing_job())
    settings.MAIL_ENABLED = False
    deliverer.run_once(NOON)
    row = Delivery.objects.get()
    assert (row.status, row.reason) == (DeliveryStatus.GIVEN_UP, "Mail was switched off.")


# --- What users may write --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["X\r\nBcc: evil@example.com", "X\nSubject: y", "X\x0b\u2028Bcc: evil@example.com", "X\r"]
)
def test_a_name_cannot_add_a_header(db, mailbox, deliverer, name):
    run(mailing_job(name=name))
    deliverer.run_once(NOON)
    mail = mailbox.mail_to(OPS)
    assert mailbox.recipients == [OPS]
    assert mail["Bcc"] is None
    assert len(mail.get_all("Subject")) == 1
    assert mail["Subject"].startswith("Job Failure: X")


@pytest.mark.parametrize(
    "address",
    ["a@example.com\r\nRCPT TO:<evil@example.com>", "a@example.com, evil@example.com", "no-at-sign", "<>", "ä@", "@"],
)
def test_an_address_that_is_none_is_given_up_and_nobody_else_gets_the_mail(db, mailbox, deliverer, address):
    run(mailing_job(address, OPS))
    deliverer.run_once(NOON)
    assert "evil@example.com" not in mailbox.recipients
    assert OPS in mailbox.recipients
    assert dict(states())[OPS] == DeliveryStatus.SENT


def test_markup_in_names_and_answers_is_shown_not_obeyed(db, mailbox, deliverer):
    run(mailing_job(name="<b>Bold</b>"), error_message="<script>alert(1)</script>", output="</pre><img src=x>")
    deliverer.run_once(NOON)
    shown = html(mailbox.mail_to(OPS))
    assert "&lt;b&gt;Bold" in shown
    assert "&lt;script&gt;" in shown
    assert "&lt;/pre&gt;&lt;img" in shown
    assert not any(markup in shown for markup in ("<b>", "<script", "<img"))
    assert "<script>alert(1)</script>" in plain(mailbox.mail_to(OPS))


def test_emoji_and_right_to_left_text_arrive_as_written(db, mailbox, deliverer):
    run(mailing_job(name="גיבוי 🚀 اليومي"), error_message="فشل 👩‍💻")
    deliverer.run_once(NOON)
    mail = mailbox.mail_to(OPS)
    assert mail["Subject"] == "Job Failure: גיבוי 🚀 اليومي"
    assert "فشل 👩‍💻" in plain(mail)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\r\n b", "a b"),
        ("a\x07b\x7f", "ab"),
        ("abc\u202etxt.exe", "abctxt.exe"),
        ("👩‍💻 ok", "👩‍💻 ok"),
        ("", ""),
    ],
)
def test_headers_are_one_line_of_what_can_be_seen(text, line):
    assert one_line(text) == line


# --- Servers of all tempers ------------------------------------------------------------------------------------------


def test_starttls_and_login(db, settings, deliverer, server_tls, ca_file, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    with mail_server(server_tls, login=("cron", "geheim")) as server:
        use_mail_server(settings, server.port)
        settings.EMAIL_USE_TLS, settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = True, "cron", "geheim"
        run(mailing_job())
        deliverer.run_once(NOON)
        assert server.recipients == [OPS]


def test_a_wrong_password_holds_mail_back_and_names_the_reason(
    db, settings, deliverer, clock, server_tls, ca_file, monkeypatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    with mail_server(server_tls, login=("cron", "geheim")) as server:
        use_mail_server(settings, server.port)
        settings.EMAIL_USE_TLS, settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = True, "cron", "falsch"
        run(mailing_job("a@example.com", "b@example.com"))
        deliverer.run_once(NOON)
        tried, held = Delivery.objects.order_by("-attempts")
        assert (tried.status, tried.attempts, held.status, held.attempts) == ("waiting", 1, "waiting", 0)
        assert tried.reason.startswith("535")
        assert "falsch" not in tried.reason
        settings.EMAIL_HOST_PASSWORD = "geheim"
        deliverer.run_once(clock.forward(minutes=1))
        assert server.recipients == ["a@example.com", "b@example.com"]


def test_without_starttls_neither_password_nor_mail_leaves(db, settings, deliverer):
    heard = []

    def offers_no_starttls(visit):
        visit.send(b"220 hello\r\n")
        while line := visit.sock.recv(100_000):
            heard.append(line[:4].lower())
            visit.send(b"250-hello\r\n250 AUTH PLAIN LOGIN\r\n")

    with target(offers_no_starttls) as server:
        use_mail_server(settings, server.port)
        settings.EMAIL_USE_TLS = True
        settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "cron", "secret"
        run(mailing_job())
        deliverer.run_once(NOON)
    assert set(heard) <= {b"ehlo", b"quit"}
    row = Delivery.objects.get()
    assert (row.status, row.reason) == ("waiting", "STARTTLS extension not supported by server.")


def test_a_certificate_nobody_vouches_for_is_not_accepted(db, settings, deliverer, server_tls):
    with mail_server(server_tls) as server:
        use_mail_server(settings, server.port)
        settings.EMAIL_USE_TLS = True
        run(mailing_job())
        deliverer.run_once(NOON)
        assert server.mails == []
    assert Delivery.objects.get().reason.startswith("TLS: ")


def test_a_refused_recipient_is_given_up_and_the_others_get_theirs(db, mailbox, deliverer):
    mailbox.refuse = {"gone@example.com": "550 5.1.1 no such user"}
    run(mailing_job("gone@example.com", OPS))
    deliverer.run_once(NOON)
    assert states() == [("gone@example.com", "given_up"), (OPS, "sent")]
    assert Delivery.objects.get(recipient="gone@example.com").reason == "550 5.1.1 no such user"


def test_a_recipient_refused_for_now_is_tried_again(db, mailbox, deliverer, clock):
    mailbox.refuse = {OPS: "451 greylisted"}
    run(mailing_job())
    deliverer.run_once(NOON)
    row = Delivery.objects.get()
    assert (row.status, row.reason, row.attempts) == ("waiting", "451 greylisted", 1)
    first_id = row.pk
    mailbox.refuse = {}
    deliverer.run_once(clock.forward(seconds=20))
    assert mailbox.mails == []
    deliverer.run_once(clock.forward(seconds=20))
    assert mailbox.mail_to(OPS)["Message-ID"] == f"<{first_id}@scheduler.example>"
    row.refresh_from_db()
    assert (row.status, row.reason, row.attempts, row.finished_at) == ("sent", "", 2, clock.now)


@pytest.mark.parametrize(("answer", "status"), [("554 spam", "given_up"), ("452 disk full", "waiting")])
def test_refused_content_is_final_by_its_code(db, mailbox, deliverer, answer, status):
    mailbox.refuse_data = answer
    run(mailing_job())
    deliverer.run_once(NOON)
    row = Delivery.objects.get()
    assert (row.status, row.reason) == (status, answer)


@pytest.mark.parametrize("step", [b"mail", b"rcpt", b"data"])
def test_a_server_that_closes_down_is_left_alone_for_a_while(db, settings, deliverer, clock, step):
    """421 means all of them, and the connection is gone with it."""
    with target(lambda visit: closes_down_at(step, visit)) as server:
        use_mail_server(settings, server.port)
        run(mailing_job("a@example.com", "b@example.com"))
        deliverer.run_once(NOON)
    assert {(row.status, row.reason) for row in Delivery.objects.filter(attempts=1)} == {
        ("waiting", "421 closing down")
    }
    assert Delivery.objects.get(attempts=0).reason == ""
    with mail_server() as mailbox:
        settings.EMAIL_PORT = mailbox.port
        deliverer.run_once(clock.forward(seconds=10))
    assert mailbox.recipients == ["a@example.com", "b@example.com"]


def closes_down_at(step, visit):
    visit.send(b"220 hello\r\n")
    while line := visit.sock.recv(100_000):
        if line[:4].lower() == step:
            visit.send(b"421 closing down\r\n")
            return
        visit.send(b"250 OK\r\n")


def test_no_server_at_all(db, settings, deliverer):
    use_mail_server(settings, free_port())
    run(mailing_job("a@example.com", "b@example.com"))
    deliverer.run_once(NOON)
    assert [row.status for row in Delivery.objects.all()] == ["waiting", "waiting"]
    reason = Delivery.objects.order_by("-attempts")[0].reason
    assert reason == f"localhost:{settings.EMAIL_PORT}: Connection refused"


def test_a_silent_server_is_left_after_the_timeout(db, settings, deliverer):
    settings.EMAIL_TIMEOUT = 0.1
    with target(lambda visit: visit.stall()) as server:
        use_mail_server(settings, server.port)
        settings.EMAIL_TIMEOUT = 0.1
        run(mailing_job())
        deliverer.run_once(NOON)
    assert Delivery.objects.get().reason == "The mail server did not answer within 0.1 s."


def test_a_server_that_drips_is_cut_off(settings):
    def drip(visit):
        visit.drip(b"220 " + b"x" * 10_000, every=0.01)

    with target(drip) as server:
        use_mail_server(settings, server.port)
        with MailSession(longest_seconds=0.2) as session, pytest.raises(DeliveryError) as failure:
            session.send(outgoing())
    assert failure.value.everything
    assert failure.value.reason == "The mail server took longer than 0.2 s."


def test_a_server_that_hangs_up_in_the_middle_is_tried_again(db, settings, deliverer):
    def hang_up(visit):
        visit.send(b"220 hello\r\n")
        for answer in (b"250 hello\r\n", b"250 OK\r\n", b"250 OK\r\n", b"354 go\r\n"):
            visit.sock.recv(1000)
            visit.send(answer)
        visit.reset()

    with target(hang_up) as server:
        use_mail_server(settings, server.port)
        run(mailing_job("a@example.com", "b@example.com"))
        deliverer.run_once(NOON)
        assert server.connections == 2
    assert [(row.status, row.attempts) for row in Delivery.objects.all()] == [("waiting", 1), ("waiting", 1)]


def outgoing(**payload):
    job = {"name": "X", "id": "1", "url": "http://x/"}
    return OutgoingMessage(uuid4(), "job_disabled", OPS, "Job Disabled: X", {"job": job, **payload}, None)
