"""Asking for what is to come over the API."""

import pytest

from accounts.tests.factories import api_client
from jobs.tests.conftest import WORKFLOW
from jobs.tests.factories import make_job
from taxonomy.tests.factories import make_category, make_team

pytestmark = pytest.mark.django_db

FORECAST = "/api/v2/forecast"
DAY = {"from": "2030-01-15", "to": "2030-01-15"}


def ask(user, **params):
    return api_client(user).get(FORECAST, params)


def runs(user, **params):
    answer = ask(user, **DAY, **params)
    assert answer.status_code == 200, answer.json()
    return sum(bucket["runs"] for bucket in answer.json()["buckets"])


@pytest.fixture
def jobs(alice, bob):
    make_job(cron_expression="0 9 * * *", timezone="UTC", created_by=alice)
    make_job(cron_expression="0 9 * * *", timezone="UTC", created_by=bob, **WORKFLOW)
    make_job(cron_expression="0 */6 * * *", timezone="UTC", category=make_category(name="Nightly"))
    make_job(cron_expression="0 9 * * *", timezone="UTC", pic_team=make_team(name="Other"))
    make_job(cron_expression="* * * * *", timezone="UTC", is_active=False)


def test_a_day_by_the_hour(alice, jobs, settings):
    settings.GITHUB_DISPATCHES_PER_MINUTE, settings.GITHUB_DISPATCH_GAP_MS = 80, 1000
    answer = ask(alice, **DAY).json()
    assert set(answer) == {"buckets", "limits", "hot"}
    assert len(answer["buckets"]) == 24
    assert answer["buckets"][9] == {
        "at": "2030-01-15T09:00:00.000Z",
        "runs": 3,
        "github_dispatches": 1,
        "expected_seconds": 0.0,
    }
    assert answer["limits"] == {"github_dispatches_per_minute": 60, "max_in_flight": 2000}
    assert answer["hot"] == []
    settings.MAX_IN_FLIGHT = 2
    assert ask(alice, **DAY).json()["hot"] == [
        {
            "at": "2030-01-15T09:00:00.000Z",
            "runs": 3,
            "reason": "3 runs are due in one minute; 2 may be in flight at once.",
        }
    ]


def test_by_the_minute(alice, jobs):
    answer = ask(alice, by="minute", **{"from": "2030-01-15T08:59:30Z", "to": "2030-01-15T09:01:00Z"}).json()
    assert [(bucket["at"][11:16], bucket["runs"]) for bucket in answer["buckets"]] == [("08:59", 0), ("09:00", 3)]


def test_without_a_range_it_is_what_comes(alice, jobs):
    assert len(ask(alice).json()["buckets"]) == 7 * 24
    assert len(ask(alice, by="minute").json()["buckets"]) == 120
    assert len(ask(alice, to="2020-01-02T00:00:00Z").json()["buckets"]) == 7 * 24


@pytest.mark.parametrize(
    ("params", "number"),
    [
        ({}, 7),
        ({"team": "other"}, 1),
        ({"category": "nightly"}, 4),
        ({"repo": "acme/shop"}, 1),
        ({"owner": "me"}, 1),
        ({"target": "github_actions"}, 1),
        ({"target": "webhook", "owner": "me"}, 1),
        ({"team": "", "by": ""}, 7),
    ],
)
def test_filters(alice, jobs, params, number):
    assert runs(alice, **params) == number


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"by": "day"}, "Invalid by", "by must be one of: minute, hour."),
        (
            {"from": "2030-01-01", "to": "2030-02-15"},
            "Invalid date range",
            "By hour the range must be at most 31 days.",
        ),
        (
            {"from": "2030-01-01", "to": "2030-01-03", "by": "minute"},
            "Invalid date range",
            "By minute the range must be at most 2 days.",
        ),
        ({"from": "2030-01-02", "to": "2030-01-01"}, "Invalid date range", '"from" must be earlier than "to".'),
        ({"from": "soon"}, "Invalid date", "Invalid date"),
        ({"from": "9999-12-31T23:00:00Z"}, "Invalid date range", None),
        ({"team": "nobody"}, "Invalid team", "team must be the slug or name of a PIC team."),
        ({"category": "none"}, "Invalid category", "category must be the slug or name of a category."),
        ({"repo": "a/b/c"}, "Invalid repo", "repo must be owner/repository or the name of a repository."),
        ({"owner": "alice"}, "Invalid owner", "owner must be me, none, inactive or the id of an account."),
        ({"target": "mail"}, "Invalid target", "target must be one of: webhook, github_actions."),
    ],
)
def test_what_cannot_be_meant_is_refused(alice, params, error, message):
    answer = ask(alice, **params)
    assert answer.status_code == 400
    assert answer.json()["error"] == error
    assert message in (None, answer.json()["message"])
