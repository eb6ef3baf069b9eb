"""The plan of a run: what is done to whom and when, all of it drawn from one seed.

The plan fixes every choice that is ours. What the machine adds (which thread is where when a process dies) it cannot
fix, so a failed run is looked at by its evidence; the plan is printed with it.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from jobs.tests.chaos.evidence import MINUTE, Mode

ZONES = ("Asia/Tokyo", "UTC", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Europe/Berlin")
MODES = {
    Mode.OK: 10,
    Mode.SLOW: 4,
    Mode.ERROR: 2,
    Mode.REFUSAL: 1,
    Mode.FLAKY: 2,
    Mode.RESET: 1,
    Mode.HANG: 1,
    Mode.DRIP: 1,
}
# A job with nothing special about it, to be changed in this or that.
PLAIN: Mapping[str, Any] = {
    "expression": "* * * * *",
    "zone": "Asia/Tokyo",
    "mode": Mode.OK,
    "catch_up": "latest",
    "overlap": "allow",
    "timeout_seconds": 3,
    "max_attempts": 1,
    "backoff_seconds": 1,
    "spread_seconds": 0,
    "misfire_grace_seconds": 3600,
}
# Longer than the lease (15 s), so that another process leads when this one wakes up.
STOP_SECONDS = (17.0, 25.0)
AWAY_SECONDS = (2.0, 20.0)
RESTART_SECONDS = (0.2, 6.0)
# What it takes to let a rigged process lead, and then another.
RIG_SECONDS = 75.0
# How often the leader is lost with nothing else in the way, how long before a whole minute, what it takes to prepare
# that, and how long no fault follows: a process must lead and fire within 20 s.
LOSS_SECONDS = 150.0
BEFORE_HERD_SECONDS = (1.0, 8.0)
LOSS_LEAD_SECONDS = 12.0
PEACE_SECONDS = 24.0
# How often a fault hits a process or the database, and how often a person changes a job.
FAULT_SECONDS = (4.0, 18.0)
CHANGE_SECONDS = (0.3, 2.5)
CHANGES = {"edit": 5, "pause": 3, "resume": 4, "create": 2, "delete": 1, "execute": 2, "resync": 0.5, "upload": 0.3}
# Of these, what a second person does meanwhile.
ASIDE = frozenset({"execute", "resync"})
PROCESS_FAULTS = {
    "kill": 8,
    "stop": 4,
    "terminate": 4,
    "insist": 3,
    "once": 3,
    "kill_web": 1,
    "end_web": 1,
    "power_cut": 1,
}
# How often something befalls the broker, and a host's cable to the database.
BROKER_FAULTS = {"broker_restart": 3, "broker_empty": 3, "broker_away": 3, "broker_silent": 2}
BROKER_SECONDS = (12.0, 40.0)
CUT_SECONDS = (25.0, 80.0)
# What befalls a process's clock, or the service by one owner's doing, on every database.
COMMON_FAULTS = ("clock", "flood", "end_web")
NOT_IN_PEACE = frozenset({"flood", "end_web"})
# A host whose clock is not used may be hours off. SQLite's own is the host's: then times come early, and only so much.
CLOCK_STEPS = (7200.0, -7200.0)
SQLITE_CLOCK_STEPS = (50.0, -50.0)
# A herd is among what meets the flood.
FLOOD_SECONDS = (62.0, 66.0)
# Once in a run the database is away for long: this share of it, but no longer than two minutes and a half.
AWAY_SHARE, AWAY_AT_MOST = 0.2, 150.0
# Where it begins.
AWAY_BETWEEN = (0.35, 0.6)
# What an effect of a run is written to.
REFUSED = ("notifications", "notification_incidents", "notification_onces")
# Rows of a CSV file.
UPLOADED = (2, 6)
DATABASE_SHARE = 0.15
RIGGED_SHARE = 0.4
FAILPOINTS = (
    "after-claim=kill",
    "after-claim=kill@0.3",
    "before-send=kill@0.05",
    "after-send=kill@0.05",
    "before-record=kill",
    "before-record=kill@0.3",
    "after-claim=stop@0.5",
    "before-send=stop@0.03",
    "after-send=stop@0.03",
    "before-record=stop@0.3",
    "after-claim=stall:6@0.5",
    "before-send=stall:4@0.1",
    "after-send=stall:4@0.1",
    "before-record=stall:5@0.3",
)
# Each of the narrow windows is met once at least, by a process that leads for sure. A herd has dozens of requests.
SURE_FAILPOINTS = ("after-claim=kill", "before-send=kill@0.1", "after-send=kill@0.1", "before-record=kill")


@dataclass(frozen=True)
class Step:
    """One thing to do, so many seconds after the start. `place` -1 is the leader."""

    at: float
    verb: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.at:7.2f} {self.verb:<10} " + " ".join(
            f"{name}={value}" for name, value in self.arguments.items()
        )


@dataclass(frozen=True)
class Script:
    """A whole run: the jobs there are at first, and the steps in their order."""

    seed: int
    jobs: tuple[Mapping[str, Any], ...]
    steps: tuple[Step, ...]

    def faults(self) -> list[Step]:
        return [step for step in self.steps if step.verb not in CHANGES]

    def __str__(self) -> str:
        return "\n".join([f"seed {self.seed}, {len(self.jobs)} jobs", *map(str, self.steps)])


def write_script(
    seed: int,
    *,
    start: datetime,
    minutes: float,
    jobs: int,
    places: int,
    database_faults: tuple[str, ...],
    has_broker: bool = False,
    on_hosts: bool = False,
) -> Script:
    """Draw a run of so many minutes that begins at `start`."""
    chance = random.Random(f"{seed}/jobs")
    stop = start + timedelta(minutes=minutes)
    first = tuple(draw_definition(chance, start, stop) for _ in range(jobs))
    faults = draw_faults(random.Random(f"{seed}/faults"), start, minutes * 60, places, database_faults)
    rigs = list(draw_rigs(random.Random(f"{seed}/rigs"), minutes * 60))
    losses = draw_losses(random.Random(f"{seed}/losses"), start, minutes * 60, rigs)
    changes = draw_changes(random.Random(f"{seed}/changes"), start, minutes * 60)
    kinds = draw_kinds(random.Random(f"{seed}/kinds"), start, minutes * 60, database_faults)
    brokers = draw_broker_faults(random.Random(f"{seed}/broker"), start, minutes * 60) if has_broker else ()
    cuts = draw_cuts(random.Random(f"{seed}/cuts"), start, minutes * 60) if on_hosts else ()
    drawn = (*faults, *kinds, *rigs, *losses, *changes, *brokers, *cuts)
    return Script(seed, first, tuple(sorted(drawn, key=lambda step: step.at)))


def draw_definition(chance: random.Random, start: datetime, stop: datetime) -> dict[str, Any]:
    """Draw a job: when, how it is treated, and how its target behaves."""
    zone = chance.choice(ZONES)
    attempts = chance.choice((1, 1, 1, 3))
    return {
        **PLAIN,
        "expression": draw_expression(chance, ZoneInfo(zone), start, stop),
        "zone": zone,
        "mode": pick(chance, MODES),
        "catch_up": chance.choice(("latest", "latest", "latest", "all", "none")),
        "overlap": chance.choice(("allow",) * 8 + ("skip", "queue")),
        "timeout_seconds": chance.choice((2, 3)),
        "max_attempts": attempts,
        "backoff_seconds": chance.choice((1, 2)),
        "spread_seconds": chance.choice((0,) * 9 + (20,)),
    }


def draw_expression(chance: random.Random, zone: ZoneInfo, start: datetime, stop: datetime) -> str:
    """Draw an expression that fires within the run, most of them every minute: each minute is to be a herd."""
    if chance.random() < 0.6:
        return "* * * * *"
    length = max(1, int((stop - start) / MINUTE))
    minutes = sorted({(start + chance.randint(1, length) * MINUTE).astimezone(zone).minute for _ in range(4)})
    listed = ",".join(map(str, minutes))
    local = (start + MINUTE).astimezone(zone)
    return chance.choice(
        (
            "*/2 * * * *",
            f"{local.minute % 3}/3 * * * *",
            f"{listed} * * * *",
            # Fixed-time, by hour and by date.
            f"{listed} {local.hour},{(local.hour + 1) % 24} * * *",
            f"{listed} 0-23/1 * * {local.isoweekday() % 7}",
            f"0-59/1 * {local.day} {local.month} *",
            f"* {local.hour}-23 * * *",
        )
    )


def draw_faults(
    chance: random.Random, start: datetime, seconds: float, places: int, database_faults: tuple[str, ...]
) -> Iterator[Step]:
    """Draw what befalls processes and the database; half of it while a herd is on its way."""
    at = chance.uniform(2, 6)
    while at < seconds:
        if database_faults and chance.random() < DATABASE_SHARE:
            verb = chance.choice(database_faults)
            yield Step(near_herd(chance, at, start, seconds), verb, draw_kind(chance, verb, database_faults))
        else:
            verb = pick(chance, PROCESS_FAULTS)
            yield Step(near_herd(chance, at, start, seconds), verb, draw_fault(chance, verb, places))
        at += chance.uniform(*FAULT_SECONDS)


def draw_kinds(
    chance: random.Random, start: datetime, seconds: float, database_faults: tuple[str, ...]
) -> Iterator[Step]:
    """Draw each kind once, in any order, and one long absence of the database; in a short run not all of them.

    Processes are left in peace meanwhile and for a while afterwards, so that it shows how soon all is well again.
    """
    if not database_faults:
        return
    kinds = [*COMMON_FAULTS, *database_faults]
    chosen = chance.sample(kinds, min(len(kinds), max(1, int(seconds / AWAY_SECONDS[1]))))
    if "clock" in chosen:
        # Whose next fire is up to two minutes away.
        chosen.remove("clock")
        chosen.insert(len(chosen) // 4, "clock")
    share = seconds / len(chosen)
    for number, verb in enumerate(chosen):
        at = (number + chance.uniform(0.05, 0.7)) * share
        drawn = draw_kind(chance, verb, database_faults)
        if verb in NOT_IN_PEACE:
            yield Step(near_herd(chance, at, start, seconds), verb, drawn)
        else:
            yield Step(before_herd(chance, at, drawn["seconds"], start), verb, {**drawn, "in_peace": True})
    away = {"seconds": round(min(AWAY_AT_MOST, seconds * AWAY_SHARE), 2), "in_peace": True}
    at = chance.uniform(*AWAY_BETWEEN) * seconds
    yield Step(before_herd(chance, at, away["seconds"], start), "away", away)


def draw_broker_faults(chance: random.Random, start: datetime, seconds: float) -> Iterator[Step]:
    """Draw what befalls the broker, while all else goes on."""
    at = chance.uniform(*BROKER_SECONDS)
    while at < seconds:
        verb = pick(chance, BROKER_FAULTS)
        lasting = verb in {"broker_away", "broker_silent"}
        arguments = {"seconds": draw_seconds(chance, AWAY_SECONDS)} if lasting else {}
        yield Step(near_herd(chance, at, start, seconds), verb, arguments)
        at += chance.uniform(*BROKER_SECONDS)


def draw_cuts(chance: random.Random, start: datetime, seconds: float) -> Iterator[Step]:
    """Draw when a host is cut off from the database for longer than the lease; every other time the leader's."""
    at, host = chance.uniform(*CUT_SECONDS), -1
    while at < seconds:
        yield Step(
            near_herd(chance, at, start, seconds), "cut", {"host": host, "seconds": draw_seconds(chance, STOP_SECONDS)}
        )
        at, host = at + chance.uniform(*CUT_SECONDS), chance.choice((0, 1)) if host < 0 else -1


def draw_kind(chance: random.Random, verb: str, database_faults: tuple[str, ...]) -> dict[str, Any]:
    """Draw for how long something befalls the database, a clock or the service, and what else there is to say of it."""
    if verb == "end_web":
        return draw_fault(chance, verb, 0)
    drawn: dict[str, Any] = {"seconds": draw_seconds(chance, FLOOD_SECONDS if verb == "flood" else AWAY_SECONDS)}
    if verb == "clock":
        drawn["step"] = chance.choice(SQLITE_CLOCK_STEPS if "lock" in database_faults else CLOCK_STEPS)
    if verb == "refuse":
        drawn["table"] = chance.choice(REFUSED)
    return drawn


def draw_rigs(chance: random.Random, seconds: float) -> Iterator[Step]:
    """Draw when a process with a fail point is made to lead, spread over the run; the order is drawn, too."""
    # In a short run not all of them, or no other process would ever lead.
    orders = chance.sample(SURE_FAILPOINTS, min(len(SURE_FAILPOINTS), max(1, int(seconds / RIG_SECONDS))))
    share = seconds / len(orders)
    for number, order in enumerate(orders):
        yield Step(round((number + chance.uniform(0.1, 0.5)) * share, 2), "rig", {"failpoints": order})


def draw_losses(chance: random.Random, start: datetime, seconds: float, rigs: Sequence[Step]) -> Iterator[Step]:
    """Draw before which whole minutes the leader is lost, among those in which no rigged process is to lead."""
    minutes = []
    herd = next_herd(LOSS_LEAD_SECONDS, start)
    while herd + PEACE_SECONDS < seconds:
        if not any(herd - LOSS_LEAD_SECONDS - RIG_SECONDS < rig.at < herd + PEACE_SECONDS for rig in rigs):
            minutes.append(herd)
        herd += 60
    for herd in chance.sample(minutes, min(len(minutes), int(seconds / LOSS_SECONDS))):
        yield Step(round(herd - LOSS_LEAD_SECONDS, 2), "loss", {"seconds": draw_seconds(chance, BEFORE_HERD_SECONDS)})


def draw_fault(chance: random.Random, verb: str, places: int) -> dict[str, Any]:
    """Draw whom a fault of a process befalls, and how."""
    if verb in {"kill_web", "once"}:
        return {}
    if verb == "end_web":
        return {"is_killed": chance.random() < 0.5}
    if verb == "power_cut":
        return {"seconds": draw_seconds(chance, RESTART_SECONDS)}
    place = chance.choice((-1, -1, *range(places)))
    if verb == "stop":
        return {"place": place, "seconds": draw_seconds(chance, STOP_SECONDS)}
    return {"place": place, "seconds": draw_seconds(chance, RESTART_SECONDS), "failpoints": draw_failpoints(chance)}


def draw_changes(chance: random.Random, start: datetime, seconds: float) -> Iterator[Step]:
    """Draw what people do to jobs; some of it right at the fire times."""
    at = chance.uniform(0, 2)
    stop = start + timedelta(seconds=seconds)
    while at < seconds:
        verb = pick(chance, CHANGES)
        nobody = {"create", "resync", "upload"}
        arguments: dict[str, Any] = {} if verb in nobody else {"job": chance.randrange(1_000_000)}
        if verb in {"create", "edit"}:
            arguments |= draw_definition(chance, start, stop)
        if verb == "upload":
            arguments["rows"] = [draw_definition(chance, start, stop) for _ in range(chance.randint(*UPLOADED))]
        yield Step(near_herd(chance, at, start, seconds), verb, arguments)
        at += chance.uniform(*CHANGE_SECONDS)


def draw_failpoints(chance: random.Random) -> str:
    return chance.choice(FAILPOINTS) if chance.random() < RIGGED_SHARE else ""


def draw_seconds(chance: random.Random, bounds: tuple[float, float]) -> float:
    return round(chance.uniform(*bounds), 2)


def near_herd(chance: random.Random, at: float, start: datetime, seconds: float) -> float:
    """Move every other step to the seconds around the next whole minute, where everything happens."""
    if chance.random() < 0.5:
        return round(at, 2)
    return round(min(seconds, max(0.0, next_herd(at, start) + chance.uniform(-1.0, 3.0))), 2)


def before_herd(chance: random.Random, at: float, seconds: float, start: datetime) -> float:
    """Return when to begin what lasts so long, so that it ends some seconds before a herd: the way back shows by it."""
    before = chance.uniform(*BEFORE_HERD_SECONDS)
    return round(next_herd(at + seconds + before, start) - before - seconds, 2)


def next_herd(at: float, start: datetime) -> float:
    """Return how many seconds after `start` the first whole minute after `at` is."""
    into_minute = (start.second + start.microsecond / 1e6 + at) % 60
    return at - into_minute + 60


def pick(chance: random.Random, weights: Mapping[Any, float]) -> Any:
    return chance.choices(list(weights), list(weights.values()))[0]
