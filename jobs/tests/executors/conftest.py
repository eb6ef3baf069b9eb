"""A door that reaches loopback, and a fixed run to send."""

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID

import pytest

from cronsched.lib.http import AddressRules, Door, DoorPolicy
from jobs.executors.base import Run
from jobs.github import GitHub, StaticToken, Transport
from jobs.tests.github.fake import GitHubFake

NOON = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
RUN = Run(
    job_id=UUID("11111111-1111-4111-8111-111111111111"),
    job_name="Nightly backup",
    execution_id=UUID("22222222-2222-4222-8222-222222222222"),
    fire_time=NOON,
)


@pytest.fixture
def door() -> Iterator[Door]:
    door = Door(DoorPolicy(AddressRules(allow_private=True)))
    yield door
    door.close()


@pytest.fixture
def fake() -> Iterator[GitHubFake]:
    with GitHubFake() as fake:
        yield fake


@pytest.fixture
def github(fake: GitHubFake, door: Door) -> GitHub:
    return GitHub(Transport(door, fake.url), StaticToken(fake.token))
