"""Orders to die, freeze or stall."""

import os
import signal
import subprocess
import sys

import pytest

from cronsched.lib import failpoints
from cronsched.lib.config.env import BadSetting


def test_without_an_order_a_point_is_passed():
    failpoints.reach("after-claim")


def test_each_point_gets_its_own_action():
    assert sorted(failpoints.parse("after-claim=kill, before-send=stop@0.5,before-record=stall:0.25")) == [
        "after-claim",
        "before-record",
        "before-send",
    ]


@pytest.mark.parametrize(
    "order", ["after-claim", "after-claim=explode", "nowhere=kill", "after-claim=kill@", "after-claim=stall", "=kill"]
)
def test_an_order_nobody_understands_ends_the_process(order):
    with pytest.raises(BadSetting, match="CRONSCHED_FAILPOINTS"):
        failpoints.parse(order)


def test_a_probability_of_nothing_never_happens():
    action = failpoints.parse("after-claim=kill@0")["after-claim"]
    for _ in range(1000):
        action()


def reach_in_a_process(order: str) -> "subprocess.Popen[bytes]":
    code = "from cronsched.lib import failpoints; failpoints.reach('before-send'); print('passed')"
    environment = {**os.environ, failpoints.VARIABLE: order}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE)


def test_a_process_kills_itself():
    process = reach_in_a_process("before-send=kill")
    output, _ = process.communicate(timeout=30)
    assert (process.returncode, output) == (-signal.SIGKILL, b"")


def test_a_process_stops_until_somebody_continues_it():
    process = reach_in_a_process("before-send=stop")
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    process.send_signal(signal.SIGCONT)
    output, _ = process.communicate(timeout=30)
    assert (process.returncode, output) == (0, b"passed\n")


def test_a_process_stalls_and_goes_on():
    output, _ = reach_in_a_process("before-send=stall:0.01").communicate(timeout=30)
    assert output == b"passed\n"
