"""Batches write and read what Django's own statements would, on each database."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import DataError, IntegrityError, connection, transaction

from cronsched.lib.db import batches
from cronsched.lib.db.batches import Column, Kind
from cronsched.lib.db.outages import UNREACHABLE
from jobs.models import DailyCount, Job, JobExecution, Status
from jobs.tests.factories import NOON, break_in_database, make_execution, make_job

pytestmark = [pytest.mark.database, pytest.mark.django_db]

EXECUTIONS = JobExecution._meta.db_table
COUNTS = DailyCount._meta.db_table
NEW = (
    Column("id", Kind.UUID),
    Column("job_id", Kind.UUID),
    Column("scheduled_for", Kind.INSTANT),
    Column("duration_seconds", Kind.REAL),
    Column("output", Kind.TEXT),
    Column("details", Kind.JSON),
)
SAME: list[tuple[Column, Any]] = [
    (Column("status", Kind.TEXT), "queued"),
    (Column("trigger_type", Kind.TEXT), "scheduled"),
    (Column("queued_at", Kind.INSTANT), NOON),
    (Column("started_at", Kind.INSTANT), NOON),
    (Column("attempt", Kind.INTEGER), 1),
    (Column("earlier_attempts", Kind.JSON), []),
]
KEY = (
    Column("job_key", Kind.UUID),
    Column("day", Kind.DAY),
    Column("status", Kind.TEXT),
    Column("trigger_type", Kind.TEXT),
    Column("execution_type", Kind.TEXT),
)
AMOUNTS = (Column("count", Kind.INTEGER), Column("timed", Kind.INTEGER), Column("seconds", Kind.REAL))
TEXTS = ["plain", "", "Ü 日本 😀", "a'b\"c\\d %s {} ; --", "line\nbreak\ttab", "\x7f\u2028", None]


def insert(rows: list[tuple[Any, ...]], **options: Any) -> int:
    return batches.insert(connection, EXECUTIONS, NEW, rows, same=SAME, **options)


@pytest.mark.parametrize("text", TEXTS)
def test_inserted_values_read_back_as_they_were(text):
    job, key = make_job(), uuid4()
    moment = datetime(2026, 1, 15, 21, 0, 0, 123456, tzinfo=timezone(timedelta(hours=9)))
    details = {"key": [1, 2.5, None, True, text]}
    assert insert([(key, job.pk, moment, 0.1, text, details)]) == 1
    row = JobExecution.objects.get(pk=key)
    assert (row.job_id, row.scheduled_for, row.duration_seconds) == (job.pk, moment, 0.1)
    assert (row.output, row.details) == (text, details)
    assert (row.status, row.queued_at, row.earlier_attempts) == ("queued", NOON, [])


def test_rows_that_exist_are_left_out():
    job = make_job()
    make_execution(job, scheduled_for=NOON)
    rows: list[tuple[Any, ...]] = [
        (uuid4(), job.pk, moment, None, None, {}) for moment in (NOON, NOON + timedelta(minutes=1))
    ]
    assert insert(rows, unless_exists=("job_id", "scheduled_for")) == 1
    assert JobExecution.objects.filter(job=job).count() == 2


def test_rows_without_a_value_to_compare_never_exist_already():
    job = make_job()
    make_execution(job, scheduled_for=None)
    assert insert([(uuid4(), job.pk, None, None, None, {})], unless_exists=("job_id", "scheduled_for")) == 1


def test_the_constraint_decides_where_nobody_looked():
    job = make_job()
    make_execution(job, scheduled_for=NOON)
    with pytest.raises(IntegrityError), transaction.atomic():
        insert([(uuid4(), job.pk, NOON, None, None, {})])


def test_no_rows_cost_no_error():
    assert insert([]) == 0
    assert batches.update(connection, EXECUTIONS, NEW[:1] + NEW[4:5], []) == 0


def test_each_row_gets_its_own_values_and_only_where_the_condition_holds():
    running, queued, other = (make_execution(status=status) for status in ("running", "queued", "running"))
    columns = (Column("id", Kind.UUID), Column("output", Kind.TEXT), Column("completed_at", Kind.INSTANT))
    rows = [(running.pk, "one", NOON), (queued.pk, "two", NOON), (uuid4(), "three", None)]
    condition = "job_executions.status = %s"
    changed = batches.update(connection, EXECUTIONS, columns, rows, condition=condition, parameters=["running"])
    assert changed == 1
    found = {row.pk: (row.output, row.completed_at) for row in JobExecution.objects.all()}
    assert found == {running.pk: ("one", NOON), queued.pk: (None, None), other.pk: (None, None)}


def test_values_can_be_taken_back_to_null():
    execution = make_execution(output="text", duration_seconds=1.5, scheduled_for=NOON)
    columns = (NEW[0], *NEW[2:5])
    assert batches.update(connection, EXECUTIONS, columns, [(execution.pk, None, None, None)]) == 1
    execution.refresh_from_db()
    assert (execution.output, execution.duration_seconds, execution.scheduled_for) == (None, None, None)


def test_amounts_are_added_to_what_is_there():
    key, day = uuid4(), date(2026, 1, 15)
    rows = [(key, day, "success", "manual", "", 2, 1, 0.5), (key, day, "failed", "manual", "", 1, 0, 0.0)]
    batches.add(connection, COUNTS, KEY, AMOUNTS, rows)
    batches.add(connection, COUNTS, KEY, AMOUNTS, [(key, day, "success", "manual", "", -1, 2, 1.25)])
    found = DailyCount.objects.order_by("status").values_list("job_key", "day", "status", "count", "timed", "seconds")
    assert list(found) == [(key, day, "failed", 1, 0, 0.0), (key, day, "success", 1, 3, 1.75)]


def test_a_batch_reads_what_the_queryset_reads():
    make_job(metadata={"a": [1, None]}, timezone="Europe/Berlin", next_fire_at=NOON)
    make_job(is_active=False, notify_on_recovery=None, metadata={})
    fields = (
        "id",
        "name",
        "metadata",
        "timezone",
        "next_fire_at",
        "end_date",
        "is_active",
        "created_at",
        "spread_seconds",
    )
    rows = Job.objects.order_by("name").values_list(*fields, "notify_on_recovery", "category__slug")
    assert batches.read(rows) == list(rows)
    assert [[type(value) for value in row] for row in batches.read(rows)] == [[type(v) for v in row] for row in rows]


def test_models_are_read_as_the_queryset_reads_them():
    make_job(metadata={"a": [1, None]}, next_fire_at=NOON, notification_emails=["a@example.com"])
    make_job(is_active=False)
    found = batches.instances(Job.objects.order_by("name"))
    names = [field.attname for field in Job._meta.concrete_fields]
    expected = Job.objects.order_by("name").values_list(*names)
    assert [tuple(getattr(job, name) for name in names) for job in found] == list(expected)
    assert not any(job._state.adding for job in found)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the others look at what they store")
@pytest.mark.parametrize("value", ["x'00ff'", "CAST(x'ff41' AS TEXT)"], ids=["BLOB", "no UTF-8"])
def test_a_value_of_another_kind_is_its_row_s_fault(value):
    make_job()
    break_in_database(make_job(), "name", value)
    with pytest.raises(DataError):
        batches.read(Job.objects.values_list("id", "name"))


def test_a_table_that_is_away_is_no_row_s_fault():
    with pytest.raises(UNREACHABLE), transaction.atomic():
        batches.read(Job.objects.extra(tables=["away"]).values_list("id"))


def test_reading_nothing_gives_nothing():
    assert batches.read(Job.objects.none().values_list("id")) == []
    assert batches.read(Job.objects.filter(id=UUID(int=1)).values_list("id")) == []


def test_many_rows_go_through_one_statement(django_assert_num_queries):
    job = make_job()
    rows = [(uuid4(), job.pk, NOON + timedelta(minutes=n), None, "x" * 1000, {"n": n}) for n in range(2000)]
    with django_assert_num_queries(1):
        assert insert(rows) == 2000
    with django_assert_num_queries(1):
        assert batches.update(connection, EXECUTIONS, (NEW[0], NEW[4]), [(row[0], "y") for row in rows]) == 2000
    assert JobExecution.objects.filter(output="y", status=Status.QUEUED).count() == 2000


def test_a_value_nobody_knows_how_to_write_is_refused():
    with pytest.raises(TypeError, match="bytes is no value of a batch"):
        insert([(uuid4(), uuid4(), b"noon", None, None, {})])


def test_instants_are_stored_in_utc():
    execution = make_execution()
    moment = datetime(2026, 7, 1, 0, 30, tzinfo=timezone(timedelta(hours=2)))
    columns = (NEW[0], Column("completed_at", Kind.INSTANT))
    batches.update(connection, EXECUTIONS, columns, [(execution.pk, moment)])
    execution.refresh_from_db()
    assert execution.completed_at == datetime(2026, 6, 30, 22, 30, tzinfo=UTC)
