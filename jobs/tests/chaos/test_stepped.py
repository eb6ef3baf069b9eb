"""A clock that steps for those who ask for the time, and for nothing else."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cronsched.tests.processes import ROOT
from jobs.tests.chaos.processes import clean_environment
from jobs.tests.chaos.stepped import Offset, step, stepped_datetime

HOURS = timedelta(hours=2)


def test_the_stand_in_differs_from_datetime_by_its_now_alone(tmp_path: Path):
    step(tmp_path / "clock", HOURS.total_seconds())
    stand_in = stepped_datetime(Offset(tmp_path / "clock"))
    ahead = stand_in.now(UTC) - datetime.now(UTC)
    assert abs(ahead - HOURS) < timedelta(seconds=5)
    assert isinstance(datetime.now(UTC), stand_in)
    made = [stand_in.now(UTC), stand_in(2026, 3, 4, tzinfo=UTC), stand_in.fromisoformat("2026-03-04T10:00:00+00:00")]
    assert {type(moment) for moment in made} == {datetime}


def test_a_command_sees_the_clock_of_its_host(tmp_path: Path, migrated_file: Path):
    """What is printed comes from the service's own clock, and from `time.time`."""
    step(tmp_path / "clock", -HOURS.total_seconds())
    code = (
        "import time; from datetime import UTC, datetime; from cronsched.lib.clock import DatabaseClock;"
        "now = datetime.now(UTC);"
        "print((DatabaseClock().now() - now).total_seconds(), time.time() - now.timestamp())"
    )
    settings = {"DEBUG": "true", "SECRET_KEY": "x", "DATABASE_URL": f"sqlite:///{migrated_file}"}
    command = [sys.executable, "-m", "jobs.tests.chaos.stepped", str(tmp_path / "clock"), "shell", "--no-imports"]
    done = subprocess.run(
        [*command, "-v0", "-c", code],
        cwd=ROOT,
        env=clean_environment(tmp_path, **settings),
        capture_output=True,
        text=True,
        check=True,
    )
    shown = [float(number) for number in done.stdout.split()]
    assert all(abs(seconds + HOURS.total_seconds()) < 5 for seconds in shown), done.stdout
