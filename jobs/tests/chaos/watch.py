"""What the database itself saw: an audit table filled by triggers, and a look at the row of each request that arrives.

The audit belongs to the harness. It is written in the transactions of the service, so it holds what was committed and
nothing else, in an order, also of rows that are deleted later.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from jobs.tests.chaos.databases import Database, DatabaseAway, Questions
from jobs.tests.chaos.evidence import Arrival, CountRow, JobState, LeaseState, Probe, RowState, Seen, at
from jobs.tests.chaos.script import REFUSED

AUDIT, REFUSALS = "chaos_audit", "chaos_refusals"
EXECUTIONS, LEASE = "job_executions", "scheduler_lease"
COUNTS, JOB_COUNTS = "job_execution_days", "job_execution_counts"
COLUMNS = {
    EXECUTIONS: (
        "id",
        "job_id",
        "status",
        "trigger_type",
        "scheduled_for",
        "attempt",
        "sender",
        "reason",
        "missed_from",
        "missed_count",
        "response_status",
        "error_message",
    ),
    LEASE: ("holder", "fence"),
}
EVENTS = {"insert": "NEW", "update": "NEW", "delete": "OLD"}
UNIQUE_CONSTRAINT = "executions_one_per_fire_time"
LOOK_SECONDS = 0.02
LEASE_LOOK_SECONDS = 0.25
PROBE_SECONDS = 0.5
ASK_AT_MOST = 200


# --- Setting up ------------------------------------------------------------------------------------------------------


def install_audit(questions: Questions, vendor: str) -> None:
    """Create the audit and the triggers that write it."""
    makers: dict[str, Callable[[], Iterator[str]]] = {
        "sqlite": _sqlite_audit,
        "postgres": _postgres_audit,
        "mariadb": _mariadb_audit,
    }
    for statement in (*makers[vendor](), *_refusals(vendor)):
        questions.ask(statement)


def _sqlite_audit() -> Iterator[str]:
    yield f"CREATE TABLE {AUDIT} (seq INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT, source TEXT, kind TEXT, content TEXT)"
    for table, kind, row in _triggers():
        yield (
            f"CREATE TRIGGER {AUDIT}_{table}_{kind} AFTER {kind} ON {table} BEGIN"
            f" INSERT INTO {AUDIT} (at, source, kind, content)"
            f" VALUES (strftime('%Y-%m-%d %H:%M:%f', 'now'), '{table}', '{kind}',"
            f" json_object({_pairs(table, row)})); END"
        )


def _mariadb_audit() -> Iterator[str]:
    yield (
        f"CREATE TABLE {AUDIT} (seq BIGINT AUTO_INCREMENT PRIMARY KEY, at DATETIME(6), source VARCHAR(50),"
        " kind VARCHAR(10), content LONGTEXT)"
    )
    for table, kind, row in _triggers():
        yield (
            f"CREATE TRIGGER {AUDIT}_{table}_{kind} AFTER {kind} ON {table} FOR EACH ROW"
            f" INSERT INTO {AUDIT} (at, source, kind, content)"
            f" VALUES (UTC_TIMESTAMP(6), '{table}', '{kind}', JSON_OBJECT({_pairs(table, row)}))"
        )


def _postgres_audit() -> Iterator[str]:
    yield (
        f"CREATE TABLE {AUDIT} (seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at TIMESTAMPTZ, source TEXT,"
        " kind TEXT, content TEXT)"
    )
    yield (
        f"CREATE FUNCTION {AUDIT}_write() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" INSERT INTO {AUDIT} (at, source, kind, content) VALUES (clock_timestamp(), TG_TABLE_NAME, lower(TG_OP),"
        " CASE TG_OP WHEN 'DELETE' THEN to_jsonb(OLD) ELSE to_jsonb(NEW) END); RETURN NULL; END $$"
    )
    for table in COLUMNS:
        yield (
            f"CREATE TRIGGER {AUDIT}_{table} AFTER INSERT OR UPDATE OR DELETE ON {table}"
            f" FOR EACH ROW EXECUTE FUNCTION {AUDIT}_write()"
        )


def _refusals(vendor: str) -> Iterator[str]:
    """Make the database refuse new rows of a table as long as its name stands in `REFUSALS`."""
    yield f"CREATE TABLE {REFUSALS} (name VARCHAR(60) PRIMARY KEY)"
    if vendor == "postgres":
        yield (
            f"CREATE FUNCTION {REFUSALS}_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" IF EXISTS (SELECT 1 FROM {REFUSALS} WHERE name = TG_TABLE_NAME) THEN"
            " RAISE EXCEPTION 'value too long' USING ERRCODE = '22001'; END IF; RETURN NEW; END $$"
        )
    for table in REFUSED:
        is_refused = f"EXISTS (SELECT 1 FROM {REFUSALS} WHERE name = '{table}')"
        trigger = f"CREATE TRIGGER {REFUSALS}_{table} BEFORE INSERT ON {table}"
        match vendor:
            case "sqlite":
                yield f"{trigger} WHEN {is_refused} BEGIN SELECT RAISE(ABORT, 'value too long'); END"
            case "postgres":
                yield f"{trigger} FOR EACH ROW EXECUTE FUNCTION {REFUSALS}_refuse()"
            case "mariadb":
                signal = "SIGNAL SQLSTATE '22001' SET MYSQL_ERRNO = 1406, MESSAGE_TEXT = 'value too long'"
                yield f"{trigger} FOR EACH ROW IF {is_refused} THEN {signal}; END IF"


@contextmanager
def refused(questions: Questions, table: str) -> Iterator[None]:
    """Let the database refuse new rows of `table`."""
    ask_until_heard(questions, f"INSERT INTO {REFUSALS} VALUES (%s)", [table])
    try:
        yield
    finally:
        ask_until_heard(questions, f"DELETE FROM {REFUSALS} WHERE name = %s", [table])


def ask_until_heard(questions: Questions, sql: str, parameters: Sequence[Any]) -> None:
    """Ask although processes may hold locks or the server be on its way back."""
    for _ in range(ASK_AT_MOST):
        try:
            questions.ask(sql, parameters)
        except DatabaseAway:
            time.sleep(LEASE_LOOK_SECONDS)
        else:
            return
    raise DatabaseAway(sql)


def _triggers() -> Iterator[tuple[str, str, str]]:
    yield from ((table, kind, row) for table in COLUMNS for kind, row in EVENTS.items())


def _pairs(table: str, row: str) -> str:
    return ", ".join(f"'{column}', {row}.{column}" for column in COLUMNS[table])


def drop_unique_constraint(questions: Questions, vendor: str) -> None:
    """Let a fire time have any number of rows: one of the protections whose absence must be noticed."""
    match vendor:
        case "sqlite":
            # SQLite cannot drop a constraint that stands in the table's own text; the table is written anew without.
            (text,) = questions.ask("SELECT sql FROM sqlite_master WHERE name = %s", [EXECUTIONS])[0]
            start = text.index(f'CONSTRAINT "{UNIQUE_CONSTRAINT}"')
            clause = text[start : text.index(")", start) + 1]
            kept = questions.ask(
                "SELECT sql FROM sqlite_master WHERE tbl_name = %s AND type != 'table' AND sql IS NOT NULL",
                [EXECUTIONS],
            )
            questions.ask(f"DROP TABLE {EXECUTIONS}")
            questions.ask(text.replace(f"{clause}, ", "").replace(f", {clause}", ""))
            for (statement,) in kept:
                questions.ask(statement)
        case "postgres":
            questions.ask(f"ALTER TABLE {EXECUTIONS} DROP CONSTRAINT {UNIQUE_CONSTRAINT}")
        case "mariadb":
            # The index also serves the foreign key, which wants another one first.
            questions.ask(f"ALTER TABLE {EXECUTIONS} ADD INDEX chaos_job (job_id), DROP INDEX {UNIQUE_CONSTRAINT}")


# --- Reading ---------------------------------------------------------------------------------------------------------


def read_audit(questions: Questions) -> tuple[list[RowState], list[LeaseState]]:
    """Return all that the audit holds of executions and of the lease, in its order."""
    rows, leases = [], []
    entries = questions.ask(f"SELECT seq, at, source, kind, content FROM {AUDIT} ORDER BY seq")
    for seq, moment, source, kind, content in entries:
        values = json.loads(content)
        if source == EXECUTIONS:
            rows.append(_row_state(seq, _instant(moment), kind, values))
        elif source == LEASE:
            leases.append(LeaseState(seq, _instant(moment), values["holder"], values["fence"]))
    return rows, leases


def _row_state(seq: int, moment: datetime, kind: str, values: dict[str, Any]) -> RowState:
    def instant(name: str) -> datetime | None:
        return at(values[name]) if values[name] else None

    return RowState(
        seq=seq,
        at=moment,
        kind=kind,
        id=UUID(values["id"]),
        job_id=UUID(values["job_id"]),
        status=values["status"],
        trigger=values["trigger_type"],
        scheduled_for=instant("scheduled_for"),
        attempt=values["attempt"],
        sender=UUID(values["sender"]) if values["sender"] else None,
        reason=values["reason"],
        missed_from=instant("missed_from"),
        missed_count=values["missed_count"],
        response_status=values["response_status"],
        error_message=values["error_message"],
    )


def _instant(value: Any) -> datetime:
    """Return what a driver gives for an instant: text or a datetime, with or without a zone."""
    return at(value) if isinstance(value, str) else at(value.isoformat())


def read_jobs(questions: Questions) -> list[JobState]:
    rows = questions.ask("SELECT id, is_active, next_fire_at, schedule_error FROM jobs")
    return [JobState(_uuid(row[0]), bool(row[1]), _instant(row[2]) if row[2] else None, row[3]) for row in rows]


def read_counts(questions: Questions) -> list[CountRow]:
    """Return how many settled executions there are and how many are counted: by day, and for jobs by any day."""
    settled = f"FROM {EXECUTIONS} WHERE status NOT IN ('queued', 'running')"
    of_jobs = (
        f"SELECT job_id AS job_key, status, COUNT(*) AS in_history, 0 AS counted {settled} GROUP BY job_id, status"
    )
    of_all = f"SELECT NULL, status, COUNT(*), 0 {settled} GROUP BY status"
    return [*_compared(questions, COUNTS, of_jobs, of_all), *_compared(questions, JOB_COUNTS, of_jobs)]


def _compared(questions: Questions, counts: str, *history: str) -> list[CountRow]:
    """Compare with the history what the table `counts` holds, in one look at both."""
    counted = f"SELECT job_key, status, 0, SUM(count) FROM {counts} GROUP BY job_key, status"
    found = questions.ask(
        f"SELECT job_key, status, SUM(in_history), SUM(counted) FROM ({' UNION ALL '.join((*history, counted))})"
        " both_sides GROUP BY job_key, status"
    )
    sums: dict[tuple[UUID | None, str], list[int]] = {}
    for job_key, status, in_history, number in found:
        # The counts of all jobs stand under the nil UUID.
        job_id = _uuid(job_key) if job_key and _uuid(job_key).int else None
        both = sums.setdefault((job_id, status), [0, 0])
        both[0] += int(in_history)
        both[1] += int(number)
    return [CountRow(*key, *both) for key, both in sums.items()]


def _uuid(value: Any) -> UUID:
    return value if isinstance(value, UUID) else UUID(str(value))


def key(vendor: str, value: UUID) -> str:
    """Return an id as the column of that database holds it."""
    return value.hex if vendor == "sqlite" else str(value)


# --- Watching --------------------------------------------------------------------------------------------------------


class Watcher:
    """Threads that look at the row of each request as it arrives, and at the lease, feel the machine's stalls, and
    `probe` the API.

    `holder` is who leads as far as the last look could tell.
    """

    def __init__(self, database: Database, arrivals: Sequence[Arrival], probe: Callable[[], Probe]) -> None:
        self.holder = ""
        self.probes: list[Probe] = []
        # By the minute: how much longer than asked for a short wait took at worst.
        self.stalls: dict[datetime, float] = {}
        self._vendor = database.vendor
        self._questions = Questions(database)
        self._arrivals = arrivals
        self._looked_at = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher")
        self._pulse = threading.Thread(target=self._feel_pulse, name="pulse")
        self._probe = probe
        self._prober = threading.Thread(target=self._probe_over_and_over, name="prober")

    def __enter__(self) -> "Watcher":
        self._thread.start()
        self._pulse.start()
        self._prober.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._pulse.join()
        self._prober.join()
        self._questions.close()

    def _run(self) -> None:
        lease_looks = 0
        while not self._stop.wait(LOOK_SECONDS):
            self._look_at_new()
            lease_looks += 1
            if lease_looks * LOOK_SECONDS >= LEASE_LOOK_SECONDS:
                lease_looks = 0
                self._look_at_lease()

    def _look_at_new(self) -> None:
        new = list(self._arrivals[self._looked_at :])
        self._looked_at += len(new)
        if not new:
            return
        keys = {key(self._vendor, arrival.execution_id) for arrival in new}
        places = ", ".join(["%s"] * len(keys))
        try:
            found = self._questions.ask(
                f"SELECT id, status, attempt FROM {EXECUTIONS} WHERE id IN ({places})", sorted(keys)
            )
        except DatabaseAway:
            # These stay unseen: without the database it is unknown what was committed.
            return
        moment = datetime.now(UTC)
        by_id = {_uuid(row[0]): row for row in found}
        for arrival in new:
            _, status, attempt = by_id.get(arrival.execution_id, (None, None, None))
            arrival.seen = Seen(moment, status, attempt)

    def _look_at_lease(self) -> None:
        try:
            rows = self._questions.ask(f"SELECT holder FROM {LEASE}")
        except DatabaseAway:
            return
        self.holder = rows[0][0] if rows else ""

    def _probe_over_and_over(self) -> None:
        while not self._stop.wait(PROBE_SECONDS):
            self.probes.append(self._probe())

    def _feel_pulse(self) -> None:
        """Measure how late this process wakes up: as late as that, the machine may make anybody."""
        asked = 0.05
        while not self._stop.is_set():
            began = datetime.now(UTC)
            self._stop.wait(asked)
            late = (datetime.now(UTC) - began).total_seconds() - asked
            minute = began.replace(second=0, microsecond=0)
            self.stalls[minute] = max(self.stalls.get(minute, 0.0), late)
