"""What the console says and does about requests, secrets, targets and runs."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.urls import reverse

from cronsched.tests.console.pages import errors_of, submit
from jobs.definitions.request_options import MASK, Secrets
from jobs.models import GitHubRun, Job, Status, Tracking
from jobs.tests.admin.test_jobs import ADD, CONFIRMED, console, form_data, page_of
from jobs.tests.conftest import WORKFLOW
from jobs.tests.factories import NOON, make_execution, make_job

pytestmark = pytest.mark.django_db

TEST_PAGE = "test/"


def tried(client: Any, job: Job, **fields: str) -> str:
    """Press Test on the page of that name; return the page that answers."""
    return str(client.post(page_of(job).removesuffix("change/") + TEST_PAGE, fields).content.decode())


def test_a_test_sends_what_a_run_sends_and_shows_all_that_comes_back(client_of_alice, alice, httpserver, settings):
    settings.WEBHOOK_ALLOW_PRIVATE_NETWORKS = True
    body = "<all> of it, hush " + "x" * 2000
    httpserver.expect_request("/hook").respond_with_data(body, 202, headers={"X-Answer": "of hush"})
    job = created(
        client_of_alice,
        target_url=httpserver.url_for("/hook"),
        webhook_method="PUT",
        webhook_headers='{"X-Plain": "1"}',
        secret_headers='{"X-Secret": "hush"}',
    )
    asked = client_of_alice.get(page_of(job).removesuffix("change/") + TEST_PAGE).content.decode()
    assert "nothing is stored" in asked.lower()
    assert f'href="{page_of(job)}" class="align-middle' in asked
    assert "&quot;env&quot;: &quot;production&quot;" in asked
    page = tried(client_of_alice, job, metadata='{"a": 1}')
    assert "The target took it: 202</strong> after 0." in page
    assert "&lt;all&gt; of it, *** " + "x" * 2000 in page
    assert "<dt>x-answer</dt><dd>of ***</dd>" in page
    assert "hush" not in page
    (request, _), *others = httpserver.log
    assert others == []
    assert (request.method, request.headers["X-Plain"], request.headers["X-Secret"]) == ("PUT", "1", "hush")
    assert request.json == {"a": 1}
    assert not job.executions.exists()


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ("{", "Enter a valid JSON"),
        ("[1]", "Inputs must be a JSON object."),
        ('"x"', "Inputs must be a JSON object."),
    ],
)
def test_inputs_that_no_run_could_have_are_refused_at_their_field(client_of_alice, alice, inputs, told):
    job = make_job(created_by=alice, target_url="http://127.0.0.1:1/")
    page = tried(client_of_alice, job, metadata=inputs)
    assert told in page.replace("&quot;", "")
    assert "The target" not in page


def test_a_test_of_a_target_that_is_not_there_says_so(client_of_alice, alice, settings):
    settings.WEBHOOK_ALLOW_PRIVATE_NETWORKS = True
    page = tried(client_of_alice, make_job(created_by=alice, target_url="http://127.0.0.1:1/"), metadata="{}")
    assert "The target did not take it</strong> after" in page
    assert "Request failed" in page


def test_only_who_may_change_a_job_tests_it(console, alice, bob, monkeypatch):
    monkeypatch.setattr("jobs.dispatch.executors.run", lambda request: pytest.fail("it was called"))
    job = make_job(created_by=alice)
    assert console(bob).post(page_of(job).removesuffix("change/") + TEST_PAGE, {"metadata": ""}).status_code == 403


def test_a_job_is_handed_over_by_its_button(client_of_alice, alice, bob):
    job = make_job(created_by=alice)
    sent = {**CONFIRMED, "owner": str(bob.pk), "reason": "Leaves"}
    client_of_alice.post(f"{page_of(job).removesuffix('change/')}hand_over_job/", sent)
    job.refresh_from_db()
    assert job.created_by == bob


def test_an_edit_of_the_schedule_shows_what_it_changes(client_of_alice, alice):
    job = make_job(created_by=alice, cron_expression="0 2 * * *", next_fire_at=NOON)
    asked = {"job": str(job.pk), "expression": "30 2 * * *", "timezone": "", "end_date": str(job.end_date)}
    answer = client_of_alice.get(reverse("admin:jobs_job_preview"), asked).json()
    assert " 02:00 " in answer["before"][0]
    assert " 02:30 " in answer["next_runs"][0]
    assert answer["due"].endswith("No run is due at the moment.")
    for number, told in ((1, "1 run is due already and will"), (2, "2 runs are due already and will")):
        make_execution(job, status=Status.QUEUED)
        assert told in client_of_alice.get(reverse("admin:jobs_job_preview"), asked).json()["due"], number
    unchanged = client_of_alice.get(reverse("admin:jobs_job_preview"), {**asked, "expression": "0 2 * * *"}).json()
    assert "before" not in unchanged


def test_days_on_which_the_clocks_change_are_named(client_of_alice):
    # The last Sunday of March; whatever the year is, some of the next ten are nights of a change.
    asked = {"expression": "30 2 25-31 3 *", "timezone": "Europe/Berlin"}
    answer = client_of_alice.get(reverse("admin:jobs_job_preview"), asked).json()
    runs = answer["next_runs"]
    assert any("02:30 does not exist on" in told and "runs at 03:00" in told for told in answer["warnings"])
    changes = [run for run in runs if "the clocks change" in run]
    assert changes
    assert all(run.startswith("Sun ") and " 03:00 CEST" in run for run in changes)


def test_the_page_says_how_many_fire_in_the_same_minute(client_of_alice, alice):
    job = make_job(created_by=alice, next_fire_at=NOON)
    for seconds in (0, 59, 60):
        make_job(next_fire_at=NOON + timedelta(seconds=seconds))
    assert "2 other jobs</a>" in client_of_alice.get(page_of(job)).content.decode()


def test_errors_name_fields_as_the_form_does(client_of_alice):
    errors = errors_of(client_of_alice.post(ADD, form_data(target_url="hooks.example.com/x")))
    assert "Target URL must include scheme" in errors["target_url"][0]


__all__ = ["console"]


@pytest.fixture
def client_of_alice(console, alice):
    return console(alice)


def press(client: Any, job: Job, action: str) -> list[str]:
    """Press a button of the job's page; return what was said."""
    response = client.post(f"{page_of(job).removesuffix('change/')}{action}/", CONFIRMED)
    assert response.status_code == 204, response.content
    return [str(message) for message in get_messages(response.wsgi_request)]


def created(client: Any, **changes: Any) -> Job:
    response = client.post(ADD, form_data(**changes))
    assert response.status_code == 302, errors_of(response)
    return Job.objects.get()


def test_options_are_taken_from_the_form(client_of_alice):
    job = created(
        client_of_alice,
        webhook_method="PUT",
        webhook_headers='{"X-Team": "ops"}',
        secret_headers='{"Authorization": "Bearer hidden"}',
        webhook_body="run {{ execution_id }}\n",
        success_statuses="200",
        retry_on="any",
        retry_max_age_seconds="600",
        pause_after_failures="5",
        track_run="false",
    )
    assert job.request_options == {
        "webhook_method": "PUT",
        "webhook_headers": {"X-Team": "ops"},
        "secret_headers": ["Authorization"],
        "webhook_body": "run {{ execution_id }}\n",
        "success_statuses": "200",
        "retry_on": "any",
        "retry_max_age_seconds": 600,
    }
    assert Secrets.decrypted(job.encrypted_secrets).headers == {"Authorization": "Bearer hidden"}
    assert (job.pause_after_failures, job.track_run) == (5, False)


def test_a_secret_is_never_shown_and_survives_an_edit(client_of_alice):
    job = created(client_of_alice, secret_headers='{"Authorization": "Bearer hidden"}')
    page = client_of_alice.get(page_of(job)).content.decode()
    assert "Bearer hidden" not in page
    assert MASK in page
    response = submit(client_of_alice, page_of(job), name="Renamed")
    assert response.status_code == 302, errors_of(response)
    job.refresh_from_db()
    assert (job.name, Secrets.decrypted(job.encrypted_secrets).headers) == (
        "Renamed",
        {"Authorization": "Bearer hidden"},
    )


@pytest.mark.parametrize(
    "changes, field, text",
    [
        ({"webhook_headers": '{"Host": "x"}'}, "webhook_headers", "the service sets it itself"),
        ({"webhook_headers": "nonsense"}, "webhook_headers", "valid JSON"),
        ({"secret_headers": "[1]"}, "secret_headers", "JSON object"),
        ({"webhook_method": "GET", "webhook_body": "x"}, "webhook_body", "carries no body"),
        ({"success_statuses": "many"}, "success_statuses", "must list statuses"),
        ({"retry_max_age_seconds": "5"}, "retry_max_age_seconds", "from 60"),
        ({"pause_after_failures": "5000"}, "pause_after_failures", "1000"),
    ],
)
def test_a_wrong_option_is_refused_beside_its_field(client_of_alice, changes, field, text):
    response = client_of_alice.post(ADD, form_data(**changes))
    assert text in " ".join(errors_of(response)[field])


@pytest.mark.parametrize("role", ["bob", "charlie"])
def test_who_only_reads_sees_what_was_chosen(console, request, alice, role):
    fields = {"request_options": {"webhook_method": "PUT", "secret_headers": ["X-Key"]}}
    job = make_job(created_by=alice, encrypted_secrets=Secrets({"X-Key": "hidden"}).encrypted(), **fields)
    page = console(request.getfixturevalue(role)).get(page_of(job)).content.decode()
    assert "webhook_method" in page
    assert "PUT" in page
    assert "hidden" not in re.sub(r"<[^>]*>", "", page)
    assert str(job.encrypted_secrets) not in page


def test_a_new_signing_secret_is_shown_once(client_of_alice, alice):
    job = make_job(created_by=alice)
    shown, _ = press(client_of_alice, job, "renew_signing_secret")
    secret = shown.removeprefix("Signing secret, shown this once: ")
    job.refresh_from_db()
    assert Secrets.decrypted(job.encrypted_secrets).signing == (secret,)
    client_of_alice.get(page_of(job))
    assert secret not in client_of_alice.get(page_of(job)).content.decode()


def test_the_previous_secret_can_be_dropped_once_there_are_two(client_of_alice, alice):
    job = make_job(created_by=alice)
    drop = "drop_signing_secret"
    press(client_of_alice, job, "renew_signing_secret")
    assert drop not in client_of_alice.get(page_of(job)).content.decode()
    press(client_of_alice, job, "renew_signing_secret")
    assert drop in client_of_alice.get(page_of(job)).content.decode()
    press(client_of_alice, job, drop)
    job.refresh_from_db()
    assert len(Secrets.decrypted(job.encrypted_secrets).signing) == 1


def test_the_button_checks_the_target_and_the_page_shows_the_findings(client_of_alice, alice, shop):
    job = make_job(created_by=alice, **WORKFLOW, metadata={"unknown": "x"})
    assert press(client_of_alice, job, "check_target") == [
        f"{job.name} checked; what was found stands beside its target."
    ]
    assert "declares no input unknown" in client_of_alice.get(page_of(job)).content.decode()


def test_nobody_checks_or_signs_the_job_of_another(console, alice, bob):
    job = make_job(created_by=alice)
    for action in ("check_target", "renew_signing_secret", "drop_signing_secret"):
        console(bob).post(f"{page_of(job).removesuffix('change/')}{action}/", CONFIRMED)
    job.refresh_from_db()
    assert (job.target_findings, job.encrypted_secrets) == (None, None)


def test_an_execution_shows_the_run_it_started(console, admin):
    execution = make_execution(make_job(), execution_type="github_actions", not_before=NOON)
    GitHubRun.objects.create(
        execution=execution,
        repository="acme/shop",
        run_id=7,
        url="javascript:alert(1)",
        status="completed",
        conclusion="failure",
        failed_job="build",
        failed_step="<b>tests</b>",
        tracking=Tracking.CONCLUDED,
        created_at=NOON,
    )
    page = console(admin).get(reverse("admin:jobs_jobexecution_change", args=[execution.pk])).content.decode()
    assert "build / &lt;b&gt;tests&lt;/b&gt;" in page
    assert "Concluded" in page
    assert "javascript:" not in page
