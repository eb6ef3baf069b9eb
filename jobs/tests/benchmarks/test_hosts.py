"""Hosts: a herd sent by one of Celery's workers beside the scheduler alone, and two hosts beside one with slow targets.

Each round runs one after the other; ratios are those of a round's own pair. DATABASE_URL=postgresql://… make bench.

BENCH_WORKERS_SIZE   how many webhooks, default 5000; and how many of targets that take 5 s, default 600
BENCH_WORKERS_ROUNDS how often each runs, an odd number, default 1
"""

import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from jobs.models import JobExecution, Sender, Status
from jobs.tests.benchmarks import arrivals
from jobs.tests.benchmarks.contenders import Race, empty_tables, insert_jobs, next_minute, wait_until_ended
from jobs.tests.benchmarks.herd import Herd, middle, ratio
from jobs.tests.benchmarks.processes import process, production, scheduler
from jobs.tests.benchmarks.report import WRITE, Figures, at_least, at_most, picture, size
from jobs.tests.benchmarks.target import Target
from jobs.tests.benchmarks.usage import processor_seconds
from jobs.tests.scheduler.brokers import Broker, Redis, started
from jobs.tests.scheduler.brokers import CeleryWorker as Worker

pytestmark = [pytest.mark.benchmark, pytest.mark.django_db(transaction=True)]

HERD, SLOW = size("BENCH_WORKERS_SIZE", "5000,600")
(ROUNDS,) = size("BENCH_WORKERS_ROUNDS", "1")
LIMIT_SECONDS = 120.0
# Of the scheduler alone; of what all processors do; of one host with slow targets.
RATE_BAR, BROKER_BAR, HOSTS_BAR = 0.8, 0.1, 1.8
COLUMNS = ("sender", "lost", "doubled", "p50", "last", "per second", "processor each")


class Fleet(Race):
    """Hosts with a scheduler each, and with a worker each where there is a broker, against one target."""

    def __init__(self, target: Target, folder: Path) -> None:
        super().__init__(target, folder)
        self.broker_share = 0.0

    def herd(self, name: str, number: int, *, mode: str = "now", hosts: int = 1, broker: Broker | None = None) -> Herd:
        """Let so many hosts send what is due in the coming minute."""
        empty_tables()
        due = next_minute(lead=12)
        insert_jobs([self._target.url(mode, each) for each in range(number)], due_at=due)
        settings = {"EXECUTION_BACKEND": "celery", "CELERY_BROKER_URL": broker.url} if broker else {}
        if mode == "slow":
            settings["MAX_IN_FLIGHT"] = "100"
        with ExitStack() as running:
            pids = [running.enter_context(self._worker(settings)) for _ in range(hosts if broker else 0)]
            pids.append(running.enter_context(scheduler(self._folder / "scheduler.log", **settings)))
            pids += [running.enter_context(self._standby(settings)) for _ in range(hosts - 1)]
            wait_for_senders(hosts * 2 if broker else hosts)
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

    @contextmanager
    def _standby(self, settings: dict[str, str]) -> Iterator[int]:
        with process(["manage.py", "runscheduler"], self._folder / "standby.log", production(**settings)) as pid:
            yield pid


def wait_for_senders(number: int) -> None:
    until = time.time() + 60
    while Sender.objects.filter(seen_at__lte=timezone.now()).count() < number:
        assert time.time() < until, "not all of them show themselves"
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


@pytest.mark.brokers
def test_one_worker_beside_the_scheduler_alone(broker: Broker, target: Target, tmp_path: Path) -> None:
    kind = type(broker).__name__
    figures = Figures(
        f"workers-{kind.lower()}",
        f"{HERD:,} webhooks due in the same minute on {connection.vendor}, {kind}, {ROUNDS} rounds",
        (*COLUMNS, "of the local rate", "bar", ""),
    )
    fleet = Fleet(target, tmp_path)
    local, remote, shares = [], [], []
    for _ in range(ROUNDS):
        local.append(fleet.herd("scheduler", HERD))
        remote.append(fleet.herd("scheduler and one worker", HERD, broker=broker))
        shares.append(fleet.broker_share)
    rate = ratio(remote, local)
    figures.add(*row(local), "", "", "")
    figures.add(*row(remote), f"{rate:.2f}", str(RATE_BAR), at_least(rate, RATE_BAR))
    share = statistics.median(shares)
    cells = [""] * (len(COLUMNS) - 1)
    figures.add(
        "broker's share of the processors", *cells, f"{share:.1%}", f"{BROKER_BAR:.0%}", at_most(share, BROKER_BAR)
    )
    figures.publish()
    assert [(herd.lost, herd.doubled) for herd in local + remote] == [(0, 0)] * 2 * ROUNDS


def test_two_hosts_and_slow_targets(target: Target, tmp_path: Path) -> None:
    fleet = Fleet(target, tmp_path)
    rounds = [[fleet.herd(name, SLOW, mode="slow", hosts=hosts) for hosts, name in HOSTS] for _ in range(ROUNDS)]
    compare_hosts("slow-hosts", "a scheduler on each", rounds)
    if WRITE:
        herds = [middle(list(herds)) for herds in zip(*rounds, strict=True)]
        arrivals.draw(herds, picture("hosts.svg"), f"{SLOW:,} webhooks to targets that take 5 s, 100 in flight each")


@pytest.mark.brokers
def test_two_hosts_with_workers_and_slow_targets(broker: Broker, target: Target, tmp_path: Path) -> None:
    fleet = Fleet(target, tmp_path)
    rounds = [
        [fleet.herd(name, SLOW, mode="slow", hosts=hosts, broker=broker) for hosts, name in HOSTS]
        for _ in range(ROUNDS)
    ]
    kind = type(broker).__name__
    compare_hosts(f"slow-hosts-{kind.lower()}", f"a scheduler and a worker on each, {kind}", rounds)


HOSTS = ((1, "one host"), (2, "two hosts"))


def compare_hosts(section: str, what: str, rounds: Sequence[Sequence[Herd]]) -> None:
    one, two = map(list, zip(*rounds, strict=True))
    title = f"{SLOW:,} webhooks to targets that take 5 s, 100 in flight each, on {connection.vendor}: {what}"
    figures = Figures(section, title, (*COLUMNS, "of one host", "bar", ""))
    times = ratio(two, one)
    figures.add(*row(one), "", "", "")
    figures.add(*row(two), f"{times:.2f}", str(HOSTS_BAR), at_least(times, HOSTS_BAR))
    figures.publish()
    assert [(herd.lost, herd.doubled) for herd in one + two] == [(0, 0)] * 2 * len(rounds)


def row(herds: list[Herd]) -> list[str]:
    herd = middle(herds)
    return [
        herd.contender,
        str(max(each.lost for each in herds)),
        str(max(each.doubled for each in herds)),
        f"{herd.percentile(50):.2f}",
        f"{herd.drain:.2f}",
        f"{herd.per_second:,.0f}",
        f"{herd.processor_seconds / len(herd.times_arrived) * 1e6:,.0f} us",
    ]
