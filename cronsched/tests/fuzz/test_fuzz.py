"""Generated requests against the running service. In the suite a few, by `make fuzz` for as long as it takes.

The checks are all that Schemathesis has, on all operations, but for those that the contract itself contradicts
(`contradictions.py` names each with its reason): no 5xx, only documented statuses, headers and bodies, no call without
a token, no answer about what is gone, 405 for every other method, and valid data accepted, invalid refused.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from cronsched.api.documents import description
from cronsched.tests.fixtures import ADMIN_PASSWORD
from cronsched.tests.fuzz.contradictions import by_operation, configuration
from cronsched.tests.processes import ROOT, web_process
from jobs.tests.factories import job_body

pytestmark = pytest.mark.slow

CREDENTIALS = {"username": "admin", "password": ADMIN_PASSWORD}
SUMMARY = ROOT / "docs" / "fuzz.md"
CALLS_PER_GROUP = 1000
# An operation without parameters has nothing to vary: a run that makes fewer calls will not find more.
NOTHING_NEW = 5


@dataclass(frozen=True)
class Run:
    """What one run of the fuzzer came to."""

    calls: int
    failures: int
    output: str


class Fuzzer:
    def __init__(self, address: str, folder: Path) -> None:
        self.address = address
        self.folder = folder
        (folder / "schemathesis.toml").write_text(configuration())

    def run(self, *options: str) -> Run:
        report = self.folder / "report.json"
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{self.address}/api/v2/openapi.json"),
            *("--continue-on-failure", "--generation-database", "none"),
            *("--report", "json", "--report-json-path", str(report), *options),
        ]
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SCHEMATHESIS_HOOKS": "cronsched.tests.fuzz.hooks",
            "FUZZ_ADDRESS": self.address,
            "FUZZ_CREDENTIALS": json.dumps(CREDENTIALS),
        }
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True)
        assert report.exists(), done.stdout + done.stderr
        result: dict[str, Any] = json.loads(report.read_text())
        assert not result["errors"], done.stdout
        assert result["complete"], result["stop_reason"]
        return Run(result["test_cases"]["generated"], result["test_cases"]["unique_failures"], done.stdout)


@pytest.fixture
def fuzzer(tmp_path: Path, first_file: Path) -> Iterator[Fuzzer]:
    settings = {
        "DATABASE_URL": f"sqlite:///{tmp_path}/fuzz.sqlite3",
        # Wrong sign-ins are part of the game; being locked out would end it.
        "SIGN_IN_ATTEMPTS": "1000000",
        "MANUAL_RUN_WAIT_SECONDS": "2",
        "GITHUB_API_URL": "http://127.0.0.1:9",
        "GITHUB_TOKEN": "a-token",
    }
    shutil.copy(first_file, tmp_path / "fuzz.sqlite3")
    with web_process(tmp_path / "web.log", **settings) as address:
        prepare(address)
        yield Fuzzer(address, tmp_path)


def prepare(address: str) -> None:
    """Make one of everything, so that lists have something to lead to."""
    token = requests.post(f"{address}/api/v2/auth/login", json=CREDENTIALS, timeout=10).json()["access_token"]

    def post(path: str, body: dict[str, Any]) -> Any:
        answer = requests.post(
            f"{address}/api/v2/{path}", json=body, headers={"Authorization": f"Bearer {token}"}, timeout=10
        )
        assert answer.ok, answer.text
        return answer.json()

    # The documented examples name them.
    post("pic-teams", {"name": "devops", "slack_handle": "@devops"})
    post("job-categories", {"name": "Maintenance"})
    job = post("jobs", job_body(pic_team="devops", target_url="http://127.0.0.1:9/"))["job"]
    post(f"jobs/{job['id']}/execute", {})


def test_every_contradiction_names_an_operation_there_is():
    operations = {
        operation["operationId"] for methods in description()["paths"].values() for operation in methods.values()
    }
    assert set(by_operation()) <= operations


def test_generated_requests_find_nothing(fuzzer):
    run = fuzzer.run("--phases", "examples,fuzzing,stateful", "--max-examples", "1", "--seed", "20260115")
    assert run.failures == 0, run.output
    assert run.calls > 100


@pytest.mark.fuzz
def test_a_thousand_generated_requests_of_each_group_find_nothing(fuzzer):
    tags = sorted({op["tags"][0] for methods in description()["paths"].values() for op in methods.values()})
    groups = {tag: list(_fuzz_group(fuzzer, tag)) for tag in tags}
    groups["Chains of operations, by their links"] = [fuzzer.run("--phases", "stateful", "--max-examples", "300")]
    # All groups first: what is found is fixed together.
    found = [run.output for runs in groups.values() for run in runs if run.failures]
    assert not found, "\n".join(found)
    SUMMARY.write_text(_summary({name: sum(run.calls for run in runs) for name, runs in groups.items()}))


def _fuzz_group(fuzzer: Fuzzer, tag: str) -> Iterator[Run]:
    """Yield runs until there were enough calls, or until there is nothing new to try."""
    group = ("--include-tag", tag, "--max-examples", "150")
    last = fuzzer.run(*group, "--phases", "examples,coverage")
    calls = last.calls
    yield last
    while calls < CALLS_PER_GROUP and last.calls >= NOTHING_NEW:
        last = fuzzer.run(*group, "--phases", "fuzzing")
        calls += last.calls
        yield last


def _summary(groups: dict[str, int]) -> str:
    rows = [f"| {name} | {calls:,} | 0 |" for name, calls in groups.items()]
    left_out = [
        f"| `{operation}` | {check.replace('_', ' ')} | {reason} |"
        for operation, reasons in by_operation().items()
        for check, reason in reasons.items()
    ]
    return "\n".join(
        [
            "# Fuzzing",
            "",
            "Written by `make fuzz`: requests that Schemathesis generates from the API's description, sent to the",
            "running service. All its checks hold (no 5xx, only documented statuses, headers and bodies, nothing",
            "without a token, 405 for other methods, nothing found after it was deleted, and so on), except those that",
            "the contract itself contradicts, below.",
            "",
            "| operations | calls | failures |",
            "| --- | ---: | ---: |",
            *rows,
            "",
            "## Checks left out",
            "",
            "| operation | check | because |",
            "| --- | --- | --- |",
            *left_out,
            "",
        ]
    )
