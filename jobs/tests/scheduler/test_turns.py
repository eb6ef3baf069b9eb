"""Turns at writing, among threads and among processes."""

import subprocess
import sys
import threading

from cronsched.tests.processes import ROOT
from jobs.scheduler.turns import FairLock

WAIT = 30.0


def test_a_lock_goes_to_whoever_has_waited_longest():
    lock = FairLock()
    order: list[str] = []
    lock.acquire()
    threads = []
    for name in ("first", "second"):

        def wait(name: str = name) -> None:
            lock.acquire()
            order.append(name)
            lock.release()

        threads.append(threading.Thread(target=wait))
        threads[-1].start()
        while len(lock._waiting) < len(threads):
            threading.Event().wait(0.001)
    lock.release()
    lock.acquire()
    order.append("the one before")
    lock.release()
    for thread in threads:
        thread.join(WAIT)
    assert order == ["first", "second", "the one before"]


# In a process of its own: forking the one that runs the tests would copy its threads' locks.
PROGRAM = """
import os
import select
from jobs.scheduler.turns import SharedTurn
turn = SharedTurn()
reading, writing = os.pipe()
"""


def run(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + program], cwd=ROOT, capture_output=True, text=True, timeout=WAIT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_processes_take_turns():
    said = run(
        """
calls, called = os.pipe()
pid = os.fork()
if pid == 0:
    os.read(calls, 1)
    with turn:
        os.write(writing, b"child")
    os._exit(0)
with turn:
    os.write(called, b".")
    print("early" if select.select([reading], [], [], 0.3)[0] else "waits")
os.waitpid(pid, 0)
print(os.read(reading, 9).decode())
"""
    )
    assert said == "waits\nchild\n"


def test_a_process_that_dies_in_its_turn_gives_it_back():
    said = run(
        """
pid = os.fork()
if pid == 0:
    turn.__enter__()
    os._exit(3)
os.waitpid(pid, 0)
with turn:
    print("mine")
"""
    )
    assert said == "mine\n"
