"""The fake is worth something only if it notices when it, or a caller, drifts away from GitHub."""

from typing import Any

import pytest

from cronsched.lib.http import ClientPolicy, HTTPClient, OutgoingRequest
from jobs.tests.github.fake import GitHubFake


def ask(fake: GitHubFake, path: str, **headers: Any) -> int:
    usual = {
        "Authorization": f"Bearer {fake.token}",
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": "2022-11-28",
    }
    http_client = HTTPClient(ClientPolicy())
    answer = http_client.send(OutgoingRequest("GET", fake.url + path, usual | headers, vet=False))
    http_client.close()
    return answer.status


def test_an_answer_github_would_not_give_fails_the_test():
    fake = GitHubFake().__enter__()
    repository = fake.add_repository("acme", "shop")
    repository.add_workflow("deploy.yml", state="asleep")
    assert ask(fake, "/repos/acme/shop/actions/workflows/deploy.yml") == 200
    with pytest.raises(AssertionError, match="'asleep' is not one of"):
        fake.close()


def test_a_question_github_would_not_understand_fails_the_test():
    fake = GitHubFake().__enter__()
    fake.add_repository("acme", "shop").add_workflow("deploy.yml")
    assert ask(fake, "/repos/acme/shop/actions/workflows/deploy.yml/runs?status=tired") == 200
    with pytest.raises(AssertionError, match="'tired' is not one of"):
        fake.close()


def test_a_break_down_of_the_fake_fails_the_test():
    fake = GitHubFake().__enter__()
    fake.add_repository("acme", "shop").add_workflow("deploy.yml")
    assert ask(fake, "/repos/acme/shop/actions/workflows/deploy.yml/runs?per_page=many") == 500
    with pytest.raises(AssertionError, match="the fake broke down"):
        fake.close()


@pytest.mark.parametrize(
    "headers, status",
    [
        ({}, 200),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "token x"}, 401),
        ({"X-GitHub-Api-Version": "2021-01-01"}, 400),
    ],
)
def test_only_a_caller_with_credentials_and_a_known_version_is_answered(headers, status):
    with GitHubFake() as fake:
        fake.add_repository("acme", "shop")
        assert ask(fake, "/repos/acme/shop", **headers) == status
        assert ask(fake, "/repos/acme/other") == 404
        assert ask(fake, "/user") == 404
