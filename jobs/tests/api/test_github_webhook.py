"""POST /github/webhook: what GitHub tells, and what others pretend."""

import hashlib
import hmac
import json
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.tests.factories import api_client
from jobs.models import GitHubRun, Tracking
from jobs.tests.factories import NOON, make_execution, make_job
from jobs.tests.github.fake import examples
from jobs.tests.github.test_runs import ODD_EVENT, ODD_RUN
from notifications.models import Notification

SECRET = "a secret that GitHub shares"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def secret(settings):
    settings.GITHUB_WEBHOOK_SECRET = SECRET


@pytest.fixture
def run():
    execution = make_execution(make_job(), execution_type="github_actions")
    return GitHubRun.objects.create(
        execution=execution,
        repository="acme/shop",
        run_id=7,
        tracking=Tracking.FOLLOWED,
        decides=True,
        created_at=NOON,
        next_poll_at=NOON,
    )


def payload(**changes: Any) -> bytes:
    told = examples()["run"] | {"id": 7, "status": "completed", "conclusion": "success", "run_attempt": 1} | changes
    return json.dumps({"action": "completed", "workflow_run": told, "repository": {"full_name": "Acme/Shop"}}).encode()


def signature(body: bytes, secret: str = SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def deliver(
    body: bytes,
    *,
    event: str = "workflow_run",
    signed: str | None = None,
    prefix: str = "/api/v2",
    content_type: str = "application/json",
) -> Any:
    headers = {"X-GitHub-Event": event, "X-Hub-Signature-256": signature(body) if signed is None else signed}
    return APIClient().post(f"{prefix}/github/webhook", body, content_type=content_type, headers=headers)


@pytest.mark.parametrize("prefix", ["/api/v2", "/api"])
def test_a_signed_event_about_a_run_concludes_it(run, prefix):
    response = deliver(payload(), prefix=prefix)
    assert (response.status_code, response.json()) == (200, {"message": "Event taken", "executions": 1})
    run.refresh_from_db()
    assert (run.conclusion, run.tracking) == ("success", Tracking.CONCLUDED)


@pytest.mark.parametrize(
    "signed", ["", "sha256=", "sha256=00", signature(payload(), "another secret"), signature(b"another body"), "é"]
)
def test_what_is_not_signed_with_the_secret_is_refused(run, signed):
    response = deliver(payload(), signed=signed)
    assert response.status_code == 401
    assert response.json()["message"] == "The signature is missing or wrong."
    run.refresh_from_db()
    assert run.tracking == Tracking.FOLLOWED


def test_without_a_secret_of_our_own_nothing_is_believed(run, settings):
    settings.GITHUB_WEBHOOK_SECRET = ""
    assert deliver(payload(), signed=signature(payload(), "")).status_code == 401


def test_a_missing_signature_is_refused(run):
    response = APIClient().post("/api/v2/github/webhook", payload(), content_type="application/json")
    assert response.status_code == 401


def test_a_token_of_ours_is_no_signature(run, admin):
    response = api_client(admin).post("/api/v2/github/webhook", payload(), content_type="application/json")
    assert response.status_code == 401


@pytest.mark.parametrize("event", ["ping", "push", "check_run", ""])
def test_other_events_are_taken_and_ignored(run, event):
    response = deliver(b'{"zen": "x"}', event=event)
    assert (response.status_code, response.json()) == (202, {"message": "Event ignored", "executions": 0})


def test_an_event_about_a_run_nobody_knows_is_ignored(run):
    assert deliver(payload(id=8)).status_code == 202


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"{}", b'{"workflow_run": null}', ODD_RUN, ODD_EVENT, b"\xff", b"[" * 50_000],
)
def test_a_signed_body_that_is_no_event_is_refused(run, body):
    response = deliver(body)
    assert response.status_code == 400
    assert response.json()["message"] == "This is no workflow_run event."


@pytest.mark.parametrize(
    "changes",
    [
        {"id": 2**200},
        {"id": -1},
        {"status": "x" * 5000, "conclusion": "y" * 5000},
        {"status": "completed\x00", "conclusion": "\ud800"},
        {"run_attempt": 2**200},
        {"run_attempt": -5},
        {"html_url": "https://github.com/" + "x" * 5000},
        {"html_url": ["no", "text"]},
    ],
)
def test_odd_facts_in_a_signed_event_break_nothing(run, changes):
    assert deliver(payload(**changes)).status_code in {200, 202, 400}


def test_a_form_is_not_read(run):
    response = deliver(payload(), content_type="application/x-www-form-urlencoded")
    assert response.status_code == 400
    assert response.json() == {"error": "Content-Type must be application/json"}


def test_a_delivery_that_comes_twice_tells_once(run):
    deliver(payload())
    deliver(payload())
    assert Notification.objects.count() == 1


def test_a_body_beyond_the_limit_is_413(run, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    assert deliver(b"{" + b" " * 2000 + b"}").status_code == 413
