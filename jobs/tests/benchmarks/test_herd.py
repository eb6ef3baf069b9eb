"""Thousands of webhooks due in the same minute: our scheduler beside its earlier self, bare clients and
django-celery-beat, in one run.

BENCH_SIZES   how many, default 1000,10000
BENCH_ROUNDS  how often each contender runs, an odd number, default 3; the order turns round each time
BENCH_AGAINST whom our scheduler runs against, default before,aiohttp,client,session,journal,celery
"""

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from jobs.tests.benchmarks.contenders import EARLIER, Contender, Race, has_commit
from jobs.tests.benchmarks.herd import Herd, middle, ratio
from jobs.tests.benchmarks.lateness import draw
from jobs.tests.benchmarks.report import WRITE, Figures, at_least, at_most, picture, size, verdict
from jobs.tests.benchmarks.target import Target
from jobs.tests.benchmarks.usage import processor_seconds

pytestmark = [pytest.mark.benchmark, pytest.mark.django_db(transaction=True)]

ROUNDS = size("BENCH_ROUNDS", "3")[0]
assert ROUNDS % 2, "an even number of rounds has no run in the middle"
AGAINST = os.environ.get("BENCH_AGAINST", "before,aiohttp,client,session,journal,celery").split(",")
WIDTH = 64
DRAWN = 10_000

# Contender -> how many times as fast as it the scheduler is to be.
BARS = {
    "before": 2.0,
    f"aiohttp, {WIDTH}": 0.7,
    f"client, {WIDTH}": 0.65,
    f"session, {WIDTH}": 0.9,
    "no journal": 0.97,
    "celery": 4.0,
}
# Microseconds of a processor that a request may cost, with all that is recorded about it.
PROCESSOR_EACH = 150


def contenders(race: Race) -> list[Contender]:
    found = {
        "before": race.before if has_commit(EARLIER) else None,
        "aiohttp": race.pool("aiohttp", WIDTH) if has_aiohttp() else None,
        "client": race.pool("client", WIDTH),
        "session": race.pool("session", WIDTH),
        "journal": race.without_journal,
        "celery": race.celery if shutil.which("redis-server") else None,
    }
    return [race.scheduler, *(found[name] for name in AGAINST if found[name])]


def has_aiohttp() -> bool:
    return all(find_spec(name) for name in ("aiohttp", "uvloop"))


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
    each = middle(ours).processor_seconds / herd_size * 1e6
    print(f"A request cost {each:.0f} us of a processor: {at_most(each, PROCESSOR_EACH)} ({PROCESSOR_EACH}).")
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
