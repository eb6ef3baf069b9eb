"""A fake GitHub, and the client that talks to it."""

from collections.abc import Iterator

import pytest

from cronsched.lib.http import HTTPClient
from jobs.github import GitHub, StaticToken, Transport
from jobs.tests.github.fake import GitHubFake


@pytest.fixture
def fake() -> Iterator[GitHubFake]:
    with GitHubFake() as fake:
        yield fake


@pytest.fixture
def github(fake: GitHubFake, http_client: HTTPClient) -> GitHub:
    return GitHub(Transport(http_client, fake.url), StaticToken(fake.token))
