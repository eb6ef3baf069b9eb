"""The runbook (docs/moving-in.md): every command as printed, one after the other, on a database that has something of
everything the page speaks of.
"""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import pytest
import requests
from django.db import connection

from cronsched.tests.processes import ROOT, web_process
from jobs.importing.legacy.definitions import BATCH_ID
from jobs.tests.importing.legacy import older
from jobs.tests.importing.legacy.older import LATER, OlderDatabase

pytestmark = pytest.mark.timeout(600)

PAGE = ROOT / "docs/moving-in.md"
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
SERVER_COMMANDS = ("mysql ", "mysqldump ")
CRONTAB = "#!/bin/sh\necho '# Nightly'\necho '0 3 * * * curl -fsS https://hooks.example.com/nightly'\n"
# Debian's package of the server's library does not bring the shell.
SQLITE_SHELL = (
    "#!{python}\nimport sqlite3, sys\nfile, command = sys.argv[1:]\n"
    "sqlite3.connect(file).backup(sqlite3.connect(command.split()[1]))\n"
)


class Expected(NamedTuple):
    """How a command of the page begins, how it ends, and words that it prints."""

    begins: str
    code: int = 0
    prints: str = ""


IMPORT = ".venv/bin/python manage.py import_legacy"
COMPARE = ".venv/bin/python manage.py compare_legacy"
MIGRATE = Expected(".venv/bin/python manage.py migrate")
RUNBOOK = (
    Expected("sqlite3 older.db"),
    Expected("mysql "),
    Expected("mysqldump "),
    Expected("export DATABASE_URL=sqlite:///rehearsal.sqlite3"),
    MIGRATE,
    Expected(IMPORT, 2, "2 of 4 jobs change day"),
    # Of the execution that belongs to no job.
    Expected(IMPORT, 1, "Rows left out: 1."),
    # The job whose day of the month and weekday both had to match.
    Expected(COMPARE, 1, "Both days"),
    Expected("export DATABASE_URL=sqlite:///cronsched.sqlite3"),
    MIGRATE,
    Expected(IMPORT, 1, f"paused under the batch_id {BATCH_ID}"),
    Expected(COMPARE, 1, "Both days"),
    Expected(".venv/bin/python manage.py resume_jobs", 0, "3"),
    Expected(".venv/bin/python manage.py export_jobs"),
    Expected("crontab -l"),
    Expected(".venv/bin/python manage.py import_crontab", 0, "Nightly"),
)


def commands() -> list[str]:
    """Return the commands of the page, each on one line."""
    blocks = "".join(BLOCK.findall(PAGE.read_text())).replace("\\\n", " ")
    return [re.sub(" +", " ", line) for line in blocks.splitlines() if line.strip()]


def fill(there: OlderDatabase) -> None:
    there.label("pic_teams", "ops")
    ann = there.user("ann", role="admin")
    jobs = [
        there.job(name="Wednesday", cron_expression="0 9 * * 2", created_by=str(ann)),
        there.job(name="Both days", cron_expression="0 6 1-28 * 0"),
        there.job(name="No team", pic_team=None, end_date=None),
        there.job(name="Daily"),
    ]
    for number, job in enumerate(jobs):
        there.execution(job, started_at=LATER + timedelta(days=number))
    there.execution(UUID(int=7))
    there.notice([ann])


@pytest.fixture
def folder(tmp_path: Path, migrated_file: Path) -> Path:
    """A place where the page's paths lead to the project, and its files to nothing of it."""
    (tmp_path / "manage.py").symlink_to(ROOT / "manage.py")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    for name in ("rehearsal", "cronsched"):
        # What `migrate` makes of an empty file takes long, and is tried elsewhere.
        shutil.copy(migrated_file, tmp_path / f"{name}.sqlite3")
    programs = tmp_path / "bin"
    programs.mkdir()
    _program(programs / "crontab", CRONTAB)
    if not shutil.which("sqlite3"):
        _program(programs / "sqlite3", SQLITE_SHELL.format(python=sys.executable))
    return tmp_path


def _program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


class Operator:
    """Types what the page says. `replaced` are what names of the page stand for here."""

    def __init__(self, folder: Path, replaced: dict[str, str]) -> None:
        self.folder, self.replaced = folder, replaced
        path = f"{folder}/bin:{os.environ['PATH']}"
        self.environment = {**os.environ, "PATH": path, "COLUMNS": "200"}

    def types(self, line: str, expected: Expected) -> None:
        assert line.startswith(expected.begins)
        for there, here in self.replaced.items():
            line = line.replace(there, here)
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").partition("=")
            self.environment[name] = value
            return
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        printed = done.stdout + done.stderr
        assert done.returncode == expected.code, f"{line}\n{printed}"
        assert expected.prints in printed, line


def follow(operator: Operator, *, without: tuple[str, ...] = ()) -> None:
    lines = commands()
    assert len(lines) == len(RUNBOOK)
    for line, expected in zip(lines, RUNBOOK, strict=True):
        if not line.startswith(without):
            operator.types(line, expected)


def look(folder: Path) -> None:
    """See that what has been moved in is there, in files and when served."""
    with closing(sqlite3.connect(folder / "cronsched.sqlite3")) as raw:
        states = dict(raw.execute("SELECT name, is_active FROM jobs"))
    assert states == {"Wednesday": 1, "Both days": 0, "No team": 1, "Daily": 1}
    assert (folder / "report.csv").read_text().startswith("table,id,name,decision,detail\n")
    assert len((folder / "jobs.csv").read_text().splitlines()) == 5
    assert "Nightly" not in states


@pytest.mark.slow
def test_every_command_of_the_page_runs_as_printed(folder: Path) -> None:
    with older.in_file(folder) as there:
        fill(there)
    before = (folder / "older.db").read_bytes()
    follow(Operator(folder, {}), without=SERVER_COMMANDS)
    look(folder)
    assert (folder / "older.db").read_bytes() == before


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "mysql", reason="is about a server of MariaDB")
@pytest.mark.skipif(not shutil.which("mysqldump"), reason="the server's own programs are missing")
def test_every_command_of_the_page_runs_on_a_server(folder: Path) -> None:
    told = connection.settings_dict
    with older.on_server() as there:
        fill(there)
        name = there.url.rpartition("/")[2]
        copy = f"{name}_copy"
        place = f"-h {told['HOST']} -P {told['PORT'] or 3306} -u {told['USER']}"
        replaced = {
            "-h 127.0.0.1 -u root": place,
            "DATABASE copy": f"DATABASE {copy}",
            "--single-transaction older": f"--single-transaction {name}",
            f"{place} copy": f"{place} {copy}",
            "sqlite:///copy.db": f"{there.url}_copy",
        }
        operator = Operator(folder, replaced)
        operator.environment["MYSQL_PWD"] = told["PASSWORD"]
        try:
            follow(operator, without=("sqlite3 ",))
        finally:
            there.execute(f"DROP DATABASE IF EXISTS {copy}")
    look(folder)


def test_the_addresses_that_the_page_names_answer(folder: Path, first_file: Path) -> None:
    """Those to look at after the move; that nobody is signed in does not keep a path from being there."""
    shutil.copy(first_file, folder / "cronsched.sqlite3")
    asked = re.findall(r"`GET (/\S+)`", PAGE.read_text())
    assert len(asked) >= 2
    with web_process(folder / "web.log", DATABASE_URL=f"sqlite:///{folder}/cronsched.sqlite3") as address:
        for path in asked:
            assert requests.get(address + path, timeout=30).status_code in {200, 401}, path
