"""Finding what a path names."""

from datetime import datetime
from typing import Any, TypeVar

from django.db.models import Model, UUIDField

from cronsched.api.openapi import Refusal
from cronsched.lib.db.prepared import Param, PreparedQuery
from cronsched.lib.ids import known_id
from jobs.api.serializers import job_object
from jobs.models import Job
from jobs.services import job_not_found

UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"
JOB_NOT_FOUND = Refusal(404, "Job not found", f"No job found with ID: {UNKNOWN_ID}")

Row = TypeVar("Row", bound=Model)


ID = Param("id", UUIDField())
_JOB = PreparedQuery(lambda: Job.objects.filter(pk=ID))


def by_id(rows: PreparedQuery[Row], text: str, **given: Any) -> Row | None:
    """Return the row of `rows` whose `ID` is written in `text`, if there is one."""
    row_id = known_id(text)
    return None if row_id is None else rows.first(id=row_id, **given)


def find_job(text: str) -> Job:
    """Return the job with the id written in `text`. Raises `NotFound` with the contract's text."""
    job = by_id(_JOB, text)
    if job is None:
        raise job_not_found(text)
    return job


def shown_job(text: str, now: datetime) -> dict[str, Any]:
    """Return the job object of the job with the id written in `text`, as it is stored now. Raises `NotFound`."""
    known = known_id(text)
    found = job_object(known, now=now) if known else None
    if found is None:
        raise job_not_found(text)
    return found
