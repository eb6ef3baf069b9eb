"""Turn `DATABASE_URL` into Django's settings, with the session settings each database needs to be trusted.

SQLite       WAL and `synchronous=FULL`: a committed row survives a power cut. Transactions take the write lock when
             they begin (`IMMEDIATE`), so that none fails half-way because another wrote first.
PostgreSQL   psycopg 3 with its own pool. Timeouts end statements and forgotten transactions: a stopped process that
             holds a row lock must not keep a standby from taking over.
MariaDB      PyMySQL, READ COMMITTED (no gap locks between claimers), `utf8mb4_bin` so that names are case-sensitive.
             It ends forgotten transactions as well; MySQL cannot.
"""

import re
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import environ

from cronsched.lib.config.env import BadSetting, integer
from cronsched.lib.db import older_service
from cronsched.lib.db.postgresql.pools import keep_trying

# Addresses as SQLAlchemy has them name the driver, too: mysql+pymysql://, postgresql+psycopg2://, sqlite+aiosqlite://.
SQLALCHEMY_DRIVER = re.compile(r"^([a-z]+)(\+[a-z0-9_]+)?(?=://)")
DIALECTS = {"mariadb": "mysql", "postgres": "postgresql"}

BUSY_TIMEOUT_SECONDS = 20
STATEMENT_TIMEOUT_MS = 30_000
LOCK_TIMEOUT_MS = 10_000
IDLE_IN_TRANSACTION_TIMEOUT_MS = 10_000

# A host that vanishes says nothing: without these a thread waits for hours for an answer, or for what it sent to be
# taken. A host that works on a statement answers the keepalives all the while.
KEEPALIVES = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 30_000}

# How long a caller waits for a connection, and how long the pool tries in a row to open one. Its pause doubles after
# each failure and begins anew with each row: a server that comes back is found within some seconds, however long it was
# away.
POOL_WAIT_SECONDS = 5.0
POOL_RECONNECT_SECONDS = 3.0

# How long a thread keeps its connection. (PostgreSQL has its pool.)
CONNECTION_SECONDS = 60
# The cache is per connection, and every thread has one. A process with many threads divides `SHARED_CACHE_KIB` by
# `share_page_cache`.
SHARED_CACHE_KIB = 64 * 1024
LEAST_CACHE_KIB = 2 * 1024
SQLITE_PRAGMAS = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-16384;"


def from_url(url: str, *, sqlite_file: Path) -> dict[str, Any]:
    """Return the `DATABASES["default"]` for `url`; blank selects SQLite in `sqlite_file`."""
    url = SQLALCHEMY_DRIVER.sub(lambda found: DIALECTS.get(found[1], found[1]), url)
    try:
        with warnings.catch_warnings():
            # It would print what it understood, the password among it; the refusal below says what is wrong.
            warnings.simplefilter("ignore")
            config: dict[str, Any] = dict(environ.Env.db_url_config(url or f"sqlite:///{sqlite_file}"))
    except (ValueError, environ.ImproperlyConfigured):
        config = {}
    match config.get("ENGINE"):
        case "django.db.backends.sqlite3":
            return _sqlite(config)
        case "django.db.backends.postgresql":
            return _postgresql(config)
        case "django.db.backends.mysql":
            return _mariadb(config)
    raise BadSetting("DATABASE_URL", "expected sqlite:///file, postgresql://… or mysql://… (MariaDB and MySQL).")


def share_page_cache(config: dict[str, Any], *, threads: int) -> None:
    """Bound what SQLite's connections of `threads` threads keep of the file; other databases keep it themselves.

    Each would come to hold its own copy of what all of them read, until it is full: hours after the start.
    """
    if config["ENGINE"].endswith("sqlite3"):
        share = max(LEAST_CACHE_KIB, SHARED_CACHE_KIB // threads)
        config["OPTIONS"]["init_command"] += f" PRAGMA cache_size=-{share};"


def sqlite_folder(config: Mapping[str, Any]) -> str:
    """Return the folder of a database file; blank for a server's database, or one in memory."""
    name = str(config["NAME"])
    is_file = config["ENGINE"].endswith("sqlite3") and name and ":memory:" not in name
    return str(Path(name).absolute().parent) if is_file else ""


def _require(driver: str) -> None:
    """Stop the boot in words where the server's driver is missing: the plain installation brings SQLite alone."""
    if not find_spec(driver):
        raise BadSetting("DATABASE_URL", f"needs {driver}: pip install -r requirements-prod.txt.")


def _sqlite(config: dict[str, Any]) -> dict[str, Any]:
    older_service.refuse_file(Path(config["NAME"]))
    config["ENGINE"] = "cronsched.lib.db.sqlite3"
    config["OPTIONS"] = {
        "timeout": BUSY_TIMEOUT_SECONDS,
        "transaction_mode": "IMMEDIATE",
        "init_command": SQLITE_PRAGMAS,
    }
    # Opening the file and setting it up takes longer than most of what a request asks of it.
    config["CONN_MAX_AGE"] = CONNECTION_SECONDS
    return config


def _postgresql(config: dict[str, Any]) -> dict[str, Any]:
    _require("psycopg")
    timeouts = {
        "statement_timeout": STATEMENT_TIMEOUT_MS,
        "lock_timeout": LOCK_TIMEOUT_MS,
        "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION_TIMEOUT_MS,
    }
    config["ENGINE"] = "cronsched.lib.db.postgresql"
    config.setdefault("OPTIONS", {})
    config["OPTIONS"] |= {
        "pool": {
            "min_size": 1,
            "max_size": integer("DATABASE_POOL_SIZE", 20, at_least=2),
            "timeout": POOL_WAIT_SECONDS,
            "reconnect_timeout": POOL_RECONNECT_SECONDS,
            "reconnect_failed": keep_trying,
        },
        "options": " ".join(f"-c {name}={value}" for name, value in timeouts.items()),
        "connect_timeout": 5,
        **KEEPALIVES,
    }
    return config


def _mariadb(config: dict[str, Any]) -> dict[str, Any]:
    _require("pymysql")
    import pymysql

    pymysql.install_as_MySQLdb()
    config["ENGINE"] = "cronsched.lib.db.mysql"
    config.setdefault("OPTIONS", {})
    config["OPTIONS"] |= {
        "charset": "utf8mb4",
        "isolation_level": "read committed",
        "connect_timeout": 5,
        "read_timeout": STATEMENT_TIMEOUT_MS // 1000,
        "write_timeout": STATEMENT_TIMEOUT_MS // 1000,
        # MariaDB reads what the comment holds; MySQL, which knows no such setting, does not.
        "init_command": f"SET collation_connection=utf8mb4_bin, innodb_lock_wait_timeout={LOCK_TIMEOUT_MS // 1000},"
        " sql_mode='STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION'"
        f" /*M!100300 , idle_transaction_timeout={IDLE_IN_TRANSACTION_TIMEOUT_MS // 1000} */",
    }
    config["CONN_MAX_AGE"] = CONNECTION_SECONDS
    config["CONN_HEALTH_CHECKS"] = True
    config["TEST"] = {"CHARSET": "utf8mb4", "COLLATION": "utf8mb4_bin"}
    return config
