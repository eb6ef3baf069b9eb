"""System checks for settings that are valid alone but cannot work together or on this host.

Errors stop every command; warnings of the deployment kind appear with `manage.py check --deploy` only. What is wrong in
itself never gets this far: `cronsched.lib.config.env` stops the boot.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Tags, Warning, register
from django.db import connections
from django.db.models import Field

from cronsched import error_reports
from cronsched.lib import time_zones
from cronsched.lib.config import env
from cronsched.lib.db import older_service
from cronsched.lib.db.encrypted_columns import encrypted_fields, survey

TAG = "cronsched"
# The checks of a process that serves no pages: those of routes and of the console load all that answers requests.
WITHOUT_PAGES = [TAG, Tags.caches, Tags.compatibility, Tags.files, Tags.models, Tags.security]
LOCAL_HOSTS = {"localhost", "127.0.0.1", "::1", "[::1]"}
MOUNTS = Path("/proc/self/mounts")
# Their locks and shared memory do not hold what WAL needs.
NETWORK_FILE_SYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "fuse.sshfs", "fuse.glusterfs", "ceph"}

BROKERS = {"redis", "rediss", "amqp", "amqps"}

Messages = list[CheckMessage]


def _say(wrong: bool, kind: Callable[..., CheckMessage], number: str, text: str, hint: str) -> Messages:
    return [kind(text, hint=hint, id=f"cronsched.{number}")] if wrong else []


# --- Always ----------------------------------------------------------------------------------------------------------


@register(TAG)
def check_mail(**_: Any) -> Messages:
    sends = settings.MAIL_ENABLED and bool(settings.EMAIL_HOST)
    return [
        *_say(
            settings.EMAIL_USE_TLS and settings.EMAIL_USE_SSL,
            Error,
            "E001",
            "SMTP_USE_TLS and SMTP_USE_SSL are both on.",
            "Port 587 speaks STARTTLS (SMTP_USE_TLS), port 465 TLS from the start (SMTP_USE_SSL): switch one off.",
        ),
        *_say(
            sends and not settings.DEFAULT_FROM_EMAIL,
            Warning,
            "W002",
            "Mail is enabled but has no sender, so none will be sent.",
            "Set MAIL_DEFAULT_SENDER, or MAIL_ENABLED=false.",
        ),
    ]


@register(TAG)
def check_capacity(**_: Any) -> Messages:
    return [
        *_say(
            settings.PER_HOST_IN_FLIGHT > settings.MAX_IN_FLIGHT,
            Warning,
            "W003",
            "PER_HOST_IN_FLIGHT is larger than MAX_IN_FLIGHT and has no effect.",
            "Lower it, or set it to 0 for no limit per host.",
        ),
        *_say(
            # Development wants to stop at once.
            not settings.DEBUG and settings.MANUAL_RUN_WAIT_SECONDS > settings.DRAIN_TIMEOUT_SECONDS,
            Warning,
            "W004",
            "A stopping web process gives requests less time than a manual run may take.",
            "Set DRAIN_TIMEOUT_SECONDS to at least MANUAL_RUN_WAIT_SECONDS.",
        ),
    ]


@register(TAG)
def check_older_variables(**_: Any) -> Messages:
    """Name what the environment still sets for the lock file of the API this service replaces."""
    left = [name for name in ("SCHEDULER_LOCK_PATH", "SCHEDULER_LOCK_STALE_SECONDS") if env.text(name)]
    return _say(
        bool(left),
        Warning,
        "W007",
        f"{' and '.join(left)} no longer has an effect: the scheduler's lock is a row of the database.",
        "Remove it from the environment.",
    )


@register(TAG)
def check_send_processes(**_: Any) -> Messages:
    """Name what the environment still sets for the worker processes that a scheduler used to have."""
    return _say(
        bool(env.text("SEND_PROCESSES")),
        Warning,
        "W009",
        "SEND_PROCESSES no longer has an effect: a scheduler is one process, which sends everything on one loop.",
        "Remove it from the environment. MAX_IN_FLIGHT says how much may be out at the same time.",
    )


@register(TAG)
def check_variables_of_others(**_: Any) -> Messages:
    """Name what the environment sets for the service this one replaces, which is not read here."""
    left = sorted(name for name in os.environ if name.startswith("FASTAPI_") or name == "TESTING")
    return _say(
        any(env.text(name) for name in left),
        Warning,
        "W008",
        f"{', '.join(left)} has no effect here.",
        "The names that have one are in .env.example: DATABASE_URL, LOG_LEVEL and others. Remove it.",
    )


@register(TAG)
def check_error_reports(**_: Any) -> Messages:
    return _say(
        bool(settings.SENTRY_DSN) and not error_reports.is_installed(),
        Error,
        "E008",
        "SENTRY_DSN is set, and the package that reports to it is not installed.",
        "Run pip install sentry-sdk, or remove SENTRY_DSN.",
    )


@register(TAG)
def check_celery(**_: Any) -> Messages:
    if settings.EXECUTION_BACKEND != "CELERY":
        return []
    broker = urlsplit(settings.CELERY_BROKER_URL)
    return [
        *_say(
            find_spec("celery") is None,
            Error,
            "E009",
            "EXECUTION_BACKEND=celery, and Celery is not installed.",
            "Run pip install -r requirements-celery.txt, or set EXECUTION_BACKEND=local.",
        ),
        *_say(
            broker.scheme not in BROKERS or not broker.hostname,
            Error,
            "E010",
            "EXECUTION_BACKEND=celery, and CELERY_BROKER_URL names no broker that can be used.",
            "Set it to redis://host:6379/0 or amqp://user:password@host:5672/vhost (rediss and amqps with TLS).",
        ),
        *_say(
            settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"),
            Warning,
            "W033",
            "EXECUTION_BACKEND=celery, and the database is an SQLite file: workers on other hosts cannot use it.",
            "Use PostgreSQL or MariaDB by DATABASE_URL, or set EXECUTION_BACKEND=local.",
        ),
    ]


@register(TAG)
def check_scheduler_switch(**_: Any) -> Messages:
    """Name a value that looks as if it switched the scheduler off."""
    value = env.text("SCHEDULER_ENABLED", "true")
    return _say(
        settings.SCHEDULER_ENABLED and value.lower() in env.FALSE_WORDS,
        Warning,
        "W030",
        f"SCHEDULER_ENABLED={value} leaves the scheduler on.",
        "Only SCHEDULER_ENABLED=false switches it off.",
    )


@register(TAG)
def check_sqlite(**_: Any) -> Messages:
    database = settings.DATABASES["default"]
    if not database["ENGINE"].endswith("sqlite3"):
        return []
    kind = file_system_of(Path(database["NAME"]), MOUNTS)
    return _say(
        kind in NETWORK_FILE_SYSTEMS,
        Error,
        "E005",
        f"The SQLite database lies on a network file system ({kind}).",
        "Its write-ahead log works on one host only. Use a local disk, or PostgreSQL or MariaDB by DATABASE_URL.",
    )


def file_system_of(path: Path, mounts: Path) -> str:
    """Return the type of the file system that holds `path`; blank where the system does not tell."""
    if not mounts.exists():
        return ""
    path = path.resolve()
    found, kind = Path("/"), ""
    for line in mounts.read_text().splitlines():
        point, this_kind = line.split(" ")[1:3]
        # Blanks in names are written in octal.
        where = Path(point.replace("\\040", " "))
        if path.is_relative_to(where) and where.is_relative_to(found):
            found, kind = where, this_kind
    return kind


@register(TAG, deploy=True)
def check_time_zones(**_: Any) -> Messages:
    """Name the release of the time zone rules that fire times are computed by."""
    text = f"Time zones follow tzdata {time_zones.version()}, on every host that has the same requirements."
    return _say(True, Info, "I021", text, "pip install -r requirements.txt brings the locked release.")


@register(Tags.database)
def refuse_older_service(databases: Iterable[str] | None = None, **_: Any) -> Messages:
    """Keep `migrate` from writing into the database of the older service: ends the process with one line."""
    for alias in databases or ():
        older_service.refuse(connections[alias])
    return []


@register(Tags.database)
def check_collation(databases: Iterable[str] | None = None, **_: Any) -> Messages:
    """Look at MariaDB's collation, whenever a command checks the database; `migrate` does, before it makes a table."""
    found: Messages = []
    for alias in databases or ():
        connection = connections[alias]
        if connection.vendor != "mysql":
            continue
        with connection.cursor() as cursor:
            cursor.execute("SELECT DATABASE(), @@collation_database")
            name, collation = cursor.fetchone()
        found += _say(
            not collation.endswith(("_bin", "_as_cs")),
            Error,
            "E006",
            f"The database compares text by {collation}, which takes 'Backup' and 'backup' for the same name.",
            f"ALTER DATABASE `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, before its tables are made.",
        )
    return found


@register(Tags.database)
def check_keys_of_secrets(databases: Iterable[str] | None = None, **_: Any) -> Messages:
    """Count the stored secrets that are not under the first key, and those that no key reads.

    The history is left out: it may be long, and `rotate_secrets` goes through it.
    """
    if "default" not in (databases or ()):
        return []
    # Before `migrate` there may be nothing to count.
    surveys = survey([column for column in encrypted_fields() if _is_there(column)])
    old, lost = sum(one.old for one in surveys), sum(len(one.unreadable) for one in surveys)
    return [
        *_say(
            old > 0,
            Warning,
            "W031",
            f"{old} stored secrets are under an older key.",
            "Run manage.py rotate_secrets before the older key is removed from the settings.",
        ),
        *_say(
            lost > 0,
            Warning,
            "W032",
            f"{lost} stored secrets cannot be read by any key of the settings.",
            "Add the key they were written with to SECRETS_KEY_FALLBACKS, or save anew what rotate_secrets names.",
        ),
    ]


def _is_there(column: "Field[Any, Any]") -> bool:
    connection, table = connections["default"], column.model._meta.db_table
    if table not in connection.introspection.table_names():
        return False
    with connection.cursor() as cursor:
        return column.column in {one.name for one in connection.introspection.get_table_description(cursor, table)}


# --- For a deployment ------------------------------------------------------------------------------------------------


@register(TAG, deploy=True)
def check_exposure(**_: Any) -> Messages:
    return [
        *_say(
            settings.CORS_ALLOW_ALL_ORIGINS,
            Warning,
            "W010",
            "Pages of every origin may call the API.",
            "Set CORS_ORIGINS to the addresses of your frontends.",
        ),
        *_say(
            settings.EXPOSE_ERROR_DETAILS,
            Warning,
            "W011",
            "Answers show the texts of unexpected errors.",
            "Set EXPOSE_ERROR_DETAILS=false.",
        ),
        *_say(
            settings.WEBHOOK_ALLOW_PRIVATE_NETWORKS,
            Warning,
            "W012",
            "Webhooks may reach every address of the internal network.",
            "Set WEBHOOK_ALLOW_PRIVATE_NETWORKS=false and list what they may reach in WEBHOOK_ALLOWED_CIDRS.",
        ),
        *_say(
            urlsplit(settings.GITHUB_API_URL).scheme != "https",
            Warning,
            "W013",
            "GitHub's tokens would be sent without encryption.",
            "Give GITHUB_API_URL an https:// address.",
        ),
    ]


@register(TAG, deploy=True)
def check_addresses(**_: Any) -> Messages:
    return [
        *_say(
            _only_local(settings.ALLOWED_HOSTS),
            Warning,
            "W014",
            "The service answers to the names of this machine only.",
            "Set ALLOWED_HOSTS to the names people reach it by.",
        ),
        *_say(
            _only_local([urlsplit(settings.FRONTEND_BASE_URL or settings.PUBLIC_BASE_URL).hostname or ""]),
            Warning,
            "W015",
            "Links in mails and Slack messages would lead to the reader's own machine.",
            "Set PUBLIC_BASE_URL to the address of this service, or FRONTEND_BASE_URL to that of your frontend.",
        ),
    ]


def _only_local(hosts: Sequence[str]) -> bool:
    return set(hosts) <= LOCAL_HOSTS
