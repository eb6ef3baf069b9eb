"""How a webhook is called: what may be chosen, what arrives, and what is never shown."""

import base64
import json
import logging

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from accounts.tests.factories import api_client
from jobs.definitions import request_options
from jobs.definitions.request_options import MASK, Secrets
from jobs.models import Job, JobExecution
from jobs.tests.factories import job_body, make_job
from taxonomy.tests.factories import make_team

JOBS = "/api/v2/jobs"
SIGNING_SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
TOKEN = "Bearer very-secret-value"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def ops(db):
    return make_team(name="Ops")


@pytest.fixture
def client(alice):
    return api_client(alice)


@pytest.fixture
def hook(httpserver):
    httpserver.expect_request("/hook").respond_with_data("all done")
    return httpserver.url_for("/hook")


def created(client, **fields):
    response = client.post(JOBS, job_body(**fields))
    assert response.status_code == 201, response.content
    return response.json()["job"]


def updated(client, job, **fields):
    response = client.put(f"{JOBS}/{job['id']}", fields)
    assert response.status_code == 200, response.content
    return response.json()["job"]


def executed(client, job):
    response = client.post(f"{JOBS}/{job['id']}/execute", {})
    assert response.status_code == 200, response.content
    return response.json()["execution"]


def arrived(httpserver):
    return httpserver.log[-1][0]


# --- What arrives ----------------------------------------------------------------------------------------------------


def test_method_headers_and_body_arrive_as_chosen(client, hook, httpserver):
    job = created(
        client,
        name="Nightly",
        target_url=hook,
        webhook_method="put",
        webhook_headers={"X-Team": "ops", "Content-Type": "application/json"},
        webhook_body='{"run": "{{ execution_id }}", "job": "{{ job_name }}", "attempt": {{ attempt }}}',
        metadata={"ignored": True},
    )
    run = executed(client, job)
    request = arrived(httpserver)
    assert (request.method, request.headers["X-Team"]) == ("PUT", "ops")
    assert request.json == {"run": run["id"], "job": "Nightly", "attempt": 1}
    assert job["webhook_method"] == "PUT"


def test_a_call_says_which_run_it_is(client, hook, httpserver):
    job = created(client, name="Nightly", target_url=hook)
    run = executed(client, job)
    headers = arrived(httpserver).headers
    assert headers["webhook-id"] == headers["Idempotency-Key"] == run["id"]
    assert (headers["X-Cron-Job"], headers["X-Cron-Job-Id"], headers["X-Cron-Attempt"]) == ("Nightly", job["id"], "1")
    assert headers["User-Agent"].startswith("cronsched/")


@pytest.mark.parametrize(
    "rule, status",
    [
        ({}, "success"),
        ({"success_statuses": "201"}, "failed"),
        ({"success_statuses": "200 - 299"}, "success"),
        ({"success_contains": "all done"}, "success"),
        ({"success_contains": "other"}, "failed"),
    ],
)
def test_the_success_rule_judges_the_answer(client, hook, rule, status):
    assert executed(client, created(client, target_url=hook, **rule))["status"] == status


# --- Secrets ---------------------------------------------------------------------------------------------------------


def test_a_secret_header_arrives_and_is_shown_nowhere(client, hook, httpserver, caplog):
    caplog.set_level(logging.DEBUG)
    job = created(client, target_url=hook, secret_headers={"Authorization": TOKEN})
    run = executed(client, job)
    assert arrived(httpserver).headers["Authorization"] == TOKEN
    assert job["secret_headers"] == {"Authorization": MASK}
    answers = [
        client.get(f"{JOBS}/{job['id']}"),
        client.get(JOBS),
        client.get(f"/api/v2/executions/{run['id']}"),
        client.get(f"{JOBS}/{job['id']}/executions/{run['id']}"),
        client.get("/api/v2/notifications"),
    ]
    stored = [*Job.objects.values_list(), *JobExecution.objects.values_list()]
    everything = "".join([str(stored), caplog.text, *(answer.content.decode() for answer in answers)])
    assert "very-secret-value" not in everything
    assert JobExecution.objects.get().request_snapshot["headers"] == {"Authorization": MASK}


def test_the_mask_keeps_what_is_stored_and_names_that_are_not_sent_go(client, hook):
    job = created(client, target_url=hook, secret_headers={"Authorization": TOKEN, "X-Old": "old"})
    job = updated(client, job, secret_headers={"authorization": MASK, "X-New": "new"})
    assert job["secret_headers"] == {"authorization": MASK, "X-New": MASK}
    assert Secrets.decrypted(Job.objects.get().encrypted_secrets).headers == {"authorization": TOKEN, "X-New": "new"}
    assert updated(client, job, secret_headers=None)["secret_headers"] == {}
    assert Job.objects.get().encrypted_secrets is None


def test_a_changed_name_leaves_secrets_alone(client, hook):
    job = created(client, target_url=hook, secret_headers={"X-Key": "k"}, signing_secret=SIGNING_SECRET)
    before = Job.objects.get().encrypted_secrets
    job = updated(client, job, name="Other", webhook_method="PATCH")
    assert Job.objects.get().encrypted_secrets == before
    assert (job["secret_headers"], job["signing_secrets"]) == ({"X-Key": MASK}, 1)


def test_secrets_that_cannot_be_read_any_more_have_to_be_sent_anew(client, hook, settings):
    job = created(client, target_url=hook, secret_headers={"X-Key": "k"}, signing_secret=SIGNING_SECRET)
    settings.SECRET_KEY = "another secret key of forty characters or so"
    response = client.put(f"{JOBS}/{job['id']}", {"secret_headers": {"X-Key": "new"}})
    assert (response.status_code, response.json()["error"]) == (400, "Invalid secret_headers")
    assert client.post(f"{JOBS}/{job['id']}/signing-secret").status_code == 409
    assert executed(client, job)["status"] == "failed"
    job = updated(client, job, secret_headers={"X-Key": "new"}, signing_secret="")
    assert (job["secret_headers"], job["signing_secrets"]) == ({"X-Key": MASK}, 0)


def verified(secret: str, request) -> bool:
    headers = {name.lower(): value for name, value in request.headers.items()}
    try:
        Webhook(secret).verify(request.data, headers)
    except WebhookVerificationError:
        return False
    return True


def test_a_generated_secret_is_shown_once_and_signs(client, hook, httpserver):
    job = created(client, target_url=hook, metadata={"a": 1})
    answer = client.post(f"{JOBS}/{job['id']}/signing-secret")
    assert answer.status_code == 200, answer.content
    secret = answer.json()["signing_secret"]
    shown = client.get(f"{JOBS}/{job['id']}")
    assert shown.json()["job"]["signing_secrets"] == 1
    assert secret not in shown.content.decode()
    executed(client, job)
    assert verified(secret, arrived(httpserver))
    assert not verified(SIGNING_SECRET, arrived(httpserver))


def test_while_receivers_change_over_both_secrets_are_good(client, hook, httpserver):
    job = created(client, target_url=hook, signing_secret=SIGNING_SECRET, metadata={"a": 1})
    path = f"{JOBS}/{job['id']}/signing-secret"
    new = client.post(path).json()["signing_secret"]
    executed(client, job)
    assert verified(new, arrived(httpserver))
    assert verified(SIGNING_SECRET, arrived(httpserver))
    assert client.delete(f"{path}/previous").status_code == 200
    executed(client, job)
    assert verified(new, arrived(httpserver))
    assert not verified(SIGNING_SECRET, arrived(httpserver))
    assert client.delete(f"{path}/previous").status_code == 200


def test_a_secret_that_leaked_is_replaced_at_once(client, hook, httpserver):
    job = created(client, target_url=hook, signing_secret=SIGNING_SECRET, metadata={"a": 1})
    client.post(f"{JOBS}/{job['id']}/signing-secret", {"keep_previous": False})
    executed(client, job)
    assert not verified(SIGNING_SECRET, arrived(httpserver))


def test_a_third_secret_drops_the_first(client, hook):
    job = created(client, target_url=hook, signing_secret=SIGNING_SECRET)
    for _ in range(3):
        client.post(f"{JOBS}/{job['id']}/signing-secret")
    secrets = Secrets.decrypted(Job.objects.get().encrypted_secrets).signing
    assert len(secrets) == request_options.MAX_SIGNING_SECRETS
    assert SIGNING_SECRET not in secrets


# --- What is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields, error, part",
    [
        ({"webhook_method": "TRACE"}, "Invalid webhook_method", "must be one of"),
        ({"webhook_method": 5}, "Invalid webhook_method", "must be one of"),
        ({"webhook_method": ["GET"]}, "Invalid webhook_method", "must be one of"),
        ({"webhook_headers": []}, "Invalid webhook_headers", "JSON object"),
        ({"webhook_headers": {"Host": "x"}}, "Invalid webhook_headers", "sets it itself"),
        ({"webhook_headers": {"webhook-signature": "x"}}, "Invalid webhook_headers", "sets it itself"),
        ({"webhook_headers": {"X": "a\r\nY: b"}}, "Invalid webhook_headers", "one line"),
        ({"webhook_headers": {"X": 5}}, "Invalid webhook_headers", "one line"),
        ({"webhook_body": {"a": 1}}, "Invalid webhook_body", "must be a text"),
        ({"webhook_body": "{{ secret_key }}"}, "Invalid webhook_body", "unknown placeholder"),
        ({"webhook_body": "x", "webhook_method": "GET"}, "Invalid webhook_body", "carries no body"),
        ({"success_statuses": "2xx"}, "Invalid success_statuses", "must list statuses"),
        ({"success_statuses": 200}, "Invalid success_statuses", "must be a text"),
        ({"success_contains": "x" * 501}, "Invalid success_contains", "at most 500"),
        ({"secret_headers": {"Content-Length": "1"}}, "Invalid secret_headers", "sets it itself"),
        ({"secret_headers": {"X-New": MASK}}, "Invalid secret_headers", "none is stored"),
        ({"secret_headers": {"x-a": "1"}, "webhook_headers": {"X-A": "2"}}, "Invalid secret_headers", "does."),
        ({"secret_headers": "x"}, "Invalid secret_headers", "JSON object"),
        ({"signing_secret": "short"}, "Invalid signing_secret", "starts with whsec_"),
        ({"signing_secret": "whsec_!"}, "Invalid signing_secret", "base64"),
        ({"signing_secret": 5}, "Invalid signing_secret", "must be a text"),
        ({"retry_on": "always"}, "Invalid retry_on", "must be one of"),
        ({"retry_on": ["any"]}, "Invalid retry_on", "must be one of"),
        ({"retry_max_age_seconds": 59}, "Invalid retry_max_age_seconds", "from 60 to 604800"),
        ({"retry_max_age_seconds": True}, "Invalid retry_max_age_seconds", "whole number"),
        ({"pause_after_failures": 1001}, "Invalid pause_after_failures", "from 0 to 1000"),
        ({"pause_after_failures": -1}, "Invalid pause_after_failures", "from 0 to 1000"),
    ],
)
def test_what_cannot_be_sent_is_refused_with_its_reason(client, fields, error, part):
    response = client.post(JOBS, job_body(**fields))
    assert (response.status_code, response.json()["error"]) == (400, error)
    assert part in response.json()["message"]
    assert not Job.objects.exists()


def test_an_update_is_judged_together_with_what_is_stored(client):
    job = created(client, webhook_body="x")
    response = client.put(f"{JOBS}/{job['id']}", {"webhook_method": "HEAD"})
    assert response.json()["message"] == "webhook_body must be empty: a HEAD request carries no body."
    assert updated(client, job, webhook_method="HEAD", webhook_body=None)["webhook_body"] is None


@pytest.mark.parametrize("blank", [None, "", " "])
def test_blank_means_the_default(client, blank):
    fields = ("webhook_method", "webhook_headers", "webhook_body", "success_statuses", "success_contains", "retry_on")
    job = created(client, **dict.fromkeys(fields, blank))
    assert Job.objects.get().request_options == {}
    assert {name: job[name] for name in fields} == {name: request_options.DEFAULTS[name] for name in fields}


@pytest.mark.parametrize("sent, stored", [(None, None), ("", None), (True, True), (False, False), ("no", False)])
def test_whether_runs_are_followed_may_be_left_to_the_server(client, sent, stored):
    assert created(client, track_run=sent)["track_run"] is stored


def test_a_file_sets_what_a_cell_can_hold(client):
    text = (
        "name,cron,target url,pic team,end date,webhook method,success_statuses,retry on,retry_max_age_seconds,"
        "pause after failures,track run\n"
        "Uploaded,0 2 * * *,https://hooks.example.com/,ops,2099-12-31,patch,200-204,any,600,5,no\n"
    )
    response = client.post(
        f"{JOBS}/bulk-upload", {"file": SimpleUploadedFile("jobs.csv", text.encode())}, format="multipart"
    )
    assert response.status_code == 200, response.content
    job = client.get(f"{JOBS}/{Job.objects.get().pk}").json()["job"]
    assert (job["webhook_method"], job["success_statuses"], job["retry_on"]) == ("PATCH", "200-204", "any")
    assert (job["retry_max_age_seconds"], job["pause_after_failures"], job["track_run"]) == (600, 5, False)


def test_an_upload_that_updates_keeps_the_encrypted_secrets(client, alice):
    job = created(client, name="Kept", secret_headers={"X-Key": "k"})
    text = "name,retry on\nKept,unsent\n"
    body = {"file": SimpleUploadedFile("jobs.csv", text.encode()), "update_existing": "true"}
    assert client.post(f"{JOBS}/bulk-upload", body, format="multipart").status_code == 200
    stored = Job.objects.get(pk=job["id"])
    assert stored.request_options == {"secret_headers": ["X-Key"], "retry_on": "unsent"}
    assert Secrets.decrypted(stored.encrypted_secrets).headers == {"X-Key": "k"}


# --- Workflows -------------------------------------------------------------------------------------------------------

WORKFLOW = {"target_url": None, "github_owner": "acme", "github_repo": "shop", "github_workflow_name": "deploy.yml"}


@pytest.mark.parametrize(
    "metadata, message",
    [
        ({f"input{n}": 1 for n in range(26)}, "GitHub takes at most 25 inputs; these are 26."),
        ({"text": "x" * 65_525}, "GitHub takes inputs of at most 65535 characters in all; these are 65536."),
    ],
)
def test_inputs_beyond_githubs_limits_are_refused_when_they_are_written(client, metadata, message):
    response = client.post(JOBS, job_body(**WORKFLOW, metadata=metadata))
    assert (response.status_code, response.json()) == (400, {"error": "Invalid metadata", "message": message})
    # A webhook takes them.
    job = created(client, metadata=metadata)
    response = client.put(f"{JOBS}/{job['id']}", WORKFLOW)
    assert response.json()["message"] == message


def test_a_job_whose_inputs_are_too_many_already_stays_editable(client, alice):
    job = make_job(created_by=alice, **WORKFLOW, metadata={f"input{n}": 1 for n in range(26)})
    assert client.put(f"{JOBS}/{job.pk}", {"name": "Other"}).status_code == 200


# --- Passwords in addresses ------------------------------------------------------------------------------------------


def test_a_password_in_the_address_is_sent_and_kept_out_of_the_history(client, hook, httpserver):
    url = hook.replace("http://", "http://robot:pa$$word@")
    job = created(client, target_url=url)
    run = executed(client, job)
    assert run["target"] == hook.replace("http://", "http://robot:***@")
    assert arrived(httpserver).authorization.password == "pa$$word"
    assert "pa$$word" not in json.dumps(str(list(JobExecution.objects.values_list())))
