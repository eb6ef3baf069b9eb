"""Private databases really go away, and come back with what was committed."""

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pymysql
import pytest

from jobs.tests.chaos.databases import KINDS, NAME, DatabaseAway, Mariadb, Questions, Server, Sqlite, absent, database

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
@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_keeps_writers_out_until_there_is_room(kind: str, tmp_path: Path):
    if reason := absent(kind):
        pytest.skip(reason)
    # What PostgreSQL can compress would find room.
    page = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=100_000))
    with database(kind, tmp_path, may_fill=True) as filled:
        if "fill" not in filled.faults:
            pytest.skip("we may not mount a disk here")
        questions = Questions(filled)
        questions.ask("CREATE TABLE t (text LONGTEXT)" if kind == "mariadb" else "CREATE TABLE t (text TEXT)")
        # InnoDB may end its server for it.
        with filled.full(), pytest.raises(DatabaseAway, match=r"full|No space|Lost connection"):
            insert_many(questions, page)
        before = questions.ask("SELECT count(*) FROM t")[0][0]
        questions.ask("INSERT INTO t VALUES (%s)", [page])
        assert questions.ask("SELECT count(*) FROM t") == [(before + 1,)]
        questions.close()


def insert_many(questions: Questions, text: str) -> None:
    """Insert more than what is kept in reserve."""
    for _ in range(100):
        questions.ask("INSERT INTO t VALUES (%s)", [text])


def test_a_damaged_file_is_back_with_all_that_was_in_it(tmp_path: Path):
    sqlite = Sqlite(tmp_path)
    questions = Questions(sqlite)
    questions.ask("PRAGMA journal_mode=WAL")
    questions.ask("CREATE TABLE t (n INTEGER)")
    for instead in (b"no database\n" * 1000, None):
        with sqlite.damaged(instead):
            other = Questions(sqlite)
            with pytest.raises((DatabaseAway, sqlite3.DatabaseError)):
                other.ask("SELECT * FROM t")
            other.close()
            questions.ask("INSERT INTO t VALUES (1)")
    questions.close()
    assert questions.ask("SELECT count(*) FROM t") == [(2,)]
    questions.close()


@pytest.mark.chaos
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "sqlite"])
def test_what_the_service_does_can_be_forbidden_severed_and_left_unanswered(kind: str, tmp_path: Path):
    if reason := absent(kind):
        pytest.skip(reason)
    with database(kind, tmp_path) as server:
        assert isinstance(server, Server)
        own = Questions(server)
        own.ask("CREATE TABLE t (n INTEGER)")
        with server.read_only():
            with pytest.raises(driver_errors(server)):
                ask_as_the_service(server, "INSERT INTO t VALUES (1)")
            own.ask("INSERT INTO t VALUES (2)")
        ask_as_the_service(server, "INSERT INTO t VALUES (3)")
        with server.swallowing(), pytest.raises(driver_errors(server)):
            ask_as_the_service(server, "INSERT INTO t VALUES (4)")
        assert [n for (n,) in own.ask("SELECT n FROM t ORDER BY n")] == [2, 3, 4], "the answer is lost, not the commit"
        with closing(connected_as_the_service(server)) as connection:
            for one in server.connections():
                server.terminate(one)
            with pytest.raises(driver_errors(server)), connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        own.close()


def connected_as_the_service(server: Server) -> Any:
    address = urlsplit(server.url)
    if server.vendor == "postgres":
        return psycopg.connect(server.url)
    return pymysql.connect(host="127.0.0.1", port=address.port or 0, user=address.username, database=NAME)


def ask_as_the_service(server: Server, statement: str) -> None:
    """Carry a statement out in a transaction of its own."""
    with closing(connected_as_the_service(server)) as connection:
        with connection.cursor() as cursor:
            cursor.execute(statement)
        connection.commit()


def driver_errors(server: Server) -> type[Exception]:
    return psycopg.Error if server.vendor == "postgres" else pymysql.Error


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
