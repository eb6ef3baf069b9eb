"""Every command says in one line that it cannot be understood or that its database cannot be used."""

import os
import subprocess
import sys

import pytest

from cronsched.tests.processes import ROOT

COMMANDS = [
    ["run_job", "x"],
    ["why", "x"],
    ["hand_over", "x", "--to", "y"],
    ["create_api_token", "x", "--name", "y", "--scope", "read"],
    ["create_first_admin"],
    ["reset_second_factor", "x"],
    ["rotate_secrets"],
    ["export_jobs"],
    ["mark_restored"],
    ["purge_executions", "--older-than", "5"],
]


def ended(arguments, **environment):
    command = [sys.executable, "manage.py", *arguments]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True)
    return done.returncode, done.stderr.decode()


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: arguments[0])
def test_without_tables_a_command_says_what_to_do(arguments, tmp_path):
    code, told = ended(arguments, DATABASE_URL=f"sqlite:///{tmp_path}/empty.sqlite3", ALLOW_DEFAULT_ADMIN="true")
    assert code == 2
    (line,) = [line for line in told.splitlines() if line.strip()]
    assert line.startswith("CommandError: The database cannot be used: no such table")
    assert line.endswith("Run: python manage.py migrate")


def test_an_argument_that_is_no_text_is_refused(tmp_path):
    code, told = ended([b"run_job", b"\xff"], DATABASE_URL=f"sqlite:///{tmp_path}/empty.sqlite3")
    assert (code, told) == (2, "CommandError: The argument '\\udcff' is not UTF-8.\n")
