import pytest
from pathlib import Path
from jobs.tests.benchmarks.contenders import Race
from jobs.tests.benchmarks.target import Target
from jobs.tests.benchmarks.usage import processor_seconds
import os

pytestmark = [pytest.mark.benchmark, pytest.mark.django_db(transaction=True)]

def test_try(tmp_path: Path):
    size = int(os.environ.get("SIZE", "1000"))
    which = os.environ.get("WHICH", "s,d32,d1000,q32,q1000").split(",")
    with Target() as target:
        race = Race(target, tmp_path)
        for w in which:
            c = {"s": race.scheduler, "d": lambda n: race.pool("door", int(w[1:]))(n), "q": lambda n: race.pool("session", int(w[1:]))(n), "c": race.celery}[w[0]]
            t0 = processor_seconds(target.pid)
            h = c(size)
            t = processor_seconds(target.pid) - t0
            print(f"{h.contender:20} lost {h.lost} doubled {h.doubled} drain {h.drain:.2f} first {h.lateness[0]:.3f} p50 {h.percentile(50):.2f} p99 {h.percentile(99):.2f} {h.per_second:.0f}/s cpu {h.processor_seconds} target cpu {t:.2f}")
