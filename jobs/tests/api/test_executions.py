"""The history over HTTP."""

from datetime import UTC, datetime, timedelta

import pytest

from accounts.tests.factories import api_client
from jobs.models import ExecutionType, Status, TriggerType
from jobs.tests.factories import NOON, make_execution, make_job

EXECUTIONS = "/api/v2/executions"
STATISTICS = f"{EXECUTIONS}/statistics"
UNKNOWN_ID = "6f0f4c3e-6f3c-4a53-9a55-0c5d3b6a2f10"
CONTRACT_KEYS = {
    "id",
    "job_id",
    "status",
    "trigger_type",
    "started_at",
    "completed_at",
    "duration_seconds",
    "execution_type",
    "target",
    "response_status",
    "error_message",
    "output",
}
ADDED_KEYS = {
    "scheduled_for",
    "queued_at",
    "attempt",
    "lateness_seconds",
    "reason",
    "details",
    "missed_from",
    "missed_count",
    "planned_at",
    "run",
}

pytestmark = pytest.mark.django_db


@pytest.fixture
def client(charlie):
    return api_client(charlie)


@pytest.fixture
def job(db):
    return make_job(name="Daily backup", github_repo="stray")


def ids(rows):
    return [str(row.id) for row in rows]


def listed(client, **params):
    response = client.get(EXECUTIONS, params)
    assert response.status_code == 200, response.content
    return [row["id"] for row in response.json()["executions"]]


# --- One execution ---------------------------------------------------------------------------------------------------


def test_an_execution_is_written_as_documented(client, job):
    execution = make_execution(
        job,
        started_at=datetime(2026, 1, 15, 12, 0, 0, 123456, tzinfo=UTC),
        completed_at=datetime(2026, 1, 15, 12, 0, 10, 123999, tzinfo=UTC),
        duration_seconds=10.0,
        response_status=200,
        output="OK",
    )
    shown = client.get(f"{EXECUTIONS}/{execution.id}").json()["execution"]
    assert set(shown) == CONTRACT_KEYS | ADDED_KEYS | {"job_name", "github_repo", "request", "earlier_attempts"}
    assert shown["started_at"] == "2026-01-15T12:00:00.123Z"
    assert shown["completed_at"] == "2026-01-15T12:00:10.123Z"
    assert shown["duration_seconds"] == 10.0
    assert (shown["job_id"], shown["job_name"], shown["github_repo"]) == (str(job.id), "Daily backup", "stray")
    assert (shown["execution_type"], shown["trigger_type"], shown["error_message"]) == ("webhook", "manual", None)


def test_a_scheduled_run_says_how_late_it_started(client, job):
    execution = make_execution(
        job,
        trigger_type=TriggerType.SCHEDULED,
        scheduled_for=NOON,
        started_at=NOON + timedelta(seconds=1.5),
    )
    shown = client.get(f"{EXECUTIONS}/{execution.id}").json()["execution"]
    assert (shown["scheduled_for"], shown["lateness_seconds"]) == ("2026-01-15T12:00:00.000Z", 1.5)


@pytest.mark.parametrize("execution_id", [UNKNOWN_ID, "nonsense", "stats"])
def test_an_unknown_execution_is_404(client, execution_id):
    response = client.get(f"{EXECUTIONS}/{execution_id}")
    assert response.status_code == 404
    assert response.json() == {
        "error": "Execution not found",
        "message": f"No execution found with ID: {execution_id}",
    }


def test_an_execution_is_found_below_its_job(client, job):
    execution = make_execution(job)
    body = client.get(f"/api/v2/jobs/{job.id}/executions/{execution.id}").json()
    assert body["job"] == {"id": str(job.id), "name": "Daily backup"}
    assert set(body["execution"]) == CONTRACT_KEYS | ADDED_KEYS | {"request", "earlier_attempts"}


def test_an_execution_of_another_job_is_404(client, job):
    execution = make_execution(make_job())
    response = client.get(f"/api/v2/jobs/{job.id}/executions/{execution.id}")
    assert response.status_code == 404
    assert response.json()["message"] == f"No execution found with ID: {execution.id} for job: {job.id}"


@pytest.mark.parametrize("path", ["executions", "executions/stats", f"executions/{UNKNOWN_ID}"])
@pytest.mark.parametrize("job_id", [UNKNOWN_ID, "nonsense"])
def test_everything_below_an_unknown_job_is_404(client, path, job_id):
    response = client.get(f"/api/v2/jobs/{job_id}/{path}")
    assert response.status_code == 404
    assert response.json() == {"error": "Job not found", "message": f"No job found with ID: {job_id}"}


# --- Lists -----------------------------------------------------------------------------------------------------------


def test_the_list_is_newest_first_and_says_where_it_is(client, job):
    rows = [make_execution(job, started_at=NOON + timedelta(minutes=minute)) for minute in range(5)]
    body = client.get(EXECUTIONS, {"page": 2, "limit": 2}).json()
    assert [row["id"] for row in body["executions"]] == ids([rows[2], rows[1]])
    assert {key: body[key] for key in ("total", "page", "limit", "total_pages")} == {
        "total": 5,
        "page": 2,
        "limit": 2,
        "total_pages": 3,
    }
    assert set(body["executions"][0]) == CONTRACT_KEYS | ADDED_KEYS | {"job_name", "github_repo"}


def test_rows_of_one_instant_have_one_order_across_pages(client, job):
    rows = {str(make_execution(job).id) for _ in range(7)}
    pages = [listed(client, page=page, limit=2) for page in (1, 2, 3, 4)]
    seen = [row for page in pages for row in page]
    assert set(seen) == rows
    assert seen == sorted(rows, reverse=True)


def test_no_executions_make_no_pages(client):
    body = client.get(EXECUTIONS).json()
    assert body == {"executions": [], "total": 0, "page": 1, "limit": 20, "total_pages": 0}


@pytest.mark.parametrize("page", [2, 10**9, 10**17])
def test_a_page_beyond_the_end_is_empty(client, job, page):
    make_execution(job)
    body = client.get(EXECUTIONS, {"page": page}).json()
    assert (body["executions"], body["total"], body["page"]) == ([], 1, page)


@pytest.mark.parametrize(
    "params, field",
    [
        ({"page": "0"}, "page"),
        ({"page": "-1"}, "page"),
        ({"page": "x"}, "page"),
        ({"page": ""}, "page"),
        ({"page": "1.5"}, "page"),
        ({"page": "1_0"}, "page"),
        ({"page": "٣"}, "page"),
        ({"page": "9" * 5000}, "page"),
        ({"limit": "0"}, "limit"),
        ({"limit": "201"}, "limit"),
    ],
)
def test_numbers_outside_their_bounds_are_schema_errors(client, params, field):
    response = client.get(EXECUTIONS, params)
    body = response.json()
    assert (response.status_code, body["error"]) == (422, "Validation error")
    assert [item["loc"] for item in body["detail"]] == [["query", field]]
    assert body["message"].startswith(f"{field}: ")
    assert params[field] not in body["message"].split() or params[field] == ""


def test_all_wrong_numbers_are_reported_at_once(client):
    body = client.get(EXECUTIONS, {"page": "x", "limit": "0"}).json()
    assert [item["loc"][-1] for item in body["detail"]] == ["page", "limit"]
    assert set(body["details"]) == {"page", "limit"}


def test_the_list_of_one_job_counts_what_it_returns(client, job):
    rows = [make_execution(job, started_at=NOON + timedelta(minutes=minute)) for minute in range(3)]
    make_execution(make_job())
    body = client.get(f"/api/v2/jobs/{job.id}/executions", {"limit": 2}).json()
    assert [row["id"] for row in body["executions"]] == ids([rows[2], rows[1]])
    assert (body["job_id"], body["job_name"], body["total_executions"]) == (str(job.id), "Daily backup", 2)


@pytest.mark.parametrize("limit", ["0", "201", "x"])
def test_the_limit_of_one_job_has_bounds(client, job, limit):
    assert client.get(f"/api/v2/jobs/{job.id}/executions", {"limit": limit}).status_code == 422


# --- Filters ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "status, expected",
    [
        ("failed", ["failed"]),
        (" failed , running ", ["failed", "running"]),
        ("failed,running,", ["failed", "running"]),
        ("failed,nonsense", ["failed"]),
        ("nonsense", []),
        ("FAILED", []),
        ("a\x00b", []),
        ("", ["failed", "missed", "running", "success"]),
        (" , ", ["failed", "missed", "running", "success"]),
    ],
)
def test_executions_are_filtered_by_status(client, job, status, expected):
    for each in (Status.SUCCESS, Status.FAILED, Status.RUNNING, Status.MISSED):
        make_execution(job, status=each)
    rows = client.get(EXECUTIONS, {"status": status}).json()["executions"]
    assert sorted(row["status"] for row in rows) == expected
    of_job = client.get(f"/api/v2/jobs/{job.id}/executions", {"status": status}).json()["executions"]
    assert sorted(row["status"] for row in of_job) == expected


def test_executions_are_filtered_by_job_trigger_and_type(client, job):
    wanted = make_execution(
        job, trigger_type=TriggerType.SCHEDULED, scheduled_for=NOON, execution_type=ExecutionType.GITHUB_ACTIONS
    )
    other = make_execution(make_job())
    assert listed(client, job_id=str(job.id)) == ids([wanted])
    assert listed(client, trigger_type="scheduled") == ids([wanted])
    assert listed(client, execution_type="github_actions") == ids([wanted])
    assert listed(client, execution_type="webhook", trigger_type="manual") == ids([other])
    assert listed(client, execution_type="webhook", job_id=str(job.id)) == []


@pytest.mark.parametrize("name", ["job_id", "trigger_type", "execution_type"])
@pytest.mark.parametrize("value, rows", [("", 1), ("  ", 1), ("nonsense", 0), ("\x00", 0), (UNKNOWN_ID, 0)])
def test_blank_filters_are_ignored_and_unknown_values_match_nothing(client, job, name, value, rows):
    make_execution(job)
    body = client.get(EXECUTIONS, {name: value}).json()
    assert (len(body["executions"]), body["total"]) == (rows, rows)


def test_executions_are_searched_by_the_name_of_their_job(client, job):
    wanted = make_execution(job)
    make_execution(make_job(name="Report"))
    assert listed(client, search="BACK") == ids([wanted])


def test_the_order_can_be_reversed(client, job):
    old, new = (make_execution(job, started_at=NOON + timedelta(minutes=minute)) for minute in range(2))
    assert listed(client, ordering="started_at") == ids([old, new])
    assert listed(client, ordering="-started_at") == ids([new, old])


@pytest.mark.parametrize(
    "params, error", [({"ordering": "name"}, "Invalid ordering"), ({"search": "x" * 256}, "Invalid search")]
)
def test_optional_parameters_that_are_wrong_are_400(client, params, error):
    response = client.get(EXECUTIONS, params)
    assert (response.status_code, response.json()["error"]) == (400, error)


# --- Periods ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params, hours",
    [
        ({"from": "2026-01-15"}, [0, 12, 24]),
        # A date in `to` means that whole day.
        ({"to": "2026-01-15"}, [-12, 0, 12]),
        ({"from": "2026-01-15", "to": "2026-01-15"}, [0, 12]),
        # `from` is inside, `to` is not.
        ({"from": "2026-01-15T00:00:00Z", "to": "2026-01-15T12:00:00Z"}, [0]),
        ({"from": "2026-01-15T12:00:00.000Z"}, [12, 24]),
        ({"from": "2026-01-15T21:00:00+09:00"}, [12, 24]),
        # The plus that was not encoded.
        ({"from": "2026-01-15T21:00:00 09:00"}, [12, 24]),
        ({"from": "2026-01-15T12:00"}, [12, 24]),
        ({"from": " ", "to": ""}, [-12, 0, 12, 24]),
    ],
)
def test_executions_are_filtered_by_when_they_started(client, job, params, hours):
    midnight = datetime(2026, 1, 15, tzinfo=UTC)
    rows = {hour: make_execution(job, started_at=midnight + timedelta(hours=hour)) for hour in (-12, 0, 12, 24)}
    expected = ids(rows[hour] for hour in reversed(hours))
    assert listed(client, **params) == expected
    of_job = client.get(f"/api/v2/jobs/{job.id}/executions", params).json()["executions"]
    assert [row["id"] for row in of_job] == expected
    assert client.get(STATISTICS, params).json()["total_executions"] == len(expected)


@pytest.mark.parametrize(
    "value",
    [
        "yesterday",
        "2026-02-30",
        "2026-1-5",
        "20260115",
        "2026-W03-4",
        "2026-01-15T25:00:00Z",
        "2026-01-15T12:00:00+25:00",
        "2026-01-15T12:00:00Z\x00",
        "0001-01-01T00:00:00+23:00",
        "٢٠٢٦-01-15",
        "2026-01-15" + "0" * 10000,
    ],
)
@pytest.mark.parametrize("name", ["from", "to"])
def test_a_date_that_cannot_be_read_is_400(client, job, name, value):
    for path in (EXECUTIONS, STATISTICS, f"/api/v2/jobs/{job.id}/executions"):
        response = client.get(path, {name: value})
        assert (response.status_code, response.json()) == (400, {"error": "Invalid date", "message": "Invalid date"})


def test_a_last_day_that_no_calendar_follows_is_400(client):
    assert client.get(EXECUTIONS, {"to": "9999-12-31"}).json()["error"] == "Invalid date"


@pytest.mark.parametrize(
    "start, end",
    [
        ("2026-01-16", "2026-01-15"),
        ("2026-01-15T12:00:00Z", "2026-01-15T12:00:00Z"),
        ("2026-01-16T00:00:00Z", "2026-01-15"),
    ],
)
def test_a_reversed_period_is_400(client, start, end):
    response = client.get(EXECUTIONS, {"from": start, "to": end})
    assert response.status_code == 400
    assert response.json() == {
        "error": "Invalid date range",
        "message": '"from" must be earlier than "to".',
    }


# --- Statistics ------------------------------------------------------------------------------------------------------


def make_history(job):
    for status, seconds in (
        (Status.SUCCESS, 10.0),
        (Status.SUCCESS, 20.015),
        (Status.FAILED, 4.0),
        (Status.RUNNING, None),
        (Status.QUEUED, None),
        (Status.MISSED, None),
        (Status.SKIPPED, None),
        (Status.UNKNOWN, None),
    ):
        make_execution(job, status=status, duration_seconds=seconds)


def test_statistics_count_runs_and_keep_the_rest_apart(client, job):
    make_history(job)
    body = client.get(STATISTICS, {"from": "2026-01-15", "to": "2026-01-15"}).json()
    assert body == {
        "total_executions": 5,
        "successful_executions": 2,
        "failed_executions": 1,
        "running_executions": 2,
        "success_rate": 40.0,
        "average_duration_seconds": pytest.approx(34.015 / 3),
        "missed_executions": 1,
        "skipped_executions": 1,
        "unknown_executions": 1,
        "range": {"from": "2026-01-15T00:00:00Z", "to": "2026-01-16T00:00:00Z"},
    }


def test_statistics_of_nothing_are_zeros(client, job):
    make_execution(job)
    body = client.get(STATISTICS, {"job_id": UNKNOWN_ID}).json()
    assert (body["total_executions"], body["success_rate"], body["average_duration_seconds"]) == (0, 0.0, 0.0)
    assert body["range"] == {"from": None, "to": None}


def test_statistics_can_be_asked_for_one_job(client, job):
    make_history(job)
    make_execution(make_job())
    assert client.get(STATISTICS, {"job_id": str(job.id)}).json()["total_executions"] == 5
    assert client.get(STATISTICS).json()["total_executions"] == 6


def test_the_statistics_of_a_job_average_its_successes(client, job):
    make_history(job)
    make_execution(make_job())
    body = client.get(f"/api/v2/jobs/{job.id}/executions/stats").json()
    assert (body["job_id"], body["job_name"]) == (str(job.id), "Daily backup")
    assert body["statistics"] == {
        "total_executions": 5,
        "success_count": 2,
        "failed_count": 1,
        "running_count": 2,
        "success_rate": 40.0,
        "average_duration_seconds": 15.01,
        "missed_count": 1,
        "skipped_count": 1,
        "unknown_count": 1,
    }


def test_rates_of_a_job_have_two_decimals(client, job):
    for status in (Status.SUCCESS, Status.SUCCESS, Status.FAILED):
        make_execution(job, status=status)
    body = client.get(f"/api/v2/jobs/{job.id}/executions/stats").json()
    assert body["statistics"]["success_rate"] == 66.67


def test_a_job_that_never_ran_has_no_latest_execution(client, job):
    make_execution(job, status=Status.MISSED)
    body = client.get(f"/api/v2/jobs/{job.id}/executions/stats").json()
    assert body["latest_execution"] is None
    assert body["statistics"]["average_duration_seconds"] is None
    assert body["statistics"]["success_rate"] == 0.0


def test_the_latest_execution_is_the_newest_that_left_the_house(client, job):
    make_execution(job, started_at=NOON)
    latest = make_execution(job, started_at=NOON + timedelta(minutes=1), status=Status.FAILED)
    make_execution(job, started_at=NOON + timedelta(minutes=2), status=Status.SKIPPED)
    body = client.get(f"/api/v2/jobs/{job.id}/executions/stats").json()
    assert body["latest_execution"]["id"] == str(latest.id)


@pytest.mark.parametrize("path", [EXECUTIONS, STATISTICS])
def test_clients_that_poll_get_no_body_while_nothing_changes(client, job, path):
    tag = client.get(path).headers["ETag"]
    assert tag.startswith('W/"')
    unchanged = client.get(path, headers={"If-None-Match": tag})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    make_execution(job)
    assert client.get(path, headers={"If-None-Match": tag}).status_code == 200
