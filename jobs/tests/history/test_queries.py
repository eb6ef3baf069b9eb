"""Sums over the history, against counting row by row."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cronsched.lib.input.ranges import DateRange
from jobs.history import queries
from jobs.history.queries import Selection, Span, by_job_name, count, cut, page
from jobs.models import ExecutionType, JobExecution, Status, TriggerType
from jobs.tests.factories import NOON, make_execution, make_job

MIDNIGHT = datetime(2026, 1, 15, tzinfo=UTC)


def at(hours):
    return MIDNIGHT + timedelta(hours=hours)


# --- Cutting a period at midnights -----------------------------------------------------------------------------------


def days(period):
    cuts = cut(period)
    return (cuts.first and cuts.first.isoformat(), cuts.last and cuts.last.isoformat()) if cuts.has_days else None


@pytest.mark.parametrize(
    "start, end, expected_days, spans",
    [
        (None, None, (None, None), ()),
        (at(0), None, ("2026-01-15", None), ()),
        (None, at(24), (None, "2026-01-15"), ()),
        (at(0), at(48), ("2026-01-15", "2026-01-16"), ()),
        # What sticks out of the days is added, what the days have too much is taken away.
        (at(-5), at(53), ("2026-01-15", "2026-01-16"), (Span(at(-5), at(0), 1), Span(at(48), at(53), 1))),
        (at(5), at(43), ("2026-01-15", "2026-01-16"), (Span(at(0), at(5), -1), Span(at(43), at(48), -1))),
        # The last 24 hours at one o'clock: a whole day, and something at both ends.
        (at(-11), at(13), ("2026-01-15", "2026-01-15"), (Span(at(-11), at(0), 1), Span(at(13), at(24), -1))),
        # Thirteen hours about noon: less is looked at by taking away.
        (at(6), at(19), ("2026-01-15", "2026-01-15"), (Span(at(0), at(6), -1), Span(at(19), at(24), -1))),
        (at(9), at(15), None, (Span(at(9), at(15), 1),)),
        (at(-1), at(1), None, (Span(at(-1), at(1), 1),)),
    ],
)
def test_a_period_is_cut_into_days_and_what_differs_from_them(start, end, expected_days, spans):
    period = DateRange(start, end)
    assert days(period) == expected_days
    assert cut(period).spans == spans


def test_the_end_of_the_calendar_is_no_problem():
    end = datetime(9999, 12, 31, 23, tzinfo=UTC)
    assert cut(DateRange(None, end)).spans == (Span(end.replace(hour=0), end, 1),)


# --- Sums ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def history(db):
    """Two jobs with executions of every kind, spread over four days."""
    dice = random.Random(20260115)
    jobs = [make_job(), make_job()]
    for _ in range(120):
        status = dice.choice(Status.values)
        make_execution(
            dice.choice(jobs),
            status=status,
            trigger_type=dice.choice(TriggerType.values),
            execution_type=dice.choice([*ExecutionType.values, None]),
            started_at=MIDNIGHT + timedelta(seconds=dice.randrange(4 * 24 * 3600)),
            duration_seconds=dice.choice([None, 0.5, 2.25]) if status in (Status.SUCCESS, Status.FAILED) else None,
        )
    return jobs


def row_by_row(selection):
    """Return (count, timed, seconds) per status by looking at every row."""
    found: dict[str, tuple[int, int, float]] = {}
    for row in JobExecution.objects.all():
        wanted = (
            (selection.jobs is None or row.job_id in selection.jobs)
            and (selection.statuses is None or row.status in selection.statuses)
            and (selection.trigger_types is None or row.trigger_type in selection.trigger_types)
            and (selection.execution_types is None or row.execution_type in selection.execution_types)
            and (selection.period.start is None or row.started_at >= selection.period.start)
            and (selection.period.end is None or row.started_at < selection.period.end)
        )
        if wanted:
            count, timed, seconds = found.get(row.status, (0, 0, 0.0))
            duration = row.duration_seconds
            found[row.status] = (count + 1, timed + (duration is not None), seconds + (duration or 0.0))
    return found


@pytest.mark.database
def test_sums_are_what_counting_row_by_row_gives(history):
    dice = random.Random(1)
    for _ in range(40):
        bounds = sorted(at(dice.choice([*range(0, 97, 24), dice.randrange(96)])) for _ in range(2))
        start, end = (dice.choice([bound, None]) for bound in bounds)
        if start == end and start is not None:
            end = None
        selection = Selection(
            jobs=dice.choice([None, frozenset({history[0].id})]),
            statuses=dice.choice([None, frozenset(dice.sample(Status.values, 2))]),
            trigger_types=dice.choice([None, None, frozenset({TriggerType.MANUAL})]),
            execution_types=dice.choice([None, None, frozenset({ExecutionType.WEBHOOK})]),
            period=DateRange(start, end),
        )
        expected = row_by_row(selection)
        totals = queries.totals(selection)
        counted = {
            status: (one.count, one.timed, pytest.approx(one.seconds))
            for status, one in totals.by_status.items()
            if one.count
        }
        assert counted == expected, selection
        assert queries.count(selection) == sum(count for count, _, _ in expected.values())
        assert len(queries.page(selection, offset=0, limit=200)) == queries.count(selection)


@pytest.mark.parametrize("oldest_first", [False, True])
@pytest.mark.database
def test_pages_of_several_statuses_are_in_one_order(history, oldest_first):
    statuses = frozenset({Status.FAILED, Status.MISSED, Status.RUNNING})
    selection = Selection(statuses=statuses)
    expected = sorted(
        (row for row in JobExecution.objects.all() if row.status in statuses),
        key=lambda row: (row.started_at, row.id),
        reverse=not oldest_first,
    )
    pages = [queries.page(selection, offset=start, limit=7, oldest_first=oldest_first) for start in range(0, 70, 7)]
    assert [row for page in pages for row in page] == expected


@pytest.mark.parametrize("name", ["jobs", "statuses", "trigger_types", "execution_types"])
def test_an_empty_condition_matches_nothing_and_asks_nothing(history, name, django_assert_num_queries):
    nothing: dict[str, Any] = {name: frozenset()}
    with django_assert_num_queries(0):
        assert queries.count(Selection(**nothing)) == 0


def test_sums_over_whole_days_read_no_settled_row(history, django_assert_num_queries):
    # A row that the daily counts know nothing of shows who was asked.
    JobExecution.objects.filter(status=Status.SUCCESS).update(status=Status.FAILED)
    with django_assert_num_queries(1):
        totals = queries.totals(Selection(period=DateRange(at(0), at(48))))
    assert totals.count(Status.SUCCESS) > 0


def test_executions_found_by_name_are_counted_one_by_one(history):
    name = history[0].name
    assert queries.count(Selection(job_name=name.upper())) == JobExecution.objects.filter(job=history[0]).count()


def test_what_is_still_open_is_asked_for_by_its_statuses_alone():
    def of(*statuses: str) -> frozenset[str] | None:
        return Selection(statuses=frozenset(statuses)).still_open().statuses

    assert of(Status.FAILED, Status.RUNNING) == {Status.RUNNING}
    assert of(Status.FAILED) == set()
    assert Selection().still_open().statuses == {Status.QUEUED, Status.RUNNING}


@pytest.mark.parametrize("merged", [50, 1])
def test_a_search_by_name_lists_and_counts_the_same_whichever_way_it_goes(db, monkeypatch, merged):
    monkeypatch.setattr(queries, "MERGED", merged)
    backups = [make_job(name=f"Backup {number}") for number in range(3)]
    other = make_job(name="Other")
    made = []
    for number in range(12):
        moment = NOON + timedelta(days=number % 3, minutes=number)
        job = backups[number % 3] if number % 4 else other
        execution = make_execution(job, started_at=moment, status=Status.FAILED if number % 2 else Status.SUCCESS)
        made.append((moment, execution.pk, job))
    wanted = [pk for _, pk, job in sorted(made, key=lambda row: row[:2], reverse=True) if job != other]
    found = by_job_name(Selection(), "BACKUP")
    assert count(found) == len(wanted)
    assert [row.pk for row in page(found, offset=0, limit=100)] == wanted
    assert [row.pk for row in page(found, offset=3, limit=4)] == wanted[3:7]
    assert [row.pk for row in page(found, offset=0, limit=100, oldest_first=True)] == wanted[::-1]
    failed = by_job_name(Selection(statuses=frozenset({Status.FAILED})), "backup")
    assert count(failed) == len(page(failed, offset=0, limit=100)) == 6
    day = by_job_name(Selection(period=DateRange(NOON, NOON + timedelta(hours=30))), "backup")
    assert count(day) == len(page(day, offset=0, limit=100)) > 0


def test_a_search_that_every_job_meets_is_none(db):
    make_execution(make_job(name="Backup"))
    make_job(name="Backup, too")
    assert by_job_name(Selection(), "nothing").is_nothing
    assert by_job_name(Selection(), "") == Selection()
