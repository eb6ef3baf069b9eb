"""What a worker process does between its calls, in this process and with calls of the test's own."""

from collections.abc import Callable

import pytest

from jobs.scheduler import runner
from jobs.scheduler.sender import Sender
from jobs.scheduler.turns import write_turn
from jobs.scheduler.workers import Calls

pytestmark = pytest.mark.django_db(transaction=True)


class Scripted(Calls):
    """So many calls, and then the end; between them there is time to tidy up."""

    def __init__(self, number: int) -> None:
        self.left = number

    def wait(self, tidy: Callable[[], None], *, every: float) -> bool:
        tidy()
        self.left -= 1
        return self.left >= 0

    def may_act(self) -> bool:
        return True


def test_a_worker_outlives_the_errors_of_its_passes_and_drains_at_the_end(monkeypatch, caplog):
    happened: list[str] = []

    def fail(self: Sender, may_act: Callable[[], bool]) -> None:
        happened.append("pass")
        raise ValueError("a row nobody has foreseen")

    drain = Sender.drain

    def drained(self: Sender, *, timeout: float) -> None:
        happened.append("drain")
        drain(self, timeout=timeout)

    monkeypatch.setattr(Sender, "run_pass", fail)
    monkeypatch.setattr(Sender, "drain", drained)
    runner._help(write_turn(), 1, 1.0, Scripted(2))
    assert happened == ["pass", "pass", "drain"]
    assert "A pass of a worker failed" in caplog.text
