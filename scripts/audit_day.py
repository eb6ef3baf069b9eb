"""Write the day and the actions of docs/audit.md: what people, scripts and the scheduler did, as the trail tells it.

Run it as `.venv/bin/python -m scripts.audit_day` from the checkout. It fills a database of its own in a temporary
directory with the demo, lets its people work for a day over the API with a clock that it moves, and asks `GET /audit`.
"""

import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

TEMPORARY = tempfile.TemporaryDirectory()
os.environ |= {
    "DJANGO_SETTINGS_MODULE": "cronsched.settings",
    "ENV_FILE": os.devnull,
    "DEBUG": "true",
    "ALLOWED_HOSTS": "testserver",
    "LOG_LEVEL": "CRITICAL",
    "DATABASE_URL": f"sqlite:///{TEMPORARY.name}/day.sqlite3",
    "JOURNAL_DIR": f"{TEMPORARY.name}/journal",
    "JWT_ACCESS_TOKEN_EXPIRES": "86400",
    "SCHEDULER_TIMEZONE": "UTC",
}

import django  # noqa: E402 - the settings are read from the environment above
from django.conf import settings  # noqa: E402 - as above

# Twelve guesses of a password take no minute.
settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
django.setup()

import time_machine  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.test import Client  # noqa: E402
from django.utils import timezone  # noqa: E402

from audit.actions import ACTIONS  # noqa: E402
from jobs import services  # noqa: E402
from jobs.management import demo  # noqa: E402

PAGE = Path(__file__).resolve().parent.parent / "docs" / "audit.md"
DAY = datetime(2026, 11, 16, tzinfo=UTC)
PASSWORD = "correct horse battery"  # noqa: S105 - of a demo
SLACK = "https://hooks.slack.com/services/T0/B0/secret"
ADDRESSES = {"maria": "192.0.2.10", "daniel": "192.0.2.11", "priya": "192.0.2.12", "tom": "203.0.113.99"}
LONGEST = 70


@contextmanager
def at(clock: str) -> Iterator[None]:
    hour, minute = map(int, clock.split(":"))
    with time_machine.travel(DAY + timedelta(hours=hour, minutes=minute), tick=True):
        yield


class Person:
    """Somebody, or a script, who calls the API from an address."""

    def __init__(self, address: str, token: str = "") -> None:
        self._client, self._token = Client(REMOTE_ADDR=address), token

    def sign_in(self, name: str, password: str = PASSWORD) -> None:
        self._token = self.send("POST", "auth/login", {"username": name, "password": password}).get("access_token", "")

    def send(self, method: str, path: str, body: Any = None, *, reason: str = "") -> Any:
        headers = {"X-Change-Reason": reason} if reason else {}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        answer = self._client.generic(
            method, f"/api/v2/{path}", json.dumps(body or {}), "application/json", headers=headers
        )
        return answer.json()


def live() -> list[dict[str, Any]]:
    """Let the day pass, and return its entries, oldest first."""
    people = {name: Person(address) for name, address in ADDRESSES.items()}
    maria, daniel, priya = people["maria"], people["daniel"], people["priya"]
    with at("08:52"):
        priya.sign_in("priya")
        jobs = {job["name"]: job["id"] for job in priya.send("GET", "jobs")["jobs"]}
    with at("09:03"):
        rates = f"jobs/{jobs['Exchange rates']}"
        priya.send("PUT", rates, {"timeout_seconds": 30, "max_attempts": 3}, reason="The bank answers slowly")
    with at("09:20"):
        daniel.sign_in("daniel")
        made = {"name": "deploy pipeline", "scopes": ["write", "run"], "allowed_ips": ["198.51.100.0/24"]}
        secret = daniel.send("POST", "tokens", made)["secret"]
    with at("10:05"):
        pipeline = Person("198.51.100.7", secret)
        pipeline.send(
            "PUT", f"jobs/{jobs['Bank statements']}", {"metadata": {"release": "4.2.0"}}, reason="Release 4.2.0"
        )
    with at("10:40"):
        Person("203.0.113.50", secret).send("PUT", f"jobs/{jobs['Bank statements']}", {"timeout_seconds": 1})
    with at("11:00"):
        maria.sign_in("maria")
        until = (DAY + timedelta(hours=13)).isoformat()
        backups = [jobs["Nightly database backup"], jobs["Hourly snapshot of the wiki"]]
        pause = {"action": "pause", "ids": backups, "reason": "The storage moves", "until": until, "on_resume": "last"}
        maria.send("POST", "jobs/bulk", pause)
    with at("11:31"):
        for number in range(12):
            people["tom"].sign_in("tom", f"a guess, the {number}th")
    with at("13:00"):
        services.resume_what_has_run_out(now=timezone.now())
    with at("14:10"):
        priya.send("POST", f"{rates}/revisions/2/restore", {"reason": "It was the network"})
    with at("15:00"):
        maria.send("PUT", "settings/slack", {"webhook_url": SLACK, "channel": "#ops", "is_enabled": True})
    with at("15:20"):
        call_command("hand_over", "Bank statements", "--to", "priya", "--reason", "Daniel leaves", stdout=StringIO())
    with at("16:45"):
        tom = next(user["id"] for user in maria.send("GET", "auth/users")["users"] if user["username"] == "tom")
        maria.send("PUT", f"auth/users/{tom}", {"role": "user"}, reason="Tom is on call from today")
    with at("17:05"):
        maria.send("DELETE", f"jobs/{jobs['Survey mails']}", reason="The survey is over")
    with at("17:30"):
        maria.send("POST", "auth/logout")
    with at("23:59"):
        maria.sign_in("maria")
        found = maria.send("GET", f"audit?from={DAY:%Y-%m-%dT%H:%M:%SZ}&limit=100")
    assert found["total_pages"] == 1
    return [entry for entry in reversed(found["entries"]) if entry["at"] < f"{DAY:%Y-%m-%d}T23:59"]


def row(entry: dict[str, Any]) -> str:
    actor = entry["actor"]
    who = actor["name"] if actor["kind"] == "user" else f"{actor['name']} ({actor['kind']})"
    # Whose a job is stands in `owner` by name, and by id in `created_by` beside it.
    told = {name: pair for name, pair in entry["changes"].items() if name != "created_by"}
    changes = ", ".join(f"{name}: {json.dumps(old)} → {json.dumps(new)}" for name, (old, new) in told.items())
    if len(changes) > LONGEST:
        changes = changes[:LONGEST].rstrip() + " …"
    cells = entry["at"][11:16], who, entry["source_ip"] or "", entry["action"], entry["object"]["name"]
    return f"| {' | '.join((*cells, changes.replace('|', '/'), entry['reason'] or ''))} |"


def write(section: str, text: str) -> None:
    place = re.compile(rf"(<!-- {section} -->\n).*?(<!-- end -->)", re.DOTALL)
    page, number = place.subn(lambda found: f"{found[1]}{text}\n{found[2]}", PAGE.read_text())
    assert number == 1
    PAGE.write_text(page)


def action_row(name: str) -> str:
    text, actors = ACTIONS[name]
    return f"| `{name}` | {text} | {', '.join(actors)} |"


def main() -> None:
    call_command("migrate", verbosity=0)
    with time_machine.travel(DAY, tick=False):
        demo.seed(base_url="http://127.0.0.1:5001", password=PASSWORD, now=timezone.now())
    entries = live()
    head = ["| at | who | from | action | what | changes | reason |", "|---|---|---|---|---|---|---|"]
    write("day", "\n".join([*head, *map(row, entries)]))
    (one,) = [entry for entry in entries if entry["action"] == "job.updated" and entry["reason"] == "Release 4.2.0"]
    write(
        "actions",
        "\n".join(["| action | written when | by |", "|---|---|---|", *map(action_row, ACTIONS)]),
    )
    write("entry", f"```json\n{json.dumps(one, indent=1, ensure_ascii=False)}\n```")


if __name__ == "__main__":
    main()
