"""Checks whether a database can be written, which reading from it does not show."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryFile

from django.db import OperationalError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader

# Load balancers rarely wait longer than five seconds.
BUSY_TIMEOUT_MS = 1500
# About what a call of the API writes.
WRITTEN_BYTES = 64 * 1024


def try_to_write(connection: BaseDatabaseWrapper) -> None:
    """Write something and take it back. Raises the database's error where that is impossible.

    On SQLite the connection is left with a short busy timeout: it is for such questions only.
    """
    if connection.vendor == "sqlite":
        _try_sqlite(connection)
        return
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO django_migrations (app, name, applied) VALUES (%s, %s, CURRENT_TIMESTAMP)", ["readiness", ""]
        )
        transaction.set_rollback(True, using=connection.alias)


def _try_sqlite(connection: BaseDatabaseWrapper) -> None:
    # Taking the write lock is not enough: SQLite grants it on a read-only file, too.
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        cursor.execute("BEGIN IMMEDIATE")
        try:
            cursor.execute("CREATE TABLE readiness_probe (id INTEGER)")
        finally:
            cursor.execute("ROLLBACK")
    _try_disk(Path(connection.settings_dict["NAME"]).parent)


def _try_disk(folder: Path) -> None:
    """Write a file without a name: what SQLite takes back reaches the disk only at the end of a transaction."""
    try:
        with TemporaryFile(dir=folder, buffering=0) as file:
            file.write(bytes(WRITTEN_BYTES))
    except OSError as error:
        raise OperationalError(f"{folder} cannot be written: {error.strerror}") from error


def missing_migrations(connection: BaseDatabaseWrapper) -> set[tuple[str, str]]:
    """Return the last migrations of the apps that were not applied. More than this version knows are fine."""
    # Django's own recorder asks by the alias of a connection: another one, and its pool would be opened.
    with connection.cursor() as cursor:
        if "django_migrations" not in connection.introspection.table_names(cursor):
            return _last_migrations()
        cursor.execute("SELECT app, name FROM django_migrations")
        return _last_migrations() - {(app, name) for app, name in cursor.fetchall()}


@cache
def _last_migrations() -> set[tuple[str, str]]:
    loader = MigrationLoader(None)
    return {(app, name) for app, name in loader.graph.leaf_nodes()}
