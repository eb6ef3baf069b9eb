"""A herd sent by Celery's workers, beside the scheduler alone, in one run: DATABASE_URL=postgresql://… make bench.

BENCH_WORKERS_SIZE   how many webhooks, default 5000; and how many of targets that take 5 s, default 600
BENCH_WORKERS_ROUNDS how often each runs, default 1
"""

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from jobs.models import JobExecution, Sender, SenderKind, Status
from jobs.tests.benchmarks.contenders import Race, empty_tables, insert_jobs, next_minute, wait_until_ended
from jobs.tests.benchmarks.herd import Herd, middle
from jobs.tests.benchmarks.processes import process, production, scheduler
from jobs.tests.benchmarks.report import Figures, at_least, at_most, size
from jobs.tests.benchmarks.target import Target
from jobs.tests.benchmarks.usage import processor_seconds
from jobs.tests.scheduler.brokers import Broker, Redis, started
from jobs.tests.scheduler.brokers import CeleryWorker as Worker

pytestmark = [pytest.mark.benchmark, pytest.mark.brokers, pytest.mark.django_db(transaction=True)]

HERD, SLOW = size("BENCH_WORKERS_SIZE", "5000,600")
(ROUNDS,) = size("BENCH_WORKERS_ROUNDS", "1")
LIMIT_SECONDS = 120.0
# Of the scheduler alone; of what all processors do; of one worker with slow targets.
RATE_BAR, BROKER_BAR, HOSTS_BAR = 0.8, 0.1, 1.8


class Fleet(Race):
    """Schedulers and workers, against one target."""

    def __init__(self, target: Target, folder: Path) -> None:
        super().__init__(target, folder)
        self.broker_share = 0.0

    def herd(
        self, name: str, number: int, *, mode: str = "now", workers: int = 0, broker: Broker | None = None
    ) -> Herd:
        """Let one scheduler and so many workers send what is due in the coming minute."""
        empty_tables()
        due = next_minute(lead=12)
        insert_jobs([self._target.url(mode, each) for each in range(number)], due_at=due)
        settings = {"EXECUTION_BACKEND": "celery", "CELERY_BROKER_URL": broker.url} if broker else {}
        if mode == "slow":
            settings["MAX_IN_FLIGHT"] = "100"
        with ExitStack() as running:
            pids = [running.enter_context(self._worker(settings)) for _ in range(workers)]
            wait_for_workers(workers)
            pids.append(running.enter_context(scheduler(self._folder / "scheduler.log", **settings)))
            before = processor_seconds(pid_of(broker)) if broker else 0.0
            herd = self._watch(name, number, due.timestamp(), pids, LIMIT_SECONDS)
            if broker:
                used = processor_seconds(pid_of(broker)) - before
                self.broker_share = used / (used + herd.processor_seconds)
            assert wait_until_ended(number, until=time.time() + 30) == number
        assert JobExecution.objects.filter(status=Status.SUCCESS).count() == number
        return herd

    @contextmanager
    def _worker(self, settings: dict[str, str]) -> Iterator[int]:
        name = f"--hostname={time.time_ns()}@%h"
        with process([*Worker.command, name], self._folder / "worker.log", production(**settings)) as pid:
            yield pid


def wait_for_workers(number: int) -> None:
    until = time.time() + 60
    while Sender.objects.filter(kind=SenderKind.CELERY, seen_at__lte=timezone.now()).count() < number:
        assert time.time() < until, "the workers do not show themselves"
        time.sleep(0.05)


def pid_of(broker: Broker) -> int:
    if isinstance(broker, Redis):
        return broker.pid
    asked = subprocess.run(
        ["rabbitmqctl", "--quiet", "eval", "os:getpid()."], capture_output=True, text=True, check=True
    )
    return int(asked.stdout.strip().strip('"'))


@pytest.fixture(params=["redis", "rabbitmq"])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    yield from started(request.param)


def test_one_worker_beside_the_scheduler_alone(broker: Broker, target: Target, tmp_path: Path) -> None:
    kind = type(broker).__name__
    figures = Figures(
        f"workers-{kind.lower()}",
        f"{HERD:,} webhooks due in the same minute on {connection.vendor}, {kind}, {ROUNDS} rounds",
        ("sender", "lost", "doubled", "p50", "last", "per second", "of the local rate", "bar", ""),
    )
    fleet = Fleet(target, tmp_path)
    local, remote, shares = [], [], []
    for _ in range(ROUNDS):
        local.append(fleet.herd("scheduler", HERD))
        remote.append(fleet.herd("one worker", HERD, workers=1, broker=broker))
        shares.append(fleet.broker_share)
    rate = middle(remote).per_second / middle(local).per_second
    figures.add(*row(middle(local)), "", "", "")
    figures.add(*row(middle(remote)), f"{rate:.2f}", str(RATE_BAR), at_least(rate, RATE_BAR))
    share = sorted(shares)[ROUNDS // 2]
    figures.add(
        "broker's share of the processors", *[""] * 5, f"{share:.1%}", f"{BROKER_BAR:.0%}", at_most(share, BROKER_BAR)
    )
    figures.publish()
    assert [(herd.lost, herd.doubled) for herd in local + remote] == [(0, 0)] * 2 * ROUNDS


def test_two_workers_and_slow_targets(broker: Broker, target: Target, tmp_path: Path) -> None:
    kind = type(broker).__name__
    figures = Figures(
        f"slow-workers-{kind.lower()}",
        f"{SLOW:,} webhooks to targets that take 5 s, on {connection.vendor}, {kind}; 100 in flight each, the leader"
        " helps after 10 s",
        ("senders", "lost", "doubled", "p50", "last", "per second", "of one", "bar", ""),
    )
    fleet = Fleet(target, tmp_path)
    one = fleet.herd("one worker", SLOW, mode="slow", workers=1, broker=broker)
    two = fleet.herd("two workers", SLOW, mode="slow", workers=2, broker=broker)
    rate = one.drain / two.drain
    figures.add(*row(one), "", "", "")
    figures.add(*row(two), f"{rate:.2f}", str(HOSTS_BAR), at_least(rate, HOSTS_BAR))
    figures.publish()
    assert [(herd.lost, herd.doubled) for herd in (one, two)] == [(0, 0)] * 2


def row(herd: Herd) -> list[str]:
    return [
        herd.contender,
        str(herd.lost),
        str(herd.doubled),
        f"{herd.percentile(50):.2f}",
        f"{herd.drain:.2f}",
        f"{herd.per_second:,.0f}",
    ]
