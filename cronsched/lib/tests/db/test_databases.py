"""What `DATABASE_URL` turns into, and what the databases then really do."""

import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import OperationalError, connection
from django.db.utils import ConnectionHandler

from cronsched.lib.config.env import BadSetting
from cronsched.lib.db import databases

FILE = Path("/srv/cronsched.sqlite3")
OPEN_FILES = Path("/proc/self/fd")


@pytest.mark.parametrize("url", ["oracle://host/db", "postgresql//host", "nonsense", "mysql"])
def test_an_address_nobody_understands_stops_the_start(url):
    with pytest.raises(BadSetting, match="DATABASE_URL"):
        databases.from_url(url, sqlite_file=FILE)


def test_without_an_address_it_is_sqlite_beside_the_project():
    config = databases.from_url("", sqlite_file=FILE)
    assert (config["ENGINE"], config["NAME"]) == ("cronsched.lib.db.sqlite3", str(FILE))


@pytest.mark.parametrize(
    "url, engine",
    [
        ("postgresql://u:p%40ss@db.example.com:5433/jobs", "cronsched.lib.db.postgresql"),
        ("mysql://u:p%40ss@db.example.com:5433/jobs", "cronsched.lib.db.mysql"),
    ],
)
def test_a_server_s_address_is_read_whole(url, engine):
    config = databases.from_url(url, sqlite_file=FILE)
    assert (config["ENGINE"], config["NAME"], config["HOST"], config["PORT"]) == (
        engine,
        "jobs",
        "db.example.com",
        5433,
    )
    assert (config["USER"], config["PASSWORD"]) == ("u", "p@ss")


@pytest.mark.parametrize(
    ("url", "engine"),
    [
        ("mysql+pymysql://u:p@db.example.com/jobs", "cronsched.lib.db.mysql"),
        ("mariadb+mariadbconnector://u:p@db.example.com/jobs", "cronsched.lib.db.mysql"),
        ("mariadb://u:p@db.example.com/jobs", "cronsched.lib.db.mysql"),
        ("postgresql+psycopg2://u:p@db.example.com/jobs", "cronsched.lib.db.postgresql"),
        ("postgres://u:p@db.example.com/jobs", "cronsched.lib.db.postgresql"),
        ("postgresql+asyncpg://u:p@db.example.com/jobs", "cronsched.lib.db.postgresql"),
        ("sqlite+aiosqlite:////srv/jobs", "cronsched.lib.db.sqlite3"),
    ],
)
def test_an_address_as_sqlalchemy_has_it_means_the_same(url, engine):
    config = databases.from_url(url, sqlite_file=FILE)
    assert (config["ENGINE"], config["NAME"].rpartition("/")[2]) == (engine, "jobs")


def ask(question: str) -> object:
    with connection.cursor() as cursor:
        cursor.execute(question)
        return cursor.fetchone()[0]


EXPECTED: dict[str, dict[str, Any]] = {
    "sqlite": {
        "PRAGMA journal_mode": "wal",
        "PRAGMA foreign_keys": 1,
        "PRAGMA busy_timeout": databases.BUSY_TIMEOUT_SECONDS * 1000,
    },
    "postgresql": {
        "SHOW statement_timeout": "30s",
        "SHOW lock_timeout": "10s",
        "SHOW idle_in_transaction_session_timeout": "10s",
        "SHOW TIME ZONE": "UTC",
    },
    "mysql": {
        "SELECT @@transaction_isolation": "READ-COMMITTED",
        "SELECT @@collation_database": "utf8mb4_bin",
        "SELECT @@character_set_client": "utf8mb4",
        "SELECT @@innodb_lock_wait_timeout": 10,
        "SELECT @@sql_mode": "STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION",
    },
}


@pytest.mark.database
@pytest.mark.django_db
def test_every_session_has_the_settings_that_make_it_trustworthy():
    expected: dict[str, Any] = {**EXPECTED[connection.vendor]}
    if getattr(connection, "mysql_is_mariadb", False):
        expected["SELECT @@tx_isolation"] = expected.pop("SELECT @@transaction_isolation")
        expected["SELECT @@idle_transaction_timeout"] = 10
    assert {question: ask(question) for question in expected} == expected


@pytest.mark.database
@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "postgresql", reason="MariaDB's driver waits no longer than it is told")
def test_a_host_that_falls_silent_is_given_up_within_a_minute():
    connection.ensure_connection()
    assert connection.connection is not None
    with socket.socket(fileno=os.dup(connection.connection.fileno())) as wire:
        options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
        idle, interval, count, unanswered_ms = (wire.getsockopt(socket.IPPROTO_TCP, option) for option in options)
    assert idle + interval * count <= 60
    assert 0 < unanswered_ms <= 60_000


@pytest.mark.database
@pytest.mark.django_db
def test_names_are_case_sensitive():
    assert ask("SELECT CASE WHEN 'Backup' = 'backup' THEN 1 ELSE 0 END") == 0


@pytest.mark.skipif("sqlite" not in settings.DATABASES["default"]["ENGINE"], reason="is about SQLite")
def test_transactions_take_the_write_lock_when_they_begin():
    assert settings.DATABASES["default"]["OPTIONS"]["transaction_mode"] == "IMMEDIATE"


def test_the_files_of_sqlite_are_their_owners_alone(db, tmp_path):
    """It holds secrets, though encrypted, and everybody's password hash."""
    connections = ConnectionHandler(
        {"default": databases.from_url(f"sqlite:///{tmp_path}/new.sqlite3", sqlite_file=FILE)}
    )
    before = os.umask(0o022)
    try:
        with connections["default"].cursor() as cursor:
            cursor.execute("CREATE TABLE things (id INTEGER)")
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
        connections.close_all()
    assert modes == dict.fromkeys(["new.sqlite3", "new.sqlite3-wal", "new.sqlite3-shm"], 0o600)


def test_a_file_that_is_there_keeps_its_rights(db, tmp_path):
    path = tmp_path / "shared.sqlite3"
    path.touch()
    path.chmod(0o640)
    connections = ConnectionHandler({"default": databases.from_url(f"sqlite:///{path}", sqlite_file=FILE)})
    connections["default"].ensure_connection()
    connections.close_all()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.skipif(not OPEN_FILES.exists(), reason="this system does not tell which files a process has open")
def test_a_connection_that_cannot_be_made_ready_is_closed(db, tmp_path):
    path = tmp_path / "letter.sqlite3"
    path.write_bytes(b"this is a letter, not a database\n" * 1000)
    connections = ConnectionHandler({"default": databases.from_url(f"sqlite:///{path}", sqlite_file=FILE)})
    with pytest.raises(OperationalError) as refused:
        connections["default"].ensure_connection()
    # Its frames would keep the connection as long as somebody keeps the error.
    assert refused.value
    assert str(path) not in {os.path.realpath(descriptor) for descriptor in OPEN_FILES.iterdir()}
    connections.close_all()


def test_what_is_committed_survives_and_many_threads_share_one_page_cache(db, tmp_path):
    config = databases.from_url(f"sqlite:///{tmp_path}/new.sqlite3", sqlite_file=FILE)
    databases.share_page_cache(config, threads=16)
    connections = ConnectionHandler({"default": config})
    with connections["default"].cursor() as cursor:
        assert cursor.execute("PRAGMA cache_size").fetchone() == (-4096,)
        assert cursor.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        # FULL: a committed row survives a power cut. (The tests' own connections do not wait for the disk.)
        assert cursor.execute("PRAGMA synchronous").fetchone() == (2,)
    connections.close_all()


@pytest.mark.database
@pytest.mark.django_db
def test_no_statement_is_kept_in_development_unless_a_test_counts_them(settings, django_assert_num_queries):
    settings.DEBUG = True
    connection.queries_log.clear()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    assert not connection.queries_log
    with django_assert_num_queries(1), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
