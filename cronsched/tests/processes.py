"""Real web processes for tests: the command of the Procfile, on an environment of their own."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 30.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def manage(*arguments: str, **environment: str) -> str:
    """Run a management command and return what it printed."""
    command = [sys.executable, "manage.py", *arguments]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def web_process(log: Path, **environment: str) -> Iterator[str]:
    """Serve as the Procfile does, write the output to `log`, and yield the address once it is being served."""
    port = free_port()
    settings = {**os.environ, "PORT": str(port), **environment}
    command = [sys.executable, "manage.py", "serve"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=settings, stdout=output, stderr=output)
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_for(address, process, log)
        yield address
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            requests.get(f"{address}/healthz", timeout=5)
        except (requests.ConnectionError, requests.Timeout):
            # Another process says nothing when it begins to listen, and a busy machine lets it begin slowly.
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"not served within {START_SECONDS} s: {log.read_text()}")
