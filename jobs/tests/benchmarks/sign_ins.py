"""Clients that sign in by invented names, again and again, in a process of their own."""

import itertools
import threading
import time
from collections import defaultdict
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from typing import Any

import requests

# As a client that heeds what it is told, more or less.
PAUSE_SECONDS = 0.5


def keep_trying(address: str, number: int, ended: Event, told: "Queue[Any]") -> None:
    """Try as `number` clients until `ended` is set; tell that they have begun, and then how many seconds each answer
    took, by its status.
    """
    taken: dict[int, list[float]] = defaultdict(list)
    threads = [threading.Thread(target=_try, args=(address, client, ended, taken)) for client in range(number)]
    for thread in threads:
        thread.start()
    told.put("begun")
    for thread in threads:
        thread.join()
    told.put(dict(taken))


def _try(address: str, client: int, ended: Event, taken: dict[int, list[float]]) -> None:
    with requests.Session() as session:
        for number in itertools.count():
            person = {"username": f"nobody{client}-{number}", "password": "wrong password"}
            began = time.perf_counter()
            answer = session.post(f"{address}/api/v2/auth/login", json=person, timeout=60)
            taken[answer.status_code].append(time.perf_counter() - began)
            if ended.wait(PAUSE_SECONDS):
                return
