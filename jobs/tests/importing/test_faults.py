"""All that is wrong with a file, at once; and what an upload may say about all of its rows."""

import csv
import io
import json
from datetime import UTC, date, datetime

import pytest

from jobs.importing.csv_file import read_table
from jobs.importing.file_options import read_options
from jobs.importing.writer import import_jobs
from jobs.models import Job
from jobs.tests.factories import make_job
from taxonomy.models import PicTeam
from taxonomy.tests.factories import make_team

NOON = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
GOOD = {"name": "A", "cron": "0 2 * * *", "url": "https://hooks.example.com/", "end_date": "2026-12-31", "team": ""}

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def ops(db):
    return make_team(name="Ops")


def upload(*rows, dry_run=False, by=None, **options):
    columns = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, restval="")
    writer.writeheader()
    writer.writerows(rows)
    content = out.getvalue().replace(",team", ",pic_team", 1).encode()
    given = read_options(by=by, today=NOON.date(), **options)
    return import_jobs(read_table(content), by=by, now=NOON, options=given, dry_run=dry_run)


def row(**cells):
    return {**GOOD, "team": "ops", **cells}


def faults(report, place=0):
    return [(fault["field"], fault["error"]) for fault in report.errors[place]["faults"]]


def test_a_row_shows_all_its_faults_in_the_contracts_order():
    report = upload(
        row(
            name="n" * 256,
            cron="x",
            url="ftp://host",
            end_date="31.12.2026",
            team="PAM",
            category="none",
            metadata="[1]",
            timezone="Mars/Base",
            overlap="both",
            retry_on="never",
        )
    )
    assert faults(report) == [
        ("category", "Invalid category"),
        ("end_date", "Invalid end_date"),
        ("pic_team", "Invalid PIC team"),
        ("cron_expression", "Invalid cron expression"),
        ("metadata", "Invalid Request Body"),
        ("target_url", "Invalid target_url"),
        ("name", "Invalid name"),
        ("timezone", "Invalid timezone"),
        ("overlap", "Invalid overlap"),
        ("retry_on", "Invalid retry_on"),
    ]
    assert report.errors[0]["error"] == "Invalid category"


def test_what_builds_on_a_fault_is_not_a_fault_of_its_own():
    assert faults(upload(row(**{"dispatch url": "x"}, url=""))) == [("dispatch_url", "Invalid dispatch_url")]
    assert faults(upload(row(url="host"))) == [("target_url", "Invalid target_url")]
    assert faults(upload(row(cron=""))) == [("cron_expression", "Missing required fields")]
    long = {"owner": "o" * 40, "repo": "tool", "workflow name": "x"}
    assert faults(upload(row(url="", **long))) == [("github_owner", "Invalid github_owner")]


def test_a_name_that_comes_again_is_told_with_the_faults_of_the_first_row():
    report = upload(row(category="none"), row())
    assert faults(report) == [("category", "Invalid category"), ("name", "Duplicate job name in CSV")]
    assert report.created == 1


def test_the_summary_counts_each_fault_with_its_value():
    rows = [row(name=f"Job {number}", team="PAM", end_date="2025-03-31") for number in range(41)]
    report = upload(*rows, row(name="X", team=""), row(name="Y", cron="* * *"), row(name="Z", category="odd"))
    assert report.summary == [
        'end date in the past "2025-03-31": 41 rows',
        'unknown PIC team "PAM": 41 rows',
        "no PIC team: 1 row",
        'invalid cron expression "* * *": 1 row',
        'unknown category "odd": 1 row',
    ]


def test_a_long_value_is_cut_in_the_summary():
    (line,) = upload(row(cron="9" * 200)).summary
    assert line == f'invalid cron expression "{"9" * 80}\u2026": 1 row'


def test_a_disabled_row_may_have_a_past_end_date():
    report = upload(row(status="disable", end_date="2020-01-01"), row(name="B", end_date="2020-01-01"))
    job = Job.objects.get()
    assert (job.name, job.is_active, job.end_date, job.next_fire_at) == ("A", False, date(2020, 1, 1), None)
    assert faults(report) == [("end_date", "Invalid end_date")]


def test_an_end_date_for_the_whole_file_fills_what_is_blank_or_past():
    upload(
        row(name="blank", end_date=""),
        row(name="past", end_date="2020-01-01"),
        row(name="own", end_date="2026-05-01"),
        row(name="disabled", end_date="2020-01-01", status="off"),
        end_date="2027-01-01",
    )
    assert {job.name: str(job.end_date) for job in Job.objects.all()} == {
        "blank": "2027-01-01",
        "past": "2027-01-01",
        "own": "2026-05-01",
        "disabled": "2020-01-01",
    }


def test_unknown_teams_are_created_once_with_the_rows_that_name_them(admin):
    report = upload(
        row(name="A", team="PAM"),
        row(name="B", team="pam"),
        row(name="C", team="Bad", cron="x"),
        by=admin,
        create_teams=True,
    )
    assert report.created_teams == ["pam"]
    team = PicTeam.objects.get(slug="pam")
    assert (team.name, team.slack_handle, team.jobs.count()) == ("PAM", "@pam", 2)
    assert not PicTeam.objects.filter(slug="bad").exists()


def test_a_dry_run_creates_no_team(admin):
    report = upload(row(team="PAM"), by=admin, create_teams=True, dry_run=True)
    assert (report.created_teams, PicTeam.objects.filter(slug="pam").exists()) == (["pam"], False)


def test_a_team_that_cannot_be_made_is_an_unknown_one():
    for name in ("\u65e5\u672c", "t" * 200):
        assert faults(upload(row(team=name), create_teams=True)) == [("pic_team", "Invalid PIC team")]


def test_a_team_of_the_file_may_be_another_one_here():
    report = upload(row(team="Old Team"), map_team=["old team=ops"])
    assert report.errors == []
    assert Job.objects.get().pic_team.slug == "ops"


def test_a_row_that_says_what_is_stored_changes_nothing():
    make_job(
        name="A", cron_expression="0 2 * * *", target_url="https://hooks.example.com/", end_date=date(2026, 12, 31)
    )
    before = Job.objects.values().get()
    report = upload(row(), update_existing=True)
    assert (report.created, report.updated, report.changed) == (0, 1, 0)
    assert Job.objects.values().get() == before
    assert upload(row(cron="0 3 * * *"), update_existing=True).changed == 1


def test_doubtful_expressions_go_in_with_a_warning():
    report = upload(row(cron="0 10,12 3-20 * 1-5"), row(name="B"))
    (item,) = report.warnings
    assert (item["row"], item["name"]) == (2, "A")
    assert "either field may match" in item["warnings"][0]


BODY = {"text": 'first line\nsecond, with "quotes"', "list": [1, {"deep": None}], "env": "prod"}


def real_rows():
    """Return 1,200 rows as the older service exported them, with what was wrong in the real file."""
    teams = ("PAM", "Ops", "QA Team", "")
    return [
        {
            "Job Name": f"Job {number if number % 100 else number // 2}",
            "Cron Schedule (JST)": f"{number % 60} {number % 24} * * {number % 7}",
            "": "dropped",
            "Target URL": f"https://hooks.example.com/{number}",
            "End-Date": "2025-06-30" if number % 3 else "",
            "PIC Team": teams[number % 4],
            "Status": "disable" if number % 5 == 0 else "enable",
            "Request Body": json.dumps({**BODY, "number": number}),
            "Last Run": "2025-01-01",
        }
        for number in range(1200)
    ]


def test_a_real_file_goes_in_within_two_rounds(admin):
    rows = real_rows()
    first = upload(*rows, by=admin, dry_run=True)
    assert first.ignored_columns == ["Last Run"]
    assert len(first.summary) < 30
    wrong = {item["row"]: {fault["error"] for fault in item["faults"]} for item in first.errors}
    for number, errors in wrong.items():
        if "Duplicate job name in CSV" in errors:
            rows[number - 2]["Job Name"] += f" (row {number})"
    second = upload(
        *rows,
        by=admin,
        end_date="2026-12-31",
        create_teams=True,
        map_team=["QA Team=ops", "=ops"],
        weekdays="as-fired",
    )
    assert (second.errors, second.created) == ([], 1200)
    assert Job.objects.get(name="Job 1").metadata == {**BODY, "number": 1}
