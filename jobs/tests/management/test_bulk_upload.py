"""`manage.py bulk_upload`, run as an operator runs it."""

import csv
import json
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from accounts.tests.factories import make_user
from jobs.models import Job
from jobs.tests.factories import make_job
from notifications.models import Notification
from taxonomy.tests.factories import make_team

HEADER = ["Job Name", "Cron Schedule (JST)", "", "Target URL", "End Date", "PIC Team", "Request Body", " "]
GOOD_ROWS = 1200
BODY = {"text": 'first line\nsecond, with "quotes"', "list": [1, {"deep": None}]}

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def ops(db):
    return make_team(name="Ops")


def row(name, cron="0 2 * * *", body=""):
    return [name, cron, "dropped", "https://hooks.example.com/", "2099-12-31", "Ops", body, ""]


def write(path, *rows):
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows([HEADER, *rows])
    return path


@pytest.fixture
def large_file(tmp_path):
    """1,200 good rows with bodies of several lines, among blank rows, and three bad ones."""
    rows = []
    for number in range(GOOD_ROWS):
        rows.append(row(f"Job {number}", f"{number % 60} * * * *", json.dumps(BODY, indent=1)))
        if number % 100 == 0:
            rows += [[], [""] * len(HEADER), [" ", "", "only in a column without a name"]]
    return write(tmp_path / "jobs.csv", *rows, row("Bad 1", "61 * * * *"), row("Bad 2", body="{"), row("Job 7"))


def upload(*args):
    """Run the command in this process; return what it printed and the code it ended with."""
    out = StringIO()
    try:
        call_command("bulk_upload", *map(str, args), stdout=out)
    except CommandError as error:
        return out.getvalue(), error.returncode, str(error)
    return out.getvalue(), 0, ""


def test_a_large_file_of_bodies_with_line_breaks_becomes_jobs(large_file):
    alice = make_user("alice")
    out, code, message = upload(large_file, "--owner", "alice", "--json")
    report = json.loads(out)
    assert (code, message) == (1, "3 rows were left out.")
    assert (report["created"], report["failed"]) == (GOOD_ROWS, 3)
    assert report["stats"] == {
        "original_column_count": 8,
        "original_row_count": GOOD_ROWS + 36 + 3,
        "removed_column_count": 2,
        "removed_empty_row_count": 36,
    }
    assert [(error["row"], error["error"]) for error in report["errors"]] == [
        (GOOD_ROWS + 2, "Invalid cron expression"),
        (GOOD_ROWS + 3, "Invalid JSON in Request Body"),
        (GOOD_ROWS + 4, "Duplicate job name in CSV"),
    ]
    assert Job.objects.filter(created_by=alice, next_fire_at__isnull=False).count() == GOOD_ROWS
    assert all(job.metadata == BODY for job in Job.objects.all())
    assert not Notification.objects.exists()


def test_a_dry_run_writes_nothing(tmp_path):
    out, code, _ = upload(write(tmp_path / "jobs.csv", row("A")), "--dry-run")
    assert (code, Job.objects.count()) == (0, 0)
    assert "Jobs that would be created: 1, updated: 0." in out


def test_without_an_owner_jobs_belong_to_nobody(tmp_path):
    assert upload(write(tmp_path / "jobs.csv", row("A")))[1] == 0
    assert Job.objects.get().created_by is None


def test_existing_jobs_are_changed_on_request(tmp_path):
    job = make_job(name="A")
    file = write(tmp_path / "jobs.csv", row("A", "5 5 * * *"))
    assert upload(file)[1] == 1
    assert upload(file, "--update-existing")[1] == 0
    job.refresh_from_db()
    assert job.cron_expression == "5 5 * * *"


def test_the_owner_of_workflows_can_be_given(tmp_path):
    file = tmp_path / "jobs.csv"
    file.write_text("name,cron,repo,workflow name,end date,pic team\nA,0 2 * * *,tool,deploy,2099-12-31,ops\n")
    assert upload(file)[1] == 1
    assert upload(file, "--default-github-owner", "acme")[1] == 0
    assert Job.objects.get().github_owner == "acme"


def test_rows_left_out_are_shown_as_a_table_in_plain_text(tmp_path):
    out, code, message = upload(write(tmp_path / "jobs.csv", row("[red]A[/red]", "x"), row("B")))
    assert (code, message) == (1, "1 row was left out.")
    assert "[red]A[/red]" in out
    assert "Invalid cron expression" in out
    assert "Jobs created: 1, updated: 0." in out
    assert "Ignored: 0 blank rows, 2 columns without a name." in out


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "CSV is empty."),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "This is no text in UTF-8."),
        (b'name,cron\n"A,1\n', "A quote opened in the row that begins in line 2 is never closed."),
        (
            b"a;b\n1;2\n",
            'CSV header row has no column this service knows, such as "Job Name". Is it separated by commas?',
        ),
    ],
)
def test_an_unusable_file_ends_with_2_and_one_clear_line(tmp_path, content, message):
    file = tmp_path / "jobs.csv"
    file.write_bytes(content)
    assert upload(file) == ("", 2, message)


def test_a_missing_file_or_a_folder_ends_with_2(tmp_path):
    gone = tmp_path / "gone.csv"
    assert upload(gone) == ("", 2, f"Cannot read {gone}: No such file or directory.")
    assert upload(tmp_path) == ("", 2, f"Cannot read {tmp_path}: Is a directory.")


def test_a_file_that_is_too_large_ends_with_2(tmp_path, settings):
    settings.MAX_UPLOAD_BYTES = 1024
    file = write(tmp_path / "jobs.csv", *(row(f"Job {number}") for number in range(50)))
    assert upload(file)[1:] == (2, f"{file} has more than 1024 bytes (MAX_UPLOAD_BYTES). Split the file.")


@pytest.mark.parametrize(
    "fields, message",
    [
        (None, "There is no account named 'zoe'."),
        ({"role": "viewer"}, "The account 'zoe' may not create jobs."),
        ({"is_active": False}, "The account 'zoe' may not create jobs."),
    ],
)
def test_an_owner_who_cannot_own_jobs_ends_with_2(tmp_path, fields, message):
    if fields is not None:
        make_user("zoe", **fields)
    assert upload(write(tmp_path / "jobs.csv", row("A")), "--owner", "zoe") == ("", 2, message)
    assert not Job.objects.exists()


def test_a_database_without_tables_ends_with_2_and_no_traceback(tmp_path):
    file = write(tmp_path / "jobs.csv", row("A"))
    manage = Path(__file__).resolve().parents[3] / "manage.py"
    environment = {**os.environ, "DATABASE_URL": f"sqlite:///{tmp_path}/empty.sqlite3"}
    command = [sys.executable, str(manage), "bulk_upload", str(file)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert run.returncode == 2
    assert run.stderr.startswith("CommandError: The database cannot be used: ")
    assert "Traceback" not in run.stderr
    assert run.stdout == ""


def test_the_rows_left_out_are_written_with_their_reasons(tmp_path):
    file, rejected = write(tmp_path / "jobs.csv", row("good"), row("bad", "61 * * * *")), tmp_path / "rejected.csv"
    with pytest.raises(CommandError):
        call_command("bulk_upload", str(file), rejected=rejected, stdout=StringIO())
    (found,) = csv.DictReader(rejected.read_text(encoding="utf-8").splitlines())
    assert (found["Job Name"], found["Row in the file"]) == ("bad", "3")
    assert "61" in found["What is wrong"]
