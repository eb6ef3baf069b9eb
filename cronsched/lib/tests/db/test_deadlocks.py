"""Two transactions that wait for each other: the database ends one, and it is done again."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from django.db import OperationalError, connection, transaction

from cronsched.lib.db.deadlocks import ATTEMPTS, MARIADB_DEADLOCK, is_deadlock, retried
from jobs.models import Job
from jobs.tests.factories import make_job

WAIT_SECONDS = 30


def deadlock() -> OperationalError:
    return OperationalError(MARIADB_DEADLOCK, "Deadlock found when trying to get lock; try restarting transaction")


class Refused(Exception):
    """What a PostgreSQL driver raises: the state is an attribute."""

    def __init__(self, sqlstate: str) -> None:
        self.sqlstate = sqlstate


def caused_by(cause: Exception) -> OperationalError:
    error = OperationalError("refused")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error, expected",
    [
        (deadlock(), True),
        (caused_by(Refused("40P01")), True),
        (caused_by(Refused("40001")), True),
        (caused_by(Refused("57014")), False),
        (OperationalError(1205, "Lock wait timeout exceeded"), False),
        (OperationalError("database is locked"), False),
        (OperationalError(), False),
    ],
)
def test_deadlocks_are_told_from_other_refusals(error, expected):
    assert is_deadlock(error) is expected


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
def test_both_of_two_that_wait_for_each_other_are_done_in_the_end():
    first, second = make_job(), make_job()
    both_hold_one = threading.Barrier(2)

    @retried
    def rename(order, name):
        with transaction.atomic():
            for number, job in enumerate(order):
                Job.objects.filter(pk=job.pk).update(name=f"{name} {number}")
                if number == 0 and connection.vendor != "sqlite":
                    meet()

    def meet():
        # The second attempt of the loser meets no other transaction.
        if not both_hold_one.broken:
            with suppress(threading.BrokenBarrierError):
                both_hold_one.wait(WAIT_SECONDS)
            both_hold_one.abort()

    def run(order, name):
        try:
            rename(order, name)
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(run, [first, second], "a"), pool.submit(run, [second, first], "b")]
        for one in runs:
            one.result(WAIT_SECONDS)
    names = set(Job.objects.values_list("name", flat=True))
    assert names in ({"a 0", "a 1"}, {"b 0", "b 1"})


@pytest.mark.django_db(transaction=True)
def test_what_never_succeeds_is_given_up():
    attempts = []

    @retried
    def lose():
        attempts.append(1)
        raise deadlock()

    with pytest.raises(OperationalError):
        lose()
    assert len(attempts) == ATTEMPTS


@pytest.mark.parametrize("error", [OperationalError("database is locked"), ValueError("no database in sight")])
@pytest.mark.django_db(transaction=True)
def test_other_errors_are_not_tried_again(error):
    attempts = []

    @retried
    def fail():
        attempts.append(1)
        raise error

    with pytest.raises(type(error)):
        fail()
    assert len(attempts) == 1


@pytest.mark.django_db(transaction=True)
def test_inside_another_transaction_nothing_is_tried_again():
    attempts = []

    @retried
    def lose():
        attempts.append(1)
        raise deadlock()

    with pytest.raises(OperationalError), transaction.atomic():
        lose()
    assert len(attempts) == 1
