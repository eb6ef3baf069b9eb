"""A seed is a whole script."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from cronsched.lib import failpoints
from jobs import cron
from jobs.tests.chaos.run import Stage, zone_of
from jobs.tests.chaos.script import (
    FAILPOINTS,
    LOSS_LEAD_SECONDS,
    PEACE_SECONDS,
    RIG_SECONDS,
    Script,
    write_script,
)

START = datetime(2026, 3, 4, 10, 0, 17, tzinfo=UTC)
FAULTS = (
    *("restart", "stop_database", "crash", "freeze", "lock", "fill"),
    *("damage", "read_only", "sever", "swallow", "refuse"),
)


def script(seed: int) -> Script:
    return write_script(seed, start=START, minutes=10, jobs=80, places=3, database_faults=FAULTS)


def test_the_same_seed_gives_the_same_script():
    assert str(script(7)) == str(script(7))
    assert script(7).jobs == script(7).jobs
    assert str(script(7)) != str(script(8))


def test_every_step_has_somebody_who_carries_it_out():
    verbs = {step.verb for seed in range(20) for step in script(seed).steps}
    assert {*FAULTS, "kill", "stop", "terminate", "kill_web", "power_cut", "rig", "create", "edit", "delete"} <= verbs
    assert {"insist", "once", "upload", "loss", "clock", "flood", "end_web", "away"} <= verbs
    assert all(hasattr(Stage, f"fault_{verb}") != hasattr(Stage, f"change_{verb}") for verb in verbs)


def test_each_kind_of_fault_comes_in_every_run():
    for seed in range(5):
        steps = script(seed).steps
        assert {*FAULTS, "clock", "flood", "end_web"} <= {step.verb for step in steps}
        assert [step.arguments["seconds"] for step in steps if step.verb == "away"] == [120.0]


def test_what_is_to_show_the_way_back_ends_just_before_a_herd():
    steps = [step for seed in range(5) for step in script(seed).steps if step.arguments.get("in_peace")]
    assert {step.verb for step in steps} == {*FAULTS, "clock", "away"}
    for step in steps:
        ends_at = START + timedelta(seconds=step.at + step.arguments["seconds"])
        assert 51.9 < ends_at.second + ends_at.microsecond / 1e6 < 59.1


def test_every_expression_is_accepted_and_fires_within_the_run():
    stop = START + timedelta(minutes=10)
    drawn = [job for seed in range(5) for job in script(seed).jobs]
    times = [cron.count_fire_times(job["expression"], cron.zone(job["zone"]), after=START, until=stop) for job in drawn]
    assert all(times)
    assert sum(number >= 9 for number in times) > len(times) / 2, "most of them make the herd of each minute"


def test_every_fail_point_is_one_the_service_knows():
    points = {point for order in FAILPOINTS for point in failpoints.parse(order)}
    assert points == failpoints.POINTS


def test_every_fail_point_is_met_by_a_process_that_leads():
    orders = [step.arguments["failpoints"] for step in script(7).steps if step.verb == "rig"]
    assert {point for order in orders for point in failpoints.parse(order)} == failpoints.POINTS


def test_leaders_are_lost_just_before_a_herd_while_no_rigged_process_is_to_lead():
    scripts = [script(seed) for seed in range(20)]
    losses = [(step, written) for written in scripts for step in written.steps if step.verb == "loss"]
    assert len(losses) >= len(scripts)
    for loss, written in losses:
        herd = START + timedelta(seconds=loss.at + LOSS_LEAD_SECONDS)
        assert (herd.second, herd.microsecond) == (0, 0)
        rigs = [step.at for step in written.steps if step.verb == "rig"]
        assert not any(loss.at - RIG_SECONDS < at < loss.at + LOSS_LEAD_SECONDS + PEACE_SECONDS for at in rigs)


@pytest.mark.parametrize("hour", range(24))
def test_there_is_a_zone_whose_day_begins_at_each_hour(hour: int):
    midnight = START.replace(hour=hour, minute=0, second=0)
    assert cron.zone(zone_of(midnight)) == ZoneInfo(zone_of(midnight))
    assert midnight.astimezone(ZoneInfo(zone_of(midnight))).time() == time(0)
