"""A database of the older service, built from its documented schema, on SQLite and on MariaDB."""

import base64
import hashlib
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote
from uuid import UUID, uuid4

import jwt
from django.db import connection

SCHEMA = {
    "users": """id VARCHAR(36) PRIMARY KEY, username VARCHAR(80) NOT NULL, email VARCHAR(120) NOT NULL,
        password_hash VARCHAR(255) NOT NULL, role VARCHAR(20) NOT NULL, is_active BOOLEAN NOT NULL,
        created_at DATETIME, updated_at DATETIME""",
    "job_categories": """id VARCHAR(36) PRIMARY KEY, slug VARCHAR(100) NOT NULL, name VARCHAR(255) NOT NULL,
        is_active BOOLEAN NOT NULL, created_at DATETIME, updated_at DATETIME""",
    "pic_teams": """id VARCHAR(36) PRIMARY KEY, slug VARCHAR(100) NOT NULL, name VARCHAR(255) NOT NULL,
        slack_handle VARCHAR(255), is_active BOOLEAN NOT NULL, created_at DATETIME, updated_at DATETIME""",
    "slack_settings": """id VARCHAR(36) PRIMARY KEY, is_enabled BOOLEAN NOT NULL, webhook_url TEXT,
        channel VARCHAR(255), created_at DATETIME, updated_at DATETIME""",
    "jobs": """id VARCHAR(36) PRIMARY KEY, name VARCHAR(255) NOT NULL, cron_expression VARCHAR(100) NOT NULL,
        target_url VARCHAR(500), github_owner VARCHAR(255), github_repo VARCHAR(255),
        github_workflow_name VARCHAR(255), metadata TEXT, category VARCHAR(100), end_date DATE, pic_team VARCHAR(100),
        enable_email_notifications BOOLEAN, notification_emails TEXT, notify_on_success BOOLEAN,
        created_by VARCHAR(36), is_active BOOLEAN NOT NULL, created_at DATETIME, updated_at DATETIME""",
    "job_executions": """id VARCHAR(36) PRIMARY KEY, job_id VARCHAR(36) NOT NULL, status VARCHAR(20) NOT NULL,
        trigger_type VARCHAR(20), started_at DATETIME, completed_at DATETIME, duration_seconds FLOAT,
        execution_type VARCHAR(50), target VARCHAR(500), response_status INTEGER, error_message TEXT, output TEXT""",
    "notifications": """id VARCHAR(36) PRIMARY KEY, user_id VARCHAR(36) NOT NULL, title VARCHAR(255) NOT NULL,
        message TEXT NOT NULL, type VARCHAR(20), related_job_id VARCHAR(36), related_execution_id VARCHAR(36),
        is_read BOOLEAN NOT NULL, read_at DATETIME, created_at DATETIME""",
    "user_notification_preferences": """id VARCHAR(36) PRIMARY KEY, user_id VARCHAR(36) NOT NULL,
        email_on_job_success BOOLEAN, email_on_job_failure BOOLEAN, email_on_job_disabled BOOLEAN,
        browser_notifications BOOLEAN, daily_digest BOOLEAN, weekly_report BOOLEAN, created_at DATETIME,
        updated_at DATETIME""",
    "user_ui_preferences": """id VARCHAR(36) PRIMARY KEY, user_id VARCHAR(36) NOT NULL, jobs_table_columns TEXT,
        created_at DATETIME, updated_at DATETIME""",
}
PASSWORD = "correct horse battery"
# Naive UTC, as it was stored there.
JOINED = datetime(2025, 1, 1, 8, 0)  # noqa: DTZ001
LATER = datetime(2025, 6, 2, 12, 0)  # noqa: DTZ001
ROUNDS = 1000

_numbers = count(1)


def passlib_hash(password: str, *, rounds: int = ROUNDS, salt: bytes = b"sixteen bytes!!\xff") -> str:
    """Return what passlib's `pbkdf2_sha256.hash` returns."""
    digest = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    return f"$pbkdf2-sha256${rounds}${_ab64(salt)}${_ab64(digest)}"


def _ab64(content: bytes) -> str:
    return base64.b64encode(content).decode().rstrip("=").replace("+", ".")


def token(user: UUID, kind: Literal["access", "refresh"], key: str) -> str:
    """Return a token as the older service signed it: without the session that tokens name here."""
    now = int(time.time())
    fresh = {"fresh": True} if kind == "access" else {}
    claims = {"sub": str(user), "role": "user", "email": "ann@example.com", "iat": now, "exp": now + 3600, "type": kind}
    return jwt.encode({**claims, **fresh}, key, algorithm="HS256")


@dataclass
class OlderDatabase:
    """One under construction. `insert` takes what a test is about; the rest has values that work."""

    url: str
    raw: Any
    mark: str
    path: Path | None = None

    def insert(self, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
        listed = list(rows)
        if not listed:
            return
        columns = list(listed[0])
        quoted = ", ".join(f"`{name}`" for name in columns)
        sql = f"INSERT INTO {table} ({quoted}) VALUES ({', '.join([self.mark] * len(columns))})"
        with closing(self.raw.cursor()) as cursor:
            cursor.executemany(sql, [[_stored(row[name]) for name in columns] for row in listed])
        self.raw.commit()

    def execute(self, sql: str) -> None:
        with closing(self.raw.cursor()) as cursor:
            cursor.execute(sql)
        self.raw.commit()

    def user(self, username: str, **fields: Any) -> UUID:
        key = uuid4()
        defaults = {
            "id": str(key),
            "username": username,
            "email": f"{username}@example.com",
            "password_hash": passlib_hash(PASSWORD),
            "role": "user",
            "is_active": True,
            "created_at": JOINED,
            "updated_at": JOINED,
        }
        self.insert("users", [{**defaults, **fields}])
        return key

    def label(self, table: str, slug: str, **fields: Any) -> UUID:
        key = uuid4()
        own = {"slack_handle": f"@{slug}-people"} if table == "pic_teams" else {}
        defaults = {"id": str(key), "slug": slug, "name": slug.title(), **own, "is_active": True, "created_at": JOINED}
        self.insert(table, [{**defaults, **fields}])
        return key

    def job(self, **fields: Any) -> UUID:
        key = uuid4()
        defaults = {
            "id": str(key),
            "name": f"Job {next(_numbers)}",
            "cron_expression": "0 2 * * *",
            "target_url": "https://hooks.example.com/",
            "github_owner": None,
            "github_repo": None,
            "github_workflow_name": None,
            "metadata": '{"env": "production"}',
            "category": "general",
            "end_date": "2099-12-31",
            "pic_team": "ops",
            "enable_email_notifications": False,
            "notification_emails": None,
            "notify_on_success": False,
            "created_by": None,
            "is_active": True,
            "created_at": JOINED,
            "updated_at": LATER,
        }
        self.insert("jobs", [{**defaults, **fields}])
        return key

    def execution(self, job: UUID, **fields: Any) -> UUID:
        key = uuid4()
        self.insert("job_executions", [{**execution_row(key, job), **fields}])
        return key

    def notice(self, users: Iterable[UUID], **fields: Any) -> list[UUID]:
        """Insert one row per account, as the older service did, a millisecond apart."""
        rows = []
        for number, user in enumerate(users):
            row = notification_row(uuid4(), user) | fields
            row["created_at"] = row["created_at"] + timedelta(milliseconds=number)
            rows.append(row)
        self.insert("notifications", rows)
        return [UUID(row["id"]) for row in rows]


def execution_row(key: UUID, job: UUID, started_at: datetime = LATER) -> dict[str, Any]:
    return {
        "id": str(key),
        "job_id": str(job),
        "status": "success",
        "trigger_type": "scheduled",
        "started_at": started_at,
        "completed_at": started_at + timedelta(seconds=10),
        "duration_seconds": 10.0,
        "execution_type": "webhook",
        "target": "https://hooks.example.com/",
        "response_status": 200,
        "error_message": None,
        "output": "done",
    }


def notification_row(key: UUID, user: UUID, created_at: datetime = LATER) -> dict[str, Any]:
    return {
        "id": str(key),
        "user_id": str(user),
        "title": "Job Completed",
        "message": 'Job "Daily" completed successfully.',
        "type": "success",
        "related_job_id": None,
        "related_execution_id": None,
        "is_read": False,
        "read_at": None,
        "created_at": created_at,
    }


def _stored(value: Any) -> Any:
    # As SQLAlchemy writes instants into SQLite; MariaDB takes the same text.
    return value.strftime("%Y-%m-%d %H:%M:%S.%f") if isinstance(value, datetime) else value


def aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)


# --- Where it stands -------------------------------------------------------------------------------------------------


@contextmanager
def in_file(folder: Path) -> Iterator[OlderDatabase]:
    path = folder / "older.db"
    with closing(sqlite3.connect(path)) as raw:
        database = OlderDatabase(f"sqlite:///{path}", raw, "?", path)
        _build(database)
        yield database


@contextmanager
def on_server() -> Iterator[OlderDatabase]:
    """Make a database on the MariaDB server that the tests run on, and drop it afterwards."""
    import pymysql

    told = connection.settings_dict
    name = f"{told['NAME']}_older_{os.getpid()}"
    place = {
        "host": told["HOST"],
        "port": int(told["PORT"] or 3306),
        "user": told["USER"],
        "password": told["PASSWORD"],
    }
    with closing(pymysql.connect(**place, charset="utf8mb4")) as raw:
        with raw.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")
            cursor.execute(f"USE {name}")
            # Zero dates and cut texts went in there.
            cursor.execute("SET sql_mode = ''")
        try:
            user = f"{quote(place['user'])}:{quote(place['password'])}".rstrip(":")
            database = OlderDatabase(f"mysql+pymysql://{user}@{place['host']}:{place['port']}/{name}", raw, "%s")
            _build(database)
            yield database
        finally:
            with raw.cursor() as cursor:
                cursor.execute(f"DROP DATABASE {name}")


def _build(database: OlderDatabase) -> None:
    for table, columns in SCHEMA.items():
        if database.path is None:
            columns = columns.replace("DATETIME", "DATETIME(6)")
        database.execute(f"CREATE TABLE {table} ({columns})")
