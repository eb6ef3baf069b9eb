"""A scheduler outlives a SQLite file that is damaged, away or without its log, and goes on."""

import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from jobs.tests.scheduler.processes import Scheduler, scheduler

pytestmark = pytest.mark.slow

RECOVERY_SECONDS = 10.0


@pytest.fixture
def path(migrated_file: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(migrated_file, tmp_path / "jobs.sqlite3"))


@pytest.fixture
def leader(path: Path) -> Iterator[Scheduler]:
    with scheduler(DATABASE_URL=f"sqlite:///{path}") as process:
        process.wait_for("leads (fence 1)")
        yield process


def renewals(path: Path) -> int:
    """Return a number that each renewal of the lease changes, -1 while it cannot be read."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(path, timeout=1)) as database:
        rows = database.execute("SELECT seq + 1000 * fence FROM scheduler_lease").fetchall()
        return int(rows[0][0]) if rows else -1
    return -1


def seconds_until_led(path: Path, before: int) -> float:
    """Return how long it takes until the lease is renewed again."""
    began = time.monotonic()
    while renewals(path) in {-1, before}:
        assert time.monotonic() - began < 60
        time.sleep(0.1)
    return time.monotonic() - began


def end(process: Scheduler) -> None:
    process.signal(signal.SIGTERM)
    assert process.wait() == 0
    assert "Traceback" not in process.said


@pytest.mark.minute
@pytest.mark.parametrize("instead", [b"this is a letter, not a database\n" * 1000, None], ids=["damaged", "away"])
def test_a_file_that_was_replaced_is_waited_for(leader, path, instead):
    aside = path.with_name("aside")
    before = renewals(path)
    for suffix in ("", "-wal", "-shm"):
        os.rename(f"{path}{suffix}", f"{aside}{suffix}")
    if instead is not None:
        path.write_bytes(instead)
    leader.wait_for("the database cannot be used")
    leader.wait_for("The lease could not be renewed in time")
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.replace(f"{aside}{suffix}", f"{path}{suffix}")
    assert seconds_until_led(path, before) < RECOVERY_SECONDS
    end(leader)


def test_a_log_that_was_deleted_keeps_nobody_from_leading(leader, path):
    """Nor does a row of the lease that was only in there."""
    before = renewals(path)
    os.unlink(f"{path}-wal")
    assert seconds_until_led(path, before) < 3 * RECOVERY_SECONDS
    end(leader)
