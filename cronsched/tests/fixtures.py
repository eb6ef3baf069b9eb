"""Databases for real processes: what takes seconds to make is made once for all processes of a run."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cronsched.tests.processes import manage

ADMIN_PASSWORD = "a-password-for-this-test"


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Return the file that `make` has written; the first of the test run's processes makes it."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    folder.mkdir(exist_ok=True)
    path, draft = folder / "cronsched.sqlite3", folder / "draft.sqlite3"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            draft.unlink(missing_ok=True)
            make(draft)
            # All of it is in the one file: the last connection to close has emptied the write-ahead log.
            assert not draft.with_name(f"{draft.name}-wal").exists()
            draft.rename(path)
    return path


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an SQLite file as `migrate` leaves it. To be copied."""

    def migrate(path: Path) -> None:
        manage("migrate", "--verbosity", "0", DATABASE_URL=f"sqlite:///{path}")

    return made_once(tmp_path_factory, "migrated", migrate)


@pytest.fixture(scope="session")
def first_file(tmp_path_factory: pytest.TempPathFactory, migrated_file: Path) -> Path:
    """Return an SQLite file as a first start finds it: with the administrator `admin` as well. To be copied."""

    def create(path: Path) -> None:
        path.write_bytes(migrated_file.read_bytes())
        manage("create_first_admin", DATABASE_URL=f"sqlite:///{path}", DEFAULT_ADMIN_PASSWORD=ADMIN_PASSWORD)

    return made_once(tmp_path_factory, "first", create)
