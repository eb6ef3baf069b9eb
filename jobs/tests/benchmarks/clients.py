"""HTTP clients against the benchmark's target: requests a second, and processor time of the sender for each.

    python -m jobs.tests.benchmarks.clients [SIZE] [NAME ...]

Each contender runs in a process of its own and keeps `WIDTH` requests in flight (those with threads: `THREADS`).
`aiohttp` needs the packages aiohttp and uvloop, which are no part of the project's requirements.
"""

import asyncio
import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pycurl
import requests
from requests.adapters import HTTPAdapter

from cronsched.lib.http import AddressRules, ClientPolicy, HTTPClient, OutgoingRequest, RequestError, Response
from cronsched.tests.processes import ROOT
from jobs.tests.benchmarks.target import Target

WIDTH = 64
THREADS = 32
HEADERS = {"Content-Type": "application/json"}


def body(number: int) -> bytes:
    return json.dumps({"number": number}).encode()


def our_client() -> HTTPClient:
    return HTTPClient(ClientPolicy(addresses=AddressRules(allow_private=True), idle_connections=WIDTH))


def submitting(url: str, size: int) -> None:
    """Our client as the scheduler uses it: results come by callback."""
    client = our_client()
    numbers = iter(range(size))
    left, done = itertools.count(size - 1, -1), threading.Event()

    def send_next() -> None:
        if (number := next(numbers, None)) is not None:
            client.submit(OutgoingRequest("POST", f"{url}{number}", HEADERS, body(number)), finished)

    def finished(result: Response | RequestError) -> None:
        assert isinstance(result, Response)
        if next(left) == 0:
            done.set()
        send_next()

    for _ in range(WIDTH):
        send_next()
    done.wait()
    client.close()


def waiting(url: str, size: int) -> None:
    """Our client as a thread uses it that waits for each answer."""
    client = our_client()
    in_threads(
        size, lambda number: client.send(OutgoingRequest("POST", f"{url}{number}", HEADERS, body(number))).status
    )
    client.close()


def session(url: str, size: int) -> None:
    """One session of `requests` for all threads, with a connection for each."""
    session = requests.Session()
    session.mount("http://", HTTPAdapter(pool_connections=1, pool_maxsize=THREADS))
    in_threads(
        size,
        lambda number: session.post(f"{url}{number}", data=body(number), headers=HEADERS, timeout=10).status_code,
    )


def bare_curl(url: str, size: int) -> None:
    """libcurl with nothing around it: no vetting, no bounds, no outcome but the status."""
    multi, numbers = pycurl.CurlMulti(), iter(range(size))
    idle = [_handle() for _ in range(WIDTH)]
    in_flight = 0
    while True:
        for handle, number in zip(list(idle), numbers, strict=False):
            idle.remove(handle)
            handle.setopt(pycurl.URL, f"{url}{number}")
            handle.setopt(pycurl.POSTFIELDS, body(number))
            multi.add_handle(handle)
            in_flight += 1
        if not in_flight:
            return
        multi.perform()
        _, succeeded, failed = multi.info_read()
        assert not failed
        for handle in succeeded:
            multi.remove_handle(handle)
            idle.append(handle)
            in_flight -= 1
        if not succeeded:
            multi.select(1.0)


def _handle() -> pycurl.Curl:
    handle = pycurl.Curl()
    handle.setopt(pycurl.HTTPHEADER, [f"{name}: {value}" for name, value in HEADERS.items()])
    handle.setopt(pycurl.WRITEFUNCTION, len)
    return handle


def aiohttp_on_uvloop(url: str, size: int) -> None:
    import aiohttp
    import uvloop

    async def work(session: "aiohttp.ClientSession", numbers: Iterator[int]) -> None:
        for number in numbers:
            async with session.post(f"{url}{number}", data=body(number), headers=HEADERS) as answer:
                await answer.read()
                assert answer.status == 200

    async def send_all() -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            numbers = iter(range(size))
            await asyncio.gather(*(work(session, numbers) for _ in range(WIDTH)))

    uvloop.run(send_all())


def in_threads(size: int, send: Callable[[int], int]) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        assert set(pool.map(send, range(size))) == {200}


CONTENDERS: dict[str, Callable[[str, int], None]] = {
    "requests": session,
    "aiohttp": aiohttp_on_uvloop,
    "curl": bare_curl,
    "client-threads": waiting,
    "client": submitting,
}


def measure(name: str, url: str, size: int) -> None:
    """Run one contender in this process and print how long it took and what it cost."""
    CONTENDERS[name](url, 200)
    began, used = time.perf_counter(), time.process_time()
    CONTENDERS[name](url, size)
    print(json.dumps([time.perf_counter() - began, time.process_time() - used]))


def compare(size: int, names: list[str]) -> None:
    print(f"| client | requests a second | processor each | against `client` |\n|{'---|' * 4}")
    rows: dict[str, tuple[float, float]] = {}
    for name in names:
        with Target() as target:
            command = [
                sys.executable,
                "-m",
                "jobs.tests.benchmarks.clients",
                "--one",
                name,
                target.url("now", ""),
                str(size),
            ]
            done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
            seconds, used = json.loads(done.stdout)
            assert target.count() == size + 200
        rows[name] = seconds, used
    for name, (seconds, used) in rows.items():
        ratio = f"{used / rows['client'][1]:.1f}x" if "client" in rows else ""
        print(f"| {name} | {size / seconds:,.0f} | {used / size * 1e6:.0f} us | {ratio} |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        measure(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        compare(int(sys.argv[1]) if sys.argv[1:] else 20_000, sys.argv[2:] or list(CONTENDERS))
