"""What the commands say before they begin: the wrong database, missing tables, missing files."""

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from cronsched import startup
from cronsched.lib.config.env import BadSetting
from cronsched.lib.db import older_service
from cronsched.tests.processes import ROOT, free_port

pytestmark = pytest.mark.slow

REFUSAL = f"Configuration error: DATABASE_URL: {older_service.REFUSAL}\n"
COMMANDS = [
    ("preflight", "--port"),
    ("migrate",),
    ("runscheduler",),
    ("runscheduler", "--once"),
    ("serve",),
    ("create_first_admin",),
]


def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    arguments = (*arguments, str(free_port())) if arguments[-1] == "--port" else arguments
    settings = {**os.environ, "ENV_FILE": os.devnull, "DEBUG": "true", "PORT": str(free_port()), **environment}
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.Popen(command, cwd=ROOT, env=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def older_file(tmp_path: Path) -> Path:
    path = tmp_path / "older.sqlite3"
    with closing(sqlite3.connect(path)) as database:
        for table in ("users", "jobs", "job_executions", "notifications"):
            database.execute(f"CREATE TABLE {table} (id VARCHAR(36) PRIMARY KEY)")
        database.commit()
    return path


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_the_older_services_file_is_refused_and_left_as_it_is(arguments, older_file):
    before = older_file.read_bytes()
    process = start(*arguments, DATABASE_URL=f"sqlite:///{older_file}")
    said, complaint = process.communicate(timeout=60)
    assert (process.returncode, said, complaint) == (1, "", REFUSAL)
    assert older_file.read_bytes() == before
    assert [path.name for path in older_file.parent.iterdir()] == [older_file.name]


@pytest.mark.database
@pytest.mark.django_db
def test_a_servers_database_with_the_older_tables_alone_is_refused(monkeypatch):
    tables = {"users", "jobs", "job_executions"}
    monkeypatch.setattr(connection.introspection, "table_names", lambda cursor=None: sorted(tables))
    for look in (lambda: older_service.refuse(connection), lambda: call_command("check", databases=["default"])):
        with pytest.raises(BadSetting, match="import_legacy"):
            look()
    tables.add("django_migrations")
    older_service.refuse(connection)


@pytest.mark.database
@pytest.mark.django_db
def test_our_own_database_is_taken():
    older_service.refuse(connection)


def test_a_scheduler_without_tables_names_the_command_and_begins_when_they_are_there(tmp_path):
    url = f"sqlite:///{tmp_path}/new.sqlite3"
    process = start("runscheduler", DATABASE_URL=url)
    assert process.stderr is not None
    with process:
        try:
            lines = iter(process.stderr)
            assert any("Run: python manage.py migrate" in line for line in lines)
            migrated = start("migrate", "--verbosity", "0", DATABASE_URL=url)
            assert migrated.communicate(timeout=60)[1] == ""
            told = ""
            while "leads (fence 1)" not in told:
                told += next(lines)
            assert "Traceback" not in told
        finally:
            process.send_signal(signal.SIGTERM)
            process.stderr.read()
    assert process.returncode == 0


def test_one_pass_without_tables_names_the_command(tmp_path):
    process = start("runscheduler", "--once", DATABASE_URL=f"sqlite:///{tmp_path}/new.sqlite3")
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in complaint
    assert complaint.splitlines()[-1].endswith("Run: python manage.py migrate")


@pytest.mark.parametrize("debug, collected, told", [(False, False, True), (False, True, False), (True, False, False)])
def test_files_that_were_not_collected_are_named_with_the_command(tmp_path, caplog, debug, collected, told):
    if collected:
        (tmp_path / "console.css").touch()
    with override_settings(DEBUG=debug, STATIC_ROOT=tmp_path):
        startup.look_for_static_files()
    assert ("collectstatic" in caplog.text) is told


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
def test_what_is_looked_at_before_processes_are_forked_opens_no_connection_that_they_would_share():
    connection.close()
    with CaptureQueriesContext(connection) as captured:
        connection.close()
        startup.look()
        assert connection.connection is None
    assert captured.captured_queries == []
