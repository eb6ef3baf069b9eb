"""Django's SQLite backend, which recovers after a file was damaged, replaced or lost its log.

SQLite says of a damaged file what it also says of a wrong statement, and of a file that was moved away nothing at all:
a connection goes on with what it has open, and what it writes is gone. Here the first is an outage like any other, and
the second is checked before each new use of a connection.

A log that was deleted must be closed by every connection that has it open: the last one writes its content into the
file, and before that no new one can be opened. So the thread that notices closes the others' idle connections, too.
"""

import os
import sqlite3
import time
import weakref
from contextlib import suppress
from threading import Lock
from typing import Any

from django.db import OperationalError
from django.db.backends.sqlite3 import base
from django.db.utils import DatabaseErrorWrapper
from django.utils.functional import cached_property

from cronsched.lib.db.query_log import NoQueryLog

# The low byte of a code is its kind, the rest says more about it.
DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
LOG_SUFFIX = "-wal"

Identity = tuple[int, int] | None


class DamageIsAnOutage(DatabaseErrorWrapper):
    """Raises for a damaged file what Django raises for a database that is away; all connections are made anew then."""

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        if getattr(exc_value, "sqlite_errorcode", 0) & 0xFF in {*DAMAGED, sqlite3.SQLITE_IOERR}:
            DatabaseWrapper.distrust()
        if exc_type is sqlite3.DatabaseError and getattr(exc_value, "sqlite_errorcode", 0) & 0xFF in DAMAGED:
            self.wrapper.errors_occurred = True  # type: ignore[attr-defined]  # untyped in the stubs
            raise OperationalError(*exc_value.args).with_traceback(traceback) from exc_value
        super().__exit__(exc_type, exc_value, traceback)


class DatabaseWrapper(NoQueryLog, base.DatabaseWrapper):
    """A thread's connection. Between two uses it is idle, and may be closed by another thread."""

    _lock = Lock()
    _idle: "weakref.WeakSet[DatabaseWrapper]" = weakref.WeakSet()
    _opened: tuple[Identity, Identity] = (None, None)
    # Connections share what they know of the log. After an error in that, one that was made before would hand it on to
    # those that are made anew.
    _distrusted_at = 0.0
    _opened_at = 0.0

    @classmethod
    def distrust(cls) -> None:
        """Mark every connection of this process to be closed before its next use."""
        DatabaseWrapper._distrusted_at = time.monotonic()

    @cached_property
    def wrap_database_errors(self) -> DamageIsAnOutage:
        return DamageIsAnOutage(self)

    def ensure_connection(self) -> None:
        # Every use begins here.
        with self._lock:
            self._idle.discard(self)
        try:
            super().ensure_connection()
        except OperationalError:
            self._close_stale()
            raise

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        if not self.is_in_memory_db():
            _make_private(str(self.settings_dict["NAME"]))
        opened: list[sqlite3.Connection] = []

        def connect(*arguments: Any, **keywords: Any) -> sqlite3.Connection:
            opened.append(sqlite3.Connection(*arguments, **keywords))
            return opened[-1]

        try:
            connection = super().get_new_connection({**conn_params, "factory": connect})
        except BaseException:
            # What a damaged or locked file refuses comes after it was opened.
            for one in opened:
                one.close()
            raise
        # A thread that ends takes its connection with it; closed here, or Python warns of an unclosed connection.
        self._finalizer = weakref.finalize(self, connection.close)
        self._finalizer.atexit = False
        return connection

    def _close(self) -> None:
        super()._close()  # type: ignore[misc]  # untyped in the stubs
        if self.connection is not None:
            self._finalizer.detach()

    def init_connection_state(self) -> None:
        super().init_connection_state()
        self._opened = self._files()
        self._opened_at = time.monotonic()

    def close_if_unusable_or_obsolete(self) -> None:
        if not self.in_atomic_block and self._is_stale():
            self.close()
            self._close_stale()
        super().close_if_unusable_or_obsolete()
        if self.connection is not None and not self.in_atomic_block:
            with self._lock:
                self._idle.add(self)

    def _close_stale(self) -> None:
        """Close the idle connections of all threads that have other files open than a new one would."""
        with self._lock:
            for other in [idle for idle in self._idle if idle._is_stale()]:
                self._idle.discard(other)
                connection, other.connection = other.connection, None
                other._finalizer.detach()
                connection.close()

    def _is_stale(self) -> bool:
        if self.connection is None or self.is_in_memory_db():
            return False
        if self._opened_at <= self._distrusted_at:
            return True
        (file, log), (opened, opened_log) = self._files(), self._opened
        return file != opened or (opened_log is not None and log != opened_log)

    def _files(self) -> tuple[Identity, Identity]:
        name = str(self.settings_dict["NAME"])
        return _identity(name), _identity(name + LOG_SUFFIX)


def _make_private(path: str) -> None:
    """Make the file where there is none, for its owner alone. SQLite gives the files beside it the same rights."""
    # What keeps it from being made, SQLite finds as well, and says.
    with suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _identity(path: str) -> Identity:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
