"""Reading the audit trail and going back to an earlier revision over the API."""

import csv
import io
import json
from typing import Any
from uuid import uuid4

import pytest

from accounts.tests.factories import api_client
from audit.models import AuditEntry
from jobs.models import Job
from jobs.tests.factories import job_body
from taxonomy.tests.factories import make_team

pytestmark = pytest.mark.django_db

AUDIT = "/api/v2/audit"


@pytest.fixture
def job(alice):
    answer = api_client(alice).post("/api/v2/jobs", job_body(name="backup", pic_team=make_team().slug))
    return Job.objects.get(pk=answer.json()["job"]["id"])


def read(account, **params):
    answer = api_client(account).get(AUDIT, params)
    assert answer.status_code == 200, answer.json()
    return answer.json()


def actions(account, **params):
    return [entry["action"] for entry in read(account, **params)["entries"] if entry["action"] != "user.signed_in"]


def test_an_entry_is_shown_whole(admin, alice, job):
    api_client(alice).put(
        f"/api/v2/jobs/{job.pk}",
        {"name": "other"},
        headers={"X-Change-Reason": "typo", "X-Request-Id": "request-0001"},
    )
    entry = read(admin, object=f"job:{job.pk}")["entries"][0]
    assert entry.pop("at").endswith("Z")
    assert entry.pop("id")
    assert entry == {
        "actor": {"id": str(alice.pk), "name": "alice", "kind": "user"},
        "source_ip": "127.0.0.1",
        "action": "job.updated",
        "object": {"type": "job", "id": str(job.pk), "name": "other"},
        "changes": {"name": ["backup", "other"]},
        "reason": "typo",
        "request_id": "request-0001",
    }


def test_administrators_see_all_others_their_own_acts_and_their_jobs(admin, alice, bob, job):
    api_client(admin).put(f"/api/v2/jobs/{job.pk}", {"name": "other"})
    api_client(admin).post("/api/v2/pic-teams", {"name": "Ops", "slack_handle": "@ops"})
    assert actions(admin) == ["team.created", "job.updated", "job.created"]
    assert actions(alice) == ["job.updated", "job.created"]
    assert actions(bob) == []


def test_filters_narrow_and_pages_are_numbered(admin, alice, job):
    for number in range(4):
        api_client(alice).put(f"/api/v2/jobs/{job.pk}", {"name": f"backup {number}"})
    found = read(admin, action="job.updated", actor=str(alice.pk), limit=3, page=2)
    assert len(found["entries"]) == 1
    assert {name: found[name] for name in ("total", "page", "limit", "total_pages")} == {
        "total": 4,
        "page": 2,
        "limit": 3,
        "total_pages": 2,
    }
    assert read(admin, page=10**30)["entries"] == []
    assert actions(admin, to="2020-01-01") == []


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"object": "job"}, "Invalid object"),
        ({"actor": "alice"}, "Invalid actor"),
        ({"from": "yesterday"}, "Invalid date"),
        ({"page": "0"}, "Invalid page"),
        ({"limit": "9999"}, "Invalid limit"),
    ],
)
def test_unreadable_parameters_are_400(admin, params, error):
    answer = api_client(admin).get(AUDIT, params)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_all_entries_that_match_come_as_csv_that_no_spreadsheet_runs(admin, alice, job):
    api_client(alice).put(f"/api/v2/jobs/{job.pk}", {"name": "=HYPERLINK(1)"})
    answer: Any = api_client(admin).get("/api/v2/audit.csv", {"object": f"job:{job.pk}"})
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
    assert [row["action"] for row in rows] == ["job.updated", "job.created"]
    assert rows[0]["object_name"] == "'=HYPERLINK(1)"


def test_a_hand_over_is_told_by_names_beside_the_ids(admin, alice, bob, job):
    api_client(admin).post("/api/v2/jobs/bulk", {"action": "hand_over", "ids": [str(job.pk)], "owner": "bob"})
    api_client(admin).delete(f"/api/v2/auth/users/{alice.pk}")
    told = {"created_by": [str(alice.pk), str(bob.pk)], "owner": ["alice", "bob"]}
    named = {"object": f"job:{job.pk}", "action": "job.updated"}
    assert read(admin, **named)["entries"][0]["changes"] == told
    answer: Any = api_client(admin).get(f"{AUDIT}.csv", named)
    (row,) = csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode()))
    assert json.loads(row["changes"]) == told
    listed = api_client(bob).get(f"/api/v2/jobs/{job.pk}/revisions").json()["revisions"]
    assert listed[0]["changes"] == told
    assert listed[1]["changes"]["owner"] == [None, "alice"]


# --- Revisions -------------------------------------------------------------------------------------------------------


def test_revisions_are_listed_newest_first_and_restored(alice, bob, job):
    client = api_client(alice)
    client.put(f"/api/v2/jobs/{job.pk}", {"cron_expression": "0 5 * * *"})
    listed = api_client(bob).get(f"/api/v2/jobs/{job.pk}/revisions").json()["revisions"]
    assert [row["number"] for row in listed] == [2, 1]
    assert listed[0]["changes"] == {"cron_expression": [job.cron_expression, "0 5 * * *"]}
    assert set(listed[0]) == {"number", "at", "actor", "changes", "reason"}
    answer = client.post(f"/api/v2/jobs/{job.pk}/revisions/1/restore", {"reason": "was right"})
    assert answer.status_code == 200
    assert answer.json()["job"]["cron_expression"] == job.cron_expression
    assert AuditEntry.objects.first().reason == "was right"


def test_what_cannot_be_restored_is_refused(alice, bob, job):
    unknown = api_client(alice).post(f"/api/v2/jobs/{job.pk}/revisions/7/restore", {})
    assert (unknown.status_code, unknown.json()["error"]) == (404, "Revision not found")
    assert api_client(bob).post(f"/api/v2/jobs/{job.pk}/revisions/1/restore", {}).status_code == 403
    assert api_client(alice).get(f"/api/v2/jobs/{uuid4()}/revisions").status_code == 404
    for nonsense in ("x", "-1", "1.5"):
        answer = api_client(alice).post(f"/api/v2/jobs/{job.pk}/revisions/{nonsense}/restore", {})
        assert answer.status_code == 404
