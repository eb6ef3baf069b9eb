"""Thousands of webhooks due in the same minute: our scheduler beside bare pools and django-celery-beat, in one run.

BENCH_SIZES   how many, default 1000,10000
BENCH_ROUNDS  how often each contender runs, an odd number, default 3; the order turns round each time
BENCH_AGAINST whom our scheduler runs against, default client,session,celery
"""

import os
import shutil
from pathlib import Path

import pytest
from django.conf import settings

from jobs.tests.benchmarks.contenders import Contender, Race
from jobs.tests.benchmarks.herd import Herd, middle, ratio
from jobs.tests.benchmarks.lateness import draw
from jobs.tests.benchmarks.report import WRITE, Figures, at_least, picture, size, verdict
from jobs.tests.benchmarks.target import Target
from jobs.tests.benchmarks.usage import processor_seconds

pytestmark = [pytest.mark.benchmark, pytest.mark.django_db(transaction=True)]

ROUNDS = size("BENCH_ROUNDS", "3")[0]
assert ROUNDS % 2, "an even number of rounds has no run in the middle"
AGAINST = os.environ.get("BENCH_AGAINST", "client,session,celery").split(",")
WIDTH = settings.MAX_IN_FLIGHT
# While targets answer at once a bare pool is quickest with few threads.
NARROW = 32
DRAWN = 10_000

# Contender -> how many times as fast as it the scheduler is to be.
BARS = {
    f"client, {WIDTH} threads": 0.9,
    f"client, {NARROW} threads": 0.9,
    f"session, {WIDTH} threads": 0.65,
    f"session, {NARROW} threads": 0.65,
    "celery": 4.0,
}


def contenders(race: Race) -> list[Contender]:
    pools = [race.pool(kind, width) for kind in ("client", "session") if kind in AGAINST for width in (WIDTH, NARROW)]
    return [race.scheduler, *pools, *([race.celery] if "celery" in AGAINST and shutil.which("redis-server") else [])]


@pytest.mark.parametrize("herd_size", size("BENCH_SIZES", "1000,10000"))
def test_a_herd_in_one_minute(herd_size: int, target: Target, tmp_path: Path) -> None:
    figures = Figures(
        f"herd-{herd_size}",
        f"{herd_size:,} webhooks due in the same minute, {ROUNDS} rounds; seconds after due, medians over the rounds",
        (
            "sender",
            "not come",
            "doubled",
            "p50",
            "p99",
            "last",
            "(range)",
            "per second",
            "processor each",
            "speed of ours",
            "bar",
            "",
        ),
    )
    before = processor_seconds(target.pid)
    rounds: dict[str, list[Herd]] = {}
    for number in range(ROUNDS):
        order = contenders(Race(target, tmp_path))
        for contender in order if number % 2 == 0 else reversed(order):
            herd = contender(herd_size)
            rounds.setdefault(herd.contender, []).append(herd)
    ours = rounds.pop("scheduler")
    figures.add(*row(ours), "", "", verdict(not any(herd.lost or herd.doubled for herd in ours)))
    for name, bar in BARS.items():
        if name not in rounds:
            figures.add(name, *[""] * 8, "not measured", f"{bar}", "")
            continue
        times = ratio(ours, rounds[name])
        figures.add(*row(rounds[name]), f"{times:.2f}x", f"{bar}x", at_least(times, bar))
    figures.publish()
    requests = sum(len(herd.arrivals) for herds in [ours, *rounds.values()] for herd in herds)
    used = (processor_seconds(target.pid) - before) / requests
    print(f"The target used {used * 1e6:.0f} us of a processor per request.")
    if WRITE and herd_size == DRAWN:
        draw([middle(herds) for herds in [ours, *rounds.values()]], picture("benchmarks-lateness.svg"))
    assert [(herd.lost, herd.doubled) for herd in ours] == [(0, 0)] * ROUNDS


def row(herds: list[Herd]) -> list[str]:
    herd = middle(herds)
    drains = sorted(herd.drain for herd in herds)
    return [
        herd.contender,
        f"{max(herd.lost for herd in herds):,}",
        str(max(herd.doubled for herd in herds)),
        f"{herd.percentile(50):.2f}",
        f"{herd.percentile(99):.2f}",
        f"{herd.drain:.2f}",
        f"{drains[0]:.2f}-{drains[-1]:.2f}",
        f"{herd.per_second:,.0f}",
        f"{herd.processor_seconds / len(herd.times_arrived) * 1e6:,.0f} us",
    ]
