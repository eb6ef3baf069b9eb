"""User name and password of a URL: stored among the secrets, shown as a mark, sent to their own host only."""

import base64
from importlib import import_module

import pytest
from django.db.migrations.loader import MigrationLoader

from accounts.tests.factories import api_client
from jobs.definitions.request_options import Secrets
from jobs.models import Job, JobExecution
from jobs.tests.factories import job_body, make_job
from taxonomy.tests.factories import make_team

JOBS = "/api/v2/jobs"
PASSWORD = "p%40ss:w/rd".replace("/", "%2F")

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def ops(db):
    return make_team(name="Ops")


@pytest.fixture
def client(alice):
    return api_client(alice)


@pytest.fixture
def job(client, httpserver):
    httpserver.expect_request("/hook").respond_with_data("done")
    url = httpserver.url_for("/hook").replace("://", f"://usr:{PASSWORD}@")
    response = client.post(JOBS, job_body(target_url=url))
    assert response.status_code == 201, response.content
    return Job.objects.get()


def put(client, job, **fields):
    response = client.put(f"{JOBS}/{job.pk}", fields)
    job.refresh_from_db()
    return response


def sent_authorization(client, job, httpserver, body=None):
    response = client.post(f"{JOBS}/{job.pk}/execute", body or {})
    assert response.status_code == 200, response.content
    assert response.json()["execution"]["status"] == "success", response.content
    return httpserver.log[-1][0].headers.get("Authorization")


BASIC = "Basic " + base64.b64encode(b"usr:p@ss:w/rd").decode()


def test_a_password_is_stored_encrypted_and_shown_as_a_mark(client, job, charlie):
    assert job.target_url.startswith("http://usr:***@localhost:")
    assert "ss:w" not in str(Job.objects.values().get())
    assert Secrets.decrypted(job.encrypted_secrets).url.user_info == "usr:p@ss:w/rd"
    for path in (JOBS, f"{JOBS}/{job.pk}", f"{JOBS}/export", f"{JOBS}/export?format=yaml"):
        text = api_client(charlie).get(path).content.decode()
        assert "usr:***@localhost" in text
        assert "ss:w" not in text


def test_it_is_sent_as_basic_authorization(client, job, httpserver):
    assert sent_authorization(client, job, httpserver) == BASIC
    execution = JobExecution.objects.get()
    assert "ss:w" not in str([execution.target, execution.request_snapshot, execution.output])


def test_what_the_form_sends_back_keeps_it(client, job, httpserver):
    assert put(client, job, target_url=f"{job.target_url}?more=1", name="Renamed").status_code == 200
    httpserver.expect_request("/hook", query_string="more=1").respond_with_data("done")
    assert sent_authorization(client, job, httpserver) == BASIC


def test_a_url_without_it_drops_it(client, job, httpserver):
    assert put(client, job, target_url=httpserver.url_for("/hook")).status_code == 200
    assert job.encrypted_secrets is None
    assert sent_authorization(client, job, httpserver) is None


def test_the_mark_never_moves_to_another_host(client, job):
    response = put(client, job, target_url="http://***@elsewhere.example.com/")
    assert (response.status_code, response.json()["error"]) == (400, "Invalid target_url")
    response = client.post(JOBS, job_body(target_url="http://***@localhost/"))
    assert (response.status_code, response.json()["error"]) == (400, "Invalid target_url")
    response = client.post(f"{JOBS}/{job.pk}/execute", {"target_url": "http://***@elsewhere.example.com/"})
    assert response.json()["execution"]["status"] == "failed"
    assert "is not stored for this host" in response.json()["execution"]["error_message"]


def test_other_secrets_are_kept_beside_it(client, job):
    put(client, job, secret_headers={"X-Key": "value"})
    secrets = Secrets.decrypted(job.encrypted_secrets)
    assert (secrets.headers, secrets.url.user_info) == ({"X-Key": "value"}, "usr:p@ss:w/rd")
    put(client, job, secret_headers={})
    assert Secrets.decrypted(job.encrypted_secrets).url.user_info == "usr:p@ss:w/rd"


def test_an_authorization_of_the_jobs_own_wins(client, job, httpserver):
    put(client, job, webhook_headers={"authorization": "Bearer own"})
    assert sent_authorization(client, job, httpserver) == "Bearer own"


def test_a_test_run_asks_for_what_it_cannot_know(client):
    response = client.post(f"{JOBS}/test-run", {"target_url": "http://***@localhost/"})
    assert (response.status_code, response.json()["error"]) == (400, "Invalid target_url")


def test_jobs_from_before_are_moved_once():
    make_job(name="plain", target_url="https://example.com/@me")
    make_job(
        name="old", target_url="https://usr:pass@example.com/", encrypted_secrets=Secrets({"X-A": "b"}).encrypted()
    )
    migration = ("jobs", "0006_credentials_of_urls_among_secrets")
    move = import_module(".migrations.".join(migration)).move_credentials
    apps = MigrationLoader(None).project_state(migration).apps
    move(apps, None)
    move(apps, None)
    assert Job.objects.get(name="plain").target_url == "https://example.com/@me"
    job = Job.objects.get(name="old")
    secrets = Secrets.decrypted(job.encrypted_secrets)
    assert job.target_url == "https://usr:***@example.com/"
    assert (secrets.headers, secrets.url.user_info) == ({"X-A": "b"}, "usr:pass")
