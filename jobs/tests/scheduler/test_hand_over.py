"""A leader that stops tells the others, also where the database has forgotten its connection."""

import pytest
from django.db import connection

from cronsched.lib.clock import DatabaseClock, uptime
from jobs.models import SchedulerLease
from jobs.scheduler import lease
from jobs.scheduler.runner import Leader
from jobs.tests.factories import NOON

SESSION = {"postgresql": "SELECT pg_backend_pid()", "mysql": "SELECT CONNECTION_ID()"}
END = {"postgresql": "SELECT pg_terminate_backend(%s)", "mysql": "KILL %s"}


def leader() -> Leader:
    """Return a process that has just taken the lease, as far as handing over is concerned."""
    seen = lease.snapshot(None, uptime=uptime)
    leader = Leader.__new__(Leader)
    leader._clock = DatabaseClock()
    leader._term = lease.take_over(seen, holder="a", uptime=uptime(), now=NOON)
    return leader


def end_session() -> None:
    """End this thread's connection from the server's side, as a restart does, or a night without a word."""
    with connection.cursor() as cursor:
        cursor.execute(SESSION[connection.vendor])
        (session,) = cursor.fetchone()
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute(END[connection.vendor], [session])
    finally:
        other.close()


@pytest.mark.database
@pytest.mark.skipif(connection.vendor == "sqlite", reason="a file ends no connections")
@pytest.mark.django_db(transaction=True)
def test_the_lease_is_handed_over_although_the_connection_was_ended_meanwhile():
    stopping = leader()
    end_session()
    stopping._hand_over()
    assert SchedulerLease.objects.get().holder == ""
