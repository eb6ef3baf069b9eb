"""Write thousands of jobs with few statements. Django's bulk_create takes seconds under the write lock."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connection, models

from cronsched.lib.db import batches
from cronsched.lib.db.batches import Column, Kind
from cronsched.lib.portions import portions
from jobs.models import Job

# Statements travel whole, and databases limit their length (MariaDB: 16 MB unless told otherwise). JSON in JSON may
# be seven times as long as what it says.
PORTION_CHARACTERS = 1_000_000
# What a job weighs besides its metadata, roughly.
JOB_CHARACTERS = 1_000

KINDS = {
    "BooleanField": Kind.FLAG,
    "CharField": Kind.TEXT,
    "DateField": Kind.DAY,
    "DateTimeField": Kind.INSTANT,
    "EmailField": Kind.TEXT,
    "FloatField": Kind.REAL,
    "JSONField": Kind.JSON,
    "PositiveIntegerField": Kind.INTEGER,
    "PositiveSmallIntegerField": Kind.INTEGER,
    "TextField": Kind.TEXT,
    "UUIDField": Kind.UUID,
}


def kind_of(field: "models.Field[Any, Any]") -> Kind:
    """Return what the column of a model's field holds."""
    target = field.target_field if isinstance(field, models.ForeignKey) else field
    return KINDS[target.get_internal_type()]


# The key comes first: updates find their rows by it.
FIELDS = sorted(Job._meta.concrete_fields, key=lambda field: not field.primary_key)
COLUMNS = [Column(str(field.column), kind_of(field)) for field in FIELDS]


def insert(jobs: Iterable[Job]) -> None:
    """Insert new jobs. Raises `IntegrityError` where a name is taken."""
    for portion in portions(jobs, PORTION_CHARACTERS, weight=_weight):
        batches.insert(connection, Job._meta.db_table, COLUMNS, _rows(portion, is_new=True))


def update(jobs: Iterable[Job]) -> None:
    """Write all fields of stored jobs, whose rows the caller holds."""
    for portion in portions(jobs, PORTION_CHARACTERS, weight=_weight):
        batches.update(connection, Job._meta.db_table, COLUMNS, _rows(portion, is_new=False))


def _rows(jobs: Sequence[Job], *, is_new: bool) -> list[list[Any]]:
    # `pre_save` is what sets `updated_at`, here as in `save`.
    return [[field.pre_save(job, is_new) for field in FIELDS] for job in jobs]


def _weight(job: Job) -> int:
    return JOB_CHARACTERS + len(json.dumps(job.metadata))
