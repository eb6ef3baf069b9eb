"""What is to come: sums by minute and hour, limits that are met, and what is read for them."""

import time
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs import cron
from jobs.history.forecast import HOUR, MAX_HOT, MINUTE, Limits, Load, forecast
from jobs.history.forecast_loads import read_loads
from jobs.models import Job
from jobs.tests.conftest import WORKFLOW
from jobs.tests.factories import make_execution, make_job

NINE = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
DAY = timedelta(days=1)
LIMITS = Limits(github_dispatches_per_minute=60, github_dispatches_per_hour=500, max_in_flight=2000)


def load(expression, jobs=1, *, seconds=0.0, ends_at=None, zone="UTC", **dispatches):
    return Load(expression, zone, ends_at, jobs, seconds, dispatches)


def told(loads, *, start=NINE, length=2 * HOUR, unit=HOUR, limits=LIMITS):
    return forecast(loads, start=start, end=start + length, unit=unit, limits=limits)


def test_runs_dispatches_and_seconds_are_summed():
    found = told([load("*/30 * * * *", 10, seconds=25.0, token=4), load("0 10 * * *", 3, seconds=6.0)])
    assert [tuple(bucket) for bucket in found.buckets] == [(NINE, 20, 8, 50.0), (NINE + HOUR, 23, 8, 56.0)]
    assert found.hot == []


def test_by_minute_there_is_a_bucket_for_each():
    found = told([load("1 9 * * *", 7)], length=3 * MINUTE, unit=MINUTE)
    assert [bucket.runs for bucket in found.buckets] == [0, 7, 0]


def test_the_end_date_ends_it_and_the_range_is_half_open():
    found = told([load("0 * * * *", ends_at=NINE + HOUR), load("0 11 * * *")])
    assert [bucket.runs for bucket in found.buckets] == [1, 0]


def test_buckets_begin_where_the_range_does():
    found = told([load("45 9 * * *")], start=NINE + 30 * MINUTE, length=HOUR)
    assert [(bucket.at, bucket.runs) for bucket in found.buckets] == [(NINE + 30 * MINUTE, 1)]


def test_limits_that_are_met_are_told_with_the_reason():
    found = told([load("0 9 * * *", 3000, one=61, other=60), load("30 10 * * *", 60, one=60)])
    assert [tuple(hot) for hot in found.hot] == [
        (
            NINE,
            3000,
            "3000 runs are due in one minute; 2000 may be in flight at once."
            " 61 dispatches with one GitHub credential are due in one minute; 60 may leave.",
        )
    ]


def test_an_hour_has_a_limit_of_its_own():
    found = told([load("* 9 * * *", 9, one=9)])
    assert [hot.reason for hot in found.hot] == [
        "540 dispatches with one GitHub credential are due in one hour; 500 may leave."
    ]


def test_of_very_many_hot_minutes_the_hottest_are_told():
    loads = [load("* * * * *", 2001), load("*/2 * * * *", 5)]
    found = told(loads, length=4 * HOUR, unit=MINUTE)
    assert len(found.hot) == MAX_HOT
    assert {hot.runs for hot in found.hot} == {2006}
    assert [hot.at for hot in found.hot] == sorted(hot.at for hot in found.hot)


def test_what_cannot_be_computed_is_left_out():
    assert sum(bucket.runs for bucket in told([load("61 * * * *"), load("0 * * * *", zone="Nowhere")]).buckets) == 0


EXPRESSIONS = st.sampled_from(("* * * * *", "*/7 * * * *", "0 2 * * *", "30 2 * * 1-5", "13 */2 10 * *"))
ZONES = st.sampled_from(("UTC", "Asia/Tokyo", "America/New_York", "Australia/Lord_Howe"))


@settings(max_examples=40, deadline=None, database=None)
@given(
    st.lists(st.tuples(EXPRESSIONS, ZONES, st.integers(1, 50)), max_size=5),
    st.integers(0, 3000),
    st.integers(1, 2880),
    st.sampled_from((MINUTE, HOUR)),
)
def test_every_fire_time_is_in_the_bucket_that_holds_it(chosen, offset, length, unit):
    start = datetime(2026, 3, 7, tzinfo=UTC) + offset * MINUTE
    end = start + length * MINUTE
    expected: Counter[datetime] = Counter()
    for expression, zone, jobs in chosen:
        for moment in cron.fire_times_between(expression, zone, after=start - MINUTE, until=end - MINUTE):
            expected[start + (moment - start) // unit * unit] += jobs
    loads = [load(expression, jobs, zone=zone) for expression, zone, jobs in chosen]
    found = forecast(loads, start=start, end=end, unit=unit, limits=LIMITS)
    assert {bucket.at: bucket.runs for bucket in found.buckets if bucket.runs} == expected


@pytest.mark.django_db
@pytest.mark.database
def test_jobs_that_fire_together_are_one_load_and_those_at_rest_none(settings):
    settings.GITHUB_TOKEN = "a-token"
    slow = make_job(cron_expression="0 9 * * *", timezone="UTC")
    make_job(cron_expression="0 9 * * *", timezone="UTC", **WORKFLOW)
    make_job(cron_expression="0 9 * * *", timezone=None)
    make_job(cron_expression="0 9 * * *", timezone="UTC", end_date=date(2026, 3, 10))
    make_job(cron_expression="0 9 * * *", is_active=False)
    make_job(cron_expression="61 9 * * *", schedule_error="no such minute")
    for seconds in (10.0, 30.0):
        make_execution(slow, started_at=NINE - DAY, duration_seconds=seconds)
    make_execution(slow, started_at=NINE - 9 * DAY, duration_seconds=9000.0)
    loads = read_loads(Job.objects.all(), end=NINE + 3 * DAY, now=NINE)
    shown = {(one.zone_name, one.ends_at): (one.jobs, one.seconds, list(one.dispatches.values())) for one in loads}
    assert shown == {
        ("UTC", None): (2, 40.0, [1]),
        ("Asia/Tokyo", None): (1, 20.0, []),
        # The day ends at midnight in Tokyo.
        ("UTC", datetime(2026, 3, 10, 15, 0, tzinfo=UTC)): (1, 20.0, []),
    }


@pytest.mark.django_db
def test_ten_thousand_jobs_take_as_many_queries_as_one(django_assert_num_queries):
    first = make_job(cron_expression="*/5 * * * *")
    expressions = [f"{minute} {hour} * * *" for minute in range(0, 60, 5) for hour in range(24)] + ["*/5 * * * *"]
    Job.objects.bulk_create(
        (
            Job(
                name=f"Load {number}",
                cron_expression=expressions[number % len(expressions)],
                target_url="https://hooks.example.com/",
                end_date=date(2099, 12, 31),
                category=first.category,
                pic_team=first.pic_team,
            )
            for number in range(9_999)
        ),
        batch_size=1000,
    )
    with django_assert_num_queries(1):
        loads = read_loads(Job.objects.all(), end=NINE + 31 * DAY, now=NINE)
    assert sum(one.jobs for one in loads) == 10_000
    assert len(loads) == len(expressions)
    began = time.process_time()
    found = forecast(loads, start=NINE, end=NINE + 31 * DAY, unit=HOUR, limits=LIMITS)
    # Far more than it takes; what it must not do is walk through each job.
    assert time.process_time() - began < 10
    assert len(found.buckets) == 31 * 24
