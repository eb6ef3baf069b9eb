"""What runs of the harness share."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cronsched.tests.fixtures import made_once
from cronsched.tests.processes import manage
from jobs.tests.chaos.databases import Sqlite
from jobs.tests.chaos.run import settings_of


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, migrated_file: Path) -> Path:
    """Return a migrated SQLite file with an administrator in it."""

    def create(path: Path) -> None:
        shutil.copy(migrated_file, path)
        settings = settings_of(Sqlite(path.parent), path.parent, datetime.now(UTC))
        manage("create_first_admin", **{**settings, "DATABASE_URL": f"sqlite:///{path}"})

    return made_once(tmp_path_factory, "chaos", create)
