"""The pages "Why" and "Calendar"."""

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.tests.factories import make_user
from audit import terms
from jobs.admin.calendar import DAYS
from jobs.models import Job, Status, TriggerType
from jobs.tests.conftest import WORKFLOW
from jobs.tests.factories import make_execution, make_job
from taxonomy.tests.factories import make_team

pytestmark = pytest.mark.django_db

WHY, CALENDAR = reverse("admin:jobs_why"), reverse("admin:jobs_calendar")
DUE = datetime(2026, 3, 10, 1, 0, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture
def job():
    job = make_job(name="=backup", cron_expression="0 10 * * *", timezone="Asia/Tokyo", created_at=DUE - 300 * HOUR)
    terms.begin("a:1", 1, now=DUE - 24 * HOUR)
    terms.end(1, now=DUE - MINUTE)
    terms.begin("b:1", 2, now=DUE + MINUTE)
    make_execution(job, status=Status.MISSED, trigger_type=TriggerType.SCHEDULED, scheduled_for=DUE, started_at=DUE)
    return job


@pytest.mark.parametrize("role", ["admin", "user", "viewer"])
def test_every_role_sees_why(client, job, role):
    client.force_login(make_user(role=role))
    assert "Name a job" in client.get(WHY).content.decode()
    # The times of the form are those of the job's zone.
    page = client.get(WHY, {"job": "=backup", "from": "2026-03-10T00:00", "to": "2026-03-11T00:00"})
    (row,) = page.context["table"]["rows"]
    assert "2026-03-10 10:00" in row[0]
    assert "missed no leader" in row[1]
    assert row[2] == "No scheduler was running from 09:59 to 10:01."
    assert "/jobs/jobexecution/" in row[3]
    assert page.context["counts"] == [("missed no leader", 1)]
    by_id = client.get(WHY, {"job": str(job.pk), "at": "2026-03-10T10:30"})
    assert by_id.context["counts"] == [("not due", 1)]


def test_the_page_of_a_job_leads_to_it(client, job):
    client.force_login(make_user(role="viewer"))
    address = reverse("admin:jobs_job_why_job", args=[job.pk])
    assert address in client.get(reverse("admin:jobs_job_change", args=[job.pk])).content.decode()
    assert client.get(address).headers["Location"] == f"{WHY}?job={job.pk}"


def test_all_of_it_is_a_file_that_no_spreadsheet_runs(client, job):
    client.force_login(make_user(role="viewer"))
    Job.objects.update(schedule_error="=1+1")
    asked = {"job": "=backup", "from": "2026-03-10T00:00", "to": "2026-03-12T00:00", "csv": "1"}
    answer = client.get(WHY, asked)
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    head, newest, oldest = csv.reader(io.StringIO(answer.content.decode()))
    assert head[:3] == ["due_at", "verdict", "sentence"]
    assert (newest[1], newest[6]) == ("unschedulable", "'=1+1")
    assert oldest[:2] == ["2026-03-10T10:00:00+09:00", "missed_no_leader"]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"job": "nothing"}, "There is no job with that name or id."),
        ({"job": "=backup", "from": "soon"}, "Invalid date"),
        ({"job": "=backup", "from": "2026-01-01", "to": "2026-03-01"}, "The range must be at most 31 days."),
        ({"job": "=backup", "at": "soon"}, "at must be an ISO 8601 instant such as 2026-01-23T08:00:00Z."),
        ({"job": "=backup", "from": "1900-06-01T00:00"}, "The range must lie between 1970 and 9990."),
        ({"job": "=backup", "to": "9999-12-31T23:59"}, "The range must lie between 1970 and 9990."),
        ({"job": "\x00"}, ""),
    ],
)
def test_what_cannot_be_meant_is_told_on_the_page(client, job, asked, told):
    client.force_login(make_user(role="viewer"))
    for more in ({}, {"csv": "1"}):
        page = client.get(WHY, {**asked, **more})
        assert (page.status_code, page.context["error"]) == (200, told)


def test_nobody_sees_it_signed_out(client):
    for address in (WHY, CALENDAR):
        assert client.get(address).headers["Location"].startswith(reverse("admin:login"))


# --- The calendar ----------------------------------------------------------------------------------------------------


@pytest.fixture
def load(alice):
    other = make_team(name="Other")
    for number in range(3):
        make_job(cron_expression="30 9 * * *", timezone="Asia/Tokyo", created_by=alice if number else None)
    make_job(cron_expression="45 9 * * *", timezone="Asia/Tokyo", pic_team=other, **WORKFLOW)
    make_job(cron_expression="30 9 * * *", timezone="Asia/Tokyo", is_active=False)


def runs(page) -> list[int]:
    """Return how many runs the page shows at nine, day by day."""
    return [
        sum(cell.runs for cell in cells)
        for hour, cell_lists in page.context["hours"]
        for cells in cell_lists
        if hour == 9
    ]


@pytest.mark.parametrize("role", ["admin", "user", "viewer"])
def test_every_role_sees_the_coming_week(client, load, role):
    client.force_login(make_user(role=role))
    page = client.get(CALENDAR)
    assert runs(page) == [4] * DAYS
    assert sum(cell.runs for _, days in page.context["hours"] for cells in days for cell in cells) == 4 * DAYS
    assert len(page.context["hours"]) == 24


def test_filters_narrow_it_and_a_click_shows_the_minutes(client, alice, load):
    client.force_login(alice)
    assert runs(client.get(CALENDAR, {"owner": "me"})) == [2] * DAYS
    assert runs(client.get(CALENDAR, {"team": "other"})) == [1] * DAYS
    assert runs(client.get(CALENDAR, {"target": "github_actions"})) == [1] * DAYS
    page = client.get(CALENDAR)
    cell = page.context["hours"][9][1][3][0]
    minutes = client.get(f"{CALENDAR}?{cell.query}").context["minutes"]
    assert minutes["rows"] == [["09:30", 3, 0, "-"], ["09:45", 1, 1, "-"]]


def test_limits_that_are_met_are_marked(client, alice, load, settings):
    settings.MAX_IN_FLIGHT = 2
    client.force_login(alice)
    page = client.get(CALENDAR)
    assert "3 runs are due in one minute; 2 may be in flight at once." in page.content.decode()
    assert len(page.context["hot"]["rows"]) == DAYS
    assert page.context["hours"][9][1][0][0].hot


@pytest.mark.parametrize(
    "asked", [{"team": "nobody"}, {"owner": "x"}, {"repo": "a/b/c"}, {"hour": "soon"}, {"hour": "9999-12-31T23:00:00Z"}]
)
def test_a_filter_that_means_nothing_is_told_on_the_page(client, alice, asked):
    client.force_login(alice)
    page = client.get(CALENDAR, asked)
    assert page.status_code == 200
    assert page.context["error"]


def test_both_pages_take_as_many_queries_for_many_as_for_few(client, alice, load, django_assert_max_num_queries):
    client.force_login(alice)
    client.get(CALENDAR)
    with django_assert_max_num_queries(25):
        client.get(CALENDAR)
    job = make_job(cron_expression="* * * * *", timezone="UTC", created_at=timezone.now() - timedelta(days=9))
    with django_assert_max_num_queries(25):
        client.get(WHY, {"job": str(job.pk)})


def test_the_side_bar_marks_the_page_that_is_shown(client, job):
    client.force_login(make_user(role="viewer"))
    pages = {"Why": WHY, "Calendar": CALENDAR, "Jobs": reverse("admin:jobs_job_change", args=[job.pk])}
    for title, address in pages.items():
        groups = client.get(address).context["sidebar_navigation"]
        assert [item["title"] for group in groups for item in group["items"] if item["active"]] == [title]
