"""Filters of GET /jobs."""

from datetime import date, timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from accounts.tests.factories import api_client
from jobs.definitions.validation import local_date
from jobs.tests.factories import make_job
from taxonomy.tests.factories import make_category, make_team

JOBS = "/api/v2/jobs"
WORKFLOW = {"target_url": None, "github_owner": "Acme", "github_repo": "Tool", "github_workflow_name": "deploy.yml"}

pytestmark = pytest.mark.django_db


@pytest.fixture
def client(alice):
    return api_client(alice)


@pytest.fixture(autouse=True)
def jobs(alice, bob):
    today = local_date(timezone.now())
    make_job(name="mine", created_by=alice, category=make_category(name="Old"), next_fire_at=timezone.now())
    make_job(name="workflow", created_by=bob, pic_team=make_team(name="QA Team"), **WORKFLOW)
    make_job(name="stray", github_repo="tool", github_owner="")
    make_job(name="paused", is_active=False, end_date=today)
    make_job(name="ended", is_active=False, end_date=date(2020, 1, 1))
    make_job(name="broken", schedule_error="Nobody knows.")
    make_job(name="failing", consecutive_failures=3, end_date=today + timedelta(days=5))


def listed(client, **params):
    response = client.get(JOBS, params)
    assert response.status_code == 200, response.content
    return {job["name"] for job in response.json()["jobs"]}


ALL = {"mine", "workflow", "stray", "paused", "ended", "broken", "failing"}


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({}, ALL),
        ({"category": "old"}, {"mine"}),
        ({"category": "OLD"}, {"mine"}),
        ({"pic_team": "qa-team"}, {"workflow"}),
        ({"pic_team": "QA Team"}, {"workflow"}),
        ({"is_active": "false"}, {"paused", "ended"}),
        ({"is_active": "YES"}, ALL - {"paused", "ended"}),
        ({"owner": "me"}, {"mine"}),
        ({"target": "github_actions"}, {"workflow"}),
        ({"target": "webhook"}, ALL - {"workflow"}),
        ({"repo": "acme/tool"}, {"workflow"}),
        ({"repo": "TOOL"}, {"workflow", "stray"}),
        ({"repo": "nowhere"}, set()),
        ({"ends_before": "2020-01-02"}, {"ended"}),
        ({"ends_before": "2020-01-01"}, set()),
        ({"state": "active"}, ALL - {"paused", "ended"}),
        ({"state": "paused"}, {"paused"}),
        ({"state": "ended"}, {"ended"}),
        ({"state": "unschedulable"}, {"broken"}),
        ({"state": "failing"}, {"failing"}),
        ({"state": "active", "target": "github_actions"}, {"workflow"}),
        ({"category": "", "state": " ", "owner": ""}, ALL),
        ({"unheard_of": "x", "states": "odd"}, ALL),
        ({"search": "min", "state": "active"}, {"mine"}),
        ({"search": "min", "state": "paused"}, set()),
    ],
)
def test_a_filter_narrows_the_list(client, params, names):
    assert listed(client, **params) == names


def test_an_owner_may_be_named_by_id(client, bob):
    assert listed(client, owner=str(bob.pk)) == {"workflow"}
    assert listed(client, owner=str(uuid4())) == set()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("category", "nowhere"),
        ("pic_team", "nobody"),
        ("is_active", "perhaps"),
        ("owner", "alice"),
        ("target", "ftp"),
        ("repo", "a/b/c"),
        ("repo", "/tool"),
        ("ends_before", "soon"),
        ("ends_before", "2026-02-30"),
        ("state", "odd"),
        ("repo", "a\x00"),
        ("category", "\x00"),
    ],
)
def test_a_wrong_value_of_a_known_filter_is_refused(client, name, value):
    response = client.get(JOBS, {name: value})
    assert (response.status_code, response.json()["error"]) == (400, f"Invalid {name}")
