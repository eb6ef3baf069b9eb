"""Refuses the database of the service that this one replaces: nothing may be written into it.

Its tables bear the names of ours. What ours has from its first second on is Django's list of migrations.
"""

import sqlite3
from collections.abc import Collection
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from django.db.backends.base.base import BaseDatabaseWrapper

from cronsched.lib.config.env import BadSetting

ITS_TABLES = frozenset({"users", "jobs", "job_executions"})
OUR_TABLE = "django_migrations"
REFUSAL = "names the database of the older service. Choose a new one, then: python manage.py import_legacy URL"


def refuse(connection: BaseDatabaseWrapper) -> None:
    """End the process with one line where `connection` leads to the older service's database. Raises its errors."""
    with connection.cursor() as cursor:
        _refuse(connection.introspection.table_names(cursor))


def refuse_file(path: Path) -> None:
    """End the process with one line where `path` is the older service's file, before anything is written into it.

    Opening it as ours would turn its journal into a write-ahead log. A file that cannot be read is not refused here.
    """
    if not path.is_file():
        return
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=1)) as database:
            rows = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    except sqlite3.Error:
        return
    _refuse([name for (name,) in rows])


def _refuse(tables: Collection[str]) -> None:
    if ITS_TABLES <= set(tables) and OUR_TABLE not in tables:
        raise BadSetting("DATABASE_URL", REFUSAL)
