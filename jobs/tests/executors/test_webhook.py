"""Webhooks as the contract has them, and what a job may ask for beyond it."""

import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from pytest_httpserver import HTTPServer
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from werkzeug import Request as Received
from werkzeug import Response

from cronsched.lib.http import AddressRules, ClientPolicy, HTTPClient
from jobs.dispatch import executors
from jobs.dispatch.executors import NoTarget
from jobs.executors import webhook
from jobs.executors.base import Failure, Finding, Outcome
from jobs.executors.rules import SuccessRule
from jobs.executors.signing import new_secret
from jobs.executors.webhook import WebhookExecutor, WebhookRequest, snapshot
from jobs.github import GitHubRequest
from jobs.tests.executors.conftest import NOON, RUN


@pytest.fixture(scope="module")
def module_server() -> Iterator[HTTPServer]:
    with HTTPServer(host="127.0.0.1", port=0, threaded=True) as server:
        yield server


@pytest.fixture
def server(module_server: HTTPServer) -> Iterator[HTTPServer]:
    module_server.clear()
    yield module_server
    module_server.check()


@pytest.fixture
def run(http_client):
    return WebhookExecutor(http_client, clock=lambda: NOON).run


def answer(server: HTTPServer, response: Response | None = None) -> list[Received]:
    """Let the server answer everything on /hook, and return what it receives."""
    received: list[Received] = []

    def handle(request: Received) -> Response:
        request.get_data()
        received.append(request)
        return response or Response("fine", 200)

    server.expect_request("/hook").respond_with_handler(handle)
    return received


# --- What is sent


def test_metadata_is_posted_as_json(server, run):
    received = answer(server)
    run(WebhookRequest(server.url_for("/hook"), {"env": "production", "名": [1, None, True]}))
    assert received[0].method == "POST"
    assert received[0].headers["Content-Type"] == "application/json"
    assert json.loads(received[0].data) == {"env": "production", "名": [1, None, True]}


def test_without_metadata_it_is_a_get_without_a_body(server, run):
    received = answer(server)
    run(WebhookRequest(server.url_for("/hook")))
    assert received[0].method == "GET"
    assert received[0].data == b""
    assert "Content-Type" not in received[0].headers


def test_a_test_run_posts_even_empty_metadata_and_names_no_run(server, run):
    received = answer(server)
    run(WebhookRequest(server.url_for("/hook"), {}, method="POST"))
    assert (received[0].method, received[0].data) == ("POST", b"{}")
    assert not any(name.lower().startswith(("webhook-", "x-cron-")) for name, _ in received[0].headers)


def test_a_run_names_itself_in_headers(server, run):
    received = answer(server)
    run(WebhookRequest(server.url_for("/hook"), run=RUN._replace(job_name="夜 \n100%", attempt=2)))
    headers = received[0].headers
    assert headers["webhook-id"] == headers["Idempotency-Key"] == RUN.message_id
    assert headers["X-Cron-Execution-Id"] == str(RUN.execution_id)
    assert headers["webhook-timestamp"] == "1768478400"
    assert headers["X-Cron-Job"] == "%E5%A4%9C %0A100%25"
    assert headers["X-Cron-Job-Id"] == str(RUN.job_id)
    assert headers["X-Cron-Attempt"] == "2"
    assert headers["X-Cron-Scheduled-For"] == "2026-01-15T12:00:00Z"
    assert "webhook-signature" not in headers


def test_a_fire_time_has_one_id_for_ever_and_a_manual_run_its_own():
    again = RUN._replace(execution_id=uuid4(), attempt=3, job_name="Renamed")
    assert again.message_id == RUN.message_id == "eaf6c003-3c18-5eb8-ac01-880c9f6744e9"
    assert RUN._replace(fire_time=NOON + timedelta(minutes=1)).message_id != RUN.message_id
    assert RUN._replace(job_id=uuid4()).message_id != RUN.message_id
    manual = RUN._replace(fire_time=None)
    assert manual.message_id == str(RUN.execution_id)


def test_a_manual_run_has_no_scheduled_time(server, run):
    received = answer(server)
    run(WebhookRequest(server.url_for("/hook"), run=RUN._replace(fire_time=None)))
    assert "X-Cron-Scheduled-For" not in received[0].headers


@pytest.mark.parametrize(
    "method, metadata, body",
    [
        ("PUT", {}, b"{}"),
        ("PATCH", {"a": 1}, b'{"a": 1}'),
        ("DELETE", {}, b""),
        ("DELETE", {"a": 1}, b'{"a": 1}'),
        ("GET", {"a": 1}, b""),
        ("HEAD", {"a": 1}, b""),
    ],
)
def test_a_job_may_choose_the_method(server, run, method, metadata, body):
    received = answer(server)
    assert run(WebhookRequest(server.url_for("/hook"), metadata, method=method)).succeeded
    assert (received[0].method, received[0].data) == (method, body)


def test_a_jobs_headers_win_over_the_defaults_whatever_their_case(server, run):
    received = answer(server)
    headers = {"content-type": "application/vnd.x+json", "User-Agent": "mine/1", "X-Team": "a"}
    run(
        WebhookRequest(server.url_for("/hook"), {"a": 1}, headers=headers, secret_headers={"Authorization": "Bearer s"})
    )
    assert received[0].headers["Content-Type"] == "application/vnd.x+json"
    assert received[0].headers["User-Agent"] == "mine/1"
    assert received[0].headers["X-Team"] == "a"
    assert received[0].headers["Authorization"] == "Bearer s"


def test_a_template_replaces_the_metadata(server, run):
    received = answer(server)
    body = '{"text": "{{ job_name }} at {{fire_time}}, try {{ attempt }}", "id": "{{ execution_id }}"}'
    run(WebhookRequest(server.url_for("/hook"), {"a": 1}, body=body, run=RUN._replace(job_name='"quoted"\n\\')))
    assert received[0].headers["Content-Type"] == "application/json"
    assert json.loads(received[0].data) == {
        "text": '"quoted"\n\\ at 2026-01-15T12:00:00Z, try 1',
        "id": str(RUN.execution_id),
    }


@pytest.mark.parametrize(
    "content_type, sent, sent_type",
    [
        ("application/x-www-form-urlencoded", b"name=a%26admin%3D1&n=1", "application/x-www-form-urlencoded"),
        ("text/plain", b"name=a&admin=1&n=1", "text/plain"),
        (None, b"name=a&admin=1&n=1", "text/plain; charset=utf-8"),
    ],
)
def test_what_is_inserted_is_escaped_for_where_it_lands(server, run, content_type, sent, sent_type):
    received = answer(server)
    headers = {"Content-Type": content_type} if content_type else {}
    body = "name={{ job_name }}&n={{ attempt }}"
    run(WebhookRequest(server.url_for("/hook"), headers=headers, body=body, run=RUN._replace(job_name="a&admin=1")))
    assert (received[0].data, received[0].headers["Content-Type"]) == (sent, sent_type)


def test_a_job_name_that_looks_like_a_placeholder_is_only_text(server, run):
    received = answer(server)
    body = "{{ job_name }} {{ settings.SECRET_KEY }}"
    run(WebhookRequest(server.url_for("/hook"), body=body, run=RUN._replace(job_name="{{ attempt }}")))
    assert received[0].data == b"{{ attempt }} {{ settings.SECRET_KEY }}"


# --- Signatures


def lower(received: Received) -> dict[str, str]:
    return {name.lower(): value for name, value in received.headers.items()}


@pytest.mark.parametrize(
    "metadata, body", [({"名": "é"}, ""), ({}, "{{ job_name }} plain"), ({"a": 1}, '{"b": "{{ attempt }}"}')]
)
def test_the_official_library_accepts_the_signature(server, http_client, metadata, body):
    received = answer(server)
    secret = new_secret()
    request = WebhookRequest(server.url_for("/hook"), metadata, body=body, signing_secrets=(secret,), run=RUN)
    WebhookExecutor(http_client).run(request)
    headers = lower(received[0])
    sent_at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), tz=UTC)
    expected = Webhook(secret).sign(headers["webhook-id"], sent_at, received[0].data.decode())
    assert headers["webhook-signature"] == expected


def test_while_secrets_rotate_the_old_and_the_new_one_verify(server, http_client):
    received = answer(server)
    old, new, other = new_secret(), new_secret(), new_secret()
    request = WebhookRequest(server.url_for("/hook"), {"a": 1}, signing_secrets=(new, old), run=RUN)
    WebhookExecutor(http_client).run(request)
    for secret in (old, new):
        assert Webhook(secret).verify(received[0].data, lower(received[0])) == {"a": 1}
    with pytest.raises(WebhookVerificationError):
        Webhook(other).verify(received[0].data, lower(received[0]))


def test_a_changed_body_or_id_no_longer_verifies(server, http_client):
    received = answer(server)
    secret = new_secret()
    WebhookExecutor(http_client).run(
        WebhookRequest(server.url_for("/hook"), {"a": 1}, signing_secrets=(secret,), run=RUN)
    )
    headers = lower(received[0])
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(b'{"a": 2}', headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(received[0].data, headers | {"webhook-id": "other"})


# --- Outcomes


@pytest.mark.parametrize("status", [200, 201, 202, 204, 226])
def test_any_2xx_is_success(server, run, status):
    answer(server, Response("" if status == 204 else "fine", status))
    outcome = run(WebhookRequest(server.url_for("/hook")))
    assert (outcome.status, outcome.execution_type, outcome.target) == ("success", "webhook", server.url_for("/hook"))
    assert (outcome.response_status, outcome.error_message) == (status, None)
    assert outcome.output == ("" if status == 204 else "fine")


@pytest.mark.parametrize(
    "status, retryable",
    [
        (301, False),
        (302, False),
        (304, False),
        (400, False),
        (401, False),
        (404, False),
        (408, True),
        (410, False),
        (425, True),
        (429, True),
        (500, True),
        (502, True),
        (503, True),
        (504, True),
        (599, True),
    ],
)
def test_other_answers_fail_and_say_whether_another_try_may_help(server, run, status, retryable):
    answer(server, Response("sorry" if status != 304 else "", status))
    outcome = run(WebhookRequest(server.url_for("/hook")))
    assert (outcome.status, outcome.response_status) == ("failed", status)
    assert outcome.error_message == f"Webhook returned status {status}"
    assert outcome.output == ("sorry" if status != 304 else "")
    assert (outcome.failure, outcome.retryable, outcome.request_sent) == (Failure.BAD_ANSWER, retryable, True)


def test_a_redirect_loop_is_one_request_and_recorded(server, run):
    received = answer(server, Response("", 302, {"Location": server.url_for("/hook")}))
    outcome = run(WebhookRequest(server.url_for("/hook"), {"a": 1}))
    assert outcome.error_message == "Webhook returned status 302"
    assert outcome.details == {"location": server.url_for("/hook")}
    assert len(received) == 1


@pytest.mark.parametrize(
    "header, wait",
    [("120", timedelta(seconds=120)), ("Thu, 15 Jan 2026 12:00:30 GMT", timedelta(seconds=30)), ("soon", None)],
)
def test_retry_after_is_passed_on(server, run, header, wait):
    answer(server, Response("", 503, {"Retry-After": header}))
    assert run(WebhookRequest(server.url_for("/hook"))).retry_after == wait


@pytest.mark.parametrize(
    "body, headers, output",
    [
        (b"x" * 5000, {}, "x" * 1000),
        ("é".encode() * 2000, {}, "é" * 1000),
        (b"a\x00b", {}, "ab"),
        (b"\x00" * 3000 + b"reason", {}, "reason"),
        (b"\xff\xfe", {}, "��"),
        ("日本".encode("shift_jis"), {"Content-Type": "text/plain; charset=Shift_JIS"}, "日本"),
        ("é".encode("latin-1"), {"Content-Type": "text/html; charset=ISO-8859-1"}, "é"),
        ("é".encode(), {"Content-Type": "text/html; charset=no-such"}, "é"),
        (b"+2AA-", {"Content-Type": "text/plain; charset=utf-7"}, "+2AA-"),
        (b"\\ud800", {"Content-Type": "text/plain; charset=unicode_escape"}, "\\ud800"),
        (b"abc", {"Content-Type": "text/plain; charset=zlib_codec"}, "abc"),
        (b"abc", {"Content-Type": "text/plain; charset*=x'y'%00"}, "abc"),
    ],
)
def test_the_output_is_text_a_database_takes(server, run, body, headers, output):
    answer(server, Response(body, 500, headers))
    assert run(WebhookRequest(server.url_for("/hook"))).output == output


def test_a_target_that_times_out_may_be_retried_by_a_job_that_wants_it(server, run):
    released = threading.Event()
    server.expect_request("/hook").respond_with_handler(lambda _: Response(str(released.wait(10))))
    outcome = run(WebhookRequest(server.url_for("/hook"), timeout=timedelta(seconds=0.2)))
    released.set()
    assert outcome.error_message == "Request failed: timed out after 0.2 s while waiting for the answer"
    assert (outcome.response_status, outcome.output) == (None, None)
    assert (outcome.failure, outcome.retryable, outcome.is_ambiguous) == (Failure.NO_ANSWER, True, True)


def test_a_refused_connection_certainly_did_nothing(run):
    outcome = run(WebhookRequest("http://127.0.0.1:1/"))
    assert outcome.error_message == "Request failed: connection refused"
    assert (outcome.request_sent, outcome.is_ambiguous, outcome.retryable) == (False, False, True)


@pytest.mark.parametrize("url", ["not a url", "", "ftp://127.0.0.1/", "http://", "javascript:alert(1)"])
def test_a_url_that_is_none_fails_the_run(run, url):
    outcome = run(WebhookRequest(url))
    assert outcome.error_message.startswith("Request failed: invalid URL: ")
    assert (outcome.status, outcome.target, outcome.failure, outcome.retryable) == (
        "failed",
        url,
        Failure.INVALID,
        False,
    )


def test_an_inner_address_is_refused_in_words_that_tell_nothing():
    http_client = HTTPClient(ClientPolicy(AddressRules()))
    outcomes = [WebhookExecutor(http_client).run(WebhookRequest(f"http://127.0.0.1:{port}/")) for port in (1, 5432)]
    assert {outcome.error_message for outcome in outcomes} == {"Request failed: target address is not allowed"}
    assert not any(outcome.retryable or outcome.details for outcome in outcomes)


def test_a_target_longer_than_the_column_is_cut(run):
    assert run(WebhookRequest("http://127.0.0.1:1/" + "x" * 600)).target == "http://127.0.0.1:1/" + "x" * 481


def test_metadata_that_json_cannot_carry_fails_the_run(run):
    outcome = run(WebhookRequest("http://127.0.0.1:1/", {"a": float("nan")}))
    assert outcome.error_message == "Request failed: the metadata holds a number that JSON cannot carry"


@pytest.mark.parametrize(
    "rule, status, body, error",
    [
        (SuccessRule.of("404"), 404, "gone", None),
        (SuccessRule.of("200-204,302"), 302, "", None),
        (SuccessRule.of("202"), 200, "", "Webhook returned status 200"),
        (SuccessRule.of("", "done"), 200, "all done", None),
        (SuccessRule.of("", "done"), 200, "not yet", "Webhook answer does not contain 'done'"),
        (SuccessRule.of("", "完了"), 200, "完了", None),
    ],
)
def test_a_job_may_say_what_success_is(server, run, rule, status, body, error):
    answer(server, Response(body, status, {"Location": "/x"} if status == 302 else {}))
    outcome = run(WebhookRequest(server.url_for("/hook"), success=rule))
    assert (outcome.error_message, outcome.succeeded) == (error, error is None)


def test_a_right_status_with_the_wrong_text_may_be_retried(server, run):
    answer(server, Response("starting"))
    assert run(WebhookRequest(server.url_for("/hook"), success=SuccessRule.of("", "ready"))).retryable


# --- Secrets


def test_a_target_that_repeats_what_it_was_sent_does_not_give_a_secret_header_away(server, run):
    def echo(request: Received) -> Response:
        key, authorization = request.headers["X-Key"], request.headers["Authorization"]
        token = authorization.removeprefix("Bearer ")
        # The last one lies across the end of what is kept.
        return Response(f"{key}, {authorization}, {token}, {'.' * 940}{key}{key}", 401, {"Location": f"/?key={key}"})

    server.expect_request("/hook").respond_with_handler(echo)
    secrets = {"X-Key": "s3cr3t-k3y", "Authorization": "Bearer t0p-s3cr3t", "X-Blank": ""}
    outcome = run(WebhookRequest(server.url_for("/hook"), secret_headers=secrets))
    assert outcome.output.startswith("***, ***, ***, ...")
    assert "s3c" not in str(outcome)


def test_a_target_that_repeats_the_credentials_of_the_url_does_not_give_them_away(server, run):
    def echo(request: Received) -> Response:
        return Response(f"{request.headers['Authorization']} is {request.authorization.password}", 401)

    server.expect_request("/hook").respond_with_handler(echo)
    outcome = run(WebhookRequest(server.url_for("/hook").replace("//", "//user:p%40ss-w0rd@")))
    assert outcome.output == "Basic *** is ***"


def test_no_secret_is_shown_by_a_request_or_its_snapshot():
    request = WebhookRequest(
        "https://user:pa55@hooks.test/x",
        {"a": 1},
        headers={"X-Team": "a"},
        secret_headers={"Authorization": "Bearer s3cret"},
        signing_secrets=("whsec_c2VjcmV0",),
    )
    assert snapshot(request) == {
        "method": "POST",
        "url": "https://user:***@hooks.test/x",
        "headers": {"X-Team": "a", "Authorization": "***"},
        "body": {"a": 1},
        "signed": True,
    }
    assert not re.search("s3cret|whsec", repr(request))


# --- Checked without being called


@pytest.mark.parametrize(
    "url, code, conclusive",
    [
        ("not a url", "bad_request", True),
        ("http://10.0.0.1/", "refused", True),
        ("http://no-such-host.invalid/", "not_resolved", True),
    ],
)
def test_a_url_that_cannot_work_is_a_finding(url, code, conclusive):
    findings = webhook.check(WebhookRequest(url), HTTPClient(ClientPolicy()), timeout=timedelta(seconds=5))
    assert [(finding.code, finding.conclusive) for finding in findings] == [(code, conclusive)]


def test_a_target_that_is_down_is_no_verdict_and_one_that_is_up_none_at_all(server, http_client):
    down = webhook.check(WebhookRequest("http://127.0.0.1:1/"), http_client, timeout=timedelta(seconds=5))
    assert down == [Finding("connect", "Connection refused.", conclusive=False)]
    assert webhook.check(WebhookRequest(server.url_for("/hook")), http_client, timeout=timedelta(seconds=5)) == []
    assert server.log == []


# --- The process's own executors


def test_kinds_are_dispatched_by_the_settings(server, settings):
    answer(server)
    settings.WEBHOOK_ALLOW_PRIVATE_NETWORKS = True
    assert executors.run(WebhookRequest(server.url_for("/hook"))).succeeded
    settings.WEBHOOK_ALLOW_PRIVATE_NETWORKS = False
    assert executors.run(WebhookRequest(server.url_for("/hook"))).reason == "target address is not allowed"


def test_what_is_kept_of_a_request_holds_no_secret():
    dispatch = GitHubRequest("acme", "shop", "deploy.yml", "Deploy", "main", {"a": 1}, token="gh0st")
    assert executors.snapshot(dispatch) == {
        "owner": "acme",
        "repo": "shop",
        "workflow": "deploy.yml",
        "ref": "main",
        "inputs": {"a": 1},
        "timeout_seconds": 10.0,
    }
    assert "gh0st" not in repr(dispatch)
    assert executors.snapshot(NoTarget("Odd")) is None


def test_a_job_without_a_target_is_a_finding_and_has_no_bucket():
    findings = executors.check(NoTarget("Odd"), now=NOON, timeout=timedelta(seconds=1))
    assert [finding.code for finding in findings] == ["no_target"]
    assert executors.bucket(NoTarget("Odd")) is None


def test_a_job_without_a_target_fails_with_the_contracts_text():
    message = "Job 'Odd' has invalid configuration (neither GitHub Actions nor webhook URL)"
    assert executors.run(NoTarget("Odd")) == Outcome(
        "failed", None, None, error_message=message, failure=Failure.NO_TARGET, reason=message
    )
