"""The pool of connections to PostgreSQL gets over a restart, a long absence and a server without free places."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Barrier
from typing import Any

import psycopg
import pytest
from django.db import OperationalError
from django.db.utils import ConnectionHandler

from cronsched.lib.db import databases
from jobs.tests.chaos.databases import Postgresql

pytestmark = pytest.mark.slow

CONNECTIONS = 30
CALLS = 40
RECOVERY_SECONDS = 10.0
# A pause that doubles from one second on lasts 16 by then.
AWAY_SECONDS = 17.0


@pytest.fixture
def handler(
    postgresql: Postgresql, monkeypatch: pytest.MonkeyPatch, django_db_blocker: Any
) -> Iterator[ConnectionHandler]:
    """Connections to the private server through a pool as the service has it."""
    monkeypatch.setenv("DATABASE_POOL_SIZE", str(CONNECTIONS))
    config = databases.from_url(postgresql.url, sqlite_file=Path("unused"))
    handler = ConnectionHandler({"default": {}, "private": config})
    with django_db_blocker.unblock():
        yield handler
        handler["private"].close()
        connection(handler).close_pool()


def connection(handler: ConnectionHandler) -> Any:
    return handler["private"]


def call(handler: ConnectionHandler) -> bool:
    """Do what a request does with the database; return whether it went well."""
    try:
        with handler["private"].cursor() as cursor:
            cursor.execute("SELECT 1")
    except OperationalError:
        return False
    finally:
        handler["private"].close()
    return True


def fill(handler: ConnectionHandler) -> None:
    """Let as many connections as the pool may have wait in it."""
    together = Barrier(CONNECTIONS)

    def hold() -> None:
        handler["private"].ensure_connection()
        together.wait(60)
        handler["private"].close()

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for held in [pool.submit(hold) for _ in range(CONNECTIONS)]:
            held.result()
    assert connection(handler).pool.get_stats()["pool_available"] == CONNECTIONS


def seconds_until_served(handler: ConnectionHandler) -> float:
    began = time.monotonic()
    while not call(handler):
        assert time.monotonic() - began < 60
    return time.monotonic() - began


def test_after_a_restart_one_call_fails_however_many_connections_waited(handler, postgresql):
    fill(handler)
    postgresql.stop()
    postgresql.start()
    answers = [call(handler) for _ in range(CALLS)]
    assert answers.count(False) == 1


def test_connections_ended_one_by_one_fail_one_call(handler, postgresql):
    fill(handler)
    with postgresql.connect() as other:
        other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    assert [call(handler) for _ in range(CALLS)].count(False) == 1


@pytest.mark.minute
def test_a_server_that_was_away_for_long_is_found_at_once(handler, postgresql):
    assert call(handler)
    postgresql.stop()
    try:
        until = time.monotonic() + AWAY_SECONDS
        while time.monotonic() < until:
            assert not call(handler)
    finally:
        postgresql.start()
    assert seconds_until_served(handler) < RECOVERY_SECONDS


@contextmanager
def no_free_places(postgresql: Postgresql) -> Iterator[None]:
    """Take every connection that the server has to give."""
    taken: list[psycopg.Connection] = []
    try:
        with suppress(psycopg.OperationalError):
            while True:
                taken.append(postgresql.connect())
        assert taken
        yield
    finally:
        for connection in taken:
            connection.close()


@pytest.mark.minute
def test_a_server_that_had_no_place_for_long_is_found_at_once(handler, postgresql):
    with no_free_places(postgresql):
        until = time.monotonic() + AWAY_SECONDS
        while time.monotonic() < until:
            assert not call(handler)
    assert seconds_until_served(handler) < RECOVERY_SECONDS
