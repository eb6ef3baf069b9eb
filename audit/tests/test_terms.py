"""The terms of leaders are on record, and so are the times without one."""

from datetime import UTC, datetime, timedelta

import pytest

from audit import terms
from audit.models import LeaderTerm

NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def gaps(start=NOON - 60 * MINUTE, end=NOON + 60 * MINUTE, *, now=NOON + 60 * MINUTE):
    return [(gap.start, gap.end, gap.reason) for gap in terms.gaps(start, end, now=now, silent_after=15)]


def test_a_term_that_ends_as_asked_says_so():
    terms.begin("a:1", 1, now=NOON)
    terms.seen(1, now=NOON + MINUTE)
    terms.end(1, now=NOON + 2 * MINUTE)
    row = LeaderTerm.objects.get()
    assert (row.holder, row.began_at, row.ended_at, row.end_reason) == ("a:1", NOON, NOON + 2 * MINUTE, terms.STOPPED)
    assert gaps() == [(NOON + 2 * MINUTE, None, terms.STOPPED)]


def test_a_leader_that_fell_silent_ended_when_it_was_last_seen():
    terms.begin("a:1", 1, now=NOON)
    terms.seen(1, now=NOON + MINUTE)
    terms.begin("b:1", 2, now=NOON + 5 * MINUTE)
    assert LeaderTerm.objects.get(fence=1).ended_at == NOON + MINUTE
    assert gaps(now=NOON + 5 * MINUTE) == [(NOON + MINUTE, NOON + 5 * MINUTE, terms.SILENT)]


def test_a_leader_that_still_leads_leaves_no_gap_and_a_silent_one_does():
    terms.begin("a:1", 1, now=NOON)
    assert gaps(now=NOON + timedelta(seconds=10)) == []
    assert gaps(now=NOON + MINUTE) == [(NOON, None, terms.SILENT)]


def test_a_term_that_is_over_is_not_seen_again():
    terms.begin("a:1", 1, now=NOON)
    terms.begin("b:1", 2, now=NOON + MINUTE)
    terms.seen(1, now=NOON + 2 * MINUTE)
    terms.end(1, now=NOON + 3 * MINUTE)
    assert LeaderTerm.objects.get(fence=1).ended_at == NOON


@pytest.mark.parametrize(
    ("start", "end", "found"),
    [(-30, -20, False), (-30, 3, True), (3, 4, True), (2, 10, True), (6, 10, False)],
)
def test_only_gaps_that_touch_the_time_asked_for_are_told(start, end, found):
    terms.begin("a:1", 1, now=NOON)
    terms.end(1, now=NOON + 2 * MINUTE)
    terms.begin("b:1", 2, now=NOON + 5 * MINUTE)
    told = gaps(NOON + start * MINUTE, NOON + end * MINUTE, now=NOON + 5 * MINUTE)
    assert told == ([(NOON + 2 * MINUTE, NOON + 5 * MINUTE, terms.STOPPED)] if found else [])


def test_of_the_time_before_the_first_term_nothing_is_said():
    terms.begin("a:1", 1, now=NOON)
    assert gaps(NOON - 60 * MINUTE, NOON, now=NOON) == []
