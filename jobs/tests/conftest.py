"""What tests of jobs share: a way out to loopback, a GitHub as a deployment would name it, a process that is full."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from cronsched.lib.http import AddressRules, ClientPolicy, HTTPClient
from jobs.dispatch import blocking_requests
from jobs.tests.github.fake import FakeRepository, GitHubFake

WORKFLOW = {"target_url": None, "github_owner": "acme", "github_repo": "shop", "github_workflow_name": "deploy.yml"}


@pytest.fixture
def github_fake(settings: Any) -> Iterator[GitHubFake]:
    with GitHubFake() as fake:
        settings.GITHUB_API_URL, settings.GITHUB_TOKEN = fake.url, fake.token
        yield fake


@pytest.fixture
def shop(github_fake: GitHubFake) -> FakeRepository:
    """The repository `acme/shop` with the workflow `deploy.yml`, which `WORKFLOW` names."""
    repository = github_fake.add_repository("acme", "shop")
    repository.add_workflow("deploy.yml")
    return repository


@pytest.fixture
def one_slot(monkeypatch: pytest.MonkeyPatch) -> threading.BoundedSemaphore:
    """The slots of a process in which one request at a time may wait for a target."""
    monkeypatch.setattr(blocking_requests, "slots", threading.BoundedSemaphore(1))
    monkeypatch.setattr(blocking_requests, "BRIEF_SECONDS", 0.01)
    return blocking_requests.slots


@pytest.fixture
def http_client() -> Iterator[HTTPClient]:
    http_client = HTTPClient(ClientPolicy(AddressRules(allow_private=True)))
    yield http_client
    http_client.close()
