"""Mail and Slack, real but on loopback, and a clock that a test moves."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from cronsched.lib.http import AddressRules, ClientPolicy, HTTPClient
from notifications.delivery import Deliverer
from notifications.models import SlackSettings
from notifications.tests.mail_server import MailServer, mail_server
from notifications.tests.slack_like import SlackLike, slack_like

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
SENDER = "cron@scheduler.example"


@dataclass
class Clock:
    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **span: float) -> datetime:
        self.now += timedelta(**span)
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def server_tls(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture(scope="session")
def ca_file(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(path)
    return path


@pytest.fixture
def http_client(ca_file: Path) -> Iterator[HTTPClient]:
    http_client = HTTPClient(ClientPolicy(addresses=AddressRules(allow_private=True), ca_file=str(ca_file)))
    yield http_client
    http_client.close()


@pytest.fixture
def mailbox(settings: Any) -> Iterator[MailServer]:
    with mail_server() as server:
        use_mail_server(settings, server.port)
        yield server


def use_mail_server(settings: Any, port: int) -> None:
    settings.MAIL_ENABLED = True
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST = "localhost"
    settings.EMAIL_PORT = port
    settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
    settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
    settings.DEFAULT_FROM_EMAIL = SENDER
    settings.NOTIFICATION_MAILS_PER_SECOND = 0


@pytest.fixture
def slack(db: None, server_tls: ssl.SSLContext, clock: Clock) -> Iterator[SlackLike]:
    with slack_like(server_tls) as slack:
        SlackSettings.objects.create(is_enabled=True, webhook_url=slack.url)
        yield slack


@pytest.fixture
def deliverer(clock: Clock, http_client: HTTPClient, monkeypatch: pytest.MonkeyPatch) -> Deliverer:
    """Delivers in the test's own thread, by the test's clock: a turn at Slack comes by itself."""
    monkeypatch.setattr("notifications.delivery.slack_worker.SLACK_PACE", timedelta(0))
    return Deliverer(clock=clock, client=lambda: http_client)
