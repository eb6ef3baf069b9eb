"""Batches that are taken apart where they fail."""

import pytest
from django.db import DataError, OperationalError, connection, transaction

from cronsched.lib.db.outages import UNREACHABLE, first_line, is_outage, piecewise


class Writer:
    """Writes numbers, but not the ones it will not take."""

    def __init__(self, *refused: int) -> None:
        self.refused = set(refused)
        self.calls: list[list[int]] = []
        self.written: list[int] = []

    def __call__(self, numbers):
        self.calls.append(list(numbers))
        if self.refused & set(numbers):
            raise DataError("no")
        self.written += numbers
        return len(numbers)


def test_a_batch_without_trouble_is_written_at_once():
    writer = Writer()
    assert piecewise([1, 2, 3], writer, lambda *_: 0) == [3]
    assert writer.calls == [[1, 2, 3]]


@pytest.mark.parametrize("refused", [(), (0,), (63,), (17,), (3, 4), (0, 31, 63), tuple(range(64))])
def test_what_is_refused_alone_keeps_nothing_else_back(refused):
    writer, left = Writer(*refused), []

    def refusal(number, error):
        left.append((number, str(error)))
        return 0

    written = piecewise(list(range(64)), writer, refusal)
    assert sorted(writer.written) == sorted(set(range(64)) - set(refused))
    assert left == [(number, "no") for number in refused]
    assert sum(written) == 64 - len(refused)


def test_one_bad_item_of_many_costs_few_tries():
    writer = Writer(300)
    piecewise(list(range(512)), writer, lambda *_: 0)
    assert len(writer.calls) <= 2 * 9 + 1


def test_a_database_that_is_away_is_nobody_s_fault():
    def away(numbers):
        raise OperationalError("gone")

    with pytest.raises(OperationalError):
        piecewise([1, 2], away, lambda *_: 0)


def ask(statement, *parameters):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall()


@pytest.mark.database
@pytest.mark.django_db
@pytest.mark.parametrize("statement", ["SELECT 1 FROM away", "SELECT away FROM jobs"])
def test_tables_that_are_away_are_nobody_s_fault_either(statement):
    left = []
    with pytest.raises(UNREACHABLE) as raised:
        piecewise([1, 2], lambda _: ask(statement), lambda number, _: left.append(number))
    assert (left, is_outage(raised.value)) == ([], True)


@pytest.mark.database
@pytest.mark.django_db
def test_a_value_that_no_statement_can_pass_on_keeps_nothing_else_back():
    bad: object = {"no": "driver takes it"}
    left: list[object] = []
    asked = piecewise(
        [1, 2, bad, 3],
        lambda values: [ask("SELECT %s", value) for value in values],
        lambda value, _: left.append(value),
    )
    assert (left, len(asked)) == ([bad], 3)


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "sqlite", reason="the others look at what they store")
def test_a_text_that_cannot_be_decoded_is_no_outage():
    with pytest.raises(OperationalError) as raised:
        ask("SELECT CAST(x'ff41' AS TEXT)")
    assert not is_outage(raised.value)


def test_nothing_is_nothing_to_do():
    assert piecewise([], Writer(), lambda *_: 0) == []


def test_a_log_line_takes_the_first_line_of_an_error():
    assert first_line(OperationalError("\nno connection\nIs the server running?")) == "no connection"
    assert first_line(OperationalError()) == "OperationalError"
