"""Journals whose senders are gone: found by the lock that a living process holds, read with suspicion."""

import fcntl
import json
import logging
import os
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from jobs.dispatch.journal import (
    ANSWERED,
    LONE,
    SENT,
    SUFFIX,
    TAKEN,
    UNFINISHED,
    VERSION,
    Answer,
    answer,
    boot_id,
    database_id,
)

logger = logging.getLogger(__name__)

# A commit that a dying sender had asked for may come after its death: a journal is looked at until it is this old.
SETTLING_SECONDS = 5.0
# Journals that cannot be read, or of a database that no process here serves any more.
KEEP_UNREADABLE_SECONDS = 7 * 24 * 3600.0


class Unreadable(ValueError):
    """The file is no journal of this version."""


@dataclass
class DeadSender:
    """What a journal says: each execution stands in the one set or dictionary that its last line put it in.

    `is_complete` False: a line was lost, or the machine has been restarted. Then what was taken may have left.
    """

    path: Path
    token: UUID
    database: str
    is_complete: bool
    last_written: float
    taken: set[UUID] = field(default_factory=set)
    lone: set[UUID] = field(default_factory=set)
    sent: set[UUID] = field(default_factory=set)
    answers: dict[UUID, Answer] = field(default_factory=dict)

    @property
    def is_settled(self) -> bool:
        """Whether nothing can come of its last commit any more, so that the file may go."""
        return time.time() - self.last_written > SETTLING_SECONDS

    def remove(self) -> None:
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("The journal %s cannot be removed: %s", self.path, error)

    def _forget(self, key: UUID) -> None:
        for kept in (self.taken, self.lone, self.sent):
            kept.discard(key)
        self.answers.pop(key, None)

    def note(self, kind: str, items: list[Any]) -> None:
        """Take a line in. Raises ValueError, TypeError or KeyError where it makes no sense."""
        if kind == ANSWERED:
            for found in map(answer, items):
                self._forget(found.execution_id)
                self.answers[found.execution_id] = found
            return
        kept = {TAKEN: self.taken, LONE: self.lone, SENT: self.sent}[kind]
        for key in map(UUID, items):
            self._forget(key)
            kept.add(key)


def dead_senders(folder: Path) -> Iterator[DeadSender]:
    """Yield the dead senders of this database, each locked until the next, so that no other process replays it."""
    try:
        paths = sorted(folder.iterdir())
    except OSError:
        return
    for path in paths:
        if path.suffix == SUFFIX:
            with _opened(path) as file:
                if file is not None and _is_dead(file) and (found := _read(path, file)) is not None:
                    yield found
        elif path.suffix == UNFINISHED:
            _put_aside(path, "it was never finished")


@contextmanager
def _opened(path: Path) -> Iterator[int | None]:
    """Open a journal for as long as it is looked at; None where it is gone or may not be read."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    try:
        yield file
    finally:
        os.close(file)


def _is_dead(file: int) -> bool:
    """Take the lock, which lasts until the file is closed; False where its sender, or another who looks, has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    # The living one may just have put another file in its place.
    return os.fstat(file).st_nlink > 0


def _read(path: Path, file: int) -> DeadSender | None:
    try:
        with open(file, "rb", closefd=False) as content:
            found = parse(path, content.read(), os.fstat(file).st_mtime)
    except (OSError, Unreadable) as error:
        _put_aside(path, str(error))
        return None
    if found.database != database_id():
        _put_aside(path, "it belongs to another database")
        return None
    return found


def _put_aside(path: Path, why: str) -> None:
    """Leave what is not for us alone, for a week."""
    with suppress(OSError):
        if time.time() - path.stat().st_mtime > KEEP_UNREADABLE_SECONDS:
            path.unlink()
            logger.warning("Removed the journal %s: %s", path, why)


def parse(path: Path, content: bytes, written: float) -> DeadSender:
    """Read a journal. Raises `Unreadable` where not even its first line makes sense."""
    # What follows the last line break was being written when its sender died, and was not acted upon yet.
    lines = content.split(b"\n")[:-1]
    try:
        kind, version, token, boot, database = _content(lines[0] if lines else b"")
        if (kind, version) != ("header", VERSION):
            raise ValueError(f"version {version}")
        sender = DeadSender(path, UUID(token), str(database), bool(boot) and boot == boot_id(), written)
    except (ValueError, TypeError, AttributeError) as error:
        raise Unreadable(str(error)) from error
    for line in lines[1:]:
        try:
            kind, items = _content(line)
            sender.note(kind, items)
        except (ValueError, TypeError, KeyError, AttributeError):
            sender.is_complete = False
    return sender


def _content(line: bytes) -> Any:
    checksum, _, text = line.partition(b" ")
    if int(checksum, 16) != zlib.crc32(text):
        raise ValueError("a line does not match its checksum")
    return json.loads(text)
