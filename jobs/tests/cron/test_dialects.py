"""Expressions of other schedulers: a proposal fires at the same times as what was meant, or there is none."""

import re

import pytest

from jobs import cron
from jobs.cron.dialects import numbered_weekdays, weekday_names


def hint(expression):
    with pytest.raises(cron.CronError) as caught:
        cron.parse(expression)
    assert caught.value.hint
    return caught.value.hint


def proposals(text):
    """Return what a hint proposes to write."""
    return [found.strip() for found in re.findall(r"[Ww]rite ([\d*].*?)(?=$|[;:(]|\. )", text)]


@pytest.mark.parametrize(
    "expression, same",
    [
        # EventBridge: the year stands last, and weekdays count from 1, Sunday.
        ("0 8 1 * ? *", "0 8 1 * *"),
        ("0 10 ? * 2-6 *", "0 10 * * MON-FRI"),
        ("cron(0 8 1 * ? *)", "0 8 1 * *"),
        ("cron(0 18 ? * MON-FRI *)", "0 18 * * MON-FRI"),
        ("cron(0/10 * ? * 1,7 *)", "0/10 * * * SAT,SUN"),
        ("cron(0 9 ? * 2#1 *)", "0 9 * * MON#1"),
        ("cron(0 2 * * *)", "0 2 * * *"),
        # Quartz: seconds stand first, and weekdays count from 1, Sunday.
        ("0 0 12 ? * 1", "0 12 * * SUN"),
        ("0 0/5 14 * * ?", "0/5 14 * * *"),
        ("0 15 10 ? * 2-6 *", "15 10 * * MON-FRI"),
        ("0 0 12 ? * 1/2", "0 12 * * TUE,THU,SAT,SUN"),
        ("0 0 12 L * ?", "0 12 L * *"),
        # Both readings come to the same.
        ("0 30 12 * * MON-FRI", "30 12 * * MON-FRI"),
        # The line of a file, with what stands around.
        ('"0 2 * * *"', "0 2 * * *"),
        ("'0 2 * * *'", "0 2 * * *"),
        ("`0 2 * * *`", "0 2 * * *"),
        ("\u201c0 2 * * *\u201d", "0 2 * * *"),
        ("- cron: '0 2 * * 1-5'", "0 2 * * 1-5"),
        ("cron: 0 2 * * 1-5  # nightly", "0 2 * * 1-5"),
        ("0 2 * * * /usr/bin/backup --all", "0 2 * * *"),
        ("0 2 * * 1 root run-parts /etc/cron.weekly", "0 2 * * 1"),
        # A rate that divides its hour or its day.
        ("rate(5 minutes)", "*/5 * * * *"),
        ("rate(1 minute)", "* * * * *"),
        ("rate(1 hour)", "0 * * * *"),
        ("rate(6 hours)", "0 */6 * * *"),
        ("rate(1 day)", "0 0 * * *"),
    ],
)
def test_a_proposal_means_the_same(expression, same):
    (proposal,) = proposals(hint(expression))
    assert cron.parse(proposal).expression == same


@pytest.mark.parametrize(
    "expression, sentence",
    [
        ("0 0 12 * * 1", "write the weekday 1 by its name"),
        ("0 0 2 ? * MON 2026", "Leave out the year"),
        ("0 2 * * * 2026", "Leave out the year"),
        ("cron(0 8 1 * ? 2027)", "Leave out the year"),
        ("15 0 2 ? * MON", "whole minutes"),
        ("*/10 * * * * ?", "whole minutes"),
        ("0 0 12 ? * 7-2", "weekdays count from 1, Sunday"),
        ("0 0 12 ? * 6L", "weekdays count from 1, Sunday"),
        ("0 0 12 LW * ?", "Write the five fields"),
        ("rate(7 minutes)", "no expression of five fields"),
        ("rate(5 hours)", "no expression of five fields"),
        ("rate(0 minutes)", "no expression of five fields"),
        ("rate(often)", "not supported"),
        ("at(2026-01-01T00:00:00)", "one moment"),
        ("cron()", "five fields"),
        ('"daily"', "Leave out the quotes."),
        ("- cron: daily", "Write only the five fields"),
    ],
)
def test_what_has_no_counterpart_gets_a_sentence_and_no_proposal(expression, sentence):
    text = hint(expression)
    assert sentence in text
    assert not [proposal for proposal in proposals(text) if _is_valid(proposal)]


def test_an_ambiguous_expression_gets_both_readings():
    text = hint("0 0 12 * * *")
    assert "first field is seconds, write 0 12 * * *;" in text
    assert text.endswith("if the last one is years, write 0 0 12 * *")
    assert "whole minutes; if the last one is years, write */5 * * * *" in hint("*/5 * * * * *")


def _is_valid(expression):
    try:
        cron.parse(expression)
    except cron.CronError:
        return False
    return True


@pytest.mark.parametrize("first, sunday", [(0, 0), (1, 1), (6, 6)])
def test_numbers_of_weekdays_are_read_by_where_they_start(first, sunday):
    assert numbered_weekdays(str(sunday), first=first) == (0,)
    assert numbered_weekdays("MON-FRI", first=first) == (1, 2, 3, 4, 5)
    assert numbered_weekdays("*", first=first) == tuple(range(7))


@pytest.mark.parametrize("text", ["8", "x", "", "5-1", "1/0", "1,,2", "\u0663", "0"])
def test_what_is_no_weekday_is_not_guessed(text):
    with pytest.raises(ValueError):
        numbered_weekdays(text, first=1)


@pytest.mark.parametrize(
    "weekdays, names",
    [
        ((0, 1, 2, 3, 4, 5, 6), "*"),
        ((1, 2, 3, 4, 5), "MON-FRI"),
        ((0, 6), "SAT,SUN"),
        ((0, 4, 5, 6), "THU-SAT,SUN"),
        ((0,), "SUN"),
        ((1, 3, 5), "MON,WED,FRI"),
    ],
)
def test_names_of_weekdays_say_the_same(weekdays, names):
    assert weekday_names(weekdays) == names
    assert cron.parse(f"0 0 * * {names}").weekdays == weekdays
