"""An older database where the tests' own database stands: in a file, or on the same MariaDB server."""

import json
from collections.abc import Iterator
from io import StringIO
from typing import Any, NamedTuple

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from jobs.tests.importing.legacy import older
from jobs.tests.importing.legacy.older import OlderDatabase


@pytest.fixture
def there(tmp_path: Any, db: None) -> Iterator[OlderDatabase]:
    """A database of the older service with one team."""
    with older.on_server() if connection.vendor == "mysql" else older.in_file(tmp_path) as database:
        database.label("pic_teams", "ops")
        yield database


class Ran(NamedTuple):
    """What a command printed and how it ended."""

    code: int
    out: str
    complaint: str

    @property
    def report(self) -> dict[str, Any]:
        return dict(json.loads(self.out))

    def table(self, name: str) -> tuple[int, int, int, int]:
        """Return how many rows were read, imported, here already and left out."""
        return tuple(self.report["tables"][name].values())

    def decisions(self, table: str) -> dict[str, int]:
        return {item["decision"]: item["count"] for item in self.report["decisions"] if item["table"] == table}

    def details(self, decision: str) -> list[str]:
        return [item["detail"] for item in self.report["findings"] if item["decision"] == decision]


def run(command: str, *args: object) -> Ran:
    out = StringIO()
    try:
        call_command(command, *map(str, args), stdout=out)
    except CommandError as error:
        return Ran(error.returncode, out.getvalue(), str(error))
    return Ran(0, out.getvalue(), "")
