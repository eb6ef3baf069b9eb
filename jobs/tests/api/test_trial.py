"""POST /jobs/test-run."""

import pytest
from werkzeug import Response as SinkResponse

from accounts.tests.factories import api_client
from jobs.models import JobExecution
from notifications.models import Notification

TEST_RUN = "/api/v2/jobs/test-run"
WORKFLOW = {"github_owner": "acme", "github_repo": "tool", "github_workflow_name": "deploy"}

pytestmark = pytest.mark.django_db


@pytest.fixture
def client(alice):
    return api_client(alice)


@pytest.fixture
def github(httpserver, settings):
    """A GitHub at the local server; returns how to set its answer."""
    settings.GITHUB_API_URL = httpserver.url_for("")
    settings.GITHUB_TOKEN = "ghp_of_the_server"

    def answer(status):
        httpserver.expect_request("").respond_with_handler(lambda request: SinkResponse(status=status))

    return answer


def try_target(client, **body):
    response = client.post(TEST_RUN, body)
    assert response.status_code == 200, response.content
    return response.json()


def test_a_webhook_that_answers_is_a_success(client, httpserver):
    httpserver.expect_request("/hook", method="POST").respond_with_data("", status=202)
    assert try_target(client, target_url=httpserver.url_for("/hook")) == {
        "ok": True,
        "type": "webhook",
        "status_code": 202,
        "message": "Webhook test run succeeded.",
    }
    ((request, _),) = httpserver.log
    assert (request.json, request.headers["Content-Type"]) == ({}, "application/json")


def test_a_redirect_says_where_to_and_is_not_followed(client, httpserver):
    other = httpserver.url_for("/other")
    httpserver.expect_request("/hook").respond_with_data("", status=302, headers={"Location": other})
    answer = try_target(client, target_url=httpserver.url_for("/hook"))
    message = f"Webhook test run failed: answered 302: moved to {other}, redirects are not followed."
    assert answer == {"ok": False, "type": "webhook", "status_code": 302, "message": message}
    assert len(httpserver.log) == 1


@pytest.mark.parametrize("status", [404, 500])
def test_a_webhook_that_answers_otherwise_is_a_failure(client, httpserver, status):
    httpserver.expect_request("/hook").respond_with_data("", status=status, headers={"Location": "/other"})
    answer = try_target(client, target_url=httpserver.url_for("/hook"), metadata={"a": 1})
    assert answer == {"ok": False, "type": "webhook", "status_code": status, "message": "Webhook test run failed."}
    assert [request.json for request, _ in httpserver.log] == [{"a": 1}]


def test_a_webhook_that_does_not_answer_is_a_failure(client, settings):
    settings.EXPOSE_ERROR_DETAILS = True
    answer = try_target(client, target_url="http://127.0.0.1:1/")
    assert {**answer, "message": ""} == {"ok": False, "type": "webhook", "error": "Request failed", "message": ""}
    assert answer["message"] not in ("", "Request failed")


def test_reasons_stay_inside_where_details_are_not_exposed(client, settings):
    settings.EXPOSE_ERROR_DETAILS = False
    assert try_target(client, target_url="http://127.0.0.1:1/")["message"] == "Request failed"


def test_of_both_targets_the_webhook_is_tried(client, httpserver):
    httpserver.expect_request("/hook").respond_with_data("")
    assert try_target(client, target_url=httpserver.url_for("/hook"), **WORKFLOW)["type"] == "webhook"


@pytest.mark.parametrize("status, ok", [(200, True), (201, True), (204, True), (422, False), (404, False)])
def test_a_workflow_is_dispatched_once(client, github, httpserver, status, ok):
    github(status)
    answer = try_target(client, **WORKFLOW)
    message = f"GitHub workflow dispatch {'triggered' if ok else 'failed'}."
    assert answer == {"ok": ok, "type": "github", "status_code": status, "message": message}
    ((request, _),) = httpserver.log
    assert request.path == "/repos/acme/tool/actions/workflows/deploy/dispatches"
    assert request.json == {"ref": "main"}


@pytest.mark.parametrize(
    "metadata, ref",
    [
        ({"branchDetails": "a", "ref": "b", "branch": "c"}, "a"),
        ({"branchDetails": "", "ref": "b"}, "b"),
        ({"branch": "c"}, "c"),
        ({"other": "d"}, "main"),
    ],
)
def test_the_branch_comes_from_the_metadata(client, github, httpserver, metadata, ref):
    github(204)
    try_target(client, metadata=metadata, **WORKFLOW)
    ((request, _),) = httpserver.log
    assert request.json == {"ref": ref, "inputs": metadata}


def test_without_a_token_the_operator_is_told_what_to_set(client, settings):
    settings.GITHUB_TOKEN = ""
    assert try_target(client, **WORKFLOW) == {
        "ok": False,
        "type": "github",
        "error": "GitHub token not configured",
        "message": "Set GITHUB_TOKEN in backend .env to test-run GitHub workflows.",
    }


@pytest.mark.parametrize(
    "body, error, message",
    [
        ({"metadata": [1]}, "Invalid metadata", '"metadata" must be an object.'),
        ({"metadata": "x", "timeout_seconds": "x"}, "Invalid metadata", '"metadata" must be an object.'),
        (
            {"timeout_seconds": "x"},
            "Missing target configuration",
            "Provide target_url or GitHub config (github_owner, github_repo, github_workflow_name).",
        ),
        (
            {"github_repo": "tool", "github_workflow_name": "deploy"},
            "Missing target configuration",
            "Provide target_url or GitHub config (github_owner, github_repo, github_workflow_name).",
        ),
        (
            {"target_url": "x", "timeout_seconds": "soon"},
            "Invalid timeout_seconds",
            "timeout_seconds must be a number.",
        ),
        ({"target_url": "x", "timeout_seconds": [1]}, "Invalid timeout_seconds", "timeout_seconds must be a number."),
        ({"target_url": "x", "timeout_seconds": "nan"}, "Invalid timeout_seconds", "timeout_seconds must be a number."),
        ({"target_url": "x"}, "Invalid target_url", "Webhook URL must start with http:// or https://"),
        ({"target_url": 5}, "Invalid payload", '"target_url" must be a string.'),
    ],
)
def test_what_cannot_be_tried_is_refused(client, settings, body, error, message):
    settings.DEFAULT_GITHUB_OWNER = "acme"
    response = client.post(TEST_RUN, body)
    assert response.status_code == 400
    assert response.json() == {"error": error, "message": message}


@pytest.mark.parametrize("metadata", [None, False, 0, "", []])
def test_falsy_metadata_is_none(client, httpserver, metadata):
    httpserver.expect_request("/hook").respond_with_data("")
    assert try_target(client, target_url=httpserver.url_for("/hook"), metadata=metadata)["ok"]


@pytest.mark.parametrize("timeout", [None, 0, 0.0, "", "2.5", 5, 1e300, 10**400, -3])
def test_odd_timeouts_are_pulled_into_the_bounds(client, httpserver, timeout):
    httpserver.expect_request("/hook").respond_with_data("")
    assert try_target(client, target_url=httpserver.url_for("/hook"), timeout_seconds=timeout)["ok"]


def test_nothing_is_stored_and_nobody_is_told(client, httpserver):
    httpserver.expect_request("/hook").respond_with_data("", status=500)
    try_target(client, target_url=httpserver.url_for("/hook"))
    assert not JobExecution.objects.exists()
    assert not Notification.objects.exists()


def test_a_test_run_too_many_is_refused(client, httpserver, one_slot):
    one_slot.acquire()
    response = client.post(TEST_RUN, {"target_url": httpserver.url_for("/hook")})
    message = "Too many runs are out at the moment. Try again."
    assert (response.status_code, response.json()) == (429, {"error": "Too many requests", "message": message})
    assert response.headers["Retry-After"] == "10"
    assert not httpserver.log
    assert client.post(TEST_RUN, {"target_url": "x"}).status_code == 400, "what is wrong is said first"


def test_a_test_run_makes_room_for_the_next(client, httpserver, one_slot):
    for _ in range(2):
        assert not try_target(client, target_url="http://127.0.0.1:1/")["ok"]


def test_viewers_are_refused(charlie):
    assert api_client(charlie).post(TEST_RUN, {}).status_code == 403


def test_names_longer_than_at_github_are_refused(alice):
    body = {"github_owner": "o" * 120, "github_repo": "tool", "github_workflow_name": "deploy.yml"}
    response = api_client(alice).post("/api/v2/jobs/test-run", body)
    assert (response.status_code, response.json()["error"]) == (400, "Invalid github_owner")
