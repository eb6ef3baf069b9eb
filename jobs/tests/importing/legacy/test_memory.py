"""Memory does not grow with the rows: what is held at the end of a table is what was held near its beginning."""

import gc
import tracemalloc
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import User
from jobs.importing.legacy import importer
from jobs.importing.legacy.report import ImportReport
from jobs.importing.legacy.source import opened
from jobs.importing.legacy.state import ImportOptions
from jobs.models import JobExecution
from jobs.tests.importing.legacy.older import LATER, execution_row, notification_row
from notifications.models import Notification

pytestmark = [pytest.mark.django_db, pytest.mark.database]

ROWS, BATCH = 6_000, 100
# A set of ids would take more than a hundred bytes for each row, the statements of a batch a thousand.
BYTES_PER_ROW = 60


@pytest.fixture
def filled(there):
    people = [there.user(f"person{number}") for number in range(10)]
    jobs = [there.job() for _ in range(10)]
    moments = [LATER + timedelta(minutes=number) for number in range(ROWS)]
    there.insert("job_executions", [execution_row(uuid4(), jobs[n % 10], moments[n % 500]) for n in range(ROWS)])
    there.insert("notifications", [notification_row(uuid4(), people[n % 10], moments[n // 10]) for n in range(ROWS)])
    return there


def test_memory_is_flat_over_executions_and_notifications(filled, settings):
    # In development, too, where Django would keep the statements.
    settings.DEBUG = True
    report = ImportReport()
    held: dict[str, list[int]] = {"job_executions": [], "notifications": []}

    def measure() -> None:
        table = "notifications" if "notifications" in report.tables else "job_executions"
        # Neither the first batches, which fill caches, nor a moment that depends on the place within a batch.
        if (count := report.tables.get(table)) and count.read in {ROWS // 3, ROWS}:
            gc.collect()
            held[table].append(tracemalloc.get_traced_memory()[0])

    connection.queries_log.clear()
    tracemalloc.start()
    try:
        with opened(filled.url) as source:
            options = ImportOptions(batch=BATCH, force=True)
            importer.run(source, options, report, now=timezone.now(), on_row=measure)
    finally:
        tracemalloc.stop()
    assert (JobExecution.objects.count(), Notification.objects.count()) == (ROWS, ROWS // 10)
    assert User.objects.count() == 10
    for table, (early, late) in held.items():
        assert late - early < BYTES_PER_ROW * ROWS * 2 // 3, table
