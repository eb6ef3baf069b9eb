"""Write what docs/targets.md shows of the tests: the attacks, and a run from its dispatch to the notice of its failure.

Run it as `.venv/bin/python -m scripts.record_targets` from the checkout. It works on a database of its own in a
temporary directory, and with the GitHub of the tests on loopback.
"""

import json
import os
import re
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

TEMPORARY = tempfile.TemporaryDirectory()
os.environ |= {
    "DJANGO_SETTINGS_MODULE": "cronsched.settings",
    "ENV_FILE": os.devnull,
    "DEBUG": "true",
    "LOG_LEVEL": "ERROR",
    "ALLOWED_HOSTS": "testserver",
    "DATABASE_URL": f"sqlite:///{TEMPORARY.name}/run.sqlite3",
    "TRACK_GITHUB_RUNS": "true",
}

import django  # noqa: E402 - the settings are read from the environment above

django.setup()

from django.core.management import call_command  # noqa: E402
from django.test import override_settings  # noqa: E402

from accounts.tests.factories import api_client, make_user  # noqa: E402
from cronsched.lib.tests.attacks import counts  # noqa: E402
from jobs.github import tracking  # noqa: E402
from jobs.tests.factories import job_body  # noqa: E402
from jobs.tests.github.fake import GitHubFake  # noqa: E402
from taxonomy.tests.factories import make_team  # noqa: E402

PAGE = Path(__file__).resolve().parent.parent / "docs" / "targets.md"
SHOWN = ("status", "target", "response_status", "output", "run")


def attacks() -> str:
    rows = [f"| {category} | {number} |" for category, number in counts().items()]
    return "\n".join(["| attack | tried |", "|---|---:|", *rows, f"| **in all** | **{sum(counts().values())}** |"])


class Recording:
    """Asks the API and writes down what was asked, what came back and what GitHub saw of it."""

    def __init__(self, github: GitHubFake) -> None:
        self.client = api_client(make_user("maria", role="admin"))
        self.github = github
        self.lines: list[str] = []
        self._seen = 0

    def ask(self, method: str, path: str, body: Any = None, *, keep: tuple[str, ...]) -> Any:
        answer = getattr(self.client, method.lower())(f"/api/v2{path}", *([body] if body is not None else [])).json()
        self.lines += [f"`{method} /api/v2{re.sub('[0-9a-f-]{36}', '{id}', path)}`", ""]
        found = answer
        for key in keep:
            found = found[key]
        shown = {name: found[name] for name in SHOWN if name in found} or found
        self.lines += ["```json", json.dumps(shown, indent=1), "```", ""]
        return answer

    def tell(self, text: str) -> None:
        self.lines += [text, ""]

    def asked_github(self) -> None:
        calls = self.github.calls[self._seen :]
        self._seen = len(self.github.calls)
        self.lines += ["GitHub was asked:", "", "```", *calls, "```", ""]


def recorded_run() -> str:
    with GitHubFake() as github, override_settings(GITHUB_API_URL=github.url, GITHUB_TOKEN=github.token):
        make_team(name="Ops")
        shop = github.add_repository("acme", "shop")
        shop.add_workflow("deploy.yml")
        recording = Recording(github)
        body = job_body(name="Deploy the shop", target_url="acme/shop/deploy.yml")
        job = recording.client.post("/api/v2/jobs", body).json()["job"]
        recording.tell("**1. The dispatch.** A job is run manually; GitHub accepts, and names the run.")
        run = recording.ask("POST", f"/jobs/{job['id']}/execute", {}, keep=("execution",))["execution"]
        recording.asked_github()
        recording.tell("**2. Six seconds later** the leader looks, and finds it under way.")
        shop.runs[0].start()
        now = datetime.now(UTC)
        tracking.follow(now=now + timedelta(seconds=6))
        recording.ask("GET", f"/executions/{run['id']}", keep=("execution",))
        recording.asked_github()
        recording.tell(
            "**3. The workflow fails** in the step *Run tests* of the job *build*, and the next look sees it."
        )
        shop.runs[0].finish("failure", job="build", step="Run tests")
        tracking.follow(now=now + timedelta(seconds=20))
        recording.ask("GET", f"/executions/{run['id']}", keep=("execution",))
        recording.asked_github()
        recording.tell("**4. The notices,** newest first. The failure counts for the job, the dispatch does not.")
        told = recording.client.get("/api/v2/notifications").json()["notifications"]
        failures = recording.client.get(f"/api/v2/jobs/{job['id']}").json()["job"]["consecutive_failures"]
        recording.lines += [f"- {notice['title']} ({notice['type']}): {notice['message']}" for notice in told]
        recording.lines += [f"- `consecutive_failures` of the job: {failures}"]
        return "\n".join(recording.lines)


def fill(page: str, mark: str, content: str) -> str:
    pattern = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- end -->)", re.DOTALL)
    assert pattern.search(page), mark
    return pattern.sub(lambda found: f"{found[1]}{content}\n{found[2]}", page)


def main() -> None:
    call_command("migrate", verbosity=0)
    page = fill(PAGE.read_text(encoding="utf-8"), "attacks", attacks())
    PAGE.write_text(fill(page, "run", recorded_run()), encoding="utf-8")


if __name__ == "__main__":
    main()
