"""The account of what is due of a job is right also where an answer was lost."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from pytest_httpserver import HTTPServer

from jobs.tests.chaos.client import Client
from jobs.tests.chaos.evidence import Change, Definition, JobLog, Mode
from jobs.tests.chaos.script import PLAIN
from jobs.tests.chaos.target import Target

JOB_ID = uuid4()
API = "/api/v2"


@pytest.fixture
def client(httpserver: HTTPServer) -> Iterator[Client]:
    httpserver.expect_request(f"{API}/auth/login").respond_with_json({"access_token": "token"})
    httpserver.expect_request(f"{API}/pic-teams").respond_with_json({}, status=201)
    httpserver.expect_oneshot_request(f"{API}/jobs", method="POST").respond_with_json({"job": {"id": str(JOB_ID)}}, 201)
    client = Client(httpserver.url_for("").rstrip("/"), "password", Target())
    yield client
    client.close()


def job_with_revision(revision: int) -> dict[str, object]:
    return {"job": {"id": str(JOB_ID), "target_url": f"http://127.0.0.1/ok/{revision}"}}


def test_an_edit_that_worked_although_it_was_answered_by_an_error_counts(client: Client, httpserver: HTTPServer):
    job = client.create(PLAIN)
    httpserver.expect_request(f"{API}/jobs/{JOB_ID}", method="PUT").respond_with_json({}, status=500)
    httpserver.expect_oneshot_request(f"{API}/jobs/{JOB_ID}", method="GET").respond_with_json({}, status=503)
    httpserver.expect_request(f"{API}/jobs/{JOB_ID}", method="GET").respond_with_json(job_with_revision(1))
    client.edit(job, {**PLAIN, "mode": Mode.SLOW})
    assert [change.definition.revision for change in job.changes if change.definition] == [0, 1]
    assert job.changes[1].answered_at - job.changes[1].asked_at > timedelta(milliseconds=400), "asked until it knew"
    assert len(client.server_errors) == 2


def test_an_edit_that_failed_does_not_count(client: Client, httpserver: HTTPServer):
    job = client.create(PLAIN)
    httpserver.expect_request(f"{API}/jobs/{JOB_ID}", method="PUT").respond_with_json({}, status=500)
    httpserver.expect_request(f"{API}/jobs/{JOB_ID}", method="GET").respond_with_json(job_with_revision(0))
    client.set_active(job, False)
    assert len(job.changes) == 1


def test_a_deletion_that_worked_although_it_was_answered_by_an_error_counts(client: Client, httpserver: HTTPServer):
    job = client.create(PLAIN)
    httpserver.expect_request(f"{API}/jobs/{JOB_ID}", method="DELETE").respond_with_json({}, status=500)
    httpserver.expect_request(f"{API}/jobs/{JOB_ID}", method="GET").respond_with_json({}, status=404)
    client.delete(job)
    assert job.deleted
    assert client.living == []


def test_a_refusal_is_the_harness_own_fault(client: Client, httpserver: HTTPServer):
    job = client.create(PLAIN)
    httpserver.expect_request(f"{API}/jobs/{JOB_ID}", method="PUT").respond_with_json({"error": "no"}, status=400)
    with pytest.raises(AssertionError, match="400"):
        client.edit(job, PLAIN)


# --- The account -----------------------------------------------------------------------------------------------------


def moment(minute: int, second: float) -> datetime:
    return datetime(2026, 3, 4, 10, minute, tzinfo=UTC) + timedelta(seconds=second)


def account() -> JobLog:
    """Made in minute 0, paused from minute 2 on, resumed in minute 4; the pause was under way at 10:02:00."""
    running = Definition(0, "* * * * *", "UTC")
    paused = Definition(1, "* * * * *", "UTC", is_active=False)
    resumed = Definition(2, "* * * * *", "UTC")
    return JobLog(
        JOB_ID,
        "Job",
        [
            Change(running, moment(0, 10), moment(0, 11)),
            Change(paused, moment(1, 59), moment(2, 1)),
            Change(resumed, moment(4, 10), moment(4, 11)),
        ],
    )


def test_a_job_owes_what_certainly_held_and_may_have_what_was_in_the_balance():
    assert sorted(account().due_times(moment(5, 30))) == [moment(1, 0), moment(5, 0)]
    assert sorted(account().possible(moment(5, 30))) == [moment(1, 0), moment(2, 0), moment(5, 0)]


def test_a_broken_job_owes_nothing():
    job = account()
    job.is_broken = True
    assert job.due_times(moment(5, 30)) == {}
    assert job.possible(moment(5, 30)) == set()


def test_jobs_of_a_file_whose_answer_was_lost_are_looked_for_and_the_others_sent_again(
    client: Client, httpserver: HTTPServer
):
    listed = [{"name": f"Job {number}", "id": str(uuid4())} for number in (1, 2)]
    httpserver.expect_oneshot_request(f"{API}/jobs/bulk-upload").respond_with_json({}, status=500)
    httpserver.expect_oneshot_request(f"{API}/jobs", method="GET").respond_with_json({"jobs": listed[:1]})
    httpserver.expect_oneshot_request(f"{API}/jobs/bulk-upload").respond_with_json({"created_count": 1})
    httpserver.expect_request(f"{API}/jobs", method="GET").respond_with_json({"jobs": listed})
    client.upload([PLAIN, {**PLAIN, "mode": Mode.SLOW}])
    assert [(job.name, str(job.id)) for job in client.jobs] == [(one["name"], one["id"]) for one in listed]
    sent = [request for request, _ in httpserver.log if request.path.endswith("bulk-upload")]
    assert [b"Job 1" in request.get_data() for request in sent] == [True, False]
    assert b"Job 2" in sent[1].get_data()
