"""The long run: `make chaos`, or `make chaos CHAOS_DATABASE=postgres CHAOS_MINUTES=3 CHAOS_SEED=7`.

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
from jobs.tests.chaos.run import Plan, run

MINUTES = float(os.environ.get("CHAOS_MINUTES") or 10)
SEED = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(1_000_000))
JOBS = int(os.environ.get("CHAOS_JOBS") or 120)
CHOSEN = os.environ.get("CHAOS_DATABASE") or "all"


@pytest.mark.chaos
@pytest.mark.parametrize("kind", KINDS if CHOSEN == "all" else CHOSEN.split(","))
def test_nothing_is_lost_doubled_or_misreported(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    if reason := absent(kind):
        pytest.skip(reason)
    outcome = run(Plan(seed=SEED, kind=kind, minutes=MINUTES, jobs=JOBS), tmp_path)
    with capsys.disabled():
        sys.stdout.write(f"\n\n{kind}, {MINUTES:g} minutes, seed {SEED}\n\n{outcome.report.table()}\n")
    if outcome.report.findings:
        # Not in `tmp_path`: of those pytest keeps the last three, also of other test runs meanwhile.
        folder = Path(tempfile.mkdtemp(prefix=f"chaos-{kind}-{SEED}-"))
        (folder / "story.txt").write_text(outcome.story())
        (folder / "evidence.pickle").write_bytes(pickle.dumps(outcome.evidence))
        pytest.fail(f"seed {SEED}\n{outcome.summary()}\n\nScript, logs and evidence: {folder}", pytrace=False)
