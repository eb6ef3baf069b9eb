"""What one account may do in a minute, and how many jobs it may own."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from accounts.tests.factories import api_client
from cronsched.account_rates import rates
from jobs.models import Job, JobExecution
from jobs.tests.factories import job_body, make_execution, make_job
from taxonomy.tests.factories import make_team

JOBS = "/api/v2/jobs"
FILE = "name,cron,url,end date,pic team\nA,0 2 * * *,https://h.example.com/,2099-12-31,ops\n"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fresh_rates(db):
    make_team(name="Ops")
    rates.clear()
    yield
    rates.clear()


@pytest.mark.parametrize(
    ("setting", "call", "words"),
    [
        ("WRITES_PER_MINUTE", lambda client, job: client.put(f"{JOBS}/{job.pk}", {}), "changes"),
        ("RUNS_PER_MINUTE", lambda client, job: client.post(f"{JOBS}/{job.pk}/execute", {"metadata": 1}), "runs"),
        (
            "TESTS_PER_MINUTE",
            lambda client, job: client.post(f"{JOBS}/test-run", {}),
            "test runs and checks of targets",
        ),
    ],
)
def test_more_than_a_minutes_allowance_is_429_for_this_account_only(settings, alice, bob, setting, call, words):
    setattr(settings, setting, 2)
    client, job = api_client(alice), make_job(created_by=alice)
    assert 429 not in [call(client, job).status_code for _ in range(2)]
    response = call(client, job)
    assert response.status_code == 429
    assert response["Retry-After"] == "30"
    assert response.json() == {
        "error": "Too many requests",
        "message": f"At most 2 {words} a minute. Try again in 30 seconds.",
    }
    assert call(api_client(bob), make_job(created_by=bob)).status_code != 429


@pytest.mark.parametrize(
    ("setting", "page", "words"),
    [
        ("RUNS_PER_MINUTE", "run_job", "runs"),
        ("TESTS_PER_MINUTE", "check_target", "test runs and checks of targets"),
        ("TESTS_PER_MINUTE", "test", "test runs and checks of targets"),
        ("WRITES_PER_MINUTE", "resume_job", "changes"),
    ],
)
def test_what_is_done_in_the_console_counts_with_the_calls_of_the_api(settings, client, alice, setting, page, words):
    setattr(settings, setting, 1)
    rates.take((setting, alice.pk), 1)
    job = make_job(created_by=alice)
    client.force_login(alice)
    url = reverse("admin:jobs_job_change", args=[job.pk]).replace("/change/", f"/{page}/")
    response = client.post(url, {"_form_submitted": "true", "metadata": ""})
    said = client.get(response["HX-Redirect"]) if response.status_code == 204 else response
    assert f"At most 1 {words} a minute. Try again in" in said.content.decode()
    assert not JobExecution.objects.exists()


def test_a_run_that_is_repeated_in_the_console_counts_as_one(settings, client, alice):
    settings.RUNS_PER_MINUTE = 1
    row = make_execution(make_job(created_by=alice))
    client.force_login(alice)
    for _ in range(2):
        client.post(reverse("admin:jobs_jobexecution_run_again", args=[row.pk]), {"_form_submitted": "true"})
    assert JobExecution.objects.exclude(pk=row.pk).count() == 1


def test_reading_and_asking_is_counted_nowhere(settings, alice):
    settings.WRITES_PER_MINUTE = 1
    client = api_client(alice)
    for _ in range(5):
        assert client.get(JOBS).status_code == 200
        assert client.post(f"{JOBS}/validate-cron", {"expression": "* * * * *"}).status_code == 200


def test_the_defaults_are_not_felt_by_two_thousand_jobs(settings):
    assert settings.WRITES_PER_MINUTE >= 3000
    assert settings.RUNS_PER_MINUTE >= 1000


def test_a_quota_of_jobs_binds_users_and_not_admins(settings, alice, admin):
    settings.JOBS_PER_ACCOUNT = 1
    assert api_client(alice).post(JOBS, job_body()).status_code == 201
    response = api_client(alice).post(JOBS, job_body())
    assert (response.status_code, response.json()["error"]) == (409, "Too many jobs")
    assert response.json()["message"] == "An account may own at most 1 jobs. You own 1; this would make 2."
    file = SimpleUploadedFile("jobs.csv", FILE.encode())
    assert api_client(alice).post(f"{JOBS}/bulk-upload", {"file": file}, format="multipart").status_code == 409
    assert Job.objects.count() == 1
    assert [api_client(admin).post(JOBS, job_body()).status_code for _ in range(2)] == [201, 201]
