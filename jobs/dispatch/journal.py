"""What a sender takes, sends and hears, on the local disk: so that its death leaves no more doubt than it must.

A row that is `running` says that its sender may send it, not whether it has. Each sending process therefore appends
to a file of its own what it has taken (before the commit), what is about to leave (before it does), and what came back.
The file survives the process: there is no fsync, so it does not survive the machine, and says so by the machine's boot
id. The living process holds a lock on it; who gets the lock has found a dead sender (`jobs.dispatch.replay`).

One line is the CRC-32 of the rest, and a list in JSON:

    ["header", version, sender, boot id, database]
    ["taken", [id, …]]        committed as running, or about to be; `lone` where the request cannot be made again
    ["lone", [id, …]]
    ["sent", [id, …]]         about to leave, or gone
    ["answered", [[id, attempt, completed at, outcome …], …]]

The last line that names an id counts. A file that cannot be written is removed at once, because from then on it would
be wrong about what has left; it is tried again later, and begins with all that is still open. No secret is in it:
outcomes are what the history shows.
"""

import fcntl
import hashlib
import json
import logging
import os
import zlib
from collections.abc import Collection, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import connection

from cronsched.lib.clock import uptime
from jobs.dispatch.attempt import Result
from jobs.executors.base import Failure, Outcome

logger = logging.getLogger(__name__)

VERSION = 1
SUFFIX, UNFINISHED = ".journal", ".new"
# A file is written anew, with what is still open, when it has grown to so many bytes and to twice that.
LARGEST_BYTES = 4 * 1024 * 1024
RETRY_SECONDS = 30.0
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

OUTCOME_FIELDS = (
    "status",
    "execution_type",
    "target",
    "response_status",
    "error_message",
    "output",
    "failure",
    "reason",
    "retryable",
    "retry_after",
    "request_sent",
    "details",
)
_outcome_values = attrgetter(*OUTCOME_FIELDS)

TAKEN, LONE, SENT, ANSWERED = "taken", "lone", "sent", "answered"


class Answer(NamedTuple):
    """What came back for one attempt of an execution."""

    execution_id: UUID
    attempt: int
    completed_at: datetime
    outcome: Outcome


def folder() -> Path:
    return Path(settings.JOURNAL_DIR)


def boot_id() -> str:
    """Return what changes whenever this machine starts; blank where the system does not say."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""


def database_id() -> str:
    """Return what tells this database from another whose senders keep their journals in the same folder."""
    config = connection.settings_dict
    parts = [connection.vendor, *(str(config.get(name) or "") for name in ("HOST", "PORT", "NAME"))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


class Journal:
    """The file of one living sender. Thread-safe. Its failures cost nothing but knowledge: they are logged, not raised.

    The file is made when there is something to write, and removed at `close` unless something is still open.
    """

    def __init__(self, sender: UUID) -> None:
        self._sender = sender
        self._path = folder() / f"{sender.hex}{SUFFIX}"
        self._lock = Lock()
        self._file: int | None = None
        self._size = self._rewrite_at = 0
        self._try_at = 0.0
        # What is open: the id with what the last line said of it.
        self._open: dict[UUID, Any] = {}
        self._unwritten: list[list[Any]] = []

    def taken(self, ids: Collection[UUID], *, lone: bool = False) -> None:
        """Note what is about to be committed as running. `lone`: only this process can send it (a token in no row)."""
        if not ids:
            return
        kind = LONE if lone else TAKEN
        with self._lock:
            self._open.update(dict.fromkeys(ids, kind))
            if self._file is None:
                self._rewrite()
            else:
                self._append(_line([kind, [key.hex for key in ids]]))

    def sent(self, ids: Collection[UUID]) -> None:
        """Note what is about to leave, and the answers that were not written yet. Call it before anything leaves."""
        with self._lock:
            self._open.update(dict.fromkeys(ids, SENT))
            self._append(self._answers() + _line([SENT, [key.hex for key in ids]]))

    def answered(self, result: Result) -> None:
        """Note what came back; it is written with the next line, or by `flush`."""
        prepared, outcome, completed_at = result
        item = [prepared.execution_id.hex, prepared.attempt, completed_at, *_outcome_values(outcome)]
        with self._lock:
            if prepared.execution_id in self._open:
                self._open[prepared.execution_id] = item
            self._unwritten.append(item)

    def flush(self) -> None:
        """Write the answers that wait for company."""
        with self._lock:
            self._append(self._answers())

    def settled(self, ids: Iterable[UUID]) -> None:
        """Forget executions: their rows say what became of them."""
        with self._lock:
            for key in ids:
                self._open.pop(key, None)
            if self._file is not None and self._size > self._rewrite_at:
                self._rewrite()

    def close(self) -> None:
        """Release the lock: from now on another process may replay what is still open."""
        with self._lock:
            self._append(self._answers())
            if self._file is None:
                return
            if not self._open:
                _unlink(self._path)
            os.close(self._file)
            self._file = None
            self._try_at = float("inf")

    def _answers(self) -> bytes:
        waiting, self._unwritten = self._unwritten, []
        return _line([ANSWERED, waiting]) if waiting else b""

    def _append(self, lines: bytes) -> None:
        if self._file is None or not lines:
            return
        try:
            if os.write(self._file, lines) != len(lines):
                raise OSError("the disk is full")
        except OSError as error:
            self._break_off(error)
        self._size += len(lines)

    def _rewrite(self) -> None:
        """Begin a file with all that is open, in the place of the one there may be."""
        if uptime() < self._try_at:
            return
        new = self._path.with_suffix(UNFINISHED)
        lines = self._all_lines()
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = os.open(new, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            self._break_off(error)
            return
        try:
            # Locked before it has the name by which it is looked for.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.write(file, lines) != len(lines):
                raise OSError("the disk is full")
            new.rename(self._path)
        except OSError as error:
            os.close(file)
            with suppress(OSError):
                new.unlink()
            self._break_off(error)
            return
        if self._file is not None:
            os.close(self._file)
        self._file, self._size, self._unwritten = file, len(lines), []
        self._rewrite_at = max(LARGEST_BYTES, 2 * len(lines))

    def _all_lines(self) -> bytes:
        lines = [_line(["header", VERSION, self._sender.hex, boot_id(), database_id()])]
        for kind in (TAKEN, LONE, SENT):
            ids = [key.hex for key, said in self._open.items() if said == kind]
            lines.append(_line([kind, ids]))
        lines.append(_line([ANSWERED, [said for said in self._open.values() if isinstance(said, list)]]))
        return b"".join(lines)

    def _break_off(self, error: OSError) -> None:
        """Remove a file that can no longer be kept true, and try again after a while."""
        logger.warning("No journal can be written (%s: %s): sending goes on without", self._path.parent, error)
        if self._file is not None:
            if not _unlink(self._path):
                with suppress(OSError):
                    os.ftruncate(self._file, 0)
            os.close(self._file)
        self._file = None
        self._try_at = uptime() + RETRY_SECONDS


def _unlink(path: Path) -> bool:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("The journal %s cannot be removed: %s", path, error)
        return False
    return True


def _line(content: list[Any]) -> bytes:
    text = _encode(content).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    raise TypeError(f"{type(value).__name__} is not for a journal.")


_encode = json.JSONEncoder(separators=(",", ":"), default=_plain).encode


def answer(item: list[Any]) -> Answer:
    """Return the answer that `item` was written from. Raises ValueError, TypeError or KeyError for anything else."""
    key, attempt, completed_at, *values = item
    fields = dict(zip(OUTCOME_FIELDS, values, strict=True))
    fields["failure"] = None if fields["failure"] is None else Failure(fields["failure"])
    fields["retry_after"] = None if fields["retry_after"] is None else timedelta(seconds=fields["retry_after"])
    return Answer(UUID(hex=key), int(attempt), datetime.fromisoformat(completed_at), Outcome(**fields))
