from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from django.utils import timezone

from accounts.tests.factories import make_user, token_for
from cronsched.tests.processes import web_process
from jobs.models import Job
from jobs.tests.benchmarks.calls import Web
from jobs.tests.benchmarks.processes import production
from jobs.tests.benchmarks.target import Target
from jobs.tests.factories import make_job

JOBS = 1_000


@pytest.fixture
def target() -> Iterator[Target]:
    with Target() as target:
        yield target


@pytest.fixture
def jobs(db: None) -> list[Job]:
    return [make_job(name=f"Job {number}", next_fire_at=timezone.now()) for number in range(JOBS)]


@pytest.fixture
def web(transactional_db: None, tmp_path: Path) -> Iterator[Web]:
    token = token_for(make_user(role="admin"))
    with (
        web_process(tmp_path / "web.log", **production(WEB_WORKERS="1")) as address,
        closing(Web(address, token)) as web,
    ):
        yield web
