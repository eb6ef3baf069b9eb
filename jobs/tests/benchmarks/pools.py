"""What a bare thread pool does: `size` requests at once from `width` threads, no database, no schedule, no history.

    python -m jobs.tests.benchmarks.pools client|session WIDTH SIZE URL START

It runs in a process of its own, as the scheduler does. `URL` ends before the number, `START` is in seconds (epoch).
"""

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import requests
from requests.adapters import HTTPAdapter

from cronsched.lib.http import AddressRules, ClientPolicy, HTTPClient, OutgoingRequest

Send = Callable[[int], None]


def through_our_client(url: str, width: int) -> Send:
    """Return what sends one request as our executors do, with nothing around it."""
    client = HTTPClient(ClientPolicy(addresses=AddressRules(allow_private=True), idle_connections=width))
    headers = {"Content-Type": "application/json"}

    def send(number: int) -> None:
        body = json.dumps({"number": number}).encode()
        answer = client.send(OutgoingRequest("POST", f"{url}{number}", headers, body))
        assert answer.status == 200

    return send


def through_a_session(url: str, width: int) -> Send:
    """Return what sends one request through a session that all threads share, with a connection for each of them."""
    session = requests.Session()
    session.mount("http://", HTTPAdapter(pool_connections=1, pool_maxsize=width))

    def send(number: int) -> None:
        answer = session.post(f"{url}{number}", json={"number": number}, timeout=10)
        assert answer.status_code == 200

    return send


KINDS = {"client": through_our_client, "session": through_a_session}


def main(kind: str, width: str, size: str, url: str, start: str) -> None:
    send = KINDS[kind](url, int(width))
    with ThreadPoolExecutor(int(width)) as pool:
        time.sleep(max(0.0, float(start) - time.time()))
        done = [pool.submit(send, number) for number in range(int(size))]
    for future in done:
        future.result()


if __name__ == "__main__":
    main(*sys.argv[1:])
