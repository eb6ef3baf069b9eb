"""Tokens of a GitHub App: minted when needed, kept while good, replaced when withdrawn."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from jobs.dispatch import executors
from jobs.executors.base import Failure
from jobs.github import AppTokens, CredentialsMissing, GitHub, GitHubExecutor, GitHubRequest, Transport
from jobs.models import RateLimitBucket

REQUEST = GitHubRequest("acme", "shop", "deploy.yml", "Deploy", "master")


class Clock:
    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture(scope="module")
def key_pair() -> tuple[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(fake, http_client, key_pair, clock) -> AppTokens:
    private, fake.app_public_key = key_pair
    fake._clock = clock
    fake.add_repository("acme", "shop").add_workflow("deploy.yml")
    transport = Transport(http_client, fake.url)
    return AppTokens(transport, app_id=fake.app_id, private_key=private, installation_id=77, clock=clock)


@pytest.fixture
def run(app, fake, http_client, clock):
    return GitHubExecutor(GitHub(Transport(http_client, fake.url), app), clock=clock).run


def minted(fake) -> int:
    return sum(call.endswith("/access_tokens") for call in fake.calls)


def soon() -> float:
    return time.monotonic() + 10


def test_one_token_serves_many_dispatches(fake, run):
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(run, [REQUEST] * 24))
    assert all(outcome.succeeded for outcome in outcomes)
    assert minted(fake) == 1


def test_a_token_is_replaced_before_it_expires(fake, run, clock):
    assert run(REQUEST).succeeded
    clock.ahead = timedelta(minutes=54)
    assert run(REQUEST).succeeded
    assert minted(fake) == 1
    clock.ahead = timedelta(minutes=56)
    assert run(REQUEST).succeeded
    assert minted(fake) == 2


def test_a_withdrawn_token_is_replaced_once_and_the_dispatch_sent_once(fake, run):
    assert run(REQUEST).succeeded
    fake.withdraw_app_tokens()
    assert run(REQUEST).succeeded
    assert minted(fake) == 2
    assert len(fake.dispatches) == 2


def test_a_token_refused_twice_is_the_answer(fake, run):
    assert run(REQUEST).succeeded
    fake.calls.clear()
    fake.withdraw_app_tokens()
    fake._forced.extend([lambda: None, lambda: None])
    fake.refuse_next(401, "Bad credentials")
    outcome = run(REQUEST)
    assert (outcome.response_status, outcome.retryable) == (401, False)
    assert minted(fake) == 1


def test_the_installation_is_looked_up_by_the_repository(fake, http_client, key_pair, app):
    tokens = AppTokens(Transport(http_client, fake.url), app_id=fake.app_id, private_key=key_pair[0])
    for _ in range(2):
        token = tokens.token("acme", "shop", ends_at=soon())
        assert token is not None
        assert token.startswith("ghs_")
    assert sum(call.endswith("/installation") for call in fake.calls) == 1
    with pytest.raises(CredentialsMissing, match="not installed on other/shop"):
        tokens.token("other", "shop", ends_at=soon())


def test_a_key_that_is_none_is_said_without_showing_it(fake, http_client):
    tokens = AppTokens(Transport(http_client, fake.url), app_id="1", private_key="not a key", installation_id=77)
    outcome = GitHubExecutor(GitHub(Transport(http_client, fake.url), tokens)).run(REQUEST)
    assert outcome.error_message == (
        "GitHub App key is not a usable RSA private key. Cannot trigger workflow for job 'Deploy'"
    )
    assert outcome.failure is Failure.NO_CREDENTIALS


def test_an_app_github_does_not_know_gets_no_token(fake, http_client, key_pair, app):
    tokens = AppTokens(Transport(http_client, fake.url), app_id="999", private_key=key_pair[0], installation_id=77)
    with pytest.raises(CredentialsMissing, match="status 401"):
        tokens.token("acme", "shop", ends_at=soon())


def test_a_token_that_cannot_be_fetched_is_no_ambiguous_dispatch(fake, run):
    fake.drop_next()
    outcome = run(REQUEST)
    assert outcome.error_message.startswith("Request failed: no token from GitHub: ")
    assert (outcome.request_sent, outcome.is_ambiguous, outcome.retryable) == (False, False, True)


def test_an_installation_is_a_bucket(app):
    assert app.bucket("acme", "shop") == app.bucket("acme", "other")


def test_the_settings_name_the_app(fake, app, key_pair, settings):
    settings.GITHUB_API_URL, settings.GITHUB_TOKEN = fake.url, ""
    settings.GITHUB_APP_ID, settings.GITHUB_APP_PRIVATE_KEY = fake.app_id, key_pair[0]
    assert executors.run(REQUEST).succeeded
    assert minted(fake) == 1


def test_a_bucket_fits_its_column_whatever_an_old_job_names(fake, http_client):
    tokens = AppTokens(Transport(http_client, fake.url), app_id="1234567", private_key="", installation_id=None)
    assert len(tokens.bucket("o" * 255, "tool")) <= RateLimitBucket._meta.get_field("name").max_length
