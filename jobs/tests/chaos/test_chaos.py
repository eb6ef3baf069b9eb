"""The long run: `make chaos`, or `make chaos CHAOS_DATABASE=postgres CHAOS_MINUTES=3 CHAOS_SEED=7`.
With `CHAOS_BROKER=redis` or `rabbitmq` Celery's workers send; with `CHAOS_ON_HOSTS=1` processes are on two hosts.

Prints the seed and the table; where something is wrong also the planned faults and what really happened.
"""

import os
import pickle
import random
import sys
import tempfile
from pathlib import Path

import pytest

from jobs.tests.chaos.databases import KINDS, absent
from jobs.tests.chaos.hosts import absent as absent_hosts
from jobs.tests.chaos.run import Plan, run
from jobs.tests.scheduler.brokers import absent as absent_broker

MINUTES = float(os.environ.get("CHAOS_MINUTES") or 10)
SEED = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(1_000_000))
JOBS = int(os.environ.get("CHAOS_JOBS") or 120)
BROKER = os.environ.get("CHAOS_BROKER") or ""
ON_HOSTS = os.environ.get("CHAOS_ON_HOSTS") == "1"
CHOSEN = os.environ.get("CHAOS_DATABASE") or "all"


@pytest.mark.chaos
@pytest.mark.parametrize("kind", KINDS if CHOSEN == "all" else CHOSEN.split(","))
def test_nothing_is_lost_doubled_or_misreported(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    if reason := absent(kind) or (BROKER and absent_broker(BROKER)) or (ON_HOSTS and absent_hosts()):
        pytest.skip(reason)
    plan = Plan(seed=SEED, kind=kind, minutes=MINUTES, jobs=JOBS, broker=BROKER, on_hosts=ON_HOSTS)
    outcome = run(plan, tmp_path)
    with capsys.disabled():
        where = " ".join([kind, *([BROKER] if BROKER else []), *(["on two hosts"] if ON_HOSTS else [])])
        sys.stdout.write(f"\n\n{where}, {MINUTES:g} minutes, seed {SEED}\n\n{outcome.report.table()}\n")
    if outcome.report.findings:
        # Not in `tmp_path`: of those pytest keeps the last three, also of other test runs meanwhile.
        folder = Path(tempfile.mkdtemp(prefix=f"chaos-{kind}-{SEED}-"))
        (folder / "story.txt").write_text(outcome.story())
        (folder / "evidence.pickle").write_bytes(pickle.dumps(outcome.evidence))
        pytest.fail(f"seed {SEED}\n{outcome.summary()}\n\nScript, logs and evidence: {folder}", pytrace=False)
