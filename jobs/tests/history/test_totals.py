"""Counters for monitors: they grow with every end and never fall."""

from datetime import timedelta
from typing import Any

import pytest

from jobs.history import daily_counts, retention, totals
from jobs.history.daily_counts import Counted
from jobs.history.totals import DURATION_BOUNDS, LATENESS_BOUNDS, Ended
from jobs.models import JobExecution, Status, TotalSeries, TriggerType
from jobs.tests.factories import NOON, make_execution, make_job
from jobs.tests.scheduler.helpers import record, start, success

pytestmark = [pytest.mark.database, pytest.mark.django_db]


def ended(status: str, **fields: Any) -> Counted:
    row = Counted(make_job().pk, NOON, status, "scheduled", "webhook", None)
    return row._replace(**fields)


def test_each_kind_has_its_counter():
    daily_counts.add([ended("success"), ended("success"), ended("missed", execution_type=None)])
    daily_counts.add([ended("success")])
    assert sorted(totals.ended()) == [
        Ended("missed", "scheduled", "", 1),
        Ended("success", "scheduled", "webhook", 3),
    ]


def test_a_history_that_is_removed_is_no_counter_that_falls():
    execution = make_execution(status=Status.SUCCESS, duration_seconds=1.0)
    retention.delete([execution.pk])
    assert not JobExecution.objects.exists()
    assert [row.number for row in totals.ended()] == [1]
    assert totals.histogram(TotalSeries.DURATION, DURATION_BOUNDS).buckets["1"] == 1


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(0.0, "0.1"), (-0.5, "0.1"), (0.1, "0.1"), (0.11, "0.25"), (3600.0, "3600"), (1e6, "+Inf")]
)
def test_lateness_falls_into_the_bucket_whose_bound_it_does_not_exceed(seconds, bucket):
    daily_counts.add([ended("success", lateness_seconds=seconds)])
    found = totals.histogram(TotalSeries.LATENESS, LATENESS_BOUNDS)
    assert {bound for bound, number in found.buckets.items() if number} == {bucket}
    assert found.seconds == max(0.0, seconds)


def test_a_histogram_is_cumulative_and_has_every_bound():
    daily_counts.add([ended("success", duration_seconds=seconds) for seconds in (0.01, 0.2, 0.2, 9999)])
    found = totals.histogram(TotalSeries.DURATION, DURATION_BOUNDS).cumulative()
    assert [bound for bound, _ in found] == [*(f"{bound:g}" for bound in DURATION_BOUNDS), "+Inf"]
    assert dict(found)["0.05"] == 1
    assert dict(found)["0.25"] == 3
    assert found[-1] == ("+Inf", 4)


def test_the_lateness_of_an_unknown_outcome_is_counted_once_when_it_is_known():
    daily_counts.add([ended("unknown", lateness_seconds=1.0)])
    daily_counts.add([ended("unknown", sign=-1), ended("success", lateness_seconds=1.0)])
    assert totals.histogram(TotalSeries.LATENESS, LATENESS_BOUNDS).seconds == 1.0
    assert sorted((row.status, row.number) for row in totals.ended()) == [("success", 1), ("unknown", 1)]


def test_a_bound_of_an_earlier_release_is_still_told():
    daily_counts.add([ended("success", duration_seconds=0.01)])
    found = totals.histogram(TotalSeries.DURATION, (1.0,))
    assert found.cumulative() == [("0.05", 1), ("1", 1), ("+Inf", 1)]


def test_a_recorded_run_counts_its_lateness_and_its_duration():
    queued = {"status": Status.QUEUED, "trigger_type": TriggerType.SCHEDULED, "scheduled_for": NOON}
    prepared = start(make_execution(make_job(), **queued), now=NOON + timedelta(seconds=3))
    record(prepared, success(), at=NOON + timedelta(seconds=4))
    late = totals.histogram(TotalSeries.LATENESS, LATENESS_BOUNDS)
    assert (late.buckets["5"], late.seconds) == (1, 3.0)
    took = totals.histogram(TotalSeries.DURATION, DURATION_BOUNDS)
    assert (took.buckets["1"], took.seconds) == (1, 1.0)
    assert [(row.status, row.trigger_type) for row in totals.ended()] == [("success", "scheduled")]
