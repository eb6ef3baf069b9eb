"""What an export writes, and that an upload of it changes nothing."""

from datetime import UTC, date, datetime

import pytest
import yaml
from django.core.management import CommandError, call_command

from accounts.tests.factories import api_client
from jobs import services
from jobs.importing.csv_file import read_table
from jobs.importing.export import as_csv, as_yaml
from jobs.importing.file_options import FileOptions
from jobs.importing.writer import import_jobs
from jobs.models import Job
from jobs.tests.factories import job_body, make_job
from taxonomy.models import PicTeam
from taxonomy.tests.factories import make_category, make_team

NOW = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
EXPORT = "/api/v2/jobs/export"
WORKFLOW = {"github_owner": "acme", "github_repo": "tool", "github_workflow_name": "deploy.yml"}
OPTIONS = {
    "timezone": "Europe/Berlin",
    "misfire_grace_seconds": 60,
    "catch_up": "all",
    "overlap": "skip",
    "timeout_seconds": 30,
    "max_attempts": 3,
    "backoff_seconds": 5,
    "spread_seconds": 9,
    "pause_after_failures": 0,
    "track_run": False,
    "notify_after_failures": 2,
    "remind_every_hours": 0,
    "notify_on_recovery": True,
}
REQUEST = {
    "webhook_method": "PUT",
    "success_statuses": "200-299,404",
    "success_contains": 'done, "really"',
    "retry_on": "any",
    "retry_max_age_seconds": 600,
}

pytestmark = pytest.mark.django_db


@pytest.fixture
def jobs(alice):
    """Make jobs of every kind there is."""
    make_team(name="Ops")
    gone = make_team(name="Gone")
    make_category(name="Old", is_active=False)
    shown = [
        job_body(name="Plain"),
        job_body(name='Odd, "quoted"\nname \u65e5\u672c =1+1', metadata={"a": [1, "x,\ny"], "branchDetails": "main"}),
        job_body(name="Workflow", target_url=None, **WORKFLOW),
        job_body(name="Both", **WORKFLOW),
        job_body(name="Stray", github_repo="tool"),
        job_body(name="Options", **OPTIONS),
        job_body(name="Request", **REQUEST, webhook_headers={"X-A": "b"}, secret_headers={"X-S": "secret"}),
        job_body(name="Mail", enable_email_notifications=True, notification_emails=["a@example.com"]),
        job_body(name="Paused", is_active=False, category="old"),
        job_body(name="Disabled team", pic_team="gone"),
    ]
    for body in shown:
        services.create_job(body, by=alice, now=NOW)
    PicTeam.objects.filter(pk=gone.pk).update(is_active=False)
    make_job(name="Ended", is_active=False, end_date=date(2020, 1, 1))
    make_job(name="Alternative", cron_expression="*/7 2-4 * * MON#1")


def as_stored():
    return list(Job.objects.order_by("name").values())


def test_an_export_comes_back_unchanged(jobs):
    before = as_stored()
    table = read_table(as_csv(Job.objects.all()).encode())
    report = import_jobs(table, by=None, now=NOW, options=FileOptions(update_existing=True))
    assert report.errors == []
    assert (report.created, report.updated, report.changed) == (0, len(before), 0)
    assert as_stored() == before
    assert table.ignored_columns == []


def test_an_export_makes_the_same_jobs_elsewhere(jobs):
    names = ["Plain", "Workflow", "Options", "Paused", "Ended", "Alternative"]
    columns = {"id", "created_by_id", "created_at", "updated_at", "next_fire_at", "revision"}
    before = [{k: v for k, v in row.items() if k not in columns} for row in as_stored() if row["name"] in names]
    content = as_csv(Job.objects.filter(name__in=names)).encode()
    Job.objects.all().delete()
    assert import_jobs(read_table(content), by=None, now=NOW).errors == []
    assert [{k: v for k, v in row.items() if k not in columns} for row in as_stored()] == before


def test_yaml_shows_what_a_file_of_columns_cannot_and_no_secret(jobs):
    text = as_yaml(Job.objects.filter(name__in=["Request", "Mail"]).order_by("name"))
    mail, request = yaml.safe_load(text)["jobs"]
    assert mail["notification_emails"] == ["a@example.com"]
    assert (request["webhook_headers"], request["secret_headers"]) == ({"X-A": "b"}, ["X-S"])
    assert (request["owner"], "secret\n" in text) == ("alice", False)


def test_the_endpoint_answers_a_file_to_every_account(charlie):
    make_job(name="A")
    response = api_client(charlie).get(EXPORT)
    assert (response.status_code, response["Content-Type"]) == (200, "text/csv; charset=utf-8")
    assert response["Content-Disposition"] == 'attachment; filename="jobs.csv"'
    assert response.content.decode().splitlines()[1].startswith("A,0 2 * * *,enable,https://hooks.example.com/")
    assert api_client(charlie).get(EXPORT, {"format": "yaml"}).content.startswith(b"jobs:\n- name: A\n")


def test_the_endpoint_knows_the_filters_of_the_list(charlie):
    make_job(name="A")
    make_job(name="B", is_active=False)
    lines = api_client(charlie).get(EXPORT, {"is_active": "false"}).content.decode().splitlines()
    assert [line.partition(",")[0] for line in lines[1:]] == ["B"]


@pytest.mark.parametrize(
    ("params", "error"), [({"format": "xml"}, "Invalid format"), ({"state": "odd"}, "Invalid state")]
)
def test_a_wrong_parameter_is_refused(charlie, params, error):
    response = api_client(charlie).get(EXPORT, params)
    assert (response.status_code, response.json()["error"]) == (400, error)


def test_the_command_writes_a_file_that_the_upload_reads(tmp_path, capsys):
    make_job(name="A")
    make_job(name="B", is_active=False)
    file = tmp_path / "jobs.csv"
    call_command("export_jobs", output=file, state="active")
    assert [row.cells["name"] for row in read_table(file.read_bytes()).rows] == ["A"]
    call_command("export_jobs", format="yaml")
    assert capsys.readouterr().out.count("- name:") == 2


def test_the_command_refuses_what_it_cannot_do(tmp_path):
    with pytest.raises(CommandError, match="state must be one of"):
        call_command("export_jobs", state="odd")
    with pytest.raises(CommandError, match="cannot be written"):
        call_command("export_jobs", output=tmp_path / "missing" / "jobs.csv")


def test_an_export_of_nothing_is_a_header():
    assert as_csv(Job.objects.none()).splitlines()[0].startswith("Job Name,Cron Expression,")
