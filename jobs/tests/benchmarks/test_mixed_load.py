"""Readers, writers, herds, hostile targets and hostile clients together, for as long as is asked: what grows?

BENCH_MIXED_MINUTES   how long; default 60. With BENCH_WRITE=1 the picture goes into docs/pictures, too.
BENCH_MIXED_PAUSE     how many milliseconds a client waits between two calls; default 250, for a machine of its own.

On SQLite, or on what DATABASE_URL names. The samples are kept beside the picture, as JSON.
"""

import itertools
import json
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django import test
from django.conf import settings
from django.db import connection
from django.urls import reverse

from accounts.models import User
from accounts.tests.factories import make_user, token_for
from cronsched.tests.processes import free_port
from jobs.models import OPEN_STATUSES, Job, JobExecution, Status
from jobs.tests.benchmarks import hostile, usage
from jobs.tests.benchmarks.calls import Web
from jobs.tests.benchmarks.contenders import insert_jobs
from jobs.tests.benchmarks.processes import process, production, scheduler
from jobs.tests.benchmarks.report import WRITE, Figures, at_most, picture, size
from jobs.tests.benchmarks.target import Target
from jobs.tests.benchmarks.test_hostile import wait_for

pytestmark = [pytest.mark.benchmark, pytest.mark.django_db(transaction=True)]

(MINUTES,) = size("BENCH_MIXED_MINUTES", "60")
PAUSE = size("BENCH_MIXED_PAUSE", "250")[0] / 1000
READERS, WRITERS = 8, 2
HERD = 1_000
# How many jobs call, each minute, a target that behaves so.
EACH_MINUTE = {"now": 200, "slow": 40, "hang": 20, "drip": 20}
CROWD = (100, 50, 50)
SAMPLES = 240
PAGES = (
    "admin:index",
    "admin:jobs_job_changelist",
    "admin:jobs_jobexecution_changelist",
    "admin:audit_auditentry_changelist",
)
# How far the line through the second half may rise from its beginning to its end: memory in megabytes, then numbers.
BARS = {"memory": 8.0, "threads": 2.0, "files": 8.0, "sockets": 8.0, "connections": 2.0}
TITLES = {"memory": "memory, MB", "connections": "connections to the database"}


class Sample(NamedTuple):
    minute: float
    memory: float
    threads: int
    files: int
    sockets: int
    connections: int


class Client(Web):
    def send(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        headers = {**self.headers, "Content-Type": "application/json"}
        self.connection.request(method, f"/api/v2/{path}", json.dumps(body), headers)
        answer = self.connection.getresponse()
        return answer.status, json.loads(answer.read())


def look(address: str, cookie: str, paths: list[str], ended: threading.Event, errors: list[str]) -> None:
    """Open pages of the console, and `/metrics`, one a second at most."""
    for path in itertools.cycle(paths):
        if ended.wait(max(1.0, PAUSE)):
            return
        asked = urllib.request.Request(f"{address}{path}", headers={"Cookie": cookie})
        try:
            with urllib.request.urlopen(asked) as answer:
                if answer.url != asked.full_url:
                    errors.append(f"GET {path}: sent to {answer.url}")
                answer.read()
        except OSError as error:
            errors.append(f"GET {path}: {error!r}")


def signed_in(user: User) -> str:
    """Return the cookie of a session at the console."""
    client = test.Client()
    client.force_login(user)
    return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"


def read(address: str, token: str, paths: list[str], ended: threading.Event, errors: list[str]) -> None:
    with closing(Client(address, token)) as web:
        for path in itertools.cycle(paths):
            if ended.wait(PAUSE):
                return
            try:
                web.get(path)
            except (AssertionError, OSError) as error:
                errors.append(f"GET {path}: {error!r}")
                web.close()


def write(address: str, token: str, job: Job, ended: threading.Event, errors: list[str]) -> None:
    """Edit a job, run it, create another, delete that; a write a second at most."""
    kept = {"cron_expression": "0 0 1 1 *", "end_date": "2099-01-01", "target_url": "https://hooks.example.com/"}
    kept |= {"category": job.category.slug, "pic_team": job.pic_team.slug}
    with closing(Client(address, token)) as web:
        made = ""
        for number in itertools.count():
            if ended.wait(max(1.0, PAUSE)):
                return
            acts: list[tuple[str, str, dict[str, Any]]] = [
                ("PUT", f"jobs/{job.id}", {"metadata": {"edit": number}}),
                ("POST", f"jobs/{job.id}/execute", {}),
                ("POST", "jobs", {**kept, "name": f"Made {number} by {threading.get_ident()}"}),
                ("DELETE", f"jobs/{made}", {}),
            ]
            method, path, body = acts[number % 4]
            try:
                status, answer = web.send(method, path, body)
            except OSError as error:
                errors.append(f"{method} {path}: {error!r}")
                web.close()
                continue
            if status >= 400:
                errors.append(f"{method} {path}: {status} {answer}")
            elif path == "jobs":
                made = answer["job"]["id"]


def prepared(target: Target) -> Job:
    """Insert the jobs, and return one that the writers change."""
    due = (datetime.now(UTC) + timedelta(minutes=1)).replace(second=0, microsecond=0)
    for mode, number in EACH_MINUTE.items():
        urls = [target.url(mode, place) for place in range(number)]
        fields = {"cron_expression": "* * * * *", "timeout_seconds": 10, "overlap": "skip"}
        insert_jobs(urls, due_at=due, names=f"Each minute, {mode}", **fields)
    herd = [target.url("now", place) for place in range(HERD)]
    insert_jobs(herd, due_at=due, names="Herd", cron_expression="*/3 * * * *")
    return Job.objects.select_related("category", "pic_team").filter(name__startswith="Each minute, now")[0]


def sampled(pid: int, began: float) -> Sample:
    files, sockets = usage.files(pid)
    port = int(connection.settings_dict["PORT"] or 0)
    connections = usage.connections(pid, port) if port else 0
    minute = (time.monotonic() - began) / 60
    return Sample(minute, usage.own_megabytes(pid), usage.threads(pid), files, sockets, connections)


def test_an_hour_of_everything(target: Target, tmp_path: Path, monkeypatch) -> None:
    # An hour, and what it takes to begin.
    monkeypatch.setattr(settings, "ACCESS_TOKEN_SECONDS", 24 * 3600)
    title = (
        f"{MINUTES} minutes of mixed load, clients pause {PAUSE:g} s, {connection.vendor}; the line of the second half"
    )
    figures = Figures("mixed-load", title, ("what", "half-way", "at the end", "rises by", "bar", ""))
    job, admin = prepared(target), make_user(role="admin")
    tokens = [token_for(admin) for _ in range(READERS + WRITERS + 1)]
    paths = ["jobs", "executions", "executions/statistics", f"jobs/{job.id}", "notifications/unread-count", "health"]
    paths += [f"jobs/{job.id}/why", "audit", "forecast?by=hour"]
    pages = [reverse(name) for name in PAGES] + [reverse("admin:jobs_job_change", args=(job.pk,)), "/metrics"]
    port, ended, errors = free_port(), threading.Event(), list[str]()
    allowed = {"WRITES_PER_MINUTE": "0", "RUNS_PER_MINUTE": "0", "JWT_ACCESS_TOKEN_EXPIRES": "86400"}
    environment = production(PORT=str(port), WEB_WORKERS="1", **allowed)
    address, lines = f"http://127.0.0.1:{port}", {"web": list[Sample](), "scheduler": list[Sample]()}
    with (
        scheduler(tmp_path / "scheduler.log") as scheduling,
        process(["manage.py", "serve"], tmp_path / "web.log", environment) as web,
    ):
        wait_for(address)
        arguments = [sys.executable, hostile.__file__, str(port), *map(str, CROWD)]
        with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as crowd:
            assert crowd.stdout is not None
            assert crowd.stdout.readline() == "held\n"
            threads = [
                threading.Thread(target=look, args=(address, signed_in(admin), pages, ended, errors)),
                *(
                    threading.Thread(target=read, args=(address, tokens[n], paths, ended, errors))
                    for n in range(READERS)
                ),
                *(
                    threading.Thread(target=write, args=(address, token, job, ended, errors))
                    for token in tokens[READERS:-1]
                ),
            ]
            for thread in threads:
                thread.start()
            began = time.monotonic()
            while time.monotonic() - began < MINUTES * 60:
                lines["web"].append(sampled(web, began))
                lines["scheduler"].append(sampled(scheduling, began))
                time.sleep(MINUTES * 60 / SAMPLES)
            ended.set()
            for thread in threads:
                thread.join()
            crowd.communicate()
    (tmp_path / "mixed-load.json").write_text(json.dumps(lines))
    draw(lines, picture("mixed-load.svg") if WRITE else tmp_path / "mixed-load.svg")
    judge(figures, lines)
    counted = {status: JobExecution.objects.filter(status=status).count() for status in Status.values}
    ran = ", ".join(f"{number:,} {status}" for status, number in counted.items() if number)
    figures.add("executions", "", ran, "", "", "")
    figures.add("calls that were refused or failed", "", str(len(errors)), "", "", "")
    figures.publish()
    assert counted[Status.UNKNOWN] == 0
    assert not JobExecution.objects.filter(
        status__in=OPEN_STATUSES, queued_at__lt=datetime.now(UTC) - timedelta(minutes=5)
    ).exists()
    assert errors == [], errors[:5]


def judge(figures: Figures, lines: dict[str, list[Sample]]) -> None:
    for name, samples in lines.items():
        half = samples[len(samples) // 2 :]
        minutes = [sample.minute for sample in half]
        for what, bar in BARS.items():
            slope, start = statistics.linear_regression(minutes, [getattr(sample, what) for sample in half])
            first, last = (start + slope * minute for minute in (minutes[0], minutes[-1]))
            rise = last - first
            figures.add(
                f"{name}, {what}", f"{first:.1f}", f"{last:.1f}", f"{rise:+.1f}", f"+{bar:g}", at_most(rise, bar)
            )


def draw(lines: dict[str, list[Sample]], file: Path) -> None:
    """Draw a panel for each thing that may not grow, with a line for each process."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "benchmarks"
    mpl.rcParams["svg.fonttype"] = "none"
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(len(BARS), figsize=(10, 2.2 * len(BARS)), sharex=True)
    for panel, what in zip(panels, BARS, strict=True):
        for name, samples in lines.items():
            panel.plot([sample.minute for sample in samples], [getattr(sample, what) for sample in samples], label=name)
        panel.set(title=TITLES.get(what, what))
        panel.set_ylim(bottom=0)
        panel.grid(visible=True, alpha=0.25)
    panels[0].legend()
    panels[-1].set(xlabel="minutes")
    figure.tight_layout()
    figure.savefig(file, format="svg", metadata={"Date": None})
    plt.close(figure)
