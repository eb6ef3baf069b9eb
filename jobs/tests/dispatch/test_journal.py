"""The file of a sender: what it says, how it stays small, and what becomes of it on a bad disk."""

import os
import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from jobs.dispatch import dead_senders as reading
from jobs.dispatch import journal as journal_module
from jobs.dispatch.attempt import Prepared, Result
from jobs.dispatch.dead_senders import DeadSender, dead_senders
from jobs.dispatch.executors import NoTarget
from jobs.dispatch.journal import Journal
from jobs.executors.base import Failure, Outcome
from jobs.tests.factories import NOON

SENDER = UUID("5e0de200-0000-4000-8000-000000000001")


@pytest.fixture
def folder(tmp_path: Path, settings: Any) -> Path:
    settings.JOURNAL_DIR = str(tmp_path / "journals")
    return tmp_path / "journals"


@pytest.fixture
def journal(folder: Path) -> Iterator[Journal]:
    journal = Journal(SENDER)
    yield journal
    journal.close()


def ids(number: int) -> list[UUID]:
    return [uuid4() for _ in range(number)]


def result(key: UUID, **fields: Any) -> Result:
    outcome = Outcome(**{"status": "success", "execution_type": "webhook", "target": "https://a.example/", **fields})
    job: Any = None
    return Result(Prepared(key, job, NoTarget("x"), attempt=2), outcome, NOON)


def content(folder: Path) -> DeadSender:
    """Read the one journal as a process that finds its sender dead."""
    (path,) = folder.glob("*.journal")
    return reading.parse(path, path.read_bytes(), 0.0)


def test_each_execution_stands_where_its_last_line_put_it(journal, folder):
    first, second, third, lone = ids(4)
    journal.taken([first, second, third])
    journal.taken([lone], lone=True)
    journal.sent([second, third])
    told = result(
        third,
        response_status=503,
        output="päng",
        failure=Failure.BAD_ANSWER,
        retry_after=timedelta(seconds=7),
        details={"run_id": 5},
    )
    journal.answered(told)
    journal.flush()
    found = content(folder)
    assert (found.token, found.is_complete) == (SENDER, True)
    assert (found.taken, found.lone, found.sent) == ({first}, {lone}, {second})
    assert found.answers == {third: (third, 2, NOON, told.outcome)}


def test_an_answer_goes_with_the_next_line(journal, folder):
    first, second = ids(2)
    journal.taken([first, second])
    journal.sent([first])
    journal.answered(result(first))
    assert content(folder).sent == {first}
    journal.sent([second])
    assert (content(folder).sent, set(content(folder).answers)) == ({second}, {first})


def test_it_is_private_and_made_when_there_is_something_to_write(journal, folder):
    assert not folder.exists()
    journal.taken(ids(1))
    (path,) = folder.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_it_leaves_nothing_behind_when_all_is_settled(journal, folder):
    (key,) = ids(1)
    journal.taken([key])
    journal.sent([key])
    journal.settled([key])
    journal.close()
    assert list(folder.iterdir()) == []


def test_what_is_still_open_at_the_end_is_for_others_to_find(journal, folder):
    first, second = ids(2)
    journal.taken([first, second])
    journal.sent([first])
    journal.answered(result(first))
    assert list(dead_senders(folder)) == [], "its sender lives"
    journal.close()
    (found,) = dead_senders(folder)
    assert (found.taken, set(found.answers)) == ({second}, {first})


def test_only_one_at_a_time_looks_at_a_dead_sender(journal, folder):
    journal.taken(ids(1))
    journal.close()
    for _ in dead_senders(folder):
        assert list(dead_senders(folder)) == []


def test_it_stays_small(journal, folder, monkeypatch):
    monkeypatch.setattr(journal_module, "LARGEST_BYTES", 10_000)
    (kept,) = ids(1)
    journal.taken([kept])
    largest = 0
    for _ in range(200):
        batch = ids(10)
        journal.taken(batch)
        journal.sent(batch)
        for key in batch:
            journal.answered(result(key))
        journal.settled(batch)
        (path,) = folder.iterdir()
        largest = max(largest, path.stat().st_size)
    assert largest < 20_000
    found = content(folder)
    assert (found.taken, found.is_complete) == ({kept}, True)


class BadDisk:
    """Takes only so many bytes of what is written, as a full disk does."""

    def __init__(self, room: int) -> None:
        self.room = room
        self._write = os.write

    def __call__(self, file: int, content: bytes) -> int:
        if not self.room:
            raise OSError("No space left on device")
        written = self._write(file, content[: self.room])
        self.room -= written
        return written


def test_a_full_disk_costs_the_journal_and_nothing_else(journal, folder, monkeypatch, caplog):
    first, second = ids(2)
    journal.taken([first])
    monkeypatch.setattr(os, "write", BadDisk(20))
    journal.sent([first])
    journal.taken([second])
    # It would be wrong about what has left.
    assert list(folder.iterdir()) == []
    assert caplog.text.count("No journal can be written") == 1
    assert "the disk is full" in caplog.text


def test_it_begins_anew_with_what_is_open_when_the_disk_has_room_again(journal, folder, monkeypatch):
    monkeypatch.setattr(journal_module, "RETRY_SECONDS", 0.0)
    first, second, third = ids(3)
    journal.taken([first, second])
    disk = BadDisk(0)
    monkeypatch.setattr(os, "write", disk)
    journal.sent([first])
    journal.answered(result(first))
    assert list(folder.iterdir()) == []
    disk.room = 10**9
    journal.taken([third])
    found = content(folder)
    assert (found.taken, found.sent, set(found.answers)) == ({second, third}, set(), {first})


def test_a_folder_that_cannot_be_made_costs_the_journal_and_nothing_else(settings, tmp_path, caplog):
    (tmp_path / "file").touch()
    settings.JOURNAL_DIR = str(tmp_path / "file" / "journals")
    journal = Journal(SENDER)
    keys = ids(2)
    journal.taken(keys)
    journal.sent(keys)
    journal.answered(result(keys[0]))
    journal.settled(keys)
    journal.close()
    assert caplog.text.count("No journal can be written") == 1
    assert list(dead_senders(Path(settings.JOURNAL_DIR))) == []


# --- What is found ---------------------------------------------------------------------------------------------------


@pytest.fixture
def left(journal: Journal, folder: Path) -> tuple[Path, list[UUID]]:
    """A journal whose sender has died: two executions taken, the second of them sent."""
    keys = ids(2)
    journal.taken(keys)
    journal.sent(keys[1:])
    journal.close()
    (path,) = folder.iterdir()
    return path, keys


def test_a_line_that_was_being_written_at_death_does_not_count(left):
    path, (first, second) = left
    path.write_bytes(path.read_bytes() + b'3a00ff12 ["sent",["' + first.hex.encode())
    (found,) = dead_senders(path.parent)
    assert (found.taken, found.sent, found.is_complete) == ({first}, {second}, True)


@pytest.mark.parametrize("damage", [b"\x00\xff\n", b"not a line\n", b'00000000 ["sent",[]]\n', b"\n"])
def test_a_line_that_makes_no_sense_leaves_doubt_about_what_was_not_sent(left, damage):
    path, (first, second) = left
    path.write_bytes(path.read_bytes() + damage)
    (found,) = dead_senders(path.parent)
    assert (found.taken, found.sent, found.is_complete) == ({first}, {second}, False)


def test_a_changed_byte_leaves_doubt(left):
    path, (first, _) = left
    path.write_bytes(path.read_bytes().replace(first.hex[:8].encode(), b"00000000"))
    (found,) = dead_senders(path.parent)
    assert not found.is_complete


def test_a_restarted_machine_leaves_doubt(left, monkeypatch):
    path, _ = left
    monkeypatch.setattr(reading, "boot_id", lambda: "another")
    (found,) = dead_senders(path.parent)
    assert not found.is_complete


@pytest.mark.parametrize("text", [b"", b"\n", b"hello\n", b'{"a": 1}\n', b"\x00" * 4096])
def test_what_is_no_journal_is_left_alone(folder, text):
    folder.mkdir()
    path = folder / "foreign.journal"
    path.write_bytes(text)
    assert list(dead_senders(folder)) == []
    assert path.read_bytes() == text


def test_a_journal_of_another_database_is_left_alone_for_a_week(left, monkeypatch):
    path, _ = left
    monkeypatch.setattr(reading, "database_id", lambda: "another")
    assert list(dead_senders(path.parent)) == []
    assert path.exists()
    os.utime(path, (0, 0))
    assert list(dead_senders(path.parent)) == []
    assert not path.exists()


def test_a_journal_that_may_not_be_read_is_left_alone(left, monkeypatch):
    path, _ = left

    def refuse(*_: Any) -> int:
        raise PermissionError("Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    assert list(dead_senders(path.parent)) == []


def test_no_folder_is_no_dead_sender(folder):
    assert list(dead_senders(folder)) == []


def test_a_journal_is_kept_until_its_last_commit_must_have_come(left):
    path, _ = left
    (found,) = dead_senders(path.parent)
    assert not found.is_settled
    os.utime(path, (0, 0))
    (found,) = dead_senders(path.parent)
    assert found.is_settled
    found.remove()
    assert not path.exists()
