"""GitHub Actions: start a workflow, find and follow its run, check that it can be started."""

from jobs.executors.github.api import Transport
from jobs.executors.github.client import GitHub, Repository
from jobs.executors.github.credentials import Credentials, CredentialsMissing, StaticToken
from jobs.executors.github.dispatch import GitHubExecutor, GitHubRequest, ref_of_run, ref_of_test_run

__all__ = [
    "Credentials",
    "CredentialsMissing",
    "GitHub",
    "GitHubExecutor",
    "GitHubRequest",
    "Repository",
    "StaticToken",
    "Transport",
    "ref_of_run",
    "ref_of_test_run",
]
