"""Named points at which a test can make this process die, freeze or stall, to see that nothing is lost or doubled.

    CRONSCHED_FAILPOINTS="after-claim=kill@0.02,before-record=stop"

Actions: `kill` (SIGKILL to itself), `stop` (SIGSTOP; another process has to continue it), `stall:SECONDS`. The number
after @ is the probability, 1 without it. Without the variable a point costs one lookup in an empty dictionary.
"""

import os
import random
import re
import signal
import time
from collections.abc import Callable
from functools import partial

from cronsched.lib.config.env import BadSetting, text

VARIABLE = "CRONSCHED_FAILPOINTS"
# The windows between two steps that cannot be one: what a process was about to do when it died.
POINTS = frozenset({"after-claim", "before-send", "after-send", "before-record"})
_ITEM = re.compile(r"(?P<point>[a-z-]+)=(?P<action>kill|stop|stall:(?P<seconds>[0-9.]+))(@(?P<probability>[0-9.]+))?")

Action = Callable[[], object]


def reach(point: str) -> None:
    """Do what the environment ordered for `point`, usually nothing."""
    if action := _ACTIONS.get(point):
        action()


def parse(order: str) -> dict[str, Action]:
    """Return the action of each point named in `order`. Ends the process with one line where it makes no sense."""
    return dict(_parse_item(item.strip()) for item in order.split(",") if item.strip())


def _parse_item(item: str) -> tuple[str, Action]:
    match = _ITEM.fullmatch(item)
    if match is None or match["point"] not in POINTS:
        raise BadSetting(VARIABLE, f"{item!r} is not point=kill, stop or stall:SECONDS, with or without @PROBABILITY.")
    probability = float(match["probability"] or 1)
    return match["point"], partial(_perhaps, probability, _action(match))


def _action(match: re.Match[str]) -> Action:
    if match["seconds"]:
        return partial(time.sleep, float(match["seconds"]))
    signal_number = signal.SIGKILL if match["action"] == "kill" else signal.SIGSTOP
    return partial(os.kill, os.getpid(), signal_number)


def _perhaps(probability: float, action: Action) -> None:
    if random.random() < probability:  # noqa: S311 - dice, not a secret
        action()


_ACTIONS = parse(text(VARIABLE))
