"""Short runs with real processes: what is promised holds, and the checker notices where a protection is missing."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobs.tests.chaos.run import Outcome, Plan, run
from jobs.tests.chaos.script import CHANGES, Script, Step, write_script

pytestmark = pytest.mark.slow

# Nothing to do but the fire times that are due from the first second on: a herd without waiting for a minute.
NOTHING = Script(seed=0, jobs=(), steps=())


def drill(folder: Path, template: Path, sabotage: str) -> Outcome:
    """Let two schedulers deal with a herd for some seconds."""
    plan = Plan(
        seed=0,
        minutes=0.06,
        neglected=6,
        schedulers=2,
        sabotage=sabotage,
        script=NOTHING,
        settle_seconds=15,
        template=template,
    )
    return run(plan, folder)


@pytest.mark.minute
@pytest.mark.timeout(240)
def test_nothing_is_lost_or_doubled_while_processes_die_and_jobs_change(tmp_path: Path, template: Path):
    faults = (
        # Amid the herd: some requests are out, some are answered and not yet recorded.
        Step(2.0, "kill", {"place": -1, "seconds": 1.0, "failpoints": ""}),
        Step(22.0, "terminate", {"place": -1, "seconds": 1.0, "failpoints": ""}),
        Step(27.0, "lock", {"seconds": 4.0}),
    )
    drawn = draw(minutes=0.6)
    script = Script(drawn.seed, drawn.jobs, tuple(sorted((*drawn.steps, *faults), key=lambda step: step.at)))
    outcome = run(Plan(seed=drawn.seed, minutes=0.6, script=script, template=template), tmp_path)
    assert outcome.report.findings == [], outcome.summary()
    assert len([life for life in outcome.evidence.lives if life.killed_at]) == 1
    assert len(outcome.evidence.outages) == 1


def draw(*, minutes: float) -> Script:
    """Draw only what people do."""
    script = write_script(4, start=datetime.now(UTC), minutes=minutes, jobs=20, places=3, database_faults=())
    return Script(script.seed, script.jobs, tuple(step for step in script.steps if step.verb in CHANGES))


@pytest.mark.minute
def test_two_processes_that_both_believe_they_lead_do_no_harm(tmp_path: Path, template: Path):
    outcome = drill(tmp_path, template, "both-lead,no-lock")
    assert outcome.report.findings == [], outcome.summary()
    assert outcome.logs.count("leads (fence") == 2


@pytest.mark.minute
@pytest.mark.parametrize(
    ("sabotage", "kinds"),
    [
        ("both-lead,no-lock,no-unique", {"doubled rows", "doubled requests"}),
        ("send-first", {"uncommitted sends"}),
        ("all-is-well", {"lying results"}),
    ],
)
def test_the_checker_notices_a_missing_protection(sabotage: str, kinds: set[str], tmp_path: Path, template: Path):
    outcome = drill(tmp_path, template, sabotage)
    found = {kind for kind, number in outcome.report.counts.items() if number}
    assert kinds <= found, outcome.summary()
    assert "Traceback" not in outcome.logs, outcome.logs
