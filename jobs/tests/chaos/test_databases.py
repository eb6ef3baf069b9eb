"""Private databases really go away, and come back with what was committed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.tests.chaos.databases import KINDS, DatabaseAway, Mariadb, Questions, Server, Sqlite, absent, database

Fault = Callable[[Server], None]


def test_a_lock_on_sqlite_keeps_writers_out_and_lets_readers_in(tmp_path: Path):
    sqlite = Sqlite(tmp_path)
    questions, impatient = Questions(sqlite), sqlite.connect()
    questions.ask("PRAGMA journal_mode=WAL")
    questions.ask("CREATE TABLE t (n INTEGER)")
    impatient.execute("PRAGMA busy_timeout=50")
    with sqlite.locked(), pytest.raises(sqlite.errors(), match="locked"):
        impatient.execute("INSERT INTO t VALUES (1)")
    with sqlite.locked():
        assert questions.ask("SELECT count(*) FROM t") == [(0,)]
    impatient.execute("INSERT INTO t VALUES (1)")
    assert questions.ask("SELECT count(*) FROM t") == [(1,)]
    impatient.close()
    questions.close()


@pytest.mark.chaos
def test_a_full_disk_keeps_writers_out_until_there_is_room(tmp_path: Path):
    with database("sqlite", tmp_path, may_fill=True) as sqlite:
        if "fill" not in sqlite.faults:
            pytest.skip("we may not mount a disk here")
        assert isinstance(sqlite, Sqlite)
        questions = Questions(sqlite)
        questions.ask("CREATE TABLE t (text TEXT)")
        with sqlite.full(), pytest.raises(DatabaseAway, match="full"):
            questions.ask("INSERT INTO t VALUES (%s)", ["." * 100_000])
        questions.ask("INSERT INTO t VALUES (%s)", ["." * 100_000])
        assert questions.ask("SELECT count(*) FROM t") == [(1,)]
        questions.close()


@pytest.mark.chaos
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "sqlite"])
def test_a_server_keeps_what_was_committed_through_a_stop_and_a_crash(kind: str, tmp_path: Path):
    if reason := absent(kind):
        pytest.skip(reason)
    with database(kind, tmp_path) as server:
        assert isinstance(server, Server)
        questions = Questions(server)
        questions.ask("CREATE TABLE t (n INTEGER)")
        for number, end in enumerate((server.stop, server.crash), start=1):
            questions.ask("INSERT INTO t VALUES (%s)", [number])
            end()
            with pytest.raises(DatabaseAway):
                questions.ask("SELECT 1")
            server.start()
            assert questions.ask("SELECT count(*) FROM t") == [(number,)]
        questions.close()
        folder = server.folder
    assert not folder.exists()


@pytest.mark.chaos
def test_a_frozen_server_answers_nobody_until_it_thaws(tmp_path: Path):
    if reason := absent("mariadb"):
        pytest.skip(reason)
    with database("mariadb", tmp_path) as server:
        assert isinstance(server, Mariadb)
        server.freeze()
        with pytest.raises(server.errors()):
            server.connect()
        server.thaw()
        questions = Questions(server)
        assert questions.ask("SELECT 1") == [(1,)]
        questions.close()
