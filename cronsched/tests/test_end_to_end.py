"""The first path as a newcomer walks it: real processes, a real database file, a real target, over HTTP alone."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from pytest_httpserver import HTTPServer

from cronsched.tests.fixtures import ADMIN_PASSWORD
from cronsched.tests.processes import ROOT, free_port

pytestmark = pytest.mark.slow

# Not today: the job would end before its minute if midnight came between.
IN_TWO_DAYS = (datetime.now(UTC) + timedelta(days=2)).date().isoformat()


class Service:
    """Web and scheduler on a database of their own, as the Procfile starts them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.processes: dict[str, subprocess.Popen[str]] = {}
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "DATABASE_URL": f"sqlite:///{folder}/cronsched.sqlite3",
            "DRAIN_TIMEOUT_SECONDS": "3",
            "PORT": str(self.port),
        }

    def start(self) -> None:
        for line in (ROOT / "Procfile").read_text().splitlines():
            name, _, command = line.partition(": ")
            with self.log(name).open("w") as log:
                self.processes[name] = subprocess.Popen(
                    ["sh", "-c", command],
                    cwd=ROOT,
                    env=self.environment,
                    stdout=log,
                    stderr=log,
                    text=True,
                )

    def stop(self) -> dict[str, int]:
        """Ask all to stop as honcho does and return their exit codes."""
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        return {name: process.wait(timeout=15) for name, process in self.processes.items()}

    def kill(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
                process.wait()

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    @property
    def host(self) -> str:
        return f"localhost:{self.port}"

    def sign_in(self) -> str:
        return str(self.call("POST", "/auth/login", username="admin", password=ADMIN_PASSWORD)["access_token"])

    def call(self, method: str, path: str, token: str | None = None, **body: Any) -> Any:
        answer = requests.request(
            method,
            f"http://{self.host}/api/v2{path}",
            json=body or None,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=30,
        )
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def healthy(self) -> bool:
        """Say whether the web process answers and sees a scheduler at work; raises if one has died."""
        for name, process in self.processes.items():
            assert process.poll() is None, f"{name} ended: {self.log(name).read_text()}"
        try:
            return bool(self.call("GET", "/health")["scheduler_running"])
        except requests.ConnectionError:
            return False


def eventually(question: Callable[[], Any], *, seconds: float) -> Any:
    """Return the first true answer of another process, asked again and again."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := question():
            return answer
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s")


@pytest.fixture
def service(tmp_path: Path, first_file: Path) -> Iterator[Service]:
    service = Service(tmp_path)
    shutil.copy(first_file, tmp_path / "cronsched.sqlite3")
    service.start()
    try:
        eventually(service.healthy, seconds=30)
        yield service
    finally:
        service.kill()


@pytest.fixture
def newcomer(service: Service, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Somebody who types in the README's tour as printed, beside the test: both wait for the same minute."""
    script = (
        tour()
        .replace("the password that was printed", ADMIN_PASSWORD)
        .replace("PORT=5001", f"PORT={service.host.rpartition(':')[2]}")
    )
    script = script.replace(".venv/bin/python manage.py", f"{sys.executable} {ROOT}/manage.py")
    # Here a refusal ends the tour; a reader sees it on the screen.
    strict = 'set -euo pipefail; curl() { command curl --fail-with-body "$@"; }\n'
    process = subprocess.Popen(
        ["bash", "-c", strict + script],
        cwd=tmp_path,
        env=service.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def tour() -> str:
    """Return all that the README's tour tells its reader to type."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.partition("## Five minutes with it")[2].partition("\n## ")[0]
    return "\n".join(re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL))


@pytest.mark.minute
@pytest.mark.timeout(240)
def test_jobs_made_over_the_api_fire_at_their_minute_and_show_their_executions(
    service: Service, newcomer: subprocess.Popen[str], httpserver: HTTPServer
):
    httpserver.expect_request("/backup", method="POST", json={"env": "production"}).respond_with_data("stored")
    httpserver.expect_request("/ping", method="GET").respond_with_data("gone", status=410)
    token = service.sign_in()
    good, bad = make_jobs(service, token, httpserver)

    check_executions(service, token, httpserver, good, bad)
    check_tour(service, token, newcomer)

    assert service.stop() == {"web": 0, "scheduler": 0}
    assert "Traceback" not in service.log("web").read_text() + service.log("scheduler").read_text()


def make_jobs(service: Service, token: str, target: HTTPServer) -> list[dict[str, Any]]:
    """Make a category, a team and two jobs for every minute: one whose target agrees, one whose target refuses."""
    service.call("POST", "/job-categories", token, name="Backups")
    service.call("POST", "/pic-teams", token, name="Day Shift", slack_handle="@day")
    common = {"cron_expression": "* * * * *", "category": "backups", "pic_team": "day-shift", "end_date": IN_TWO_DAYS}
    jobs = [
        service.call("POST", "/jobs", token, **common, **own)["job"]
        for own in (
            {"name": "Backup", "target_url": target.url_for("/backup"), "metadata": {"env": "production"}},
            {"name": "Ping", "target_url": target.url_for("/ping")},
        )
    ]
    assert all(job["next_execution_at"].endswith(":00+09:00") for job in jobs)
    return jobs


def check_executions(
    service: Service, token: str, target: HTTPServer, good: dict[str, Any], bad: dict[str, Any]
) -> None:
    def first_execution(job: dict[str, Any]) -> Any:
        executions = service.call("GET", f"/jobs/{job['id']}/executions", token)["executions"]
        return executions and executions[-1]["completed_at"] and executions[-1]

    # Until then there is nothing to ask for, and the target knows at once.
    eventually(lambda: len(target.log) >= 2, seconds=75)
    success = eventually(lambda: first_execution(good), seconds=15)
    failure = eventually(lambda: first_execution(bad), seconds=15)

    assert pick(success, "status", "trigger_type", "execution_type", "target", "response_status", "output") == {
        "status": "success",
        "trigger_type": "scheduled",
        "execution_type": "webhook",
        "target": target.url_for("/backup"),
        "response_status": 200,
        "output": "stored",
    }
    assert pick(failure, "status", "response_status", "error_message", "output") == {
        "status": "failed",
        "response_status": 410,
        "error_message": "Webhook returned status 410",
        "output": "gone",
    }
    assert success["duration_seconds"] >= 0
    assert datetime.fromisoformat(success["started_at"]).second < 10, "the request left at its minute"

    inbox = service.call("GET", "/notifications?per_page=100", token)["notifications"]
    told = {(row["title"], row["message"], row["related_execution_id"]) for row in inbox}
    assert ("Job Completed", 'Job "Backup" completed successfully.', success["id"]) in told
    assert ("Job Failed", 'Job "Ping" failed: Webhook returned status 410', failure["id"]) in told


def check_tour(service: Service, token: str, newcomer: subprocess.Popen[str]) -> None:
    screen, _ = newcomer.communicate(timeout=90)
    assert newcomer.returncode == 0, screen
    (job,) = [job for job in service.call("GET", "/jobs", token)["jobs"] if job["pic_team"] == "night-watch"]
    executions = service.call("GET", f"/jobs/{job['id']}/executions", token)["executions"]
    outcomes = {(row["trigger_type"], row["status"]) for row in executions}
    assert outcomes == {("manual", "success"), ("scheduled", "success")}
    assert not job["is_active"]


def pick(row: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: row[key] for key in keys}
