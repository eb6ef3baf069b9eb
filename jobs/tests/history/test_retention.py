"""Taking executions out of the history."""

import pytest
from django.db import transaction

from jobs.history import daily_counts, retention
from jobs.models import JobExecution
from jobs.tests.factories import make_execution, make_job
from jobs.tests.test_services_races import WAIT_SECONDS, Rival
from notifications.models import Notification

pytestmark = [pytest.mark.database, pytest.mark.django_db]


def test_notices_stay_and_lose_their_reference():
    execution, kept = make_execution(), make_execution()
    for row in (execution, kept):
        Notification.objects.create(title="Job Failed", message="", related_execution=row, related_job=row.job)
    assert retention.delete([execution.pk]) == 1
    assert list(JobExecution.objects.all()) == [kept]
    references = Notification.objects.order_by("created_at").values_list("related_execution", "related_job")
    assert list(references) == [(None, execution.job_id), (kept.pk, kept.job_id)]


def test_the_counts_go_with_the_rows():
    job = make_job()
    rows = [make_execution(job, duration_seconds=1.0) for _ in range(3)]
    retention.delete([rows[0].pk, rows[2].pk])
    assert [(total.number, total.seconds) for total in daily_counts.totals(job.pk)] == [(1, 1.0)]


def test_any_number_of_rows_goes_with_the_same_number_of_statements(django_assert_max_num_queries):
    ids = [make_execution().pk for _ in range(30)]
    with django_assert_max_num_queries(12):
        assert retention.delete(ids) == 30


@pytest.mark.django_db(transaction=True)
def test_rows_that_two_delete_at_once_leave_the_counts_once():
    job = make_job()
    gone, kept = make_execution(job), make_execution(job)
    rival = Rival()
    with transaction.atomic():
        assert retention.delete([gone.pk]) == 1
        deletion = rival.starts(lambda: retention.delete([gone.pk]))
        assert rival.has_looked.wait(WAIT_SECONDS)
    assert deletion.result(WAIT_SECONDS) == 0
    rival.close()
    assert list(JobExecution.objects.all()) == [kept]
    assert [total.number for total in daily_counts.totals(job.pk)] == [1]
