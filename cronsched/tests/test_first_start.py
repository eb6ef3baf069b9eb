"""What `make run` stands on: each piece is run as the Makefile runs it."""

import errno
import os
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import requests
from django.core.management import CommandError

from cronsched.management.commands.preflight import check_port
from cronsched.tests.processes import web_process

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "ENV_FILE": os.devnull, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def write_env(path: Path) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-I", ROOT / "scripts/write_env.py", path)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the installation script and an empty lock, so that nothing has to be downloaded."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/install", tmp_path / "scripts/install")
    (tmp_path / "requirements.txt").touch()
    return tmp_path


def python_that_says(folder: Path, script: str) -> str:
    """Put an interpreter into `folder` that answers the installation script's questions with `script`."""
    fake = folder / "python"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    return str(fake)


# --- .env ------------------------------------------------------------------------------------------------------------


def test_the_development_settings_are_readable_by_their_owner_only(tmp_path):
    old = os.umask(0)
    try:
        write_env(tmp_path / ".env")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600


def test_the_development_settings_are_written_once(tmp_path):
    assert "Wrote" in write_env(tmp_path / ".env").stdout
    first = (tmp_path / ".env").read_text()
    again = write_env(tmp_path / ".env")
    assert (again.returncode, again.stdout) == (0, "")
    assert (tmp_path / ".env").read_text() == first


def test_settings_that_others_may_read_are_pointed_out(tmp_path):
    write_env(tmp_path / ".env")
    (tmp_path / ".env").chmod(0o640)
    again = write_env(tmp_path / ".env")
    assert again.returncode == 0
    assert again.stderr == f"Other accounts may read the secrets in {tmp_path}/.env: chmod 600 {tmp_path}/.env\n"


def test_of_two_starts_at_once_one_writes_the_settings_and_no_draft_is_left(tmp_path):
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: write_env(tmp_path / ".env"), range(4)))
    assert [result.returncode for result in results] == [0] * 4
    assert sum("Wrote" in result.stdout for result in results) == 1
    assert [path.name for path in tmp_path.iterdir()] == [".env"]


def test_two_checkouts_get_different_secrets(tmp_path):
    write_env(tmp_path / "one")
    write_env(tmp_path / "two")
    secrets = [
        line for name in ("one", "two") for line in (tmp_path / name).read_text().splitlines() if "SECRET_KEY=" in line
    ]
    assert len(set(secrets)) == len(secrets) == 4


def test_settings_that_cannot_be_written_end_in_one_line(tmp_path):
    result = write_env(tmp_path / "absent" / ".env")
    assert result.returncode == 1
    assert result.stderr == f"Cannot write {tmp_path}/absent/.env: No such file or directory.\n"


def test_the_project_starts_in_development_with_the_settings_written(tmp_path):
    write_env(tmp_path / ".env")
    code = "from django.conf import settings as s; print(s.DEBUG, s.WEBHOOK_ALLOW_PRIVATE_NETWORKS, len(s.SECRET_KEY))"
    result = run(
        sys.executable, "-c", code, ENV_FILE=str(tmp_path / ".env"), DJANGO_SETTINGS_MODULE="cronsched.settings"
    )
    assert result.stdout == "True True 64\n", result.stderr


# --- Installation ----------------------------------------------------------------------------------------------------


def test_a_python_that_is_too_old_is_named_with_its_version(checkout):
    old = python_that_says(checkout, '[ "$1" = -V ] && echo Python 3.9.2 || exit 1')
    result = run("scripts/install", "requirements.txt", cwd=checkout, PYTHON=old)
    assert result.returncode == 1
    assert "Python 3.11 or newer is needed" in result.stderr
    assert "3.9.2" in result.stderr


def test_a_python_without_ensurepip_names_the_package_to_install(checkout):
    bare = python_that_says(checkout, 'case "$2" in *ensurepip*) exit 1;; esac')
    result = run("scripts/install", "requirements.txt", cwd=checkout, PYTHON=bare)
    assert result.returncode == 1
    assert "apt-get install python3-venv" in result.stderr
    assert not (checkout / ".venv").exists()


def test_a_missing_python_names_the_packages_to_install(checkout):
    result = run("scripts/install", "requirements.txt", cwd=checkout, PYTHON="python-of-nobody")
    assert result.returncode == 1
    assert "python-of-nobody is not installed" in result.stderr


def test_a_lock_is_installed_after_it_changed_and_until_it_succeeded(checkout):
    def install(lock: str) -> subprocess.CompletedProcess[str]:
        (checkout / "requirements.txt").write_text(lock)
        return run("scripts/install", "requirements.txt", cwd=checkout, PYTHON=sys.executable)

    assert "Installing requirements.txt" in install("").stdout
    assert install("").stdout == ""
    broken = [install("./no-such-package\n") for _ in range(2)]
    assert [result.returncode for result in broken] == [1, 1]
    assert all("Installing requirements.txt failed" in result.stderr for result in broken)
    assert install("# repaired\n").stdout == "Installing requirements.txt\n"


# --- Port and database -----------------------------------------------------------------------------------------------


def test_a_port_in_use_is_refused_with_a_way_out():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(CommandError, match=rf"Port {port} .* make run PORT={port + 1}"):
            check_port("127.0.0.1", str(port))


@pytest.mark.parametrize("address", ["300.1.1.1", "192.0.2.1", "[::g]"])
def test_an_address_that_is_not_this_machines_is_not_blamed_on_the_port(address):
    with pytest.raises(CommandError, match=r"cannot be used \(.*\)\. See BIND_ADDRESS\.$"):
        check_port(address, free_port())


def test_a_port_of_the_system_is_not_taken_for_one_in_use(monkeypatch):
    # Root may bind every port, so the refusal is the system's in name only.
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(CommandError, match=r"Permission denied\)\. Ports below 1024 are the system's"):
        check_port("127.0.0.1", "80")


def test_a_free_port_is_accepted_and_stays_free():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    check_port("127.0.0.1", port)
    check_port("127.0.0.1", port)


@pytest.mark.parametrize("port", ["", "http", "0", "65536", "-1", "٥٠٠١"])
def test_what_is_no_port_number_is_refused(port):
    with pytest.raises(CommandError, match="is not a port number"):
        check_port("127.0.0.1", port)


def test_a_database_that_works_is_left_as_it_was(tmp_path):
    result = preflight(f"sqlite:///{tmp_path}/new.sqlite3")
    assert (result.returncode, result.stderr) == (0, "")
    with closing(sqlite3.connect(tmp_path / "new.sqlite3")) as database:
        assert database.execute("SELECT name FROM sqlite_master").fetchall() == []


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("sqlite:////proc/cronsched.sqlite3", "unable to open database file"),
        ("sqlite:///{tmp_path}/text.sqlite3", "file is not a database"),
        ("sqlite:///{tmp_path}/absent/cronsched.sqlite3", "unable to open database file"),
        ("postgresql://nobody@127.0.0.1:1/nothing", "Connection refused"),
        ("mysql://nobody@127.0.0.1:1/nothing", "Connection refused"),
    ],
)
def test_a_database_that_cannot_be_written_ends_in_one_line(url, reason, tmp_path):
    (tmp_path / "text.sqlite3").write_text("this is a letter, not a database\n" * 100)
    result = preflight(url.format(tmp_path=tmp_path))
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("CommandError: The database")
    assert reason in line


def preflight(database_url: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "manage.py", "preflight", "--port", free_port())
    return run(*command, DEBUG="true", DATABASE_URL=database_url)


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


# --- Web process -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"SECRET_KEY": "short"}, "Configuration error: SECRET_KEY: "),
        ({"DEBUG": "true", "SCHEDULER_TIMEZONE": "Tokio"}, "Configuration error: SCHEDULER_TIMEZONE: "),
        ({"DEBUG": "true", "LOG_LEVEL": "loud"}, "Configuration error: LOG_LEVEL: "),
        ({"DEBUG": "true", "WEB_WORKERS": "many"}, "Configuration error: WEB_WORKERS: "),
        ({"DEBUG": "true", "PORT": "70000"}, "Configuration error: PORT: "),
        ({"DEBUG": "true", "BIND_ADDRESS": "0.0.0.0"}, "Configuration error: DEBUG: "),
        ({"DEBUG": "true", "BIND_ADDRESS": "[::]"}, "Configuration error: DEBUG: "),
        ({"DEBUG": "true", "TRUSTED_PROXIES": "here"}, "Configuration error: TRUSTED_PROXIES: "),
    ],
)
def test_a_wrong_setting_stops_the_web_process_with_one_line(environment, line):
    result = run(*serve(), **environment)
    assert result.returncode == 1
    assert result.stderr.startswith(line)
    assert len(result.stderr.splitlines()) == 1


def test_what_is_no_request_is_refused_in_the_shape_of_the_api(tmp_path):
    with web_process(tmp_path / "web.log", DATABASE_URL=f"sqlite:///{tmp_path}/web.sqlite3") as address:
        origin = {"Origin": "https://app.example.com"}
        long = requests.get(f"{address}/api/v2/health", params={"x": "a" * 5000}, headers=origin, timeout=10)
        garbled = requests.get(f"{address}/api/v2/health", headers={"X-Long": "a" * 20_000}, timeout=10)
    assert (long.status_code, long.headers["Content-Type"]) == (414, "application/json")
    assert long.json() == {
        "error": "Request-URI Too Long",
        "message": "The first line of a request may have at most 4094 bytes.",
    }
    assert long.headers["Access-Control-Allow-Origin"] == "*"
    assert garbled.status_code == 431
    assert garbled.json()["error"] == "Request Header Fields Too Large"


def serve() -> list[str]:
    return [sys.executable, "manage.py", "serve"]


@pytest.mark.parametrize(
    ("environment", "env_file", "address"),
    [
        ({"PORT": "5002"}, "", "http://localhost:5002"),
        ({"PORT": "5002"}, "PUBLIC_BASE_URL=\n", "http://localhost:5002"),
        ({"PORT": "5002", "PUBLIC_BASE_URL": "https://cron.example.com"}, "", "https://cron.example.com"),
        # Not set: the file is read by the processes themselves.
        ({"PORT": "5002"}, "export PUBLIC_BASE_URL=https://cron.example.com\n", ""),
    ],
)
def test_links_lead_to_the_port_that_was_asked_for(checkout, environment, env_file, address):
    shutil.copy(ROOT / "scripts/run", checkout / "scripts/run")
    (checkout / ".env").write_text(env_file)
    (checkout / ".venv/bin").mkdir(parents=True)
    python_that_says(checkout / ".venv/bin", 'case "$1" in scripts/start.py) echo "links: $PUBLIC_BASE_URL";; esac')
    result = run("scripts/run", cwd=checkout, **environment, ENV_FILE="")
    assert (result.returncode, result.stdout.splitlines()[-1]) == (0, f"links: {address}")


# --- Both processes --------------------------------------------------------------------------------------------------


@contextmanager
def kept_away(*signals: signal.Signals) -> Iterator[None]:
    """Block and ignore signals here, and so in the children that are made meanwhile, as some parents do."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in signals}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def started(folder: Path, procfile: str) -> Iterator[subprocess.Popen[str]]:
    """Start what a Procfile names and yield once it says that it is up."""
    (folder / "Procfile").write_text(procfile)
    command = [sys.executable, str(ROOT / "scripts/start.py"), "--port", "5001"]
    with kept_away(signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    with process:
        assert process.stdout
        assert any(line.rstrip().endswith("| up") for line in process.stdout), "nothing was started"
        try:
            yield process
        finally:
            process.kill()


def test_ctrl_c_is_no_failure(tmp_path):
    with started(tmp_path, "web: echo up; exec sleep 60\n") as process:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def test_a_process_that_fails_gives_the_start_its_code(tmp_path):
    with started(tmp_path, "web: echo up; exit 3\n") as process:
        assert process.wait(60) == 3


def test_a_closed_terminal_stops_what_was_started(tmp_path):
    with started(tmp_path, "web: echo $$ > pid; echo up; exec sleep 60\n") as process:
        process.send_signal(signal.SIGHUP)
        assert process.wait(60) == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
