from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from django.db import OperationalError

from cronsched.lib.probe import Probe

# Long enough for a thread on a busy machine, short where the point is to give up.
SOON, AT_ONCE = 10.0, 0.05


class Database:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.may_answer = Event()
        self.error: Exception | None = None

    def __call__(self) -> str:
        self.asked += 1
        assert self.may_answer.wait(SOON)
        if self.error:
            raise self.error
        return "fine"


@pytest.fixture
def database():
    database = Database()
    yield database
    database.may_answer.set()


def test_the_answer_comes_through(database):
    database.may_answer.set()
    assert Probe(database).ask(patience=SOON) == "fine"


def test_a_silent_database_is_given_up_on(database, caplog):
    assert Probe(database).ask(patience=AT_ONCE) is None
    assert "has not answered" in caplog.text


def test_a_refusing_database_is_no_error(database, caplog):
    database.error = OperationalError("connection refused")
    database.may_answer.set()
    assert Probe(database).ask(patience=SOON) is None
    assert "connection refused" in caplog.text


def test_an_error_of_ours_is_not_taken_for_one_of_the_database(database):
    database.error = KeyError("bug")
    database.may_answer.set()
    with pytest.raises(KeyError):
        Probe(database).ask(patience=SOON)


def test_many_callers_share_one_question(database, caplog):
    probe = Probe(database)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: probe.ask(patience=AT_ONCE), range(8)))
    assert (answers, database.asked) == ([None] * 8, 1)


def test_a_database_that_comes_back_is_asked_again(database, caplog):
    probe = Probe(database)
    assert probe.ask(patience=AT_ONCE) is None
    database.may_answer.set()
    assert probe.ask(patience=SOON) == "fine"
    assert probe.ask(patience=SOON) == "fine"
    assert database.asked == 2
