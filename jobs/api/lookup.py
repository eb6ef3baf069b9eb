"""Finding what a path names."""

from typing import TypeVar

from django.db.models import Model, QuerySet

from cronsched.lib.ids import known_id
from cronsched.schema import Refusal
from jobs.models import Job
from jobs.services import job_not_found

UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"
JOB_NOT_FOUND = Refusal(404, "Job not found", f"No job found with ID: {UNKNOWN_ID}")

Row = TypeVar("Row", bound=Model)


def by_id(rows: QuerySet[Row], text: str) -> Row | None:
    """Return the row of `rows` with the id written in `text`, if there is one."""
    row_id = known_id(text)
    return None if row_id is None else rows.filter(pk=row_id).first()


def find_job(text: str, jobs: QuerySet[Job] | None = None) -> Job:
    """Return the job with the id written in `text`. Raises `NotFound` with the contract's text."""
    job = by_id(Job.objects.all() if jobs is None else jobs, text)
    if job is None:
        raise job_not_found(text)
    return job
