"""Whether a team of 2,000 jobs feels what one account may do in a minute, and whether a loop without end does."""

import http.client
import json
import time
from pathlib import Path

import pytest
import requests
from django.conf import settings as conf

from accounts.tests.factories import make_user, token_for
from cronsched.tests.processes import web_process
from jobs.models import Job
from jobs.tests.benchmarks.processes import production
from jobs.tests.benchmarks.report import Figures, at_most
from jobs.tests.benchmarks.target import Target
from jobs.tests.benchmarks.test_csv_import import csv_file
from taxonomy.tests.factories import make_team

pytestmark = [pytest.mark.benchmark, pytest.mark.django_db(transaction=True)]

JOBS = 2_000
# What nobody does on purpose.
CANNON_SECONDS = 60.0


class Script:
    """Changes one job after the other over one kept connection, as fast as the service answers."""

    def __init__(self, address: str, token: str) -> None:
        host, _, port = address.removeprefix("http://").partition(":")
        self.connection = http.client.HTTPConnection(host, int(port))
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def call(self, method: str, path: str, body: object) -> int:
        self.connection.request(method, f"/api/v2/{path}", json.dumps(body), self.headers)
        answer = self.connection.getresponse()
        answer.read()
        assert answer.status in {200, 429}, answer.status
        return answer.status


def test_a_team_of_two_thousand_jobs(tmp_path: Path) -> None:
    figures = Figures(
        "rates",
        f"{JOBS:,} jobs of one account, default rates, one web process on SQLite",
        ("what", "figure", "bar", ""),
    )
    make_team(name="Ops")
    owner = make_user(role="user")
    token = token_for(owner)
    settings = production(WEB_WORKERS="1")
    with web_process(tmp_path / "web.log", **settings) as address, Target() as target:
        upload(address, token)
        ids = list(Job.objects.values_list("pk", flat=True))
        assert len(ids) == JOBS
        script = Script(address, token)
        url = f"http://127.0.0.1:{target.port}/now/0"
        rounds: dict[str, list[tuple[str, str, object]]] = {
            "each is edited": [("PUT", f"jobs/{key}", {"target_url": url}) for key in ids],
            "then each is paused": [("PUT", f"jobs/{key}", {"is_active": False}) for key in ids],
            "then half are run manually": [("POST", f"jobs/{key}/execute", {}) for key in ids[: JOBS // 2]],
        }
        for name, calls in rounds.items():
            began = time.perf_counter()
            refused = sum(script.call(*call) == 429 for call in calls)
            rate = len(calls) / (time.perf_counter() - began)
            figures.add(f"{name}, {rate:.0f} a second: refused", str(refused), "0", at_most(refused, 0))
        ends_at, sent, through = time.monotonic() + CANNON_SECONDS, 0, 0
        while time.monotonic() < ends_at:
            through += script.call("PUT", f"jobs/{ids[0]}", {"is_active": bool(sent % 2)}) == 200
            sent += 1
        script.connection.close()
    most = int(conf.WRITES_PER_MINUTE * (1 + CANNON_SECONDS / 60))
    what = f"one is edited for {CANNON_SECONDS:g} s, {sent:,} times: let through"
    figures.add(what, f"{through:,}", f"{most:,}", at_most(through, most))
    figures.publish()


def upload(address: str, token: str) -> None:
    files = {"file": ("jobs.csv", csv_file(JOBS), "text/csv")}
    headers = {"Authorization": f"Bearer {token}"}
    answer = requests.post(f"{address}/api/v2/jobs/bulk-upload", files=files, headers=headers, timeout=120)
    assert answer.status_code == 200, answer.text[:1000]
