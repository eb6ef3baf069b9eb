"""The databases a run may use: a file, or a private server that the harness starts, stops, crashes and freezes.

Servers live in a temporary folder of their own, listen on a free loopback port and run as an account without rights,
because they refuse to run as root. The service reaches them through a proxy, as an account that owns nothing else.
Where we may mount one, what the service writes is on a small disk that can be filled.
"""

import os
import pwd
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from cronsched.tests.processes import free_port
from jobs.tests.chaos.proxy import Proxy

POSTGRESQL_FOLDERS = (*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True),)
MARIADB_SERVERS = ("mariadbd", "mysqld")
MARIADB_INSTALLERS = ("mariadb-install-db", "mysql_install_db")
START_SECONDS = 60.0
STOP_SECONDS = 60.0
# A log is written beside the data of SQLite alone.
DISK_MEGABYTES = {"sqlite": 64, "postgres": 160, "mariadb": 160}
BALLAST_BYTES = 4096
NAME = "chaos"
# The harness's own connections, which no fault hits alone.
OWN = "chaos-harness"
# Answers to a commit that are lost in one fault.
SWALLOWED = 8
SUFFIXES = ("", "-wal", "-shm")


class DatabaseAway(Exception):
    """The database cannot be asked at the moment."""


class Database(ABC):
    """One database and what may be done to it. `faults` names the verbs a script may use."""

    vendor: str
    url: str
    faults: tuple[str, ...]

    @abstractmethod
    def connect(self) -> Any:
        """Return a DB-API connection in autocommit mode. Raises what the driver raises."""

    @abstractmethod
    def errors(self) -> tuple[type[Exception], ...]:
        """Return what the driver raises while the database is away."""

    def statement(self, sql: str) -> str:
        """Return `sql`, written with %s, as this driver wants it."""
        return sql

    @abstractmethod
    def full(self) -> AbstractContextManager[None]:
        """Leave no room on the disk. What was written before may still be overwritten."""


@contextmanager
def full_disk(disk: Path) -> Iterator[None]:
    ballast = disk / "ballast"
    try:
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(b"." * BALLAST_BYTES):
                pass
        yield
    finally:
        ballast.unlink()


class Sqlite(Database):
    """A file. It cannot be stopped, but be locked, damaged or away, and a disk of its own may be full."""

    vendor = "sqlite"

    def __init__(self, folder: Path, *, may_fill: bool = False) -> None:
        self.faults = ("lock", "damage", "refuse", *(("fill",) if may_fill else ()))
        self.path = folder / f"{NAME}.sqlite3"
        self.url = f"sqlite:///{self.path}"

    def connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, isolation_level=None, timeout=20, check_same_thread=False)

    def errors(self) -> tuple[type[Exception], ...]:
        return (sqlite3.OperationalError,)

    def statement(self, sql: str) -> str:
        return sql.replace("%s", "?")

    def full(self) -> AbstractContextManager[None]:
        return full_disk(self.path.parent)

    @contextmanager
    def damaged(self, instead: bytes | None) -> Iterator[None]:
        """Let something else stand in the file's place, or nothing at all. Who has it open goes on with the old one."""
        aside = self.path.with_name("aside")
        for suffix in SUFFIXES:
            with suppress(FileNotFoundError):
                os.rename(f"{self.path}{suffix}", f"{aside}{suffix}")
        if instead is not None:
            self.path.write_bytes(instead)
        try:
            yield
        finally:
            # What was made there meanwhile belongs to what stood there.
            for suffix in SUFFIXES[1:]:
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)
            for suffix in SUFFIXES:
                with suppress(FileNotFoundError):
                    os.replace(f"{aside}{suffix}", f"{self.path}{suffix}")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the write lock: no one else can write, in whatever process."""
        connection = self.connect()
        try:
            connection.execute("BEGIN EXCLUSIVE")
            yield
            connection.execute("ROLLBACK")
        finally:
            connection.close()


class Server(Database):
    """A server process in a folder of its own."""

    account: str
    # What each verb sends to the process: an ordered stop, a crash.
    stop_signal: signal.Signals
    crash_signal: signal.Signals

    def __init__(self, *, may_fill: bool = False, host: str = "127.0.0.1") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"{NAME}-{self.vendor}-"))
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.proxy = Proxy(self.port, host)
        user = pwd.getpwnam(self.account) if os.geteuid() == 0 else None
        self._as: dict[str, Any] = {}
        if user is not None:
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self.install()
        self.start()
        self.create()
        self.disk = self.small_disk() if may_fill else None
        self.faults = (*self.faults, "fill") if self.disk else self.faults

    @abstractmethod
    def install(self) -> None:
        """Write the data folder."""

    @abstractmethod
    def create(self) -> None:
        """Create the database in the running server."""

    @abstractmethod
    def command(self) -> list[str]:
        """Return the command that runs the server in the foreground."""

    @abstractmethod
    def small_disk(self) -> Path | None:
        """Put the database on a small disk, where we may mount one."""

    def mount(self, folder: Path) -> bool:
        """Mount a small disk of the server's account."""
        if not mount(folder, DISK_MEGABYTES[self.vendor]):
            return False
        if self._as:
            os.chown(folder, self._as["user"], self._as["group"])
        folder.chmod(0o700)
        return True

    def full(self) -> AbstractContextManager[None]:
        assert self.disk is not None
        return full_disk(self.disk)

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Let only the harness write."""
        self.set_read_only(True)
        try:
            yield
        finally:
            self.set_read_only(False)

    @contextmanager
    def away(self) -> Iterator[None]:
        self.stop()
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def swallowing(self) -> Iterator[None]:
        """Lose the answers to some commits."""
        self.proxy.swallow(SWALLOWED)
        try:
            yield
        finally:
            self.proxy.swallow(0)

    @abstractmethod
    def set_read_only(self, is_read_only: bool) -> None: ...

    @abstractmethod
    def connections(self) -> list[int]:
        """Return the connections of the service."""

    @abstractmethod
    def terminate(self, connection: int) -> None:
        """End one of them, if it is still there."""

    def order(self, *statements: str) -> list[tuple[Any, ...]]:
        """Carry statements out in the database that is always there; return the rows of the last one."""
        with closing(self.connect_to(self.maintenance_name())) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []

    def run(self, command: Sequence[str]) -> None:
        environment = {**os.environ, "HOME": str(self.folder), "LC_ALL": "C.UTF-8"}
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False, **self._as
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed: {done.stdout}{done.stderr}")

    def start(self) -> None:
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._as,
            )
        self._wait_until_it_answers()
        self.proxy.open()

    def _wait_until_it_answers(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.vendor} ended at once: {(self.folder / 'server.log').read_text()[-2000:]}")
            try:
                self.ping()
            except self.errors():
                # A server says nothing when it begins to listen.
                time.sleep(0.1)
            else:
                return
        raise RuntimeError(f"{self.vendor} did not answer within {START_SECONDS} s")

    def ping(self) -> None:
        self.connect_to(self.maintenance_name()).close()

    @abstractmethod
    def maintenance_name(self) -> str:
        """Return the database that is always there."""

    @abstractmethod
    def connect_to(self, name: str) -> Any:
        """Connect to the database `name`."""

    def connect(self) -> Any:
        return self.connect_to(NAME)

    def stop(self) -> None:
        """Shut it down in order."""
        self._end(self.stop_signal)

    def crash(self) -> None:
        """End it without a farewell; it recovers at the next start."""
        self._end(self.crash_signal)

    def _end(self, number: signal.Signals) -> None:
        if self.process is None:
            return
        self.proxy.shut()
        self.process.send_signal(number)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def remove(self) -> None:
        """Stop it and delete all of it."""
        self._end(self.crash_signal)
        self.proxy.close()
        if self.disk is not None:
            unmount(self.disk)
        shutil.rmtree(self.folder)


class Postgresql(Server):
    vendor = "postgres"
    account = "postgres"
    faults = ("restart", "stop_database", "crash", "sever", "read_only", "swallow", "refuse")
    # SIGTERM would wait for the clients to go.
    stop_signal = signal.SIGINT
    crash_signal = signal.SIGQUIT

    def __init__(self, *, may_fill: bool = False, host: str = "127.0.0.1") -> None:
        super().__init__(may_fill=may_fill, host=host)
        self.url = f"postgresql://postgres@{host}:{self.proxy.port}/{NAME}"

    @staticmethod
    def program(name: str) -> str | None:
        found = (folder / name for folder in POSTGRESQL_FOLDERS)
        return next((str(path) for path in found if path.exists()), shutil.which(name))

    def install(self) -> None:
        data = str(self.folder / "data")
        self.run([str(self.program("initdb")), "--pgdata", data, "--username", "postgres", "--auth", "trust"])

    def create(self) -> None:
        self.order(f"CREATE DATABASE {NAME}")

    def small_disk(self) -> Path | None:
        """The write-ahead log stays where there is room: without any the server could but crash."""
        disk = self.folder / "disk"
        disk.mkdir()
        if not self.mount(disk):
            return None
        self.order(f"CREATE TABLESPACE small LOCATION '{disk}'", f"ALTER DATABASE {NAME} SET TABLESPACE small")
        return disk

    def set_read_only(self, is_read_only: bool) -> None:
        self.order(f"ALTER SYSTEM SET default_transaction_read_only = {is_read_only}", "SELECT pg_reload_conf()")

    def connections(self) -> list[int]:
        asked = f"SELECT pid FROM pg_stat_activity WHERE datname = '{NAME}' AND application_name <> '{OWN}'"
        return [pid for (pid,) in self.order(asked)]

    def terminate(self, connection: int) -> None:
        self.order(f"SELECT pg_terminate_backend({connection})")

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self.folder,
            "max_connections": 200,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self.program("postgres")), "-D", str(self.folder / "data"), *options]

    def maintenance_name(self) -> str:
        return "postgres"

    def connect_to(self, name: str) -> Any:
        import psycopg

        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user="postgres",
            dbname=name,
            autocommit=True,
            connect_timeout=5,
            application_name=OWN,
            options="-c default_transaction_read_only=off",
        )

    def errors(self) -> tuple[type[Exception], ...]:
        import psycopg

        return (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError)


class Mariadb(Server):
    vendor = "mariadb"
    account = "mysql"
    faults = ("restart", "stop_database", "crash", "sever", "read_only", "swallow", "refuse", "freeze")
    stop_signal = signal.SIGTERM
    crash_signal = signal.SIGKILL

    def __init__(self, *, may_fill: bool = False, host: str = "127.0.0.1") -> None:
        super().__init__(may_fill=may_fill, host=host)
        self.url = f"mysql://{NAME}@{host}:{self.proxy.port}/{NAME}"

    @staticmethod
    def program(*names: str) -> str | None:
        path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
        return next((found for name in names if (found := shutil.which(name, path=path))), None)

    def install(self) -> None:
        self.run(
            [
                str(self.program(*MARIADB_INSTALLERS)),
                "--no-defaults",
                f"--datadir={self.folder / 'data'}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
            ]
        )

    def create(self) -> None:
        self.order(f"CREATE DATABASE {NAME} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
        # Root may write also while all others may but read.
        for host in ("%", "localhost"):
            self.order(f"CREATE USER '{NAME}'@'{host}'", f"GRANT ALL ON {NAME}.* TO '{NAME}'@'{host}'")

    def small_disk(self) -> Path | None:
        """The logs of InnoDB stay where there is room."""
        disk = self.folder / "data" / NAME
        options = (disk / "db.opt").read_bytes()
        if not self.mount(disk):
            return None
        (disk / "db.opt").write_bytes(options)
        return disk

    @contextmanager
    def full(self) -> Iterator[None]:
        """Leave no room. InnoDB may end the server for it; then it is started again when there is room."""
        with super().full():
            yield
        if self.process is not None and self.process.poll() is not None:
            self.proxy.shut()
            self.start()

    def set_read_only(self, is_read_only: bool) -> None:
        self.order(f"SET GLOBAL read_only = {int(is_read_only)}")

    def connections(self) -> list[int]:
        return [one for (one,) in self.order(f"SELECT id FROM information_schema.processlist WHERE user = '{NAME}'")]

    def terminate(self, connection: int) -> None:
        import pymysql

        # It may have gone by itself.
        with suppress(pymysql.err.OperationalError):
            self.order(f"KILL {connection}")

    def command(self) -> list[str]:
        return [
            str(self.program(*MARIADB_SERVERS)),
            "--no-defaults",
            f"--datadir={self.folder / 'data'}",
            f"--socket={self.folder / 'server.sock'}",
            f"--pid-file={self.folder / 'server.pid'}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            "--max-connections=300",
        ]

    def freeze(self) -> None:
        """Make it answer no more, without closing a connection."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def maintenance_name(self) -> str:
        return "mysql"

    def connect_to(self, name: str) -> Any:
        import pymysql

        return pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            user="root",
            database=name,
            autocommit=True,
            connect_timeout=5,
            read_timeout=10,
            write_timeout=10,
            init_command="SET time_zone='+00:00'",
        )

    def errors(self) -> tuple[type[Exception], ...]:
        import pymysql

        return (pymysql.err.OperationalError, pymysql.err.InterfaceError, pymysql.err.InternalError)


KINDS = ("sqlite", "postgres", "mariadb")


def absent(kind: str) -> str:
    """Return why no such database can be had here; blank where it can."""
    programs = {
        "sqlite": lambda: "present",
        "postgres": lambda: Postgresql.program("initdb") and Postgresql.program("postgres"),
        "mariadb": lambda: Mariadb.program(*MARIADB_SERVERS) and Mariadb.program(*MARIADB_INSTALLERS),
    }
    return "" if programs[kind]() else f"no {kind} server is installed here"


def mount(folder: Path, megabytes: int) -> bool:
    """Mount a small disk; False where we may not."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    return (
        shutil.which("mount") is not None and not subprocess.run(command, capture_output=True, check=False).returncode
    )


def unmount(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """Yield a small disk mounted in `folder`, or None where we may not mount one."""
    disk = folder / "disk"
    disk.mkdir()
    if not mount(disk, DISK_MEGABYTES["sqlite"]):
        yield None
        return
    try:
        yield disk
    finally:
        unmount(disk)


@contextmanager
def database(kind: str, folder: Path, *, may_fill: bool = False, host: str = "127.0.0.1") -> Iterator[Database]:
    """Yield a fresh database of that kind, on a disk that may be filled; a server is removed afterwards.

    The service finds a server at the address `host`.
    """
    if kind == "sqlite":
        with small_disk(folder) if may_fill else nullcontext() as disk:
            yield Sqlite(disk or folder, may_fill=disk is not None)
        return
    server = {"postgres": Postgresql, "mariadb": Mariadb}[kind](may_fill=may_fill, host=host)
    try:
        yield server
    finally:
        if isinstance(server, Mariadb) and server.process is not None:
            server.thaw()
        server.remove()


class Questions:
    """One connection for asking, made again after each failure. Not for two threads at once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Any = None

    def ask(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows. Raises `DatabaseAway`."""
        try:
            if self._connection is None:
                self._connection = self._database.connect()
            cursor = self._connection.cursor()
            try:
                cursor.execute(self._database.statement(sql), tuple(parameters))
                return list(cursor.fetchall()) if cursor.description else []
            finally:
                cursor.close()
        except self._database.errors() as error:
            self.close()
            raise DatabaseAway(str(error)) from error

    def close(self) -> None:
        if self._connection is not None:
            try:
                self._connection.close()
            except self._database.errors():
                # It was lost already; there is nothing left to close.
                pass
            self._connection = None
