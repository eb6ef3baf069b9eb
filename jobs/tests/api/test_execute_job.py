"""POST /jobs/{id}/execute, and its older name."""

import logging
import threading
from datetime import date

import pytest
from werkzeug import Response as SinkResponse

from accounts.tests.factories import api_client
from audit.models import AuditEntry
from jobs.definitions.github_names import BAD_DISPATCH_URL
from jobs.dispatch import manual
from jobs.models import Job, JobExecution, JobPause
from jobs.tests.factories import make_job
from notifications.models import Notification

JOBS = "/api/v2/jobs"
TOKEN = "ghp_override_of_this_run_only"
STORED = {"github_owner": "acme", "github_repo": "tool", "github_workflow_name": "deploy.yml"}

pytestmark = pytest.mark.django_db


@pytest.fixture
def client(alice):
    return api_client(alice)


@pytest.fixture
def hook(alice, httpserver):
    httpserver.expect_request("/hook").respond_with_data("done")
    return make_job(created_by=alice, target_url=httpserver.url_for("/hook"), metadata={"env": "production"})


@pytest.fixture
def workflow(alice, httpserver, settings):
    """A workflow job, and a GitHub that accepts every dispatch."""
    settings.GITHUB_API_URL = httpserver.url_for("")
    settings.GITHUB_TOKEN = "ghp_of_the_server"
    httpserver.expect_request("").respond_with_handler(lambda request: SinkResponse(status=204))
    return make_job(created_by=alice, target_url=None, **STORED)


def execute(client, job, body=None):
    return client.post(f"{JOBS}/{job.pk}/execute", {} if body is None else body)


def execution(client, job, body=None):
    response = execute(client, job, body)
    assert response.status_code == 200, response.content
    return response.json()["execution"]


def sent(httpserver):
    """Return the one request that arrived."""
    ((request, _),) = httpserver.log
    return request


def test_a_run_is_answered_with_its_execution(client, hook, httpserver):
    response = execute(client, hook)
    body = response.json()
    assert (response.status_code, body["message"], body["job_id"]) == (200, "Job triggered successfully", str(hook.pk))
    assert body["execution"] == client.get(f"{JOBS}/{hook.pk}/executions").json()["executions"][0]
    assert body["execution"]["status"] == "success"
    assert body["execution"]["trigger_type"] == "manual"
    assert body["execution"]["output"] == "done"
    assert sent(httpserver).json == {"env": "production"}


def test_a_run_that_fails_is_an_answer_like_any_other(client, alice, httpserver):
    httpserver.expect_request("/hook").respond_with_data("broken", status=500)
    job = make_job(created_by=alice, target_url=httpserver.url_for("/hook"))
    run = execution(client, job)
    assert (run["status"], run["response_status"]) == ("failed", 500)
    assert run["error_message"] == "Webhook returned status 500"


def test_the_end_of_a_run_is_told_to_everybody(client, hook):
    run = execution(client, hook)
    notice = Notification.objects.get()
    assert (notice.title, str(notice.related_execution_id)) == ("Job Completed", run["id"])


@pytest.mark.parametrize("path", ["/api/v2/jobs/{}/execute", "/api/jobs/{}/execute", "/api/jobs/{}/trigger"])
@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/x-www-form-urlencoded"])
def test_an_empty_body_of_any_type_runs_the_job_as_stored(client, hook, path, content_type):
    response = client.post(path.format(hook.pk), b"", content_type=content_type)
    assert response.status_code == 200, response.content


def test_the_older_name_exists_under_the_older_prefix_only(client, hook):
    assert client.post(f"/api/v2/jobs/{hook.pk}/trigger").status_code == 404


def test_an_inactive_job_can_be_manual_run(client, hook):
    Job.objects.update(is_active=False)
    assert execution(client, hook)["status"] == "success"


@pytest.mark.parametrize(
    "body, received",
    [
        ({"metadata": {"a": 1}}, {"a": 1}),
        ({"inputs": {"a": 1}}, {"a": 1}),
        ({"metadata": {"a": 1}, "inputs": {"b": 1}}, {"a": 1}),
        ({"metadata": None}, {"env": "production"}),
        ({"metadata": None, "inputs": None}, {"env": "production"}),
    ],
)
def test_metadata_holds_for_this_run_only(client, hook, httpserver, body, received):
    execution(client, hook, body)
    assert sent(httpserver).json == received
    assert Job.objects.get().metadata == {"env": "production"}


def test_empty_metadata_means_none(client, hook, httpserver):
    execution(client, hook, {"metadata": {}})
    assert sent(httpserver).method == "GET"


def test_a_url_holds_for_this_run_only(client, hook, httpserver):
    httpserver.expect_request("/other").respond_with_data("other")
    run = execution(client, hook, {"target_url": httpserver.url_for("/other")})
    assert (run["output"], run["target"]) == ("other", httpserver.url_for("/other"))
    assert Job.objects.get().target_url == httpserver.url_for("/hook")


@pytest.mark.parametrize("blank", [None, "", "  "])
def test_a_blank_url_is_the_stored_one(client, hook, blank):
    assert execution(client, hook, {"target_url": blank})["output"] == "done"


@pytest.mark.parametrize("url", ["nonsense", "ftp://example.com", "http://[", "http://" + "x" * 9000])
def test_a_bad_url_gives_a_failed_run(client, hook, url):
    run = execution(client, hook, {"target_url": url})
    assert run["status"] == "failed"
    assert run["error_message"].startswith("Request failed: ")


def test_github_overrides_are_ignored_where_a_url_is_stored(client, hook):
    body = {"dispatch_url": "nonsense", "github_owner": 5, "github_token": TOKEN}
    assert execution(client, hook, body)["execution_type"] == "webhook"


@pytest.mark.parametrize(
    "body, target",
    [
        ({}, "acme/tool/deploy.yml"),
        ({"target_url": 5}, "acme/tool/deploy.yml"),
        ({"github_owner": "other"}, "other/tool/deploy.yml"),
        ({"github_owner": ""}, "acme/tool/deploy.yml"),
        ({"dispatch_url": "a/b/c.yml"}, "a/b/c.yml"),
        ({"dispatch_url": " "}, "acme/tool/deploy.yml"),
        ({"dispatch_url": "a/b/actions/workflows/c.yml"}, "a/b/c.yml"),
        ({"dispatch_url": "/a/b/actions/workflows/c.yml"}, "a/b/c.yml"),
        ({"dispatch_url": "github.com/a/b/actions/workflows/c.yml"}, "a/b/c.yml"),
        ({"dispatch_url": "https://GitHub.com/a/b/actions/workflows/7"}, "a/b/7"),
        ({"dispatch_url": "https://api.github.com/repos/a/b/actions/workflows/c.yml/dispatches"}, "a/b/c.yml"),
        ({"dispatch_url": "a/b/c.yml", "github_repo": "r"}, "a/r/c.yml"),
        ({"dispatch_url": "a/b/c.yml", "github_repo": "", "github_owner": None}, "acme/tool/c.yml"),
    ],
)
def test_another_workflow_can_be_run_once(client, workflow, body, target):
    assert execution(client, workflow, body)["target"] == target


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "a/b",
        "a/b/c/d",
        "https://example.com/a/b/actions/workflows/c.yml",
        "http://github.com/a/b/actions/workflows/c.yml",
        "github.com/a/b",
        "https://api.github.com/repos/a/b/actions/workflows/c.yml",
        "a/b/c.yml?query=main",
        "a//c.yml",
        "a/b/c d.yml",
    ],
)
def test_a_dispatch_url_of_another_form_is_refused(client, workflow, text):
    response = execute(client, workflow, {"dispatch_url": text})
    assert response.status_code == 400
    assert response.json() == {"error": "Invalid payload", "message": BAD_DISPATCH_URL}
    assert not JobExecution.objects.exists()


@pytest.mark.parametrize(
    "body, message",
    [
        ({"metadata": []}, '"metadata" must be a JSON object.'),
        ({"inputs": "x"}, '"inputs" must be a JSON object.'),
        ({"metadata": 0}, '"metadata" must be a JSON object.'),
        ({"dispatch_url": 5}, '"dispatch_url" must be a string.'),
        ({"github_owner": []}, '"github_owner" must be a string.'),
        ({"github_token": 1}, '"github_token" must be a string.'),
    ],
)
def test_a_wrong_override_is_refused(client, workflow, body, message):
    response = execute(client, workflow, body)
    assert response.status_code == 400
    assert response.json() == {"error": "Invalid payload", "message": message}


def test_a_token_of_this_run_is_used_and_kept_nowhere(client, workflow, httpserver, caplog):
    caplog.set_level(logging.DEBUG)
    execution(client, workflow, {"github_token": TOKEN})
    assert sent(httpserver).headers["Authorization"] == f"Bearer {TOKEN}"
    stored = [*JobExecution.objects.values(), *Job.objects.values(), *Notification.objects.values()]
    assert TOKEN not in repr(stored)
    assert TOKEN not in caplog.text


@pytest.fixture
def busy(monkeypatch, settings):
    """A process that has as many manual runs out as it takes."""
    settings.MANUAL_RUN_WAIT_SECONDS = 0.05
    slots = threading.BoundedSemaphore(1)
    slots.acquire()
    monkeypatch.setattr(manual, "_slots", slots)


def test_a_run_too_many_is_queued_for_the_scheduler(client, workflow, busy):
    assert execution(client, workflow)["status"] == "queued"


def test_a_run_too_many_with_a_token_of_its_own_is_refused(client, workflow, busy):
    response = execute(client, workflow, {"github_token": TOKEN})
    assert (response.status_code, response.json()["error"]) == (429, "Too many requests")
    assert response.headers["Retry-After"] == "10"
    assert not JobExecution.objects.exists()


def test_a_past_end_date_pauses_the_job_instead(client, alice, admin, hook):
    Job.objects.update(end_date=date(2020, 1, 1))
    response = client.post(f"{JOBS}/{hook.pk}/execute", b"{", content_type="text/plain")
    assert response.status_code == 400
    message = "This job has passed its end_date and was auto-paused."
    assert response.json() == {"error": "Job expired", "message": message}
    assert not JobExecution.objects.exists()
    job = Job.objects.get()
    assert (job.is_active, job.next_fire_at) == (False, None)
    notices = Notification.objects.all()
    assert {notice.title for notice in notices} == {"Job auto-paused (end date passed)"}
    assert {notice.user_id for notice in notices} == {alice.pk, admin.pk}
    # Whoever asked for a run did not pause it.
    entry = AuditEntry.objects.get(action="job.paused")
    assert (entry.actor_name, entry.actor_kind) == ("scheduler", "system")
    assert JobPause.objects.get().by_name == "scheduler"


def test_an_expired_job_is_announced_once(client, hook):
    Job.objects.update(end_date=date(2020, 1, 1))
    execute(client, hook)
    before = Notification.objects.count()
    assert execute(client, hook).json()["error"] == "Job expired"
    assert Notification.objects.count() == before


def test_others_may_not_run_it_nor_pause_it_when_it_has_expired(bob, hook):
    Job.objects.update(end_date=date(2020, 1, 1))
    response = execute(api_client(bob), hook)
    assert response.status_code == 403
    assert response.json() == {"error": "Insufficient permissions", "message": "You can only execute your own jobs"}
    assert Job.objects.get().is_active


def test_an_unknown_job_is_not_found_before_the_body_is_read(client):
    response = client.post(f"{JOBS}/nonsense/execute", b"{", content_type="text/plain")
    assert response.status_code == 404


@pytest.mark.parametrize(
    "raw, content_type, error",
    [
        (b"{}", "text/plain", "Content-Type must be application/json"),
        (b"{", "application/json", "Invalid JSON"),
        (b"null", "application/json", "Invalid payload"),
    ],
)
def test_a_body_that_is_no_object_is_refused(client, hook, raw, content_type, error):
    response = client.post(f"{JOBS}/{hook.pk}/execute", raw, content_type=content_type)
    assert response.status_code == 400
    assert response.json()["error"] == error


def test_viewers_are_refused(charlie, hook):
    assert execute(api_client(charlie), hook).status_code == 403


@pytest.mark.parametrize(
    "body, error",
    [
        ({"github_owner": "o" * 40}, "Invalid github_owner"),
        ({"github_repo": "r" * 101}, "Invalid github_repo"),
        ({"dispatch_url": f"{'o' * 120}/tool/deploy.yml"}, "Invalid github_owner"),
        ({"metadata": {"a": "x" * 70_000}}, "Invalid metadata"),
        ({"inputs": {"a": "x" * 70_000}}, "Invalid metadata"),
    ],
)
def test_overrides_beyond_the_limits_are_refused_before_anything_runs(client, workflow, body, error):
    response = execute(client, workflow, body)
    assert (response.status_code, response.json()["error"]) == (400, error)
    assert not JobExecution.objects.exists()
