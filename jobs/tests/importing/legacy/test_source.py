"""Databases that cannot be imported as a whole: one clear line, exit code 2, and nothing written on either side."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from uuid import uuid4

import pytest
from django.db import connection, connections

from accounts.models import User
from jobs.importing.legacy import source
from jobs.importing.legacy.source import ALIAS, Unusable, opened
from jobs.importing.legacy.tables import LegacyUser
from jobs.models import Job, JobExecution
from jobs.tests.importing.legacy import older
from jobs.tests.importing.legacy.conftest import run
from taxonomy.models import PicTeam

pytestmark = pytest.mark.django_db


def refused(url, *args):
    """Return the line that refuses the import, having seen that nothing was written."""
    ran = run("import_legacy", url, *args)
    assert ran.code == 2
    assert "\n" not in ran.complaint
    assert not User.objects.exists()
    assert not Job.objects.exists()
    assert not PicTeam.objects.exists()
    assert ALIAS not in connections.settings
    return ran.complaint


@pytest.fixture
def file(tmp_path):
    with older.in_file(tmp_path) as database:
        database.user("ann")
        database.job()
        yield database


def test_a_file_that_is_not_there(tmp_path):
    assert refused(f"sqlite:///{tmp_path}/none.db").startswith("There is no file ")
    assert not (tmp_path / "none.db").exists()


def test_a_file_that_is_no_database(tmp_path):
    (tmp_path / "text.db").write_text("id,name\n" * 1000)
    assert refused(f"sqlite:///{tmp_path}/text.db") == "The file is no SQLite database."


def test_a_file_that_is_only_half_written(tmp_path, file):
    for number in range(200):
        file.job(name=f"Filler {number}")
    half = tmp_path / "half.db"
    content = file.path.read_bytes()
    half.write_bytes(content[: len(content) // 2])
    assert "half written" in refused(f"sqlite:///{half}")


def test_a_database_of_this_service(tmp_path, file):
    file.execute("CREATE TABLE django_migrations (id INTEGER)")
    assert refused(file.url) == "This is a database of this service, not of the older one."


def test_another_database(tmp_path):
    with closing(sqlite3.connect(tmp_path / "other.db")) as raw:
        raw.execute("CREATE TABLE users (id INTEGER)")
    assert refused(f"sqlite:///{tmp_path}/other.db").endswith("it has no table jobs, job_executions.")


def test_a_version_without_an_essential_column(file):
    file.execute("ALTER TABLE users DROP COLUMN password_hash")
    assert refused(file.url).endswith("users has no column password_hash.")


def test_a_version_with_other_columns_comes_in_and_says_so(file):
    file.execute("ALTER TABLE jobs ADD COLUMN priority INTEGER")
    file.execute("ALTER TABLE jobs DROP COLUMN notify_on_success")
    file.execute("DROP TABLE user_ui_preferences")
    ran = run("import_legacy", file.url, "--json")
    assert (ran.code, Job.objects.get().notify_on_success) == (0, False)
    assert ran.report["remarks"] == [
        "There is no table user_ui_preferences: it counts as empty.",
        "jobs has no column notify_on_success: it counts as empty.",
        "jobs.priority means nothing here and is ignored.",
    ]


def test_a_locked_file(file, monkeypatch):
    monkeypatch.setattr(source, "LOCK_SECONDS", 0.1)
    file.raw.isolation_level = None
    file.raw.execute("BEGIN EXCLUSIVE")
    assert refused(file.url).startswith("The database is locked: stop the older service")


@pytest.mark.parametrize("url", ["postgresql://u:secret@127.0.0.1/x", "nonsense", "mysql://u:secret@[/x"])
def test_an_address_of_another_kind(url):
    assert "secret" not in refused(url)


@pytest.mark.parametrize(
    "args, told",
    [
        (("--batch", "0"), "--batch must be from 1 to 10000."),
        (("--since", "yesterday"), "--since must be YYYY-MM-DD."),
        (("--since", "2025-02-30"), "--since must be YYYY-MM-DD."),
        (("--default-end-date", "2020-01-01"), "--default-end-date must be today or in the future."),
        (("--report", "/nowhere/at/all.csv"), "--report: /nowhere/at/all.csv cannot be written: "),
    ],
)
def test_a_bad_option(file, args, told):
    assert refused(file.url, *args).startswith(told)


@pytest.mark.database
def test_a_server_refuses_a_wrong_password_or_name(there):
    if connection.vendor != "mysql":
        # Nothing listens there.
        assert refused("mysql://root:secret@127.0.0.1:1/older") == "The server cannot be reached."
        return
    place = there.url.rpartition("@")[2]
    assert refused(f"mysql://nobody:secret@{place}") == "The server refuses the user name or the password."
    with pytest.raises(Unusable, match="no database of this name"), opened(f"{there.url}_not_there"):
        pass


@pytest.mark.database
def test_nothing_can_be_written_into_it(there):
    there.user("ann")
    with (
        opened(there.url) as opened_source,
        pytest.raises(Exception, match=r"read.?only|READ ONLY"),
        opened_source.connection.cursor() as cursor,
    ):
        cursor.execute("DELETE FROM users")
    with opened(there.url) as opened_source:
        assert opened_source.count(LegacyUser) == 1


def test_the_file_is_left_as_it_is(file):
    before = file.path.read_bytes()
    assert run("import_legacy", file.url).code == 0
    assert run("compare_legacy", file.url).code == 0
    assert file.path.read_bytes() == before
    assert [path.name for path in file.path.parent.iterdir() if path.name.startswith("older")] == [file.path.name]


def test_what_only_sqlite_lets_in_is_read_all_the_same(file):
    """Dates in other formats, NUL, bytes that are no UTF-8, a text cut in the middle of a character."""
    odd = [
        file.job(name="slashes", end_date="2099/12/31", created_at="2025-01-01T08:00:00Z"),
        file.job(name="seconds", created_at=1735718400, metadata="null"),
        file.job(name="NUL\x00 inside", metadata='{"text": "a\\u0000b"}'),
        file.job(name=b"caf\xc3", metadata='{"cut": "'),
        file.job(name="number", end_date="31.12.2099"),
    ]
    file.execute("UPDATE users SET created_at = 'Wed, 01 Jan 2025 08:00:00 GMT'")
    file.execution(odd[0], started_at="the other day", completed_at=None)
    file.execution(odd[0], started_at="2025/06/02 12:00:00", duration_seconds="NaN", response_status="99999999999")
    ran = run("import_legacy", file.url, "--default-end-date", "2098-01-01", "--json")
    assert ran.code == 1
    jobs = Job.objects.in_bulk(odd)
    assert [jobs[key].name for key in odd] == ["slashes", "seconds", "NUL inside", "caf\ufffd", "number"]
    assert {str(jobs[key].created_at) for key in odd} == {"2025-01-01 08:00:00+00:00"}
    assert [str(jobs[key].end_date) for key in odd] == [*["2099-12-31"] * 4, "2098-01-01"]
    assert [jobs[key].metadata for key in odd[1:4]] == [{}, {"text": "ab"}, {}]
    assert str(User.objects.get().created_at) == "2025-01-01 08:00:00+00:00"
    run_ = JobExecution.objects.get()
    assert (str(run_.started_at), run_.duration_seconds, run_.response_status) == (
        "2025-06-02 12:00:00+00:00",
        10.0,
        None,
    )
    assert ran.decisions("job_executions") == {"Its start time cannot be read.": 1}


@pytest.mark.database
def test_emoji_travel_and_ids_that_are_no_uuid_get_one(there: older.OlderDatabase):
    there.job(id="42", name="Café 🚀")
    there.insert("job_executions", [{**older.execution_row(uuid4(), "42"), "id": "7"}])  # type: ignore[arg-type]
    for _ in range(2):
        assert run("import_legacy", there.url).code == 0
    assert Job.objects.get().name == "Café 🚀"
    assert JobExecution.objects.get().job == Job.objects.get()


HOT = """
import os, sqlite3, sys
raw = sqlite3.connect(sys.argv[1], isolation_level=None)
raw.execute("PRAGMA cache_size=1")
raw.execute("BEGIN IMMEDIATE")
raw.execute("UPDATE jobs SET metadata = hex(zeroblob(20000))")
# Dies like a machine whose power is gone: the journal stays.
os._exit(0)
"""


def test_a_file_left_in_the_middle_of_a_write(file):
    for number in range(20):
        file.job(name=f"Filler {number}")
    subprocess.run([sys.executable, "-c", HOT, str(file.path)], check=True)
    journal = file.path.with_name(f"{file.path.name}-journal")
    assert journal.stat().st_size
    assert refused(file.url).startswith("The file was left in the middle of a write.")
    assert journal.stat().st_size


def test_what_a_running_service_has_committed_is_read(file):
    """In SQLite's other mode what was written last stands in a file beside, and the writer is at work."""
    file.raw.execute("PRAGMA journal_mode=WAL")
    late = file.job(name="Late")
    file.raw.isolation_level = None
    file.raw.execute("BEGIN IMMEDIATE")
    file.raw.execute("DELETE FROM jobs")
    assert run("import_legacy", file.url, "--default-team", "").code == 0
    assert Job.objects.filter(pk=late).exists()
    file.raw.execute("ROLLBACK")


@pytest.mark.database
@pytest.mark.skipif(connection.vendor != "mysql", reason="SQLite has no such character set")
def test_what_mysqls_utf8_has_cut_and_dates_of_nothing(there: older.OlderDatabase):
    for table in ("jobs", "job_executions"):
        there.execute(f"ALTER TABLE {table} CONVERT TO CHARACTER SET utf8mb3")
    key = there.job(name="Deploy 🚀 now", metadata='{"note": "🚀 go"}', end_date="0000-00-00")
    there.execution(key, completed_at="0000-00-00 00:00:00", output="done 🚀")
    there.execution(key, started_at="0000-00-00 00:00:00", completed_at=None)
    ran = run("import_legacy", there.url, "--default-end-date", "2099-01-01", "--json")
    assert ran.decisions("job_executions") == {"Its start time cannot be read.": 1}
    job = Job.objects.get(pk=key)
    assert job.name.startswith("Deploy")
    assert "🚀" not in job.name
    assert str(job.end_date) == "2099-01-01"
    assert JobExecution.objects.get().output.startswith("done")
    # Whatever of it was left: readable, or listed and blank.
    assert job.metadata == {} or "note" in job.metadata
