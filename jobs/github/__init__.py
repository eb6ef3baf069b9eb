"""GitHub Actions: start a workflow, find and follow its run, check that it can be started."""

from jobs.github.api import Transport
from jobs.github.check import GitHubCheck
from jobs.github.client import GitHub, Repository
from jobs.github.credentials import AppTokens, Credentials, CredentialsMissing, StaticToken
from jobs.github.dispatch import GitHubExecutor, GitHubRequest, likely_names, ref_of_run, ref_of_test_run
from jobs.github.events import is_signed, run_event
from jobs.github.inputs import input_problems
from jobs.github.runs import Listing, Poll, RunOutcome, Runs, RunState, next_poll

__all__ = [
    "AppTokens",
    "Credentials",
    "CredentialsMissing",
    "GitHub",
    "GitHubCheck",
    "GitHubExecutor",
    "GitHubRequest",
    "Listing",
    "Poll",
    "Repository",
    "RunOutcome",
    "RunState",
    "Runs",
    "StaticToken",
    "Transport",
    "input_problems",
    "is_signed",
    "likely_names",
    "next_poll",
    "ref_of_run",
    "ref_of_test_run",
    "run_event",
]
