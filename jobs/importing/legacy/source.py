"""Open the database of the older service without being able to write into it, and read its tables row by row."""

import re
import sqlite3
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import environ
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from cronsched.lib.config.env import BadSetting
from cronsched.lib.db import databases, older_service
from cronsched.lib.errors import DomainError
from jobs.importing.legacy import values
from jobs.importing.legacy.tables import TABLES, LegacyExecution, LegacyTable

ALIAS = "legacy"
# How long a lock of another process is waited for, and a server for the next row to be asked for.
LOCK_SECONDS = 5
READ_SECONDS = 600
# Rows that are asked for at once.
CHUNK = 2000
SQLITE_URL = re.compile(r"sqlite(?:\+\w+)?:///(?P<path>[^?]+)")

Row = Mapping[str, Any]


class Unusable(DomainError):
    """The older database cannot be imported as a whole. Nothing has been written."""

    def __init__(self, reason: str) -> None:
        super().__init__("Unusable database", reason)


@dataclass(frozen=True)
class LegacySource:
    """An open database of the older service. `columns` are those of each table that are there and mean something."""

    connection: BaseDatabaseWrapper
    columns: Mapping[type[LegacyTable], tuple[str, ...]]
    # Notes on the database as a whole: tables and columns that are missing, or mean nothing here.
    remarks: tuple[str, ...] = field(default=())

    def rows(self, table: type[LegacyTable], *order: str) -> Iterator[Row]:
        """Yield the rows of a table, one chunk of them in memory at a time. A missing column reads as None."""
        if table not in self.columns:
            return
        missing = dict.fromkeys(set(_names(table)) - set(self.columns[table]))
        found = table._default_manager.using(ALIAS).order_by(*(order or ("id",))).values(*self.columns[table])
        with _reading():
            for row in found.iterator(chunk_size=CHUNK):
                yield {**missing, **row}

    def count(self, table: type[LegacyTable]) -> int:
        if table not in self.columns:
            return 0
        with _reading():
            return table._default_manager.using(ALIAS).count()

    def last_fired_at(self) -> datetime | None:
        """Return when the older scheduler last started an execution by itself."""
        fired = LegacyExecution._default_manager.using(ALIAS)
        if "trigger_type" in self.columns[LegacyExecution]:
            fired = fired.filter(trigger_type="scheduled")
        # Not `max`: dates in other formats sort anywhere.
        newest = fired.order_by("-started_at").values_list("started_at", flat=True)[:100]
        with _reading():
            return max((moment for text in newest if (moment := values.instant(text))), default=None)


@contextmanager
def opened(url: str) -> Iterator[LegacySource]:
    """Open the database of `url` read-only. Raises `Unusable` with one line, also for what is found while reading."""
    connections.settings[ALIAS] = _configured(url)
    try:
        with _reading():
            connection = connections[ALIAS]
            _connect(connection)
            source = _described(connection)
        yield source
    finally:
        _close()


@contextmanager
def _reading() -> Iterator[None]:
    """Turn errors of the older database into `Unusable`; those of this service's own database pass."""
    try:
        yield
    except (DatabaseError, InterfaceError) as error:
        raise Unusable(_worded(error)) from error


def _close() -> None:
    if hasattr(connections._connections, ALIAS):  # type: ignore[attr-defined]  # not in the stubs
        connections[ALIAS].close()
        del connections[ALIAS]
    connections.settings.pop(ALIAS, None)


# --- How to reach it -------------------------------------------------------------------------------------------------


def _configured(url: str) -> dict[str, Any]:
    config = _sqlite(url) if url.startswith("sqlite") else _server(url)
    both = {DEFAULT_DB_ALIAS: connections.settings[DEFAULT_DB_ALIAS], ALIAS: config}
    return dict(connections.configure_settings(both)[ALIAS])


def _sqlite(url: str) -> dict[str, Any]:
    found = SQLITE_URL.fullmatch(url)
    path = Path(found["path"]) if found else None
    if path is None or not path.is_file():
        raise Unusable(f"There is no file {path or url}. The address of a file is sqlite:///folder/file.db.")
    _refuse_foreign_file(path)
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": f"file:{quote(str(path.absolute()))}?mode=ro",
        # Values as they are stored: Django's own conversion makes nothing of a date in another format.
        "OPTIONS": {"timeout": LOCK_SECONDS, "detect_types": 0},
    }


def _refuse_foreign_file(path: Path) -> None:
    """Look at the file before Django does, which would word its findings for programmers."""
    try:
        with closing(
            sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True, timeout=LOCK_SECONDS)
        ) as raw:
            (found,) = raw.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        raise Unusable(_worded(error)) from None
    if found != "ok":
        raise Unusable(f"The file is damaged or only half written: {found}")


def _server(url: str) -> dict[str, Any]:
    text = databases.SQLALCHEMY_DRIVER.sub(lambda found: databases.DIALECTS.get(found[1], found[1]), url)
    if not text.startswith("mysql://"):
        raise Unusable("The address must begin with sqlite:/// or mysql:// (MariaDB and MySQL).")
    try:
        with warnings.catch_warnings():
            # What could not be understood would be printed, the password with it.
            warnings.simplefilter("ignore")
            environ.Env.db_url_config(text)
        config = databases.from_url(text, sqlite_file=Path())
    except (ValueError, ImproperlyConfigured, BadSetting) as error:
        raise Unusable(f"The address cannot be understood: {type(error).__name__}.") from None
    from pymysql.cursors import SSCursor

    config["OPTIONS"] |= {
        "init_command": "SET SESSION TRANSACTION READ ONLY",
        # Rows are fetched as they are read; the default would hold a whole table in memory.
        "cursorclass": SSCursor,
        "read_timeout": READ_SECONDS,
    }
    return config


def _connect(connection: BaseDatabaseWrapper) -> None:
    with connection.wrap_database_errors:
        connection.connect()
    if connection.vendor == "sqlite":
        # A text that is no UTF-8 costs its bad bytes, not the row.
        connection.connection.text_factory = lambda content: content.decode("utf-8", "replace")


# --- What is in it ---------------------------------------------------------------------------------------------------


def _described(connection: BaseDatabaseWrapper) -> LegacySource:
    with connection.cursor() as cursor:
        there = set(connection.introspection.table_names(cursor))
    if older_service.OUR_TABLE in there:
        raise Unusable("This is a database of this service, not of the older one.")
    lacking = [table._meta.db_table for table in TABLES if not table.is_optional and table._meta.db_table not in there]
    if lacking:
        raise Unusable(f"This is no database of the older service: it has no table {', '.join(lacking)}.")
    columns, remarks = {}, []
    for table in TABLES:
        name = table._meta.db_table
        if name not in there:
            remarks.append(f"There is no table {name}: it counts as empty.")
            continue
        present = _columns(connection, name)
        columns[table] = _known(table, present)
        remarks += _remarks(table, present)
    return LegacySource(connection, columns, tuple(remarks))


def _columns(connection: BaseDatabaseWrapper, table: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)} WHERE 1 = 0")  # noqa: S608 - one of ours
        names = [column[0] for column in cursor.description]
        cursor.fetchall()
    return names


def _names(table: type[LegacyTable]) -> list[str]:
    return [field.name for field in table._meta.concrete_fields]


def _known(table: type[LegacyTable], present: list[str]) -> tuple[str, ...]:
    if lacking := sorted(table.essential - set(present)):
        name = table._meta.db_table
        raise Unusable(f"This is another version of the older service: {name} has no column {', '.join(lacking)}.")
    return tuple(name for name in _names(table) if name in present)


def _remarks(table: type[LegacyTable], present: list[str]) -> Iterator[str]:
    name, known = table._meta.db_table, _names(table)
    for column in sorted(set(known) - set(present)):
        yield f"{name} has no column {column}: it counts as empty."
    ignored = set(present) - set(known) - {"created_at", "updated_at"}
    for column in sorted(ignored):
        yield f"{name}.{column} means nothing here and is ignored."


# --- What is wrong with it -------------------------------------------------------------------------------------------

# Message of a driver -> what it means for the operator who imports.
WORDS = (
    ("not a database", "The file is no SQLite database."),
    ("malformed", "The file is damaged or only half written. Import a copy made by: sqlite3 FILE '.backup COPY'"),
    ("locked", "The database is locked: stop the older service, or import a copy."),
    (
        "readonly",
        "The file was left in the middle of a write. Start and stop the older service once, or import a copy.",
    ),
    ("unable to open", "The file cannot be opened: is it readable, with its -wal and -shm files beside it?"),
    ("Access denied", "The server refuses the user name or the password."),
    ("Unknown database", "The server has no database of this name."),
    ("Can't connect", "The server cannot be reached."),
)


def _worded(error: Exception) -> str:
    text = str(error)
    return next((words for mark, words in WORDS if mark in text), f"The older database cannot be read: {text}")
