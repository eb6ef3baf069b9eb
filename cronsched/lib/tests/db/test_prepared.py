"""A compiled queryset finds what the queryset itself would, with other values each time."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db.models import BigIntegerField, Count, DateTimeField, Sum, TextField, UUIDField
from django.db.models.functions import Cast

from cronsched.lib.db.prepared import Param, PreparedQuery
from jobs.models import ExecutionType, GitHubRun, Job, JobExecution, Status
from jobs.tests.factories import NOON, make_execution, make_job
from notifications.models import SlackSettings

pytestmark = [pytest.mark.database, pytest.mark.django_db]

JOB, FROM = Param("job", UUIDField()), Param("from", DateTimeField())


def columns(row: Any) -> dict[str, Any]:
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def test_a_statement_serves_other_values():
    jobs = [make_job(metadata={"n": n}, next_fire_at=NOON, track_run=n == 0 or None) for n in range(3)]
    found = PreparedQuery(lambda: Job.objects.filter(pk=JOB))
    for job in jobs:
        (read,) = found.all(job=job.pk)
        assert columns(read) == columns(Job.objects.get(pk=job.pk))
        assert not read._state.adding
    assert found.first(job=make_execution().pk) is None


def test_a_statement_is_put_together_once(django_assert_num_queries):
    built = []

    def build() -> Any:
        built.append(True)
        return Job.objects.filter(pk=JOB).values_list("name")

    found = PreparedQuery(build)
    job, unknown = make_job(name="Known"), uuid4()
    with django_assert_num_queries(2):
        assert (found.all(job=unknown), found.all(job=job.pk)) == ([], [("Known",)])
    assert built == [True]


def test_what_a_model_refers_to_is_read_along(django_assert_num_queries):
    execution = make_execution(execution_type=ExecutionType.GITHUB_ACTIONS, details={"a": [1]})
    GitHubRun.objects.create(execution=execution, repository="o/r", run_id=7, created_at=NOON)
    other = make_execution()
    rows = JobExecution.objects.select_related("job", "run").only("details", "job__name", "run__run_id")
    found = PreparedQuery(lambda: rows.filter(pk__in=[Param("first", UUIDField()), Param("second", UUIDField())]))
    with django_assert_num_queries(1):
        read = {row.pk: row for row in found.all(first=execution.pk, second=other.pk)}
        assert read[execution.pk].job.name == execution.job.name
        assert (read[execution.pk].details, read[execution.pk].run.run_id) == ({"a": [1]}, 7)
        assert not hasattr(read[other.pk], "run")
    assert "status" in read[execution.pk].get_deferred_fields()


def test_values_and_sums_are_read_as_the_queryset_reads_them():
    job = make_job()
    for hours in range(3):
        make_execution(job, started_at=NOON + timedelta(hours=hours))
    make_execution(job, status=Status.FAILED)

    def sums(job: Any, since: Any) -> Any:
        rows = JobExecution.objects.filter(job=job, started_at__gte=since).order_by()
        late = rows.filter(status=Status.FAILED).values_list("status").annotate(Count("id"))
        return rows.exclude(status=Status.FAILED).values_list("status").annotate(Count("id")).union(late, all=True)

    found = PreparedQuery(lambda: sums(JOB, FROM))
    for since in (NOON, NOON + timedelta(hours=1), NOON + timedelta(days=1)):
        assert sorted(found.all(job=job.pk, **{"from": since})) == sorted(sums(job, since))


def test_what_the_database_works_out_is_a_number_of_the_same_kind():
    job = make_execution(response_status=200, duration_seconds=0.5).job
    make_execution(job, response_status=500, duration_seconds=None)
    total = Sum(Cast("response_status", BigIntegerField())) - Count("id")
    rows = JobExecution.objects.order_by().values_list("job_id").annotate(Sum("duration_seconds"), total=total)
    found = PreparedQuery(lambda: rows.filter(job=JOB)).all(job=job.pk)
    assert found == [(job.pk, 0.5, 698)]
    assert [type(value) for value in found[0][1:]] == [float, int]


def test_a_slice_is_cut_out_of_the_order():
    job = make_job()
    for hours in range(5):
        make_execution(job, started_at=NOON + timedelta(hours=hours))
    rows = PreparedQuery(lambda: JobExecution.objects.filter(job=JOB).newest_first().values_list("started_at", "id"))
    assert rows.slice(1, 3, job=job.pk) == rows.all(job=job.pk)[1:3]
    assert rows.slice(4, 9, job=job.pk) == rows.all(job=job.pk)[4:]


def test_a_field_that_reads_in_a_way_of_its_own_is_refused():
    with pytest.raises(TypeError, match="EncryptedTextField"):
        PreparedQuery(lambda: SlackSettings.objects.filter(channel=Param("channel", TextField()))).all(channel="#ops")
