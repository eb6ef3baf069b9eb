"""Changes jobs over the API as people do, one call after the other, and keeps account of what is due of each job.

Manual runs and resyncs are asked for by a second person, so that they meet changes that are under way.

A call whose answer does not come, or is an error of the server, may have taken effect or not. The client then asks
until it knows; up to that moment both are possible, and the account says so.
"""

import csv
import io
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import requests

from jobs.tests.chaos.evidence import Change, Definition, JobLog, Mode, Probe, Resync, ServerError, WhyVerdict, at
from jobs.tests.chaos.target import Target

# Longer than the server's own limits for statements, so that an answer settles it.
TIMEOUT_SECONDS = 90.0
ASK_AGAIN_SECONDS = 0.5
PROBE_TIMEOUT_SECONDS = 5.0
END_DATE = "2099-12-31"
TEAM = "Chaos"
OPTIONS = (
    "catch_up",
    "overlap",
    "timeout_seconds",
    "max_attempts",
    "backoff_seconds",
    "spread_seconds",
    "misfire_grace_seconds",
)


class Client:
    """Signed in as an administrator, or as `username`. `jobs` are all that ever were, in the order they were made."""

    def __init__(self, address: str, password: str, target: Target, *, username: str = "admin") -> None:
        self.jobs: list[JobLog] = []
        self.server_errors: list[ServerError] = []
        self.resyncs: list[Resync] = []
        self.uploaded = 0
        self.port = int(address.rpartition(":")[2])
        self._address = f"{address}/api/v2"
        self._is_admin = username == "admin"
        self._team = TEAM if self._is_admin else f"{TEAM} of {username}"
        self._prefix = "Job" if self._is_admin else f"Job of {username}"
        self._target = target
        self._session, self._second = requests.Session(), requests.Session()
        self._session.trust_env = self._second.trust_env = False
        self._pause = threading.Event()
        signed_in = self._call("POST", "/auth/login", {"username": username, "password": password})
        for session in (self._session, self._second):
            session.headers["Authorization"] = f"Bearer {signed_in['access_token']}"
        self.user_id: str = (signed_in.get("user") or {}).get("id", "")
        if self._is_admin:
            self._call("POST", "/pic-teams", {"name": TEAM, "slack_handle": "@chaos"})

    def befriend(self, username: str, password: str) -> "Client":
        """Make an account with a team of its own and return its client."""
        account = {"username": username, "email": f"{username}@example.com", "password": password, "role": "user"}
        self._call("POST", "/auth/register", account)
        self._call("POST", "/pic-teams", {"name": f"{TEAM} of {username}", "slack_handle": "@chaos"})
        return Client(self._address.removesuffix("/api/v2"), password, self._target, username=username)

    def close(self) -> None:
        self._session.close()
        self._second.close()

    @property
    def living(self) -> list[JobLog]:
        return [job for job in self.jobs if not (job.deleted or job.is_broken or job.has_ended)]

    # --- Verbs

    def create(self, drawn: Mapping[str, Any]) -> JobLog:
        """Create a job. Where it is unknown whether that worked, look for its name."""
        name = f"{self._prefix} {len(self.jobs) + 1}"
        definition, payload = self._definition(0, drawn), self._payload(0, drawn)
        asked_at = datetime.now(UTC)
        while True:
            answer = self._try("POST", "/jobs", {"name": name, **payload})
            found = answer["job"] if answer else self._find(name)
            if found is not None:
                break
        job = JobLog(UUID(found["id"]), name, [Change(definition, asked_at, datetime.now(UTC))])
        self.jobs.append(job)
        return job

    def upload(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Create jobs by a CSV file. Of those whose fate is unknown, the ones that are not there are sent again."""
        missing = {f"{self._prefix} {number}": row for number, row in enumerate(rows, len(self.jobs) + 1)}
        asked_at = datetime.now(UTC)
        is_first = True
        while missing:
            file = {"file": ("jobs.csv", self._table(missing), "text/csv")}
            answer = self._try("POST", "/jobs/bulk-upload", files=file, refusal_is_none=not is_first)
            answered_at = datetime.now(UTC) if answer else None
            there = {job["name"]: job["id"] for job in self._settled(lambda: self._try("GET", "/jobs"))["jobs"]}
            assert not answer or missing.keys() <= there.keys(), answer
            for name in [name for name in missing if name in there]:
                definition = self._definition(0, missing.pop(name))
                change = Change(definition, asked_at, answered_at or datetime.now(UTC))
                self.jobs.append(JobLog(UUID(there[name]), name, [change]))
            is_first = False
        self.uploaded += len(rows)

    def edit(self, job: JobLog, drawn: Mapping[str, Any]) -> None:
        """Replace all of a definition, but not whether the job is paused."""
        before = current(job)
        definition = self._definition(before.revision + 1, drawn, is_active=before.is_active)
        self._change(job, definition, self._payload(definition.revision, drawn))

    def set_active(self, job: JobLog, is_active: bool) -> None:
        """Pause or resume. The URL goes along, because it says by which revision a request was sent."""
        before = current(job)
        revision = before.revision + 1
        definition = Definition(**{**before.__dict__, "revision": revision, "is_active": is_active})
        self._change(job, definition, {"is_active": is_active, "target_url": self._target.url(before.mode, revision)})

    def delete(self, job: JobLog) -> None:
        asked_at = datetime.now(UTC)
        while self._try("DELETE", f"/jobs/{job.id}", missing_is_none=True) is None:
            if self._settled(lambda: self._get(job)) is None:
                break
        job.changes.append(Change(None, asked_at, datetime.now(UTC)))

    def execute(self, job: JobLog) -> None:
        """Run a job manually. A run that fails is an answer like any other, and the job may just be going."""
        self._try("POST", f"/jobs/{job.id}/execute", {}, session=self._second, missing_is_none=True)

    def execute_many(self, jobs: Sequence[JobLog], number: int, *, at_once: int) -> None:
        """Start manual runs of jobs, one after the other, so many at a time: by so many people."""

        def run(index: int) -> None:
            with requests.Session() as session:
                session.trust_env = False
                session.headers.update(self._session.headers)
                job = jobs[index % len(jobs)]
                self._try("POST", f"/jobs/{job.id}/execute", {}, session=session, missing_is_none=True, may_refuse=True)

        with ThreadPoolExecutor(at_once, thread_name_prefix="people") as people:
            list(people.map(run, range(number)))

    def probe(self) -> Probe:
        """Ask for a change that costs nothing and sends no notice."""
        asked_at = datetime.now(UTC)
        path = f"/auth/users/{self.user_id}/ui-preferences"
        columns: dict[str, Any] = {"jobs_table_columns": {}}
        with requests.Session() as session, suppress(requests.RequestException):
            session.trust_env = False
            session.headers.update(self._session.headers)
            answer = session.put(self._address + path, json=columns, timeout=PROBE_TIMEOUT_SECONDS)
            answered_at = datetime.now(UTC)
            if answer.status_code >= 500:
                text = f"PUT {path}: {answer.status_code} {answer.text[:200]}"
                self.server_errors.append(ServerError(asked_at, answered_at, text, answer.status_code))
            return Probe(asked_at, answered_at, answer.ok)
        return Probe(asked_at, datetime.now(UTC), False)

    def resync(self) -> None:
        """Ask for a reconcile. Without a leader there is none."""
        asked_at = datetime.now(UTC)
        answer = self._try("POST", "/scheduler/resync", session=self._second, conflict_is_none=True)
        if answer is not None:
            ran_at = at(answer["ran_at"]) if answer else None
            self.resyncs.append(Resync(asked_at, datetime.now(UTC), ran_at))

    # --- How

    def why(self, job: JobLog, until: datetime) -> list[WhyVerdict]:
        """Ask why the job ran or did not, for each fire time since an hour before it was made."""
        since = job.changes[0].asked_at - timedelta(hours=1)
        query = f"from={since:%Y-%m-%dT%H:%M:%SZ}&to={until:%Y-%m-%dT%H:%M:%SZ}&limit=5000"
        answer = self._settled(lambda: self._try("GET", f"/jobs/{job.id}/why?{query}"))
        return [WhyVerdict(job.id, at(told["due_at"]), told["verdict"]) for told in answer["verdicts"]]

    def _change(self, job: JobLog, definition: Definition, payload: Mapping[str, Any]) -> None:
        asked_at = datetime.now(UTC)
        if self._try("PUT", f"/jobs/{job.id}", payload) is None:
            stored = self._settled(lambda: self._get(job))
            if stored is None or not stored["target_url"].endswith(f"/{definition.revision}"):
                return
        job.changes.append(Change(definition, asked_at, datetime.now(UTC)))

    def _definition(self, revision: int, drawn: Mapping[str, Any], *, is_active: bool = True) -> Definition:
        names = ("expression", "zone", "catch_up", "overlap", "timeout_seconds", "max_attempts", "spread_seconds")
        return Definition(
            revision=revision,
            mode=Mode(drawn["mode"]),
            is_active=is_active,
            grace_seconds=drawn["misfire_grace_seconds"],
            **{name: drawn[name] for name in names},
        )

    def _payload(self, revision: int, drawn: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "cron_expression": drawn["expression"],
            "timezone": drawn["zone"],
            "target_url": self._target.url(drawn["mode"], revision),
            # With metadata it is a POST, without a GET.
            "metadata": {"revision": revision} if revision % 2 else {},
            "end_date": END_DATE,
            "pic_team": self._team,
            **{name: drawn[name] for name in OPTIONS},
        }

    def _table(self, rows: Mapping[str, Mapping[str, Any]]) -> str:
        """Return jobs by their names as a CSV file."""
        payloads = [{"name": name, **self._payload(0, drawn)} for name, drawn in rows.items()]
        written = io.StringIO()
        table = csv.DictWriter(written, [name for name in payloads[0] if name != "metadata"], extrasaction="ignore")
        table.writeheader()
        table.writerows(payloads)
        return written.getvalue()

    def _find(self, name: str) -> Any:
        jobs = self._settled(lambda: self._try("GET", "/jobs"))
        return next((job for job in jobs["jobs"] if job["name"] == name), None)

    def _get(self, job: JobLog) -> Any:
        """Return the job as it is, False where it is gone, None without an answer."""
        answer = self._try("GET", f"/jobs/{job.id}", missing_is_none=True)
        return answer and answer.get("job", False)

    def _settled(self, ask: Callable[[], Any]) -> Any:
        """Ask until there is an answer; None for something that is gone."""
        while (answer := ask()) is None:
            self._pause.wait(ASK_AGAIN_SECONDS)
        return answer or None

    def _try(
        self,
        method: str,
        path: str,
        payload: Mapping[str, Any] | None = None,
        *,
        session: requests.Session | None = None,
        files: Mapping[str, tuple[str, str, str]] | None = None,
        missing_is_none: bool = False,
        conflict_is_none: bool = False,
        refusal_is_none: bool = False,
        may_refuse: bool = False,
    ) -> Any:
        """Call and return the answer, None where the server could not say. A refusal is our own fault and raises."""
        asked_at = datetime.now(UTC)
        try:
            answer = (session or self._session).request(
                method, self._address + path, json=payload, files=files, timeout=TIMEOUT_SECONDS
            )
        except requests.RequestException as error:
            self.server_errors.append(ServerError(asked_at, datetime.now(UTC), f"{method} {path}: {error}"))
            return None
        if (answer.status_code, True) in ((404, missing_is_none), (409, conflict_is_none), (400, refusal_is_none)):
            return {}
        if answer.status_code >= 500:
            text = f"{method} {path}: {answer.status_code} {answer.text[:200]}"
            self.server_errors.append(ServerError(asked_at, datetime.now(UTC), text, answer.status_code))
            return None
        if not answer.ok and not (may_refuse and answer.status_code in {409, 429}):
            raise AssertionError(f"{method} {path} {payload}: {answer.status_code} {answer.text[:500]}")
        return answer.json()

    def _call(self, method: str, path: str, payload: Mapping[str, Any]) -> Any:
        answer = self._try(method, path, payload)
        if answer is None:
            raise AssertionError(self.server_errors[-1].text)
        return answer


def current(job: JobLog) -> Definition:
    """Return what a living job says now."""
    definition = job.changes[-1].definition
    assert definition is not None
    return definition


def pretend_due_since(job: JobLog, moment: datetime) -> None:
    """Account for a job whose `next_fire_at` was set back in the database, as if no leader had scheduled it."""
    before = moment - timedelta(seconds=1)
    job.changes[0] = Change(job.changes[0].definition, before, before)


def pretend_ended_at(job: JobLog, moment: datetime) -> None:
    """Account for a job whose end date was set back in the database, so that it ended at `moment`."""
    job.changes[0] = replace(job.changes[0], definition=replace(current(job), ends_at=moment))
