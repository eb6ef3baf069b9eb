"""What callers of a real web process see of a database that goes away, comes back, or takes no rows."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
import requests

from cronsched.tests.processes import manage, web_process
from jobs.tests.chaos.databases import Postgresql, Questions, Sqlite, small_disk
from jobs.tests.chaos.run import PASSWORD, settings_of
from jobs.tests.factories import NOON

pytestmark = pytest.mark.slow

CALLS = 40
TOGETHER = 8
RED_SECONDS = 5.0
RECOVERY_SECONDS = 10.0


class Caller:
    """Somebody signed in, by token and by cookie."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.session = requests.Session()
        body = {"username": "admin", "password": PASSWORD}
        answer = self.session.post(f"{address}/api/v2/auth/login", json=body, timeout=30)
        self.session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def sign_in_to_console(self) -> None:
        page = f"{self.address}/admin/login/"
        self.session.get(page, timeout=30)
        form = {"username": "admin", "password": PASSWORD, "next": "/admin/"}
        form["csrfmiddlewaretoken"] = self.session.cookies["csrftoken"]
        answer = self.session.post(page, data=form, headers={"Referer": page}, timeout=30)
        assert "/admin/login/" not in answer.url

    def get(self, path: str) -> requests.Response:
        return self.session.get(f"{self.address}{path}", timeout=30)

    def write(self) -> requests.Response:
        body = {"name": f"Category {time.monotonic_ns()}"}
        return self.session.post(f"{self.address}/api/v2/job-categories", json=body, timeout=30)


@contextmanager
def served(environment: dict[str, str], folder: Path) -> Iterator[Caller]:
    settings = {**environment, "SECURE_COOKIES": "false", "DATABASE_POOL_SIZE": "30", "MAX_IN_FLIGHT": "10"}
    with web_process(folder / "web.log", **settings) as address:
        yield Caller(address)


def fill_pool(caller: Caller, postgresql: Postgresql) -> None:
    """Have many requests wait for the database at once, so that as many connections stay in the pool."""
    questions = Questions(postgresql)
    with postgresql.connect() as holder, ThreadPoolExecutor(TOGETHER) as pool:
        holder.execute("BEGIN")
        holder.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
        calls = [pool.submit(caller.get, f"/api/v2/jobs/{uuid4()}") for _ in range(TOGETHER)]
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        wait_until(lambda: questions.ask(waiting)[0][0] >= TOGETHER)
        holder.execute("ROLLBACK")
        assert {call.result().status_code for call in calls} == {404}
    questions.close()


def wait_until(is_so: Callable[[], bool], *, seconds: float = 30.0) -> float:
    """Return how long it took until something was so."""
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() - began < seconds
        time.sleep(0.05)
    return time.monotonic() - began


def assert_refused(answer: requests.Response) -> None:
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


@pytest.mark.parametrize("path", ["/api/v2/jobs", "/admin/jobs/job/"])
def test_a_restart_costs_each_web_process_one_call(path, postgresql, environment, tmp_path):
    with served(environment, tmp_path) as caller:
        caller.sign_in_to_console()
        fill_pool(caller, postgresql)
        postgresql.stop()
        postgresql.start()
        answers = [caller.get(path) for _ in range(CALLS)]
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(refused) == 1
    assert_refused(refused[0])
    log = (tmp_path / "web.log").read_text()
    assert "Traceback" not in log
    assert log.count("the database cannot be used") == 1


@contextmanager
def read_only(postgresql: Postgresql) -> Iterator[None]:
    def switch(value: str) -> None:
        with postgresql.connect() as connection:
            connection.execute("SET default_transaction_read_only = off")
            connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
            connection.execute("SELECT pg_reload_conf()")

    switch("on")
    try:
        yield
    finally:
        switch("off")


def check_refusals(caller: Caller, folder: Path) -> None:
    """Ask readiness and write, while nothing can be written."""
    assert wait_until(lambda: caller.get("/readyz").status_code == 503) < RED_SECONDS
    assert caller.get("/api/v2/health").json()["status"] == "degraded"
    assert caller.get("/livez").json() == {"status": "alive"}
    assert_refused(caller.write())


def check_recovery(caller: Caller, folder: Path) -> None:
    assert wait_until(lambda: caller.write().status_code == 201) < RECOVERY_SECONDS
    assert wait_until(lambda: caller.get("/readyz").status_code == 200) < RECOVERY_SECONDS
    assert "Traceback" not in (folder / "web.log").read_text()


def test_a_server_that_became_read_only_is_told(postgresql, environment, tmp_path):
    with served(environment, tmp_path) as caller:
        assert caller.get("/readyz").json() == {"status": "ready"}
        with read_only(postgresql):
            check_refusals(caller, tmp_path)
            assert caller.get("/api/v2/jobs").status_code == 200
        check_recovery(caller, tmp_path)


# --- SQLite ----------------------------------------------------------------------------------------------------------


@contextmanager
def served_on_file(folder: Path, template: Path, logs: Path) -> Iterator[tuple[Sqlite, Caller]]:
    database = Sqlite(folder)
    database.path.write_bytes(template.read_bytes())
    with served(settings_of(database, folder, NOON), logs) as caller:
        assert caller.get("/readyz").json() == {"status": "ready"}
        yield database, caller


def test_a_full_disk_is_told(template, tmp_path):
    with small_disk(tmp_path) as disk:
        if disk is None:
            pytest.skip("we may not mount a disk here")
        logs = tmp_path / "logs"
        logs.mkdir()
        with served_on_file(disk, template, logs) as (database, caller):
            with database.full():
                check_refusals(caller, logs)
            check_recovery(caller, logs)


def test_a_write_lock_that_is_not_given_back_is_told(template, tmp_path):
    with served_on_file(tmp_path, template, tmp_path) as (database, caller):
        with database.locked():
            assert wait_until(lambda: caller.get("/readyz").status_code == 503) < RED_SECONDS
            assert caller.get("/api/v2/health").json()["status"] == "degraded"
        check_recovery(caller, tmp_path)


def test_missing_migrations_are_told_with_the_command(tmp_path):
    database = Sqlite(tmp_path)
    environment = settings_of(database, tmp_path, NOON)
    manage("migrate", "contenttypes", "--verbosity", "0", **environment)
    with web_process(tmp_path / "web.log", **environment) as address:
        answer = requests.get(f"{address}/readyz", timeout=10)
        body = {"username": "admin", "password": PASSWORD}
        call = requests.post(f"{address}/api/v2/auth/login", json=body, timeout=10)
    assert (answer.status_code, call.status_code) == (503, 503)
    assert "python manage.py migrate" in answer.json()["message"]
    assert "Traceback" not in (tmp_path / "web.log").read_text()
