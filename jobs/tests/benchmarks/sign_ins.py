"""Clients that sign in by invented names, again and again, in a process of their own."""

import itertools
import threading
from collections import Counter
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from typing import Any

import requests

# As a client that heeds what it is told, more or less.
PAUSE_SECONDS = 0.5


def keep_trying(address: str, number: int, ended: Event, told: "Queue[Any]") -> None:
    """Try as `number` clients until `ended` is set; tell that they have begun, and then how often which status came."""
    statuses: Counter[int] = Counter()
    threads = [threading.Thread(target=_try, args=(address, client, ended, statuses)) for client in range(number)]
    for thread in threads:
        thread.start()
    told.put("begun")
    for thread in threads:
        thread.join()
    told.put(dict(statuses))


def _try(address: str, client: int, ended: Event, statuses: "Counter[int]") -> None:
    with requests.Session() as session:
        for number in itertools.count():
            person = {"username": f"nobody{client}-{number}", "password": "wrong password"}
            answer = session.post(f"{address}/api/v2/auth/login", json=person, timeout=60)
            statuses[answer.status_code] += 1
            if ended.wait(PAUSE_SECONDS):
                return
