"""Servers of a test's own, which it may stop; and the service on them."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cronsched.tests.processes import manage
from jobs.tests.chaos.conftest import template as template
from jobs.tests.chaos.databases import Postgresql, absent
from jobs.tests.chaos.run import settings_of


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Postgresql]:
    """A private PostgreSQL with the tables and an administrator, running at the beginning of each test."""
    if reason := absent("postgres"):
        pytest.skip(reason)
    server = Postgresql()
    try:
        environment = settings_of(server, server.folder, datetime.now(UTC))
        manage("migrate", "--verbosity", "0", **environment)
        manage("create_first_admin", **environment)
        yield server
    finally:
        server.remove()


@pytest.fixture
def environment(postgresql: Postgresql, tmp_path: Path) -> dict[str, str]:
    return settings_of(postgresql, tmp_path, datetime.now(UTC))
