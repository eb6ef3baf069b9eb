"""A web process that is stopped while a manual run is out, for real."""

import threading
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from requests import ConnectionError as NotConnected

from accounts.tests.factories import make_user, token_for
from cronsched.tests.processes import web_process
from jobs.dispatch.replay import OUT
from jobs.tests.factories import make_job
from jobs.tests.scheduler.conftest import behaviour, sink
from jobs.tests.scheduler.helpers import only_row
from jobs.tests.scheduler.processes import database_url, run_once

__all__ = ["behaviour", "sink"]

pytestmark = [pytest.mark.slow, pytest.mark.database, pytest.mark.django_db(transaction=True)]

WAIT = 60.0


def run_and_leave(running: ExitStack, sink, behaviour, tmp_path: Path, *, drain_seconds: int) -> str:
    """Start a web process and a manual run in it that outlasts its caller; return the address."""
    behaviour.hold.set()
    job = make_job(target_url=sink.url("/manual"), timeout_seconds=60)
    settings = {"MANUAL_RUN_WAIT_SECONDS": "1", "DRAIN_TIMEOUT_SECONDS": str(drain_seconds)}
    address = running.enter_context(web_process(tmp_path / "web.log", DATABASE_URL=database_url(), **settings))
    headers = {"Authorization": f"Bearer {token_for(make_user(role='admin'))}"}
    answer = requests.post(f"{address}/api/v2/jobs/{job.pk}/execute", json={}, headers=headers, timeout=WAIT)
    assert answer.ok, answer.text
    assert behaviour.wait_for_arrival()
    assert only_row().status == "running"
    return address


def wait_until_nobody_listens(address: str) -> None:
    ends_at = time.monotonic() + WAIT
    while time.monotonic() < ends_at:
        try:
            requests.get(f"{address}/livez", timeout=5)
        except NotConnected:
            return
        time.sleep(0.02)
    raise AssertionError(f"{urlsplit(address).netloc} still listens")


def test_it_waits_for_the_answer_and_writes_it_down(sink, behaviour, tmp_path):
    with ExitStack() as running:
        address = run_and_leave(running, sink, behaviour, tmp_path, drain_seconds=30)
        stopping = threading.Thread(target=running.close)
        stopping.start()
        wait_until_nobody_listens(address)
        assert only_row().status == "running"
        behaviour.answer.set()
        stopping.join(WAIT)
    assert only_row().status == "success"


def test_what_is_still_out_then_is_settled_by_a_scheduler_of_the_host(sink, behaviour, tmp_path):
    with ExitStack() as running:
        run_and_leave(running, sink, behaviour, tmp_path, drain_seconds=1)
    code, said = run_once()
    assert code == 0, said
    assert (only_row().status, only_row().reason) == ("unknown", OUT)
    assert behaviour.paths == {"/manual": 1}
