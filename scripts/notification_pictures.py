"""Take the pictures of docs/notifications.md: the mails, the page of a renewal and the delivery table in an outage.

Run it as `.venv/bin/python -m scripts.notification_pictures` from the checkout. It works on a database of its own in a
temporary directory, with a real mail server on loopback and a clock that it moves.
"""

import os
import random
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

TEMPORARY = tempfile.TemporaryDirectory()
os.environ |= {
    "DJANGO_SETTINGS_MODULE": "cronsched.settings",
    "ENV_FILE": os.devnull,
    "DEBUG": "true",
    "LOG_LEVEL": "ERROR",
    "DATABASE_URL": f"sqlite:///{TEMPORARY.name}/pictures.sqlite3",
    "MAIL_DEFAULT_SENDER": "cron@scheduler.example",
    "SMTP_USE_TLS": "false",
    "SMTP_HOST": "127.0.0.1",
}

import django  # noqa: E402 - the settings are read from the environment above

django.setup()

from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.test import Client  # noqa: E402
from playwright.sync_api import Page, sync_playwright  # noqa: E402

from accounts.models import NotificationPreferences, Role, User  # noqa: E402
from jobs.end_dates import renewal  # noqa: E402
from jobs.models import ExecutionType, Job, JobExecution, Status, TriggerType  # noqa: E402
from jobs.notices import digests, events  # noqa: E402
from jobs.tests.factories import make_execution, make_job  # noqa: E402
from notifications.channels.base import OutgoingMessage  # noqa: E402
from notifications.channels.email import render  # noqa: E402
from notifications.delivery import Deliverer  # noqa: E402
from notifications.models import Delivery  # noqa: E402
from notifications.services import notify  # noqa: E402
from notifications.tests.mail_server import free_port, mail_server  # noqa: E402
from taxonomy.tests.factories import make_team  # noqa: E402

PICTURES = Path(__file__).resolve().parent.parent / "docs" / "pictures"
NOW = datetime(2026, 11, 16, 0, 10, tzinfo=UTC)
NARROW = {"width": 700, "height": 500}
WIDE = {"width": 1500, "height": 720}


class Clock:
    now = NOW

    def __call__(self) -> datetime:
        return self.now


def seed() -> tuple[User, list[Job]]:
    admin = User.objects.create_user("maria", "maria@example.com", "a good password", role=Role.ADMIN)
    NotificationPreferences.objects.create(user=admin, weekly_report=True)
    team = make_team(name="Payments", slack_handle="@payments", emails=["payments@example.com"])
    names = ["Nightly backup", "Refund sweep", "Exchange rates", "דוח יומי", "Ping <shop>", "Invoice export"]
    jobs = [
        make_job(
            name=name,
            cron_expression="15 9 * * *",
            pic_team=team,
            created_by=admin,
            enable_email_notifications=True,
            notification_emails=["payments@example.com", "oncall@example.com"],
            notify_on_recovery=True,
            end_date=date(2027, 6, 30),
        )
        for name in names
    ]
    jobs[5].end_date = date(2026, 11, 23)
    jobs[5].save()
    return admin, jobs


def seed_week(jobs: list[Job]) -> None:
    """Give the jobs five weeks of hourly runs: one fails now and then, one has become slow, one was missed."""
    dice = random.Random(7)  # noqa: S311 - the same pictures each time
    rows = []
    for hours in range(5 * 7 * 24):
        started_at = NOW - timedelta(hours=hours + 10)
        this_week = hours < 7 * 24
        for number, job in enumerate(jobs):
            status, seconds, error = Status.SUCCESS, 2 + dice.random(), None
            if number == 1 and dice.random() < 0.06:
                status, error = Status.FAILED, "Webhook returned status 502"
            if number == 2 and this_week:
                seconds *= 3
            if number == 3 and this_week and hours % 40 == 0:
                status = Status.MISSED
            rows.append(
                JobExecution(
                    job=job,
                    status=status,
                    trigger_type=TriggerType.SCHEDULED,
                    execution_type=ExecutionType.WEBHOOK,
                    queued_at=started_at,
                    started_at=started_at,
                    scheduled_for=started_at.replace(minute=15, second=0),
                    duration_seconds=seconds if status != Status.MISSED else None,
                    error_message=error,
                )
            )
    JobExecution.objects.bulk_create(rows)


def fail(job: Job, now: datetime, status: Status = Status.FAILED) -> None:
    failed = status == Status.FAILED
    execution = make_execution(
        job,
        status=status,
        trigger_type=TriggerType.SCHEDULED,
        scheduled_for=now.replace(second=0),
        started_at=now + timedelta(seconds=1.4),
        duration_seconds=12.34,
        response_status=502 if failed else 200,
        error_message="Webhook returned status 502" if failed else None,
        output='{"error": "upstream is away", "hint": "<retry later>"}' if failed else "ok",
    )
    notify([events.run_finished(job, execution, now=now)], now=now)


def mail_of(kind: str) -> str:
    row = Delivery.objects.filter(kind=kind).latest("created_at")
    outgoing = OutgoingMessage(row.pk, row.kind, row.recipient, row.summary, row.payload, row.thread)
    return str(render(outgoing).alternatives[0][0])


def outage(jobs: list[Job], clock: Clock, deliverer: Deliverer) -> None:
    """Let an hour pass without a mail server, in which jobs fail."""
    settings.EMAIL_PORT = free_port()
    for minute in range(60):
        if minute % 20 == 5:
            fail(jobs[1 + minute // 20], clock.now)
        deliverer.run_once(clock.now)
        clock.now += timedelta(minutes=1)


def recovery(clock: Clock, deliverer: Deliverer) -> None:
    with mail_server() as server:
        settings.EMAIL_PORT = server.port
        for _ in range(40):
            deliverer.run_once(clock.now)
            clock.now += timedelta(minutes=1)


class Quiet(WSGIRequestHandler):
    def log_message(self, *words: Any) -> None:
        """Say nothing: the pictures are the result."""


@contextmanager
def served() -> Iterator[str]:
    with make_server("127.0.0.1", 0, get_wsgi_application(), handler_class=Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    call_command("migrate", verbosity=0)
    admin, jobs = seed()
    seed_week(jobs)
    clock = Clock()
    settings.EMAIL_PORT = free_port()
    mails: dict[str, str] = {}
    fail(jobs[0], clock.now)
    fail(jobs[0], clock.now + timedelta(minutes=1), Status.SUCCESS)
    renewal.remind(now=clock.now)
    digests.send(digests.WEEKLY, now=clock.now)
    mails |= {name: mail_of(name) for name in ("job_failure", "job_recovered", "job_ending", "digest")}
    renew_path = renewal.link(jobs[5], "payments@example.com").removeprefix(settings.PUBLIC_BASE_URL)
    Delivery.objects.all().delete()
    deliverer = Deliverer(clock=clock)
    outage(jobs, clock, deliverer)
    session = Client()
    session.force_login(admin)
    cookie = session.cookies[settings.SESSION_COOKIE_NAME].value
    with served() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium")
        context = browser.new_context()
        context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": address}])
        page = context.new_page()
        for name, html in mails.items():
            take(page, f"mail-{name.replace('_', '-')}", html=html)
        take(page, "renew-page", url=address + renew_path)
        deliveries = f"{address}/admin/notifications/delivery/"
        take(page, "deliveries-during-outage", url=deliveries, size=WIDE)
        # The browser's event loop runs in this thread, where Django would refuse to use the database.
        other = threading.Thread(target=recovery, args=(clock, deliverer))
        other.start()
        other.join()
        take(page, "deliveries-after-recovery", url=deliveries, size=WIDE)
        browser.close()


def take(page: Page, name: str, *, html: str = "", url: str = "", size: Any = NARROW) -> None:
    page.set_viewport_size(size)
    if html:
        page.set_content(html)
    else:
        page.goto(url)
    page.wait_for_load_state("networkidle")
    page.screenshot(path=PICTURES / f"{name}.png", full_page=size is NARROW)


if __name__ == "__main__":
    main()
