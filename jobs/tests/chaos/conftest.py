"""What runs of the harness share."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobs.tests.chaos.databases import Sqlite
from jobs.tests.chaos.run import Plan, prepare, settings_of


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a migrated SQLite file with an administrator in it."""
    folder = tmp_path_factory.mktemp("chaos")
    database = Sqlite(folder)
    prepare(Plan(seed=0), database, settings_of(database, folder, datetime.now(UTC)))
    # All of it is in the one file: the last connection to close has emptied the write-ahead log.
    assert not database.path.with_name(f"{database.path.name}-wal").exists()
    return database.path
