"""Pausing and resuming over the API: with a reason, an end and what is made up for."""

import pytest

from accounts.tests.factories import api_client
from audit.models import AuditEntry
from jobs.models import Job, JobPause
from jobs.tests.factories import make_job
from notifications.models import Notification

pytestmark = pytest.mark.django_db

UNTIL = "2099-01-01T08:00:00+09:00"


@pytest.fixture
def job(alice):
    return make_job(created_by=alice)


def path(job, verb):
    return f"/api/v2/jobs/{job.pk}/{verb}"


def test_a_job_is_paused_with_its_terms_and_shows_them(alice, job):
    client = api_client(alice)
    answer = client.post(path(job, "pause"), {"reason": " moved ", "until": UNTIL, "on_resume": "last"})
    assert answer.status_code == 200
    assert answer.json()["message"] == "Job paused"
    paused = answer.json()["job"]["paused"]
    assert paused.pop("at").endswith("Z")
    expected = {"by": "alice", "reason": "moved", "until": "2098-12-31T23:00:00.000Z", "on_resume": "last"}
    assert paused == {**expected, "batch_id": None}
    shown = client.get(f"/api/v2/jobs/{job.pk}").json()["job"]
    assert shown["paused"]["reason"] == "moved"
    assert shown["is_active"] is False
    assert client.get("/api/v2/jobs").json()["jobs"][0]["paused"]["by"] == "alice"


def test_a_body_is_not_needed(alice, job):
    client = api_client(alice)
    assert client.post(path(job, "pause")).json()["message"] == "Job paused"
    assert client.post(path(job, "pause")).json()["message"] == "Job was paused already"
    answer = client.post(path(job, "resume"))
    assert answer.json()["message"] == "Job resumed"
    assert answer.json()["job"]["paused"] is None
    assert client.post(path(job, "resume")).json()["message"] == "Job was active already"
    assert Notification.objects.count() == 2, "what changes nothing tells nobody"


def test_the_older_way_to_pause_leaves_who_and_when(alice, job):
    answer = api_client(alice).put(f"/api/v2/jobs/{job.pk}", {"is_active": False})
    paused = answer.json()["job"]["paused"]
    assert (paused["by"], paused["reason"], paused["on_resume"]) == ("alice", None, "skip")


@pytest.mark.parametrize(
    ("verb", "sent", "error", "message"),
    [
        ("pause", {"reason": "w" * 501}, "Invalid reason", "reason must be at most 500 characters."),
        ("pause", {"reason": 5}, "Invalid payload", '"reason" must be a string.'),
        ("pause", {"until": "2020-01-01T00:00:00Z"}, "Invalid until", "until must lie in the future."),
        (
            "pause",
            {"until": "tomorrow"},
            "Invalid until",
            "until must be an ISO 8601 instant such as 2026-01-23T08:00:00Z.",
        ),
        (
            "pause",
            {"until": "2099-01-01"},
            "Invalid until",
            "until must be an ISO 8601 instant such as 2026-01-23T08:00:00Z.",
        ),
        ("pause", {"on_resume": "some"}, "Invalid on_resume", "on_resume must be one of: skip, last, all."),
        ("pause", {"on_resume": ["all"]}, "Invalid on_resume", "on_resume must be one of: skip, last, all."),
        ("resume", {"missed": "some"}, "Invalid missed", "missed must be one of: skip, last, all."),
        ("resume", {"reason": "w" * 501}, "Invalid reason", "reason must be at most 500 characters."),
    ],
)
def test_what_cannot_be_meant_is_refused_and_changes_nothing(alice, job, verb, sent, error, message):
    answer = api_client(alice).post(path(job, verb), sent)
    assert answer.status_code == 400
    assert (answer.json()["error"], answer.json()["message"]) == (error, message)
    assert Job.objects.get().is_active
    assert not JobPause.objects.exists()


def test_others_jobs_are_refused_before_the_body_is_read(bob, job):
    for verb in ("pause", "resume"):
        answer = api_client(bob).post(path(job, verb), {"reason": "w" * 501})
        assert answer.status_code == 403
        assert answer.json()["message"] == "You can only update your own jobs"


def test_the_reason_may_stand_in_the_header(alice, job):
    api_client(alice).post(path(job, "pause"), {}, headers={"X-Change-Reason": "by header"})
    assert JobPause.objects.get().reason == "by header"
    assert AuditEntry.objects.filter(action="job.paused").get().reason == "by header"
