"""GET /jobs and GET /jobs/{id}."""

from datetime import UTC, date, datetime, timedelta

import pytest

from accounts.tests.factories import api_client
from jobs.api.serializers import job_objects
from jobs.models import Job, Status
from jobs.tests.factories import NOON, make_execution, make_job
from taxonomy.tests.factories import make_category, make_team

JOBS = "/api/v2/jobs"

pytestmark = pytest.mark.django_db


@pytest.fixture
def client(charlie):
    return api_client(charlie)


def listed(client, **params):
    response = client.get(JOBS, params)
    assert response.status_code == 200, response.content
    return [job["name"] for job in response.json()["jobs"]]


def shown(client, job):
    return client.get(f"{JOBS}/{job.pk}").json()["job"]


def make_jobs(count):
    for number in range(count):
        job = make_job(pic_team=make_team(), category=make_category(), metadata={"number": number})
        make_execution(job)


def test_an_empty_list_is_a_list(client):
    assert client.get(JOBS).json() == {"count": 0, "jobs": []}


def test_every_job_is_listed_newest_first(client):
    for name, day in [("b", 2), ("c", 3), ("a", 1)]:
        make_job(name=name, created_at=datetime(2026, 1, day, tzinfo=UTC))
    assert client.get(JOBS).json()["count"] == 3
    assert listed(client) == ["c", "b", "a"]


def test_a_job_is_the_same_in_the_list_and_alone(client, alice):
    job = make_job(created_by=alice, metadata={"a": [1]}, notification_emails=["a@example.com"])
    make_execution(job)
    assert client.get(JOBS).json()["jobs"] == [shown(client, job)]


def test_the_last_execution_is_the_newest_that_left_the_house(client):
    job = make_job()
    for minutes, status in [(1, Status.FAILED), (2, Status.RUNNING), (3, Status.MISSED), (4, Status.SKIPPED)]:
        make_execution(job, status=status, started_at=NOON + timedelta(minutes=minutes, microseconds=123456))
    make_execution(started_at=NOON + timedelta(hours=1))
    assert shown(client, job)["last_execution_at"] == "2026-01-15T12:02:00.123Z"


@pytest.mark.parametrize(
    "fields, expected",
    [
        ({}, "2026-01-16T02:00:00+09:00"),
        ({"cron_expression": "0 21 * * *"}, "2026-01-16T21:00:00+09:00"),
        ({"cron_expression": "1 21 * * *"}, "2026-01-15T21:01:00+09:00"),
        ({"timezone": "Europe/Berlin"}, "2026-01-16T10:00:00+09:00"),
        ({"end_date": date(2020, 1, 1)}, "2026-01-16T02:00:00+09:00"),
        ({"is_active": False}, None),
        ({"cron_expression": "nonsense"}, None),
        ({"cron_expression": "0 0 31 2 *"}, None),
        ({"timezone": "Gone/Away"}, None),
    ],
)
def test_the_next_execution_is_the_first_fire_time_after_now(db, fields, expected):
    job = make_job(**fields)
    assert job_objects(Job.objects.filter(pk=job.pk), now=NOON)[0]["next_execution_at"] == expected


def test_an_unknown_job_is_not_found(client):
    response = client.get(f"{JOBS}/6F0F4C3E-6F3C-4A53-9A55-0C5D3B6A2F10")
    assert response.status_code == 404
    assert response.json() == {
        "error": "Job not found",
        "message": "No job found with ID: 6F0F4C3E-6F3C-4A53-9A55-0C5D3B6A2F10",
    }


def test_lists_of_10_and_of_100_jobs_take_the_same_queries(client, django_assert_num_queries):
    make_jobs(10)
    # The session with its account, and the list.
    with django_assert_num_queries(2):
        client.get(JOBS)
    make_jobs(90)
    with django_assert_num_queries(2):
        assert client.get(JOBS).json()["count"] == 100


def test_a_job_alone_takes_one_query_beside_the_sign_in(client, django_assert_num_queries):
    job = make_job()
    with django_assert_num_queries(2):
        shown(client, job)


# --- Polling


def test_an_unchanged_list_is_answered_without_a_body(client):
    make_job(is_active=False)
    first = client.get(JOBS)
    assert first.headers["ETag"].startswith('W/"')
    assert first.headers["Cache-Control"] == "private, no-cache"
    again = client.get(JOBS, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]


def test_a_changed_list_is_answered_whole(client):
    job = make_job(is_active=False)
    tag = client.get(JOBS).headers["ETag"]
    Job.objects.filter(pk=job.pk).update(name="Other")
    assert client.get(JOBS, headers={"If-None-Match": tag}).json()["jobs"][0]["name"] == "Other"


# --- Beyond the contract: search, ordering, pages


@pytest.mark.parametrize(
    "search, found",
    [
        ("BACKUP", ["Daily backup"]),
        ("hooks.example.com/p", ["Ping"]),
        ("ACME", ["Release"]),
        ("Gr\u00fc\u00dfe", ["Gr\u00fc\u00dfe"]),
        ("night crew", ["Daily backup"]),
        ("100%", []),
        ("_", []),
        ("  ", ["Daily backup", "Gr\u00fc\u00dfe", "Ping", "Release"]),
    ],
)
def test_a_search_looks_at_names_targets_categories_and_teams(client, search, found):
    make_job(name="Daily backup", pic_team=make_team(name="Night Crew"))
    make_job(name="Ping", target_url="https://hooks.example.com/ping")
    make_job(name="Release", github_owner="acme", target_url=None)
    make_job(name="Gr\u00fc\u00dfe")
    assert sorted(listed(client, search=search)) == found


@pytest.mark.parametrize(
    "ordering, names",
    [
        ("name", ["a", "B", "c"]),
        ("-name", ["c", "B", "a"]),
        ("end_date", ["c", "a", "B"]),
        ("-pic_team", ["B", "a", "c"]),
        ("", ["c", "B", "a"]),
    ],
)
def test_an_order_can_be_asked_for(client, ordering, names):
    for day, (name, end, team) in enumerate([("a", 2, "y"), ("B", 3, "z"), ("c", 1, "x")], start=1):
        created = datetime(2026, 1, day, tzinfo=UTC)
        make_job(name=name, end_date=date(2099, 1, end), pic_team=make_team(name=team), created_at=created)
    assert listed(client, ordering=ordering) == names


def test_pages_can_be_asked_for(client):
    for name in "abcde":
        make_job(name=name)
    body = client.get(JOBS, {"page": 2, "limit": 2, "ordering": "name"}).json()
    assert [job["name"] for job in body.pop("jobs")] == ["c", "d"]
    assert body == {"count": 2, "total": 5, "page": 2, "limit": 2, "total_pages": 3}


@pytest.mark.parametrize("page", [4, 10**17])
def test_a_page_beyond_the_end_is_empty(client, page):
    make_job()
    body = client.get(JOBS, {"page": page}).json()
    assert (body["count"], body["total"], body["jobs"]) == (0, 1, [])


@pytest.mark.parametrize(
    "params, error",
    [
        ({"page": "0"}, "Invalid page"),
        ({"page": "x"}, "Invalid page"),
        ({"page": "1.5"}, "Invalid page"),
        ({"limit": "501"}, "Invalid limit"),
        ({"limit": "-1"}, "Invalid limit"),
        ({"ordering": "metadata"}, "Invalid ordering"),
        ({"ordering": "name,id"}, "Invalid ordering"),
        ({"search": "a\x00"}, "Invalid search"),
        ({"search": "s" * 256}, "Invalid search"),
    ],
)
def test_a_wrong_parameter_is_a_400_and_never_a_422(client, params, error):
    response = client.get(JOBS, params)
    assert response.status_code == 400
    assert response.json()["error"] == error


def test_parameters_nobody_knows_are_ignored(client):
    make_job(name="a")
    assert listed(client, status="active", sort="name") == ["a"]


def test_without_a_token_nothing_is_shown(db):
    assert api_client().get(JOBS).status_code == 401
    assert api_client().get(f"{JOBS}/nonsense").status_code == 401
