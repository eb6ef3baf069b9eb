"""What a bare client does: `size` requests, `width` of them at once, no database, no schedule, no history.

    python -m jobs.tests.benchmarks.pools client|session|aiohttp WIDTH SIZE URL START

It runs in a process of its own, as the scheduler does. `URL` ends before the number, `START` is in seconds (epoch).
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator
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


async def through_aiohttp(url: str, width: int, size: int, start: float) -> None:
    """Send all of them through one session of aiohttp, from so many tasks."""
    import aiohttp

    async def send(session: aiohttp.ClientSession, numbers: Iterator[int]) -> None:
        for number in numbers:
            async with session.post(f"{url}{number}", json={"number": number}) as answer:
                await answer.read()
                assert answer.status == 200

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=width)) as session:
        await asyncio.sleep(max(0.0, start - time.time()))
        numbers = iter(range(size))
        await asyncio.gather(*(send(session, numbers) for _ in range(width)))


KINDS = {"client": through_our_client, "session": through_a_session}


def main(kind: str, width: str, size: str, url: str, start: str) -> None:
    if kind == "aiohttp":
        import uvloop

        uvloop.run(through_aiohttp(url, int(width), int(size), float(start)))
        return
    send = KINDS[kind](url, int(width))
    with ThreadPoolExecutor(int(width)) as pool:
        time.sleep(max(0.0, float(start) - time.time()))
        done = [pool.submit(send, number) for number in range(int(size))]
    for future in done:
        future.result()


if __name__ == "__main__":
    main(*sys.argv[1:])
