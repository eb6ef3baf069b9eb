"""Turns at writing, among threads."""

import threading

from jobs.scheduler.write_lock import FairLock

WAIT = 30.0


def test_a_lock_goes_to_whoever_has_waited_longest():
    lock = FairLock()
    order: list[str] = []
    threads = []
    with lock:
        for name in ("first", "second"):

            def wait(name: str = name) -> None:
                with lock:
                    order.append(name)

            threads.append(threading.Thread(target=wait))
            threads[-1].start()
            while len(lock._waiting) < len(threads):
                threading.Event().wait(0.001)
    with lock:
        order.append("the one before")
    for thread in threads:
        thread.join(WAIT)
    assert order == ["first", "second", "the one before"]
