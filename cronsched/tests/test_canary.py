"""Secrets are planted in every place that takes one, the service is used, and whatever it says or keeps is searched."""

import json
import logging
import subprocess
from collections.abc import Iterator, Mapping
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from django.core import mail
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts import second_factors
from accounts.models import User
from accounts.second_factors import code_at, current_step
from accounts.tests.factories import api_client, make_user
from cronsched import tracing
from cronsched.lib import log_context
from cronsched.lib.errors import Unauthorized
from cronsched.logs import JSONLine, Line
from jobs.dispatch import journal
from jobs.models import Job, JobExecution
from jobs.scheduler.backends import celery
from jobs.scheduler.runner import Runner
from jobs.tests.factories import job_body
from notifications.models import Delivery, SlackSettings
from taxonomy.tests.factories import make_team

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

PLANTED = {
    "secret header": "CANARYheader7f3a",
    "password of a URL": "CANARYurlpassword91c",
    "chosen signing secret": "whsec_Q0FOQVJZc2lnbmluZ3NlY3JldDAxMjM0NTY3ODk=",
    "GitHub token": "ghp_CANARYgithub5b1d",
    "GitHub token of one run": "ghp_CANARYoverride6e",
    "Slack address": "CANARYslackT000B000",
    "password of the mail server": "CANARYmailpassword2d",
    "password of an account": "CANARYaccount-password",
    "refused password": "CANARYrefused-password",
    "refused token": "cron_canarycanary_CANARYtoken",
    "METRICS_TOKEN": "CANARYmetrics-token-0",
    "secret of an app": "CANARYAPPSECRET2",
}
# What a person reads where a secret may be shown on purpose (contract, section 15): the form sends it back.
SHOWN_ON_PURPOSE = {"/api/v2/settings/slack": {"Slack address"}}

PAGES = (
    "/api/v2/jobs",
    "/api/v2/jobs?include_last_execution=true",
    "/api/v2/jobs/{job}",
    "/api/v2/jobs/{job}/revisions",
    "/api/v2/jobs/{job}/executions",
    "/api/v2/executions",
    "/api/v2/executions/{execution}",
    "/api/v2/jobs/export?format=csv",
    "/api/v2/jobs/export?format=yaml",
    "/api/v2/audit",
    "/api/v2/audit.csv",
    "/api/v2/notifications",
    "/api/v2/tokens",
    "/api/v2/auth/users",
    "/api/v2/settings/slack",
    "/api/v2/scheduler/status",
    "/api/v2/health",
    "/metrics",
    "/admin/",
    "/admin/jobs/job/",
    "/admin/jobs/job/{job}/change/",
    "/admin/jobs/jobexecution/",
    "/admin/jobs/jobexecution/{execution}/change/",
    "/admin/audit/auditentry/",
    "/admin/notifications/delivery/",
    "/admin/notifications/slacksettings/",
    "/admin/accounts/user/",
    "/admin/account/",
)


class Everything(logging.Handler):
    """Keeps each line in both formats, as an operator would read it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        # Django logs its SQL statements only where they are asked for.
        if not record.name.startswith("django.db"):
            self.lines += [JSONLine().format(record), Line("{name} {message}", style="{").format(record)]


@pytest.fixture
def log() -> Iterator[Everything]:
    handler, root = Everything(), logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.setLevel(before)
    root.removeHandler(handler)


def found_in(text: str) -> set[str]:
    return {name for name, secret in PLANTED.items() if secret in text}


@pytest.fixture
def journaled(monkeypatch) -> list[str]:
    """Return where each line that a sender writes on its disk is kept: the file goes when all is recorded."""
    lines, line = list[str](), journal._line

    def kept(content: list[Any]) -> bytes:
        lines.append(line(content).decode())
        return line(content)

    monkeypatch.setattr(journal, "_line", kept)
    return lines


@pytest.fixture
def spans(monkeypatch) -> list[str]:
    """Return where all is kept that OpenTelemetry would be told."""
    told: list[str] = []

    def begin(name: str, execution_id: UUID, attempt: int) -> tracing.End:
        def end(attributes: Mapping[str, Any], problem: str) -> None:
            told.append(json.dumps([name, str(execution_id), attempt, attributes, problem]))

        return end

    monkeypatch.setattr(tracing, "is_on", lambda: True)
    monkeypatch.setattr(tracing, "begin", begin)
    return told


@pytest.fixture
def used(settings, httpserver, log, journaled, spans) -> dict[str, Any]:
    """Plant all of them and use what they are for. Returns what the pages need."""
    settings.GITHUB_TOKEN = PLANTED["GitHub token"]
    settings.EMAIL_HOST, settings.EMAIL_HOST_PASSWORD = "mail.example.com", PLANTED["password of the mail server"]
    settings.DEFAULT_FROM_EMAIL = "cron@example.com"
    settings.GITHUB_API_URL = httpserver.url_for("").rstrip("/")
    httpserver.expect_request("/hook").respond_with_handler(echo)
    make_team(name="Ops")
    admin = make_user("maria", role="admin", password=PLANTED["password of an account"])
    client = api_client(admin)
    made = secrets_of(client, httpserver)
    wrong = {"username": "maria", "password": PLANTED["refused password"]}
    assert Client().post("/api/v2/auth/login", wrong, content_type="application/json").status_code == 401
    assert client.patch("/api/v2/users/nobody", {"password": PLANTED["password of an account"]}).status_code >= 400
    refused = {"Authorization": f"Bearer {PLANTED['refused token']}"}
    assert Client().get("/api/v2/jobs", headers=refused).status_code == 401
    assert Client().get("/metrics", headers=refused).status_code == 200
    codes = codes_of(admin)
    Job.objects.update(cron_expression="* * * * *", next_fire_at=timezone.now().replace(second=0, microsecond=0))
    Runner(instance="canary").once()
    # Of another process otherwise.
    log_context.set_sender("")
    return {**made, "admin": admin, "client": client, "log": log, "recovery_codes": codes}


def codes_of(user: User) -> list[str]:
    """Add an authenticator app, sign in with it and with a recovery code, and fail with one."""
    now, secret = timezone.now(), PLANTED["secret of an app"]
    step = current_step(now)
    codes = second_factors.add_app(user, secret, code_at(secret, step), name="Phone", keep=None, now=now)
    for code in (code_at(secret, step + 1), codes[0]):
        second_factors.check_code(user, code, address="", now=now)
    with pytest.raises(Unauthorized):
        second_factors.check_code(user, codes[0], address="", now=now)
    return codes


def echo(request: Any) -> Any:
    """Answer what was sent, as debugging targets do."""
    from werkzeug import Response

    return Response(json.dumps(dict(request.headers)), status=500, content_type="application/json")


def secrets_of(client: Any, httpserver: Any) -> dict[str, Any]:
    url = httpserver.url_for("/hook").replace("://", f"://user:{PLANTED['password of a URL']}@")
    body = job_body(
        name="Canary",
        target_url=url,
        secret_headers={"X-Api-Key": PLANTED["secret header"]},
        signing_secret=PLANTED["chosen signing secret"],
        enable_email_notifications=True,
        notification_emails=["ops@example.com"],
    )
    answer = client.post("/api/v2/jobs", body)
    assert answer.status_code == 201, answer.content
    job = answer.json()["job"]["id"]
    run = client.post(f"/api/v2/jobs/{job}/execute", {}).json()["execution"]["id"]
    changed = client.put(f"/api/v2/jobs/{job}", {"secret_headers": {"X-Api-Key": PLANTED["secret header"] + "2"}})
    assert changed.status_code == 200, changed.content
    github = client.post("/api/v2/jobs", job_body(name="Hub", target_url="acme/shop/ci.yml")).json()["job"]["id"]
    override = {"github_token": PLANTED["GitHub token of one run"]}
    assert client.post(f"/api/v2/jobs/{github}/execute", override).status_code == 200
    slack = {"is_enabled": True, "webhook_url": f"https://hooks.slack.com/services/{PLANTED['Slack address']}"}
    assert client.put("/api/v2/settings/slack", slack).status_code == 200
    token = client.post("/api/v2/tokens", {"name": "t", "scopes": ["read"]}).json()["secret"]
    assert Client().get("/api/v2/jobs", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    return {"job": job, "execution": run, "api_token": token}


def test_no_secret_is_kept_in_plain_text(used):
    rows = StringIO()
    call_command("dumpdata", stdout=rows)
    assert found_in(rows.getvalue()) == set()
    assert used["api_token"] not in rows.getvalue()
    assert not [code for code in used["recovery_codes"] if code.replace("-", "") in rows.getvalue().replace("-", "")]
    if connection.vendor == "sqlite":
        # The file itself, with what was deleted from it and its log. Another process reads it: one that closes a file
        # gives up its locks on it (fcntl(2)), and the next to close the database would delete the log of the others.
        name = connection.settings_dict["NAME"]
        for file in (name, f"{name}-wal"):
            raw = subprocess.run(["cat", file], check=True, capture_output=True).stdout
            assert raw
            assert {key for key, secret in PLANTED.items() if secret.encode() in raw} == set()


def test_no_page_and_no_export_shows_one(used):
    console = Client()
    console.force_login(used["admin"])
    shown = {}
    for path in (page.format(**used) for page in PAGES):
        answer: Any = used["client"].get(path) if path.startswith("/api/") else console.get(path, follow=True)
        assert answer.status_code == 200, (path, answer.status_code)
        body = (b"".join(answer.streaming_content) if answer.streaming else answer.content).decode()
        shown[path] = found_in(body)
        assert used["api_token"] not in body, path
    assert {path: secrets for path, secrets in shown.items() if secrets} == SHOWN_ON_PURPOSE


def test_what_dumpdata_wrote_can_be_loaded_again(used, tmp_path):
    call_command("dumpdata", "notifications.slacksettings", output=str(tmp_path / "dump.json"))
    SlackSettings.objects.all().delete()
    call_command("loaddata", str(tmp_path / "dump.json"), verbosity=0)
    assert PLANTED["Slack address"] in SlackSettings.objects.get().webhook_url


def test_no_line_of_the_log_holds_one(used):
    text = "\n".join(used["log"].lines)
    assert len(used["log"].lines) > 20
    assert found_in(text) == set()
    assert used["api_token"] not in text
    assert not [code for code in used["recovery_codes"] if code in text or code.replace("-", "") in text]
    assert log_context.current() == {}


def test_no_mail_and_no_post_holds_one(used):
    said = "\n".join(json.dumps(row) for row in Delivery.objects.values_list("payload", "summary", "reason"))
    assert Delivery.objects.exists()
    assert found_in(said) == set()
    assert found_in("\n".join(str(message.message()) for message in mail.outbox)) == set()


def test_no_line_of_a_senders_journal_holds_one(used, journaled):
    said = "\n".join(journaled)
    # Both jobs ran on schedule, and one manually.
    assert used["execution"].replace("-", "") in said
    assert JobExecution.objects.filter(trigger_type="scheduled").count() == 2
    assert '"answered",[[' in said
    assert "X-Api-Key" in said, "the target repeats what it was sent"
    assert found_in(said) == set()


def test_no_message_to_a_broker_holds_one(used, settings):
    message = celery.pack(list(JobExecution.objects.values_list("pk", flat=True)))
    assert found_in(json.dumps(message)) == set()
    assert settings.SECRET_KEY not in json.dumps(message)


def test_no_span_holds_one(used, spans):
    assert len(spans) >= 3
    assert found_in("\n".join(spans)) == set()


def test_the_search_finds_what_is_there():
    assert found_in(f"x {PLANTED['secret header']} y") == {"secret header"}
    assert len(set(PLANTED.values())) == len(PLANTED)
