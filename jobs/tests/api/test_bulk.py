"""One act on many jobs: each on its own, and a resume that wakes exactly what a pause has paused."""

import pytest

from accounts.tests.factories import api_client, make_token, make_user, token_client
from audit.models import AuditEntry
from jobs.models import Job, JobExecution, JobPause
from jobs.tests.factories import make_job
from notifications.models import Notification
from taxonomy.tests.factories import make_category, make_team

pytestmark = [pytest.mark.django_db, pytest.mark.database]

BULK = "/api/v2/jobs/bulk"


@pytest.fixture
def mine(alice):
    return [make_job(created_by=alice, name=f"job {number}") for number in range(3)]


def act(account, action, *, status=200, **sent):
    answer = api_client(account).post(BULK, {"action": action, **sent})
    assert answer.status_code == status, answer.json()
    return answer.json()


def ids(jobs):
    return [str(job.pk) for job in jobs]


def outcomes(answer):
    return {row["id"]: row["outcome"] for row in answer["results"]}


def test_each_job_says_what_became_of_it(alice, bob, mine):
    paused = make_job(created_by=alice, is_active=False, next_fire_at=None)
    others = make_job(created_by=bob)
    gone = "6f0f4c3e-6f3c-4a53-9a55-0c5d3b6a2f10"
    answer = act(alice, "pause", ids=[*ids([mine[0], paused, others]), gone], reason="outage")
    assert outcomes(answer) == {
        str(mine[0].pk): "done",
        str(paused.pk): "unchanged",
        str(others.pk): "refused",
        gone: "refused",
    }
    assert answer["counts"] == {"done": 1, "unchanged": 1, "refused": 2}
    messages = {row["id"]: row["message"] for row in answer["results"]}
    assert messages[str(others.pk)] == "You can only update your own jobs"
    assert messages[gone] == f"No job found with ID: {gone}"
    assert JobPause.objects.get().reason == "outage"


def test_a_resume_wakes_exactly_what_the_pause_has_paused(alice, mine):
    act(alice, "pause", ids=ids(mine[:1]), reason="since last week")
    answer = act(alice, "pause", ids=ids(mine), reason="outage")
    assert answer["counts"] == {"done": 2, "unchanged": 1, "refused": 0}
    woken = act(alice, "resume", batch_id=answer["batch_id"])
    assert outcomes(woken) == dict.fromkeys(ids(mine[1:]), "done")
    assert set(Job.objects.filter(is_active=True)) == set(mine[1:])
    again = act(alice, "resume", batch_id=answer["batch_id"], ids=ids(mine))
    assert again["counts"] == {"done": 0, "unchanged": 3, "refused": 0}


def test_what_changes_nothing_writes_nothing(alice, mine):
    act(alice, "pause", ids=ids(mine))
    before = list(Job.objects.order_by("pk").values_list("updated_at", flat=True))
    notices, entries = Notification.objects.count(), AuditEntry.objects.filter(object_type="job").count()
    act(alice, "pause", ids=ids(mine))
    assert list(Job.objects.order_by("pk").values_list("updated_at", flat=True)) == before
    assert Notification.objects.count() == notices
    assert AuditEntry.objects.filter(object_type="job").count() == entries


def test_jobs_are_named_by_a_filter_as_the_list_takes_it(alice, mine):
    team = make_team(name="Payments")
    Job.objects.filter(pk=mine[1].pk).update(pic_team=team)
    answer = act(alice, "pause", filter={"pic_team": "payments"})
    assert outcomes(answer) == {str(mine[1].pk): "done"}


def test_many_are_run_extended_moved_handed_over_and_deleted(admin, alice, bob, mine):
    assert act(alice, "run", ids=ids(mine))["counts"]["done"] == 3
    assert JobExecution.objects.filter(trigger_type="manual", status="queued").count() == 3
    assert act(alice, "extend", ids=ids(mine), days=30, reason="still needed")["counts"]["done"] == 3
    category = make_category(name="Other")
    assert act(alice, "move", ids=ids(mine), category="other")["counts"]["done"] == 3
    assert act(alice, "move", ids=ids(mine), category="other")["counts"]["unchanged"] == 3
    assert set(Job.objects.values_list("category_id", flat=True)) == {category.pk}
    assert act(alice, "hand_over", ids=ids(mine), owner="bob", reason="leaves")["counts"]["done"] == 3
    assert act(admin, "hand_over", ids=ids(mine), owner=str(bob.pk))["counts"]["unchanged"] == 3
    assert set(Job.objects.values_list("created_by", flat=True)) == {bob.pk}
    assert act(alice, "delete", ids=ids(mine))["counts"]["refused"] == 3
    assert act(bob, "delete", ids=ids(mine))["counts"]["done"] == 3
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        ({}, "Invalid action"),
        ({"action": "explode"}, "Invalid action"),
        ({"action": ["pause"]}, "Invalid action"),
        ({"action": "pause"}, "Invalid ids"),
        ({"action": "pause", "ids": [], "filter": None}, "Invalid ids"),
        ({"action": "pause", "ids": ["x"]}, "Invalid ids"),
        ({"action": "pause", "ids": "x"}, "Invalid ids"),
        ({"action": "pause", "ids": ["{id}"], "filter": {"owner": "me"}}, "Invalid ids"),
        ({"action": "pause", "filter": {}}, "Invalid filter"),
        ({"action": "pause", "filter": {"owner": " "}}, "Invalid filter"),
        ({"action": "pause", "filter": {"colour": "red"}}, "Invalid filter"),
        ({"action": "pause", "filter": {"owner": 5}}, "Invalid filter"),
        ({"action": "pause", "filter": {"state": "asleep"}}, "Invalid state"),
        ({"action": "pause", "ids": ["{id}"], "until": "2020-01-01T00:00:00Z"}, None),
        ({"action": "pause", "ids": ["{id}"], "on_resume": "some"}, "Invalid on_resume"),
        ({"action": "resume", "batch_id": "x"}, "Invalid batch_id"),
        ({"action": "resume", "ids": ["{id}"], "missed": "some"}, "Invalid missed"),
        ({"action": "hand_over", "ids": ["{id}"], "owner": "nobody"}, "Invalid owner"),
        ({"action": "move", "ids": ["{id}"]}, "Missing required fields"),
    ],
)
def test_what_cannot_be_meant_touches_no_job(alice, mine, sent, error):
    named = {name: ids(mine[:1]) if value == ["{id}"] else value for name, value in sent.items()}
    answer = api_client(alice).post(BULK, named)
    if error is None:
        assert answer.json()["counts"]["refused"] == 1, "judged by the clock at each job"
    else:
        assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert not JobPause.objects.exists()


def test_more_jobs_than_one_act_is_for_are_refused(alice, mine, monkeypatch):
    monkeypatch.setattr("jobs.bulk_acts.MAX_JOBS", 2)
    assert act(alice, "pause", status=400, ids=ids(mine))["error"] == "Too many jobs"
    assert act(alice, "pause", status=400, filter={"owner": "me"})["error"] == "Too many jobs"


def test_a_token_needs_the_scope_to_run_as_well(mine):
    admin = make_user("root", role="admin")
    sent = {"action": "run", "ids": ids(mine)}
    assert token_client(make_token(admin, "write").secret).post(BULK, sent).status_code == 403
    assert token_client(make_token(admin, "write", "run").secret).post(BULK, sent).status_code == 200
