"""Schedulers as the operator starts them, and everything that can befall a process."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from cronsched.lib.failpoints import VARIABLE
from cronsched.tests.processes import ROOT
from jobs.dispatch.journal import SUFFIX
from jobs.tests.chaos.evidence import Life
from jobs.tests.chaos.hosts import Network
from jobs.tests.chaos.stepped import step
from jobs.tests.scheduler.brokers import CeleryWorker

POLL_SECONDS = 0.02
JOURNAL_SECONDS = 0.25
# What a process writes when it has imported everything, and when it has handed over and lets requests end.
READY, WORKER_READY = "stands by", " ready."
DRAINING = "drains"
DRAIN_SECONDS = 3
# Importing, draining, and what a busy machine adds.
STOP_SECONDS = 30.0
# One that waits for a lock or an answer of the database has to lose patience first.
PASS_SECONDS = 90.0
START_SECONDS = 60.0
ENTRIES = {b"runscheduler", b"celery"}


class Scheduler:
    """One `runscheduler` process, or one of Celery's workers. What happens to it is written into its `life`."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path, life: Life) -> None:
        self.life = life
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=dict(environment), stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        self._watcher = threading.Thread(target=self._watch, name=f"watch {life.instance}", daemon=True)
        self._watcher.start()

    @property
    def is_alive(self) -> bool:
        return self.life.ended_at is None

    @property
    def is_stopped(self) -> bool:
        """Whether the process stands still, by our signal or by its own."""
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            stat = Path(f"/proc/{self._process.pid}/stat").read_text()
            return stat.rpartition(")")[2].split()[0] == "T"
        return False

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def insist(self) -> None:
        """Tell it to stop for the second time, once it drains; it may be too late."""
        while self.is_alive and DRAINING not in self.log:
            time.sleep(POLL_SECONDS)
        if self.is_alive:
            self.life.insisted_at = datetime.now(UTC)
            self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self.life.killed_at = datetime.now(UTC)
        self._signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.life.terminated_at = self.life.terminated_at or datetime.now(UTC)
        self._signal(signal.SIGTERM)

    def stop(self) -> None:
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def wait(self, seconds: float = STOP_SECONDS) -> bool:
        """Wait for the end; False where it did not come."""
        self._watcher.join(seconds)
        return not self.is_alive

    def _signal(self, number: signal.Signals) -> None:
        # It may have ended a moment ago.
        if self._process.poll() is None:
            self._process.send_signal(number)

    def _watch(self) -> None:
        """Write down when the process stops, goes on and ends."""
        stopped_at: datetime | None = None
        looked_at = 0.0
        while (code := self._process.poll()) is None:
            if self.is_stopped and stopped_at is None:
                stopped_at = datetime.now(UTC)
                self.life.stops.append((stopped_at, None))
            elif stopped_at is not None and not self.is_stopped:
                self.life.stops[-1] = (stopped_at, datetime.now(UTC))
                stopped_at = None
            ready = WORKER_READY if self.life.is_worker else READY
            if self.life.ready_at is None and ready in self.log:
                self.life.ready_at = datetime.now(UTC)
            if time.monotonic() - looked_at > JOURNAL_SECONDS:
                looked_at = time.monotonic()
                self.life.senders |= journals(self._process.pid)
            time.sleep(POLL_SECONDS)
        if stopped_at is not None:
            self.life.stops[-1] = (stopped_at, datetime.now(UTC))
        self.life.exit_code = code
        self.life.ended_at = datetime.now(UTC)


def journals(pid: int) -> set[UUID]:
    """Return the tokens of the journals that a process writes. It may be reading those of others."""
    found = set()
    for file in Path(f"/proc/{pid}/fd").glob("*"):
        # It may be closed meanwhile.
        with contextlib.suppress(OSError):
            path = Path(os.readlink(file))
            if path.suffix == SUFFIX and is_written(pid, file.name):
                found.add(UUID(path.stem))
    return found


def is_written(pid: int, file: str) -> bool:
    lines = Path(f"/proc/{pid}/fdinfo/{file}").read_text().splitlines()
    flags = next(int(line.partition(":")[2], 8) for line in lines if line.startswith("flags:"))
    return flags & os.O_ACCMODE != os.O_RDONLY


class Fleet:
    """The places schedulers run in, and from `workers_from` on Celery's workers. A place whose process has ended is
    empty until another is started there. With a `network` each place is on a host.
    """

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        *,
        sabotage: str = "",
        workers_from: int = sys.maxsize,
        network: Network | None = None,
    ) -> None:
        self.lives: list[Life] = []
        self.places: dict[int, Scheduler] = {}
        self.passes: list[Scheduler] = []
        self._folder = folder
        self._environment = dict(environment)
        self._sabotage = sabotage
        self._workers_from = workers_from
        self._network = network
        self._mark = f"DATABASE_URL={environment['DATABASE_URL']}".encode()

    def start(self, place: int, *, failpoints: str = "") -> Scheduler:
        """Start a process in an empty place."""
        assert place not in self.places or not self.places[place].is_alive
        number = len(self.lives)
        life = Life(instance=f"chaos-{place}-{number:04}", started_at=datetime.now(UTC), failpoints=failpoints)
        life.is_worker = place >= self._workers_from
        environment = {**self._environment, VARIABLE: failpoints}
        step(self.clock(place), 0)
        command = self._worker(life) if life.is_worker else self._scheduler(place, life)
        if self._network is not None:
            host = self._network.of(place)
            command = [*self._network.hosts[host].entry, *command]
            # Its own disk; the web process is on the first host.
            environment["JOURNAL_DIR"] += f"-{host}" if host else ""
        self.places[place] = Scheduler(command, environment, self._folder / f"{life.instance}.log", life)
        self.lives.append(life)
        return self.places[place]

    def _scheduler(self, place: int, life: Life) -> list[str]:
        stepped = ["-m", "jobs.tests.chaos.stepped", str(self.clock(place))]
        entry = ["-m", "jobs.tests.chaos.sabotaged", self._sabotage] if self._sabotage else stepped
        options = ["--drain-timeout", str(DRAIN_SECONDS), "--instance", life.instance]
        return [sys.executable, *entry, "runscheduler", *options]

    def _worker(self, life: Life) -> list[str]:
        return [sys.executable, *CeleryWorker.command, f"--hostname={life.instance}@%h"]

    def clock(self, place: int) -> Path:
        """Return the file that says by how much the clock in a place is ahead."""
        return self._folder / f"clock-{place}"

    def start_pass(self) -> Scheduler:
        """Start a process that does one pass beside the leader and ends."""
        life = Life(instance=f"chaos-pass-{len(self.passes):04}", started_at=datetime.now(UTC))
        command = [sys.executable, "manage.py", "runscheduler", "--once", "--instance", life.instance]
        self.passes.append(Scheduler(command, self._environment, self._folder / f"{life.instance}.log", life))
        return self.passes[-1]

    def wait_until_ready(self) -> None:
        """Wait until every process has imported all it needs and stands by."""
        deadline = time.monotonic() + START_SECONDS
        while not all(process.life.ready_at or not process.is_alive for process in self.places.values()):
            if time.monotonic() > deadline:
                raise RuntimeError(f"not all schedulers started within {START_SECONDS} s: {self.last_words()}")
            time.sleep(POLL_SECONDS)

    @property
    def alive(self) -> list[Scheduler]:
        return [process for process in self.places.values() if process.is_alive]

    def leader(self, holder: str) -> Scheduler | None:
        """Return the living process that `holder` names."""
        return next((process for process in self.alive if process.life.instance in holder), None)

    def end(self) -> None:
        """Tell all to stop, whatever state they are in, and wait for them; kill what does not listen."""
        for process in self.alive:
            process.go_on()
            process.terminate()
        for process in self.alive:
            if not process.wait():
                process.kill()
                process.wait()

    def kill(self) -> None:
        """Leave nothing behind, whatever happened."""
        for process in [*self.alive, *self.passes]:
            process.kill()
            process.wait()
        for pid in self._family():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def left_behind(self) -> list[str]:
        """Return which processes are still there some time after all have ended: workers, and who forks them."""
        deadline = time.monotonic() + STOP_SECONDS
        while (left := self._family()) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        return [f"process {pid}" for pid in left]

    def _family(self) -> list[int]:
        """Return all processes on this database that send."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            # It may have gone meanwhile, or be none of our business.
            with contextlib.suppress(OSError):
                is_ours = self._mark in (folder / "environ").read_bytes().split(b"\0")
                if is_ours and ENTRIES & set((folder / "cmdline").read_bytes().split(b"\0")):
                    found.append(int(folder.name))
        return found

    def last_words(self, lines: int = 25) -> str:
        """Return the ends of all logs, to be read after a failure."""
        logs = sorted(self._folder.glob("chaos-*.log"))
        return "\n".join(f"--- {log.name}\n" + "\n".join(log.read_text().splitlines()[-lines:]) for log in logs)


def web_workers(port: int) -> list[int]:
    """Return the ids of the processes that serve our `port`: children of `manage.py serve`, which replaces them."""
    masters = [pid for pid, parent in parents().items() if parent == os.getpid() and serves(pid, port)]
    return [pid for pid, parent in parents().items() if parent in masters]


def serves(pid: int, port: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return f"PORT={port}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return False


def parents() -> dict[int, int]:
    """Return the parent of every process."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    return found


def clean_environment(folder: Path, **settings: str) -> dict[str, str]:
    """Return an environment that holds nothing of the developer's own."""
    return {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "ENV_FILE": os.devnull,
        "DJANGO_SETTINGS_MODULE": "cronsched.settings",
        **settings,
    }
