"""A fixed run to send."""

from datetime import UTC, datetime
from uuid import UUID

from jobs.executors.base import Run

NOON = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
RUN = Run(
    job_id=UUID("11111111-1111-4111-8111-111111111111"),
    job_name="Nightly backup",
    execution_id=UUID("22222222-2222-4222-8222-222222222222"),
    fire_time=NOON,
)
