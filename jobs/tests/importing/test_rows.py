"""The rules of CSV files: what a file is, what a row means, what is wrong with it."""

import csv
import io
import json
from datetime import UTC, date, datetime

import pytest

from cronsched.lib.errors import DomainError
from jobs.definitions.github_names import BAD_DISPATCH_URL
from jobs.importing import csv_file
from jobs.importing.csv_file import ALIASES, read_table
from jobs.importing.file_options import read_options
from jobs.importing.writer import import_jobs
from jobs.models import Job
from jobs.tests.factories import make_job
from notifications.models import Notification
from taxonomy.tests.factories import make_category, make_team

NOON = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
GOOD = {
    "name": "Nightly",
    "cron": "0 2 * * *",
    "url": "https://hooks.example.com/",
    "end_date": "2026-01-15",
    "pic_team": "ops",
}
NEEDS_SCHEME = (
    "target_url must include scheme (http:// or https://). For GitHub dispatch, use "
    "github_owner/github_repo/github_workflow_name or provide owner/repo/workflow."
)
NO_TARGET = "Provide target_url or GitHub config (github_owner, github_repo, github_workflow_name)."
WORKFLOW = {"url": "", "owner": "acme", "repo": "tool", "workflow name": "deploy"}


@pytest.fixture(autouse=True)
def ops(db):
    return make_team(name="Ops")


def csv_of(*rows):
    """Write rows as a file; the columns are all that any row has."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def upload(content, *, by=None, dry_run=False, **options):
    return import_jobs(
        read_table(content),
        by=by,
        now=NOON,
        options=read_options(by=by, today=NOON.date(), **options),
        dry_run=dry_run,
    )


def imported(**cells):
    """Import one good row and return the job."""
    report = upload(csv_of({**GOOD, **cells}))
    assert report.errors == []
    return Job.objects.get()


def refused(**cells):
    """Import one bad row and return its error."""
    report = upload(csv_of({**GOOD, **cells}))
    assert not Job.objects.exists()
    (error,) = report.errors
    return error


# --- The file --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "CSV is empty."),
        (b"\xef\xbb\xbf", "CSV is empty."),
        (b"\n", "CSV header row has no usable column names."),
        (b" , ,\nname,cron,url\n", "CSV header row has no usable column names."),
        (b"name\x00,cron\n", "This is no text in UTF-8."),
        ("name,cron\n".encode("utf-16"), "This is no text in UTF-8."),
        (b"name," * 1000 + b"name\n", "CSV has more than 1000 columns."),
        (b"PK\x03\x04\x14\x00\x00\x00\x08", "This is no text in UTF-8."),
        (
            b"Job Name;Cron;End Date\nA;0 2 * * *;2099-01-01\n",
            'CSV header row has no column this service knows, such as "Job Name". Is it separated by commas?',
        ),
        (
            b"Job Name\tCron\tEnd Date\n",
            'CSV header row has no column this service knows, such as "Job Name". Is it separated by commas?',
        ),
        (b'name,cron\nA,"0 2\nB,1\n', "A quote opened in the row that begins in line 2 is never closed."),
        (b'name,cron\nA,1\nB,"', "A quote opened in the row that begins in line 3 is never closed."),
        (b'"name\n', "A quote opened in the row that begins in line 1 is never closed."),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_as_a_whole(content, message):
    with pytest.raises(DomainError) as refusal:
        read_table(content)
    assert (refusal.value.error, refusal.value.message) == ("Invalid CSV", message)


def test_a_cell_that_no_body_could_be_as_long_as_is_refused(settings):
    settings.MAX_BODY_BYTES = 2000
    with pytest.raises(DomainError, match=r"Line 2: field larger than field limit \(2000\)"):
        read_table(b"name\n" + b"x" * 2001 + b"\n")


def test_a_cell_may_be_longer_than_the_limit_of_the_csv_module_but_not_than_that_of_metadata():
    assert imported(metadata=json.dumps({"text": "x" * 60_000})).metadata == {"text": "x" * 60_000}
    (error,) = upload(csv_of({**GOOD, "name": "Other", "metadata": json.dumps({"text": "x" * 500_000})})).errors
    assert error["error"] == "Invalid Request Body"
    assert error["message"] == "metadata must be at most 65536 bytes as JSON (64 KB); it has 500011."


def test_a_file_with_too_many_rows_is_refused(monkeypatch):
    monkeypatch.setattr(csv_file, "MAX_ROWS", 2)
    assert len(read_table(b"name\nA\n\n\nB\n").rows) == 2
    with pytest.raises(DomainError, match=r"more than 2 rows\."):
        read_table(b"name\nA\nB\nC\n")
    monkeypatch.setattr(csv_file, "MAX_ROWS_WITH_BLANK", 3)
    with pytest.raises(DomainError, match="more than 3 rows, blank ones included"):
        read_table(b"name\nA\n\n\n\n")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_and_a_byte_order_mark_do_not_matter(end, mark):
    content = mark + end.join(["name,cron", "A,1", '"B ""x"", y",2']).encode()
    table = read_table(content)
    assert [(row.cells["name"], row.cells["cron_expression"]) for row in table.rows] == [("A", "1"), ('B "x", y', "2")]


def test_undecodable_bytes_are_replaced():
    assert read_table(b"name\nGr\xfc\xdfe\n").rows[0].cells["name"] == "Gr\ufffd\ufffde"


def test_blank_rows_and_nameless_columns_are_dropped_and_counted():
    table = read_table(b"name,,cron, \nA,x,1,y\n\n,x,,y\n , ,\t,\nB\nC,,2,,surplus\n")
    assert [(row.number, row.cells["name"], row.cells["cron_expression"]) for row in table.rows] == [
        (2, "A", "1"),
        (3, "B", ""),
        (4, "C", "2"),
    ]
    assert table.stats == {
        "original_column_count": 4,
        "original_row_count": 6,
        "removed_column_count": 2,
        "removed_empty_row_count": 3,
    }


@pytest.mark.parametrize("meaning, alias", [(meaning, alias) for meaning, names in ALIASES.items() for alias in names])
def test_every_header_is_known_in_any_case(meaning, alias):
    assert read_table(f" {alias.upper()} \n x \n".encode()).rows[0].cells[meaning] == "x"


@pytest.mark.parametrize("meaning, aliases", list(ALIASES.items()))
def test_of_several_headers_the_first_that_is_filled_counts(meaning, aliases):
    names = list(dict.fromkeys(aliases))
    backwards = ",".join(reversed(names))
    filled = ",".join(reversed([f"v{number}" for number in range(len(names))]))
    assert read_table(f"{backwards}\n{filled}\n".encode()).rows[0].cells[meaning] == "v0"
    assert read_table(f"{backwards}\nlast{',' * (len(names) - 1)}\n".encode()).rows[0].cells[meaning] == "last"


# --- A good row ------------------------------------------------------------------------------------------------------


def test_a_row_becomes_a_job(ops, alice):
    report = upload(csv_of({**GOOD, "metadata": '{"a": [1, "x,\\ny"]}', "branch": "main"}), by=alice)
    job = Job.objects.get()
    assert (job.name, job.cron_expression, job.target_url) == ("Nightly", "0 2 * * *", "https://hooks.example.com/")
    assert job.metadata == {"a": [1, "x,\ny"], "branchDetails": "main"}
    assert (job.category.slug, job.pic_team, job.end_date) == ("general", ops, date(2026, 1, 15))
    assert (job.created_by, job.is_active, job.enable_email_notifications) == (alice, True, False)
    assert job.next_fire_at == datetime(2026, 1, 15, 17, 0, tzinfo=UTC)
    assert report.body == {
        "message": "Bulk upload processed",
        "dry_run": False,
        "stats": {
            "original_column_count": 7,
            "original_row_count": 1,
            "removed_column_count": 0,
            "removed_empty_row_count": 0,
        },
        "created_count": 1,
        "error_count": 0,
        "created": 1,
        "updated": 0,
        "changed": 0,
        "failed": 0,
        "summary": [],
        "ignored_columns": [],
        "undecodable_bytes": {"count": 0, "rows": []},
        "created_teams": [],
        "warnings": [],
        "errors": [],
        "jobs": [{"id": str(job.pk), "name": "Nightly", "is_active": True}],
    }


def test_an_upload_tells_nobody():
    imported()
    assert not Notification.objects.exists()


@pytest.mark.parametrize("word", ["disable", "Disabled", "INACTIVE", "false", "0", "no", "n", "off"])
def test_words_for_inactive(word):
    job = imported(status=word)
    assert (job.is_active, job.next_fire_at) == (False, None)


@pytest.mark.parametrize("word", ["", "active", "enabled", "1", "whatever"])
def test_everything_else_is_active(word):
    assert imported(status=word).is_active


@pytest.mark.parametrize(
    "cells, target",
    [
        ({}, ("https://hooks.example.com/", None, None, None)),
        (
            {"owner": "acme", "repo": "tool", "workflow name": "deploy"},
            ("https://hooks.example.com/", None, None, None),
        ),
        (WORKFLOW, (None, "acme", "tool", "deploy")),
        ({**WORKFLOW, "owner": "", "repo": "acme/tool"}, (None, "acme", "tool", "deploy")),
        ({**WORKFLOW, "owner": "house", "repo": "acme/tool"}, (None, "house", "tool", "deploy")),
        ({"url": "a/b/c.yml"}, (None, "a", "b", "c.yml")),
        ({"url": "a/b/c.yml", "owner": "acme"}, (None, "a", "b", "c.yml")),
        ({"dispatch url": "a/b/c.yml"}, (None, "a", "b", "c.yml")),
        ({"dispatch url": "a/b/c.yml", "url": "nonsense", "owner": "acme"}, (None, "a", "b", "c.yml")),
        ({"dispatch url": "https://github.com/a/b/actions/workflows/c.yml"}, (None, "a", "b", "c.yml")),
    ],
)
def test_which_target_a_row_names(cells, target):
    job = imported(**cells)
    assert (job.target_url, job.github_owner, job.github_repo, job.github_workflow_name) == target


def test_a_missing_owner_is_filled_by_the_upload_and_then_by_the_service(settings):
    settings.DEFAULT_GITHUB_OWNER = "service"
    rows = csv_of({**GOOD, **WORKFLOW, "owner": ""})
    upload(rows, default_owner="upload")
    assert Job.objects.get().github_owner == "upload"
    Job.objects.all().delete()
    upload(rows, default_owner=" ")
    assert Job.objects.get().github_owner == "service"


def test_the_rows_own_owner_wins_over_the_default():
    upload(csv_of({**GOOD, **WORKFLOW}), default_owner="upload")
    assert Job.objects.get().github_owner == "acme"


@pytest.mark.parametrize("owner", ["o" * 256, "o" * 40, "a\x00b", "acme/tool"])
def test_a_default_owner_nobody_could_store_is_refused(owner):
    with pytest.raises(DomainError, match="default_github_owner must"):
        upload(csv_of(GOOD), default_owner=owner)


def test_the_branch_does_not_replace_one_in_the_metadata():
    job = imported(branch="main", metadata='{"branchDetails": "develop"}')
    assert job.metadata == {"branchDetails": "develop"}


def test_a_formula_is_plain_text():
    job = imported(name='=HYPERLINK("https://x")', metadata='{"a": "=1+1"}')
    assert (job.name, job.metadata) == ('=HYPERLINK("https://x")', {"a": "=1+1"})


def test_options_of_the_schedule_are_columns():
    job = imported(
        timezone="Europe/Berlin", **{"timeout seconds": "30"}, max_attempts=" 3 ", overlap="SKIP", catch_up=""
    )
    assert (job.timezone, job.timeout_seconds, job.max_attempts, job.overlap) == ("Europe/Berlin", 30, 3, "skip")
    assert (job.catch_up, job.misfire_grace_seconds) == ("latest", 3600)


@pytest.mark.parametrize("written", ["Prod/Canary", "PROD-canary"])
def test_labels_are_found_by_slug_or_name(written):
    make_category(name="Old", is_active=False)
    assert imported(category=written, pic_team="OPS").category.slug == "prod-canary"


def test_lists_keep_the_order_of_the_file():
    upload(csv_of(*({**GOOD, "name": name} for name in "cab")))
    assert [job.name for job in Job.objects.order_by("created_at")] == ["c", "a", "b"]


# --- A bad row -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cells, error, message",
    [
        ({"dispatch url": "nonsense"}, "Invalid dispatch_url", BAD_DISPATCH_URL),
        (
            {"category": "nowhere"},
            "Invalid category",
            "Unknown category. Create it in Settings → Categories first, or choose General.",
        ),
        ({"end_date": "15.1.2026"}, "Invalid end_date", "Invalid end_date. Use YYYY-MM-DD."),
        ({"end_date": ""}, "Missing required fields", "end_date (YYYY-MM-DD) is required."),
        ({"end_date": "2026-01-14"}, "Invalid end_date", "end_date must be today or in the future (JST)."),
        ({"name": ""}, "Missing required fields", "name and cron_expression are required."),
        ({"cron": ""}, "Missing required fields", "name and cron_expression are required."),
        (
            {"cron": "* * *"},
            "Invalid cron expression",
            "Cron expression must have exactly 5 fields (minute hour day month day-of-week).",
        ),
        (
            {"cron": "0," * 60 + "0 * * * *"},
            "Invalid cron expression",
            "Cron expression must be at most 100 characters.",
        ),
        (
            {"metadata": "{'a': 1}"},
            "Invalid JSON in Request Body",
            "Not JSON at line 1, column 2: Expecting property name enclosed in double quotes.",
        ),
        ({"metadata": '{"a": NaN}'}, "Invalid JSON in Request Body", "NaN is not JSON"),
        ({"metadata": "[1]"}, "Invalid Request Body", "Request Body must be a JSON object."),
        ({"metadata": "null"}, "Invalid Request Body", "Request Body must be a JSON object."),
        (
            {"metadata": '{"a": "\\u0000"}'},
            "Invalid Request Body",
            "Text must not contain NUL or incomplete characters.",
        ),
        ({"metadata": '{"a":' * 50 + "1" + "}" * 50}, "Invalid Request Body", "JSON may be at most 24 levels deep."),
        ({"url": "hooks.example.com"}, "Invalid target_url", NEEDS_SCHEME),
        ({"url": "https://"}, "Invalid target_url", NEEDS_SCHEME),
        (
            {"url": "https://example.com/" + "p" * 500},
            "Invalid target_url",
            "target_url must be at most 500 characters.",
        ),
        ({"name": "n" * 256}, "Invalid name", "Job name must be at most 255 characters."),
        ({**WORKFLOW, "owner": "o" * 256}, "Invalid github_owner", "github_owner must be at most 255 characters."),
        (
            {**WORKFLOW, "owner": ""},
            "Missing GitHub owner",
            'Provide "github_owner" column or default_github_owner.',
        ),
        (
            {"url": "", "repo": "tool"},
            "Missing GitHub owner",
            'Provide "github_owner" column or default_github_owner.',
        ),
        ({**WORKFLOW, "workflow name": ""}, "Missing target configuration", NO_TARGET),
        ({"url": ""}, "Missing target configuration", NO_TARGET),
        ({"url": "", "owner": "acme"}, "Missing target configuration", NO_TARGET),
        (
            {"timezone": "Mars/Base"},
            "Invalid timezone",
            "Unknown time zone 'Mars/Base'. Use an IANA name such as Asia/Tokyo.",
        ),
        (
            {"timeout_seconds": "10s"},
            "Invalid timeout_seconds",
            "timeout_seconds must be a whole number from 1 to 3600.",
        ),
        ({"max_attempts": "９"}, "Invalid max_attempts", "max_attempts must be a whole number from 1 to 20."),
        ({"max_attempts": "9" * 5000}, "Invalid max_attempts", "max_attempts must be a whole number from 1 to 20."),
        ({"overlap": "both"}, "Invalid overlap", "overlap must be one of: allow, skip, queue."),
    ],
)
def test_a_bad_row_is_refused_in_the_contracts_words(cells, error, message):
    item = refused(**cells)
    item.pop("hint", None)
    first = item.pop("faults")[0]
    assert (first["error"], first["message"]) == (error, message)
    name = {**GOOD, **cells}["name"] or None
    assert item == {"row": 2, "job_name": name, "name": name, "error": error, "message": message}


@pytest.mark.parametrize(
    "written, raw, slug, message",
    [
        ("", None, None, "PIC team is required. Create one in Settings → PIC Teams."),
        ("No One!", "No One!", "no-one", "Unknown PIC team. Create it in Settings → PIC Teams first."),
        ("???", "???", None, "Unknown PIC team. Create it in Settings → PIC Teams first."),
        ("Gone", "Gone", "gone", "PIC team is disabled. Enable it in Settings → PIC Teams or choose another."),
    ],
)
def test_a_bad_team_is_shown_as_it_was_written_and_looked_for(written, raw, slug, message):
    make_team(name="Gone", is_active=False)
    item = refused(pic_team=written)
    assert (item["error"], item["message"]) == ("Invalid PIC team", message)
    assert (item["pic_team"], item["pic_team_slug"]) == (raw, slug)


ORDER = [
    ({"dispatch url": "x"}, "Invalid dispatch_url"),
    ({"category": "x"}, "Invalid category"),
    ({"end_date": "x"}, "Invalid end_date"),
    ({"pic_team": "x"}, "Invalid PIC team"),
    ({"name": ""}, "Missing required fields"),
    ({"cron": "x"}, "Invalid cron expression"),
    ({"metadata": "x"}, "Invalid JSON in Request Body"),
    ({"url": "x"}, "Invalid target_url"),
    ({"timeout_seconds": "x"}, "Invalid timeout_seconds"),
]


@pytest.mark.parametrize("place", range(len(ORDER) - 1))
def test_the_first_failure_of_the_contracts_order_is_the_rows_error(place):
    cells = {key: value for broken, _ in ORDER[place:] for key, value in broken.items()}
    assert refused(**cells)["error"] == ORDER[place][1]


def test_a_bad_target_comes_before_a_long_name():
    assert refused(url="x", name="n" * 256)["error"] == "Invalid target_url"


def test_rows_with_errors_do_not_keep_the_others_back():
    report = upload(csv_of(GOOD, {**GOOD, "name": "Bad", "cron": "x"}, {**GOOD, "name": "Third"}))
    assert [job["name"] for job in report.jobs] == ["Nightly", "Third"]
    assert [(error["row"], error["name"]) for error in report.errors] == [(3, "Bad")]
    assert (report.created, report.is_refused) == (2, False)
    assert Job.objects.count() == 2


def test_a_name_twice_in_the_file_is_an_error_even_if_the_first_row_failed_later():
    rows = [{**GOOD, "cron": "x"}, GOOD, {**GOOD, "end_date": "x"}, {**GOOD, "name": "nightly"}]
    report = upload(csv_of(*rows))
    assert [(error["row"], error["error"]) for error in report.errors] == [
        (2, "Invalid cron expression"),
        (3, "Duplicate job name in CSV"),
        (4, "Invalid end_date"),
    ]
    assert [job["name"] for job in report.jobs] == ["nightly"]


def test_a_row_that_failed_before_its_name_was_reached_does_not_take_the_name():
    report = upload(csv_of({**GOOD, "end_date": ""}, GOOD))
    assert [error["row"] for error in report.errors] == [2]
    assert report.created == 1


def test_a_row_naming_an_existing_job_is_an_error():
    make_job(name="Nightly")
    report = upload(csv_of(GOOD))
    (error,) = report.errors
    assert (error["error"], error["message"]) == ("Duplicate job name", 'A job with the name "Nightly" already exists.')
    assert report.is_refused
    assert report.body["error"] == "Bulk upload failed"
    assert report.body["message"] == "No jobs were created. Fix CSV errors and try again."


def test_a_file_without_rows_is_no_failure():
    report = upload(b"name,cron\n\n")
    assert (report.is_refused, report.body["message"], report.body["jobs"]) == (False, "Bulk upload processed", [])


# --- Only checking ---------------------------------------------------------------------------------------------------


def test_a_dry_run_shows_what_would_be_and_writes_nothing():
    report = upload(csv_of(GOOD, {**GOOD, "name": "Bad", "cron": "x"}), dry_run=True)
    assert not Job.objects.exists()
    assert report.body["message"] == "CSV validated successfully"
    assert (report.body["dry_run"], report.body["created_count"], report.body["error_count"]) == (True, 1, 1)
    assert report.jobs == [
        {
            "name": "Nightly",
            "is_active": True,
            "cron_expression": "0 2 * * *",
            "end_date": "2026-01-15",
            "pic_team": "ops",
        }
    ]


def test_a_dry_run_with_only_bad_rows_says_so():
    report = upload(csv_of({**GOOD, "cron": "x"}), dry_run=True)
    assert report.is_refused
    assert (report.body["error"], report.body["message"]) == ("CSV validation failed", "CSV validation failed")


# --- Changing what exists --------------------------------------------------------------------------------------------


def change(job, **cells):
    report = upload(csv_of({"name": job.name, **cells}), update_existing=True)
    assert report.errors == [], report.errors
    assert (report.created, report.updated) == (0, 1)
    assert report.jobs == [{"id": str(job.pk), "name": job.name, "is_active": Job.objects.get().is_active}]
    job.refresh_from_db()
    return job


def test_filled_cells_change_an_existing_job_and_blank_ones_do_not():
    job = make_job(
        category=make_category(name="Old"),
        metadata={"a": 1},
        enable_email_notifications=True,
        notification_emails=["a@example.com"],
        max_attempts=4,
    )
    before = {**Job.objects.values().get()}
    job = change(job, cron="30 4 * * *", category="", pic_team="", end_date="", metadata="", status="", url="")
    after = {**Job.objects.values().get()}
    assert {key for key, value in after.items() if (key, value) not in before.items()} == {
        "cron_expression",
        "next_fire_at",
        "revision",
        "updated_at",
    }
    assert job.next_fire_at == datetime(2026, 1, 15, 19, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "cells, field, value",
    [
        ({"status": "off"}, "is_active", False),
        ({"end_date": "2030-01-01"}, "end_date", date(2030, 1, 1)),
        ({"metadata": '{"b": 2}'}, "metadata", {"b": 2}),
        ({"branch": "main"}, "metadata", {"a": 1, "branchDetails": "main"}),
        ({"url": "https://other.example.com/"}, "target_url", "https://other.example.com/"),
        ({"dispatch url": "a/b/c"}, "github_workflow_name", "c"),
        ({"dispatch url": "a/b/c"}, "target_url", None),
        ({"max_attempts": "3"}, "max_attempts", 3),
    ],
)
def test_a_cell_changes_its_field(cells, field, value):
    assert getattr(change(make_job(metadata={"a": 1}), **cells), field) == value


@pytest.mark.parametrize(
    "cells, error",
    [
        ({"cron": "x"}, "Invalid cron expression"),
        ({"end_date": "2020-01-01"}, "Invalid end_date"),
        ({"pic_team": "x"}, "Invalid PIC team"),
        ({"url": "x"}, "Invalid target_url"),
        ({"spread_seconds": "-1"}, "Invalid spread_seconds"),
    ],
)
def test_changes_are_judged_by_the_same_rules(cells, error):
    job = make_job()
    before = Job.objects.values().get()
    report = upload(csv_of({"name": job.name, **cells}), update_existing=True)
    assert [item["error"] for item in report.errors] == [error]
    assert Job.objects.values().get() == before


def test_a_job_that_has_expired_is_not_enabled_by_a_row():
    job = make_job(end_date=date(2020, 1, 1), is_active=False)
    report = upload(csv_of({"name": job.name, "status": "active"}), update_existing=True)
    assert [item["error"] for item in report.errors] == ["Job expired"]


def test_a_row_may_not_change_somebody_elses_job(alice, bob, admin):
    job = make_job(name="Nightly", created_by=alice)
    content = csv_of({**GOOD, "cron": "5 5 * * *"})
    (error,) = upload(content, by=bob, update_existing=True).errors
    assert (error["error"], error["message"]) == ("Insufficient permissions", "You can only update your own jobs")
    for user in (alice, admin, None):
        assert upload(content, by=user, update_existing=True).updated == 1
    job.refresh_from_db()
    assert job.created_by == alice


def test_new_and_changed_jobs_come_in_file_order():
    make_job(name="b")
    report = upload(csv_of(*({**GOOD, "name": name} for name in "abc")), update_existing=True)
    assert [job["name"] for job in report.jobs] == ["a", "b", "c"]
    assert (report.created, report.updated) == (2, 1)


def test_a_dry_run_of_changes_shows_the_outcome():
    job = make_job()
    report = upload(csv_of({"name": job.name, "cron": "1 1 * * *"}), update_existing=True, dry_run=True)
    (item,) = report.jobs
    assert (item["cron_expression"], item["end_date"], item["pic_team"]) == ("1 1 * * *", "2099-12-31", "ops")
    assert Job.objects.get().cron_expression == "0 2 * * *"


# --- Many rows -------------------------------------------------------------------------------------------------------


def many(first, last):
    return ({**GOOD, "name": f"Job {number}", "cron": f"{number % 60} * * * *"} for number in range(first, last))


def test_the_number_of_queries_follows_the_batches_and_not_the_rows(django_assert_max_num_queries):
    with django_assert_max_num_queries(25):
        assert upload(csv_of(*many(0, 300))).created == 300
    with django_assert_max_num_queries(40):
        report = upload(csv_of(*many(0, 600)), update_existing=True)
    assert (report.created, report.updated) == (300, 300)
