"""The recording target does what a URL says and forgets nothing."""

import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
import requests

from jobs.tests.chaos.evidence import Mode
from jobs.tests.chaos.target import Target

FIRE_TIME = datetime(2026, 3, 4, 10, 1, tzinfo=UTC)


@pytest.fixture
def target() -> Iterator[Target]:
    with Target() as target:
        yield target


def headers(execution_id: UUID, **more: str) -> dict[str, str]:
    return {
        "X-Cron-Execution-Id": str(execution_id),
        "X-Cron-Job-Id": str(uuid4()),
        "X-Cron-Attempt": "1",
        "X-Cron-Scheduled-For": FIRE_TIME.isoformat(),
        **more,
    }


def test_a_request_is_written_down_with_what_was_answered(target: Target):
    execution_id = uuid4()
    answer = requests.post(target.url(Mode.OK, 3), json={"a": 1}, headers=headers(execution_id), timeout=5)
    (arrival,) = target.arrivals
    assert answer.status_code == arrival.answer == 200
    assert (arrival.execution_id, arrival.revision, arrival.mode) == (execution_id, 3, Mode.OK)
    assert arrival.fire_time == FIRE_TIME
    assert (datetime.now(UTC) - arrival.at).total_seconds() < 5


@pytest.mark.parametrize(
    ("mode", "attempt", "status"),
    [(Mode.ERROR, 1, 503), (Mode.REFUSAL, 1, 404), (Mode.FLAKY, 1, 503), (Mode.FLAKY, 2, 200), (Mode.SLOW, 1, 200)],
)
def test_the_mode_decides_the_status(target: Target, mode: Mode, attempt: int, status: int):
    sent = headers(uuid4(), **{"X-Cron-Attempt": str(attempt)})
    assert requests.get(target.url(mode, 0), headers=sent, timeout=5).status_code == status
    assert target.arrivals[0].answer == status


@pytest.mark.parametrize("mode", [Mode.RESET, Mode.HANG])
def test_a_target_that_does_not_answer_writes_no_answer_down(target: Target, mode: Mode):
    with pytest.raises(requests.RequestException):
        requests.get(target.url(mode, 0), headers=headers(uuid4()), timeout=0.3)
    assert [arrival.answer for arrival in target.arrivals] == [None]


def test_a_drip_never_comes_to_an_end(target: Target):
    with requests.get(target.url(Mode.DRIP, 0), headers=headers(uuid4()), timeout=5, stream=True) as answer:
        assert answer.raw.read(2) == b".."
    assert [arrival.answer for arrival in target.arrivals] == [None]


def test_one_connection_may_carry_many_requests(target: Target):
    with requests.Session() as session:
        for _ in range(3):
            session.get(target.url(Mode.OK, 0), headers=headers(uuid4()), timeout=5)
    assert len(target.arrivals) == 3


def test_what_is_no_jobs_request_is_a_stranger(target: Target):
    with pytest.raises(requests.ConnectionError):
        requests.get(target.url(Mode.OK, 0), timeout=5)
    assert target.arrivals == []
    assert target.strangers == ["GET /ok/0 HTTP/1.1"]


def test_a_sender_that_dies_after_sending_is_written_down(target: Target):
    lines = [f"GET {target.url(Mode.SLOW, 0).partition(str(target.port))[2]} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers(uuid4()).items()]
    with socket.create_connection(("127.0.0.1", target.port)) as sender:
        sender.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    deadline = time.monotonic() + 5
    while not target.arrivals and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(target.arrivals) == 1
