"""Carry out a script: processes, database and people at the same time, then peace, then the evidence."""

import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from cronsched.tests.processes import manage, web_process
from jobs.tests.chaos import databases, hosts, watch
from jobs.tests.chaos.checker import CLOCK, FINAL, RECOVERY, Record, Report, check, missing
from jobs.tests.chaos.client import Client, current, pretend_due_since, pretend_ended_at
from jobs.tests.chaos.databases import Database, DatabaseAway, Mariadb, Questions, Server, Sqlite
from jobs.tests.chaos.evidence import MINUTE, Evidence, JobLog, Life, Mode, Outage
from jobs.tests.chaos.hosts import Network
from jobs.tests.chaos.processes import PASS_SECONDS, Fleet, Scheduler, clean_environment, web_workers
from jobs.tests.chaos.script import (
    ASIDE,
    PEACE_SECONDS,
    PLAIN,
    RESTART_SECONDS,
    RIG_SECONDS,
    STOP_SECONDS,
    Script,
    Step,
    draw_failpoints,
    write_script,
)
from jobs.tests.chaos.stepped import step as set_clock
from jobs.tests.chaos.target import SLOW_SECONDS, Target
from jobs.tests.chaos.watch import Watcher
from jobs.tests.scheduler.brokers import Broker, Cable, started

PASSWORD = "a-password-for-chaos"
# As if no leader had scheduled some jobs for so long when the run begins; their grace times lie on both sides.
NEGLECTED = timedelta(minutes=47)
SHORT_GRACE_SECONDS = 600
# The end date of some jobs lies behind them when the run begins, and fire times before it are due; all within grace.
DUE_BEFORE_END = timedelta(minutes=15)
LONG_GRACE_SECONDS = 2 * 3600
HEAD_START_SECONDS = 3.0
KEEPER_SECONDS = 0.1
# An unknown run is called so after its timeout, a margin and half a minute more; then it is looked at again.
SETTLE_SECONDS = 120.0
LOOK_SECONDS = 1.0
# How long a fault of the database, or one that wants peace, waits for another to end.
PATIENCE_SECONDS = 120.0
LOOPBACK = "127.0.0.1"
LETTER = b"this is a letter, not a database\n" * 1000
MANUAL_RUNS = 6
FLOOD_ROWS, FLOOD_RUNS, FLOOD_AT_ONCE = 60, 40, 8


@dataclass(frozen=True)
class Plan:
    """What kind of run this is. `neglected` and `ended` jobs have due fire times from the first second on."""

    seed: int
    kind: str = "sqlite"
    minutes: float = 10.0
    jobs: int = 120
    schedulers: int = 3
    # Celery's workers, where a broker ("redis", "rabbitmq") carries what is due.
    broker: str = ""
    workers: int = 2
    # Whether processes are on hosts of their own, which may be cut off.
    on_hosts: bool = False
    neglected: int = 9
    ended: int = 6
    sabotage: str = ""
    settle_seconds: float = SETTLE_SECONDS
    # A migrated SQLite file with the first administrator in it, to save the time that makes one.
    template: Path | None = None
    # Instead of the script that the seed would give.
    script: Script | None = None
    # Of the processes that are there at first, by their places.
    failpoints: Sequence[str] = ()

    @property
    def places(self) -> int:
        return self.schedulers + (self.workers if self.broker else 0)


@dataclass
class Outcome:
    """The result of a run, with everything that is needed to find out why."""

    report: Report
    script: Script
    history: list[str]
    logs: str
    evidence: Evidence

    def summary(self) -> str:
        """Return what is wrong, and what befalls processes and the database: planned and as it came."""
        happened = "\n".join(self.history)
        faults = "\n".join(map(str, self.script.faults()))
        return f"{self.report.complaints()}\n\nPlanned faults\n{faults}\n\nAs it came\n{happened}"

    def story(self) -> str:
        """Return all that is known, to find out why."""
        return f"{self.summary()}\n\n{self.script}\n\n{self.logs}"


class Stage:
    """Everything a run consists of while it goes on."""

    def __init__(
        self,
        plan: Plan,
        script: Script,
        database: Database,
        fleet: Fleet,
        client: Client,
        *,
        broker: Broker | None = None,
        network: Network | None = None,
    ) -> None:
        self.plan = plan
        self.broker = broker
        self.network = network
        # By the number of the host.
        self.cuts: list[tuple[int, datetime, datetime]] = []
        self.script = script
        self.database = database
        self.fleet = fleet
        self.client = client
        self.outages: list[Outage] = []
        self.faults: list[Outage] = []
        self.flooder = client.befriend("flooder", PASSWORD)
        self.flooded = 0
        self.web_stops: list[datetime] = []
        self.web_kills: list[datetime] = []
        self.history: list[str] = []
        self.calm = threading.Event()
        self.watcher: Watcher | None = None
        self._began = time.monotonic()
        # Who deals with a place leaves it to nobody else meanwhile; so with the database.
        self._places = {place: threading.Lock() for place in range(plan.places)}
        self._database = threading.Lock()
        self._web, self._flood = threading.Lock(), threading.Lock()
        self._hosts = threading.Lock()
        self._chance = random.Random(f"{plan.seed}/keeper")

    def note(self, text: str) -> None:
        self.history.append(f"{datetime.now(UTC):%H:%M:%S.%f} {text}")

    # --- The script

    def play(self) -> None:
        """Do every step at its time, then let calm come. Raises what any of them raised."""
        self._began = time.monotonic()
        changes = [step for step in self.script.steps if hasattr(self, f"change_{step.verb}")]
        faults = [step for step in self.script.steps if hasattr(self, f"fault_{step.verb}")]
        with ThreadPoolExecutor(24, thread_name_prefix="chaos") as pool:
            keeper = pool.submit(self._keep)
            people = [
                pool.submit(self._each, [step for step in changes if (step.verb in ASIDE) is aside], self._change)
                for aside in (False, True)
            ]
            events: list[Future[None]] = []
            self._each(faults, lambda step: events.append(pool.submit(self._fault, step)))
            self._wait_until(self.plan.minutes * 60)
            self.calm.set()
            for future in [*people, keeper, *events]:
                future.result()

    def _each(self, steps: Sequence[Step], act: Callable[[Step], Any]) -> None:
        for step in steps:
            self._wait_until(step.at)
            if self.calm.is_set():
                return
            act(step)

    def _wait_until(self, seconds: float) -> None:
        self.calm.wait(max(0.0, self._began + seconds - time.monotonic()))

    def _change(self, step: Step) -> None:
        getattr(self, f"change_{step.verb}")(**step.arguments)

    def _fault(self, step: Step) -> None:
        arguments = dict(step.arguments)
        with ExitStack() as stack:
            if arguments.pop("in_peace", False):
                for place in self._places:
                    stack.enter_context(self._holding(place, PATIENCE_SECONDS))
            getattr(self, f"fault_{step.verb}")(**arguments)

    # --- What people do

    def change_create(self, **drawn: Any) -> None:
        self.client.create(drawn)

    def change_upload(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self.client.upload(rows)

    def change_edit(self, job: int, **drawn: Any) -> None:
        self.client.edit(self._chosen(job), drawn)

    def change_pause(self, job: int) -> None:
        self.client.set_active(self._chosen(job), False)

    def change_resume(self, job: int) -> None:
        """Resume a paused one, if there is any."""
        paused = [log for log in self.client.living if not is_active(log)]
        if paused:
            self.client.set_active(paused[job % len(paused)], True)

    def change_delete(self, job: int) -> None:
        self.client.delete(self._chosen(job))

    def change_execute(self, job: int) -> None:
        self.client.execute(self._chosen(job))

    def change_resync(self) -> None:
        self.client.resync()

    def _chosen(self, number: int) -> JobLog:
        living = self.client.living
        return living[number % len(living)]

    # --- What befalls processes

    def fault_kill(self, place: int, seconds: float, failpoints: str) -> None:
        with self._holding(place) as process:
            if process is not None:
                self.note(f"kill -9 {process.life.instance}")
                process.kill()
                process.wait()
                self._start_again(process, seconds, failpoints)

    def fault_terminate(self, place: int, seconds: float, failpoints: str) -> None:
        with self._holding(place) as process:
            if process is not None:
                self.note(f"SIGTERM {process.life.instance}")
                process.terminate()
                if not process.wait():
                    self.note(f"{process.life.instance} did not end")
                    process.kill()
                    process.wait()
                self._start_again(process, seconds, failpoints)

    def fault_insist(self, place: int, seconds: float, failpoints: str) -> None:
        """Tell a process to stop, and once more while it drains."""
        with self._holding(place) as process:
            if process is not None:
                self.note(f"SIGTERM {process.life.instance}, to be repeated")
                process.terminate()
                # Celery's workers take a second one as an order to drop everything.
                if not process.life.is_worker:
                    process.insist()
                    self.note(f"second SIGTERM {process.life.instance}")
                process.wait()
                self._start_again(process, seconds, failpoints)

    def fault_once(self) -> None:
        """Run one `runscheduler --once` beside the leader."""
        process = self.fleet.start_pass()
        self.note(f"start {process.life.instance}")
        if not process.wait(PASS_SECONDS):
            process.kill()
            process.wait()
        self.note(f"{process.life.instance} ended ({process.life.exit_code})")

    def fault_stop(self, place: int, seconds: float) -> None:
        with self._holding(place) as process:
            if process is not None:
                self.note(f"SIGSTOP {process.life.instance} for {seconds} s")
                process.stop()
                self.calm.wait(seconds)
                process.go_on()
                self.note(f"SIGCONT {process.life.instance}")

    def fault_rig(self, failpoints: str) -> None:
        """Let a process with a fail point lead: it starts anew and stands by, then all others die."""
        with ExitStack() as stack:
            held = [stack.enter_context(self._holding(place)) for place in self._places]
            assert self.watcher is not None
            leader = self.fleet.leader(self.watcher.holder)
            standby = next((process for process in held if may_lead(process) and process is not leader), None)
            if standby is None:
                return
            others = [process for process in held if process is not None and process is not standby]
            life = self._put_in_place_of(standby, failpoints)
            # A standby takes over when it has looked on for long enough, so who looks first wins.
            self.calm.wait(HEAD_START_SECONDS)
            for process in others:
                process.kill()
            self.note(f"kill -9 {', '.join(process.life.instance for process in others)}: {life.instance} is to lead")
            self.calm.wait(HEAD_START_SECONDS)
            for process in others:
                process.wait()
                self._start(place_of(process))
        # Until it has died there nothing else befalls it.
        with self._holding(place_of(standby)) as rigged:
            ends_at = time.monotonic() + RIG_SECONDS
            while rigged is not None and rigged.is_alive and time.monotonic() < ends_at:
                if self.calm.wait(KEEPER_SECONDS):
                    break

    def fault_loss(self, seconds: float) -> None:
        """Kill the leader so many seconds before a herd, and let nothing else befall its successor for a while."""
        with ExitStack() as stack:
            held = [stack.enter_context(self._holding(place)) for place in self._places]
            assert self.watcher is not None
            leader = self.fleet.leader(self.watcher.holder)
            standbys = [process for process in held if process is not None and process is not leader]
            if leader is None or leader not in held or not any(map(may_lead, standbys)):
                return
            if not self._database.acquire(blocking=False):
                return
            stack.callback(self._database.release)
            for process in standbys:
                # One with a fail point sends when it likes.
                if process.life.failpoints:
                    self._put_in_place_of(process)
            self.calm.wait(max(0.0, 60 - time.time() % 60 - seconds))
            self.note(f"kill -9 {leader.life.instance}, and peace")
            leader.kill()
            leader.wait()
            self.calm.wait(seconds + PEACE_SECONDS)
            self._start(place_of(leader))

    def _put_in_place_of(self, process: Scheduler, failpoints: str = "") -> Life:
        """Kill a process, start another in its place and wait until that is ready, or has ended."""
        process.kill()
        process.wait()
        self._start(place_of(process), failpoints)
        life = self.fleet.lives[-1]
        while life.ready_at is None and life.ended_at is None and not self.calm.wait(KEEPER_SECONDS):
            pass
        return life

    def _start_again(self, process: Scheduler, seconds: float, failpoints: str) -> None:
        self.calm.wait(seconds)
        self._start(place_of(process), "" if self.calm.is_set() else failpoints)

    def _start(self, place: int, failpoints: str = "") -> None:
        process = self.fleet.start(place, failpoints=failpoints)
        self.note(f"start {process.life.instance} {failpoints}".rstrip())

    @contextmanager
    def _holding(self, place: int, patience: float = 0) -> Iterator[Scheduler | None]:
        """Yield the process in a place (-1: the leader's), or None if it is gone or somebody deals with it already.

        Waits for that somebody up to `patience` seconds.
        """
        if place < 0:
            assert self.watcher is not None
            leader = self.fleet.leader(self.watcher.holder)
            place = place_of(leader) if leader else 0
        if not self._places[place].acquire(timeout=patience):
            yield None
            return
        try:
            process = self.fleet.places.get(place)
            yield process if process is not None and process.is_alive and not process.is_stopped else None
        finally:
            self._places[place].release()

    def _keep(self) -> None:
        """Start again what died at a fail point, and wake up what stopped itself."""
        wake_at: dict[str, float] = {}
        while not self.calm.wait(KEEPER_SECONDS):
            for place, lock in self._places.items():
                if lock.acquire(blocking=False):
                    try:
                        self._look_after(place, wake_at)
                    finally:
                        lock.release()

    def _look_after(self, place: int, wake_at: dict[str, float]) -> None:
        process = self.fleet.places.get(place)
        if process is None:
            return
        name, now = process.life.instance, time.monotonic()
        if not process.is_alive:
            if name not in wake_at:
                self.note(f"{name} ended ({process.life.exit_code})")
                wake_at[name] = now + self._chance.uniform(*RESTART_SECONDS)
            elif now >= wake_at[name]:
                self._start(place, draw_failpoints(self._chance))
        elif process.is_stopped:
            if name not in wake_at:
                self.note(f"{name} stopped itself")
                wake_at[name] = now + self._chance.uniform(*STOP_SECONDS)
            elif now >= wake_at[name]:
                process.go_on()
                del wake_at[name]
                self.note(f"SIGCONT {name}")

    def fault_kill_web(self) -> None:
        """Kill a web worker, whatever it is doing; its master starts another."""
        with self._web:
            for worker in web_workers(self.client.port):
                self.note(f"kill -9 web worker {worker}")
                self.web_kills.append(datetime.now(UTC))
                send(worker, signal.SIGKILL)

    def fault_end_web(self, is_killed: bool) -> None:
        """End the web workers amid manual runs: by kill -9, or as an operator does, who loses none of them."""
        with self._web, ThreadPoolExecutor(1) as people:
            slow = [job for job in self.client.living if current(job).mode == Mode.SLOW] or self.client.living
            runs = people.submit(self.client.execute_many, slow, MANUAL_RUNS, at_once=MANUAL_RUNS)
            self.calm.wait(SLOW_SECONDS / 2)
            for worker in web_workers(self.client.port):
                self.note(f"{'kill -9' if is_killed else 'SIGTERM'} web worker {worker} amid manual runs")
                (self.web_kills if is_killed else self.web_stops).append(datetime.now(UTC))
                send(worker, signal.SIGKILL if is_killed else signal.SIGTERM)
            runs.result()

    # --- What one owner does to all others

    def fault_flood(self, seconds: float) -> None:
        """Let one owner upload jobs of each minute whose target hangs, and start manual runs of them all the time."""
        if not self._flood.acquire(blocking=False):
            return
        try:
            with self._trouble("flood"):
                ends_at = time.monotonic() + seconds
                rows = [{**PLAIN, "mode": Mode.HANG, "max_attempts": 1} for _ in range(FLOOD_ROWS)]
                self.flooder.upload(rows)
                self.flooded += len(rows)
                jobs = self.flooder.living
                while time.monotonic() < ends_at and not self.calm.is_set():
                    self.flooder.execute_many(jobs, FLOOD_RUNS, at_once=FLOOD_AT_ONCE)
                    self.flooded += FLOOD_RUNS
            for job in self.flooder.living:
                self.flooder.delete(job)
        finally:
            self._flood.release()

    # --- What befalls clocks

    def fault_clock(self, seconds: float, step: float) -> None:
        """Set the clock of the leader's host, set it right again, and let nothing be in the way of the next fire."""
        # SQLite has no clock but its host's. A server's is asked by all, whatever their own says.
        is_judge = isinstance(self.database, Sqlite)
        with self._web, self._database_to_oneself() as is_alone:
            leader = self._sound_leader() if is_alone else None
            if leader is None:
                return
            with self._written_down(CLOCK, self.outages if is_judge else self.faults):
                self.note(f"clock of {leader.life.instance} {step:+g} s for {seconds} s")
                set_clock(self.fleet.clock(place_of(leader)), step)
                self.calm.wait(seconds)
                set_clock(self.fleet.clock(place_of(leader)), 0)
            # What a clock ahead has brought before its time does not come again.
            ahead = max(0.0, step) if is_judge else 0.0
            self.calm.wait(ahead + 60 - (time.time() + ahead) % 60 + RECOVERY + 2)

    def _sound_leader(self) -> Scheduler | None:
        """Return who leads, as it is shipped: whoever is rigged has others put in its place. None if nobody comes."""
        assert self.watcher is not None
        for process in list(self.fleet.places.values()):
            if process.is_alive and process.life.failpoints:
                self._put_in_place_of(process)
        ends_at = time.monotonic() + PEACE_SECONDS
        while time.monotonic() < ends_at and not self.calm.wait(KEEPER_SECONDS):
            leader = self.fleet.leader(self.watcher.holder)
            if leader is not None and leader.is_alive:
                return leader
        return None

    def fault_power_cut(self, seconds: float) -> None:
        """Kill all schedulers at once, and crash the database's server with them."""
        with ExitStack() as stack:
            held = [stack.enter_context(self._holding(place)) for place in self._places]
            processes = [process for process in held if process is not None]
            # A file needs no recovery: it is there again at once.
            server = self.database if isinstance(self.database, Server) else None
            is_alone = server is not None and stack.enter_context(self._outage("crashed"))
            for process in processes:
                process.kill()
            self.note(f"power cut: {', '.join(process.life.instance for process in processes)}")
            if server is not None and is_alone:
                server.crash()
                server.start()
            self.calm.wait(seconds)
            for process in processes:
                process.wait()
                self._start(place_of(process))

    # --- What befalls brokers and hosts

    def fault_broker_restart(self) -> None:
        """Let the broker forget everything and everybody."""
        assert self.broker is not None
        with self._trouble("broker restarted"):
            self.broker.restart()

    def fault_broker_empty(self) -> None:
        assert self.broker is not None
        with self._trouble("broker emptied"):
            self.broker.empty()

    def fault_broker_away(self, seconds: float) -> None:
        """Let the broker refuse connections, and end those there are."""
        self._befall_cables("broker away", Cable.cut, seconds)

    def fault_broker_silent(self, seconds: float) -> None:
        """Let the broker answer nobody, without closing a connection."""
        self._befall_cables("broker silent", Cable.swallow, seconds)

    def _befall_cables(self, what: str, fault: Callable[[Cable], None], seconds: float) -> None:
        assert self.broker is not None
        with self._trouble(what):
            for cable in self.broker.cables:
                fault(cable)
            self.calm.wait(seconds)
            for cable in self.broker.cables:
                cable.repair()

    def fault_cut(self, host: int, seconds: float) -> None:
        """Cut a host off from the database; nothing else befalls its processes meanwhile."""
        assert self.network is not None
        if host < 0:
            assert self.watcher is not None
            leader = self.fleet.leader(self.watcher.holder)
            host = self.network.of(place_of(leader)) if leader else 0
        with self._hosts, ExitStack() as stack:
            for place in self._places:
                if self.network.of(place) == host:
                    stack.enter_context(self._holding(place))
            began = datetime.now(UTC)
            with self._trouble(f"host {host} cut off"):
                self.network.hosts[host].cut()
                self.calm.wait(seconds)
                self.network.hosts[host].heal()
            self.cuts.append((host, began, datetime.now(UTC)))
            # What it kept is written first.
            self.calm.wait(RECOVERY)

    # --- What befalls the database

    def fault_lock(self, seconds: float) -> None:
        self._outage_by("locked", self._sqlite.locked, seconds)

    def fault_damage(self, seconds: float) -> None:
        self._outage_by("damaged", partial(self._sqlite.damaged, LETTER), seconds)

    def fault_fill(self, seconds: float) -> None:
        """Leave no room on the disk, for anybody."""
        self._outage_by("full", self.database.full, seconds)

    def fault_read_only(self, seconds: float) -> None:
        self._outage_by("read-only", self._server.read_only, seconds)

    def fault_away(self, seconds: float) -> None:
        """Let the database be away for long."""
        if isinstance(self.database, Sqlite):
            self._outage_by("away", partial(self.database.damaged, None), seconds)
        else:
            self._outage_by("away", self._server.away, seconds)

    def fault_swallow(self, seconds: float) -> None:
        """Lose the answers to some commits, each with its connection."""
        self._outage_by("swallowed commits", self._server.swallowing, seconds)

    def fault_sever(self, seconds: float) -> None:
        """Terminate the service's connections, one after the other."""
        with self._outage("severed") as is_alone:
            if is_alone:
                connections = self._server.connections()
                for connection in connections:
                    self._server.terminate(connection)
                    self.calm.wait(seconds / len(connections))

    def fault_refuse(self, seconds: float, table: str) -> None:
        """Let the database refuse what follows from runs. What they came to must not be lost for it."""
        questions = Questions(self.database)
        # A locked or absent database could not be told.
        with self._database, self._trouble(f"rows refused ({table})"):
            with watch.refused(questions, table):
                self.calm.wait(seconds)
            questions.close()

    def _outage_by(self, what: str, fault: Callable[[], AbstractContextManager[None]], seconds: float) -> None:
        with self._outage(what) as is_alone:
            if is_alone:
                with fault():
                    self.calm.wait(seconds)

    def fault_restart(self, seconds: float) -> None:
        self._outage_by("restarted", self._server.away, 0)

    def fault_stop_database(self, seconds: float) -> None:
        self._outage_by("stopped", self._server.away, seconds)

    def fault_crash(self, seconds: float) -> None:
        with self._outage("crashed") as is_alone:
            if is_alone:
                self._server.crash()
                self.calm.wait(seconds / 4)
                self._server.start()

    def fault_freeze(self, seconds: float) -> None:
        server = self._server
        assert isinstance(server, Mariadb)
        with self._outage("frozen") as is_alone:
            if is_alone:
                server.freeze()
                self.calm.wait(seconds)
                server.thaw()

    @property
    def _server(self) -> Server:
        assert isinstance(self.database, Server)
        return self.database

    @property
    def _sqlite(self) -> Sqlite:
        assert isinstance(self.database, Sqlite)
        return self.database

    @contextmanager
    def _outage(self, what: str) -> Iterator[bool]:
        """Write down a time without a database; False where none is allowed now or another lasts too long."""
        with self._database_to_oneself() as is_alone:
            if not is_alone:
                yield False
                return
            with self._written_down(what, self.outages):
                yield True
            # Another would not let anybody see how soon all is well again.
            self.calm.wait(RECOVERY + 2)

    @contextmanager
    def _database_to_oneself(self) -> Iterator[bool]:
        """Let nothing else befall the database; False where all is over or something else lasts too long."""
        if not self._database.acquire(timeout=PATIENCE_SECONDS):
            yield False
            return
        try:
            yield not self.calm.is_set()
        finally:
            self._database.release()

    def _trouble(self, what: str) -> AbstractContextManager[None]:
        """Write down a time in which something is amiss that must do no harm."""
        return self._written_down(what, self.faults)

    @contextmanager
    def _written_down(self, what: str, kind: list[Outage]) -> Iterator[None]:
        began = datetime.now(UTC)
        self.note(f"begin: {what}")
        # A check before the end must know of it, too.
        lasting = Outage(what, began, datetime.max.replace(tzinfo=UTC))
        kind.append(lasting)
        try:
            yield
        finally:
            kind[kind.index(lasting)] = Outage(what, began, datetime.now(UTC))
            self.note(f"end: {what}, after {(datetime.now(UTC) - began).total_seconds():.1f} s")

    # --- Afterwards

    def make_peace(self) -> None:
        """Leave only processes as they are shipped, all of them running."""
        for place in range(self.plan.places):
            process = self.fleet.places[place]
            process.go_on()
            if process.is_alive and process.life.failpoints:
                process.terminate()
                if not process.wait():
                    process.kill()
                    process.wait()
            if not process.is_alive:
                self._start(place)


def may_lead(process: Scheduler | None) -> bool:
    return process is not None and not process.life.is_worker


def place_of(process: Scheduler) -> int:
    return int(process.life.instance.split("-")[1])


def send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def is_active(job: JobLog) -> bool:
    definition = job.changes[-1].definition
    return definition is not None and definition.is_active


# --- A run, from an empty folder to a report -------------------------------------------------------------------------


def run(plan: Plan, folder: Path) -> Outcome:
    """Set everything up, play the script, wait until all is settled, and judge."""
    with ExitStack() as stack:
        network = stack.enter_context(hosts.network()) if plan.on_hosts else None
        there = {"host": network.database} if network else {}
        database = stack.enter_context(databases.database(plan.kind, folder, may_fill=plan.script is None, **there))
        target = stack.enter_context(Target(network.rest) if network else Target())
        broker = stack.enter_context(contextmanager(started)(plan.broker)) if plan.broker else None
        midnight = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        environment = settings_of(database, folder, midnight)
        if broker is not None:
            environment |= settings_of_broker(broker, LOOPBACK if network is None else network.rest)
        prepare(plan, database, environment)
        questions = Questions(database)
        stack.callback(questions.close)
        if "no-unique" in plan.sabotage:
            watch.drop_unique_constraint(questions, database.vendor)
        watch.install_audit(questions, database.vendor)
        address = stack.enter_context(web_process(folder / "web.log", **environment))
        client = Client(address, PASSWORD, target)
        stack.callback(client.close)
        fleet = Fleet(folder, environment, sabotage=plan.sabotage, workers_from=plan.schedulers, network=network)
        stack.callback(fleet.kill)
        script = plan.script or write_script(
            plan.seed,
            start=datetime.now(UTC),
            minutes=plan.minutes,
            jobs=plan.jobs,
            places=plan.places,
            database_faults=database.faults,
            has_broker=broker is not None,
            on_hosts=plan.on_hosts,
        )
        stage = Stage(plan, script, database, fleet, client, broker=broker, network=network)
        stack.callback(stage.flooder.close)
        populate(stage, questions, midnight)
        with Watcher(database, target.arrivals, client.probe) as stage.watcher:
            for place in range(plan.places):
                stage._start(place, plan.failpoints[place] if place < len(plan.failpoints) else "")
            fleet.wait_until_ready()
            stage.play()
            stage.note("calm")
            stage.make_peace()
            until = datetime.now(UTC)
            wait_until_settled(stage, target, questions, until)
            fleet.end()
            evidence = gather(stage, target, questions, until)
            evidence.left_behind = fleet.left_behind()
            evidence.verdicts = [
                told for job in client.jobs if not (job.deleted or job.is_broken) for told in client.why(job, until)
            ]
        report = check(evidence)
        return Outcome(report, script, stage.history, fleet.last_words(), evidence)


def prepare(plan: Plan, database: Database, environment: Mapping[str, str]) -> None:
    """Make tables and the first administrator."""
    if plan.template is not None:
        assert isinstance(database, Sqlite)
        shutil.copy(plan.template, database.path)
    else:
        manage("migrate", "--verbosity", "0", **environment)
        manage("create_first_admin", **environment)


def zone_of(midnight: datetime) -> str:
    """Return a zone in which a day begins at that whole hour."""
    hour = midnight.astimezone(UTC).hour
    # Their signs are those of POSIX: west is positive.
    return f"Etc/GMT{hour if hour <= 12 else hour - 24:+d}"


def settings_of(database: Database, folder: Path, midnight: datetime) -> dict[str, str]:
    """Return the environment of all processes: production's, on a private database, with a loopback target.

    End dates are days of the scheduler's zone: one that begins at `midnight`.
    """
    # On a disk of its own SQLite's journals of senders are on it, too.
    journal = {} if isinstance(database, Sqlite) else {"JOURNAL_DIR": str(folder / "journal")}
    return clean_environment(
        folder,
        **journal,
        DEBUG="false",
        SECRET_KEY="a-secret-for-chaos-only-0123456789-abcdefghij",
        DATABASE_URL=database.url,
        ALLOW_DEFAULT_ADMIN="true",
        DEFAULT_ADMIN_PASSWORD=PASSWORD,
        WEBHOOK_ALLOWED_CIDRS="127.0.0.0/8,10.78.0.0/16",
        JWT_ACCESS_TOKEN_EXPIRES="86400",
        SCHEDULER_POLL_SECONDS="10",
        SCHEDULER_TIMEZONE=zone_of(midnight),
        MANUAL_RUN_WAIT_SECONDS="5",
        DRAIN_TIMEOUT_SECONDS="3",
        MAIL_ENABLED="false",
        WEB_WORKERS="1",
        MAX_IN_FLIGHT="80",
        LOG_LEVEL="INFO",
    )


def settings_of_broker(broker: Broker, host: str) -> dict[str, str]:
    """Return what lets processes find the broker at the address `host`, by a cable that can be cut."""
    url = broker.address(broker.cable(host).port).replace(LOOPBACK, host)
    return {"EXECUTION_BACKEND": "celery", "CELERY_BROKER_URL": url}


def populate(stage: Stage, questions: Questions, midnight: datetime) -> None:
    """Create the jobs; let some look as if no leader had scheduled them for a while, end some, and break two."""
    for drawn in stage.script.jobs:
        stage.client.create(drawn)
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    for number in range(stage.plan.neglected):
        neglect(stage, questions, number, now - NEGLECTED)
    for number in range(stage.plan.ended):
        end(stage, questions, number, midnight)
    if stage.plan.neglected:
        spoil(stage, questions, "cron_expression", "61 * * * *", now - MINUTE)
        spoil(stage, questions, "timezone", "Mars/Olympus_Mons", now - MINUTE)


def neglect(stage: Stage, questions: Questions, number: int, since: datetime) -> None:
    """Make a job that fires every minute and set its `next_fire_at` back."""
    drawn = {
        **PLAIN,
        "mode": (Mode.OK, Mode.SLOW, Mode.ERROR)[number % 3],
        "catch_up": ("all", "latest", "none")[number // 3 % 3],
        "misfire_grace_seconds": SHORT_GRACE_SECONDS if number % 2 else PLAIN["misfire_grace_seconds"],
    }
    job = stage.client.create(drawn)
    set_in_database(stage, questions, job, next_fire_at=since)
    pretend_due_since(job, since)


def end(stage: Stage, questions: Questions, number: int, midnight: datetime) -> None:
    """Make a job whose last day ended at `midnight` and which still has its last fire times due."""
    drawn = {
        **PLAIN,
        "mode": (Mode.OK, Mode.FLAKY)[number % 2],
        "max_attempts": 3,
        "catch_up": ("latest", "all", "none")[number % 3],
        "misfire_grace_seconds": LONG_GRACE_SECONDS,
    }
    job = stage.client.create(drawn)
    last_day = (midnight - MINUTE).astimezone(ZoneInfo(zone_of(midnight))).date()
    set_in_database(stage, questions, job, next_fire_at=midnight - DUE_BEFORE_END, end_date=last_day.isoformat())
    pretend_due_since(job, midnight - DUE_BEFORE_END)
    pretend_ended_at(job, midnight)


def spoil(stage: Stage, questions: Questions, column: str, value: str, due: datetime) -> None:
    """Break a job in the database, as no API would let anybody."""
    job = stage.client.create(PLAIN)
    set_in_database(stage, questions, job, next_fire_at=due, **{column: value})
    job.is_broken = True


def set_in_database(stage: Stage, questions: Questions, job: JobLog, *, next_fire_at: datetime, **values: str) -> None:
    moment = next_fire_at if stage.database.vendor == "postgres" else next_fire_at.replace(tzinfo=None).isoformat(" ")
    values_by_column: dict[str, Any] = {"next_fire_at": moment, **values}
    assignments = ", ".join(f"{column} = %s" for column in values_by_column)
    parameters = [*values_by_column.values(), watch.key(stage.database.vendor, job.id)]
    questions.ask(f"UPDATE jobs SET {assignments} WHERE id = %s", parameters)


def wait_until_settled(stage: Stage, target: Target, questions: Questions, until: datetime) -> None:
    """Wait, within limits, until everything due so far has its row and every such row its end."""
    deadline = time.monotonic() + stage.plan.settle_seconds
    while time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
        with suppress(DatabaseAway):
            if is_quiet(stage, questions, until) and not any(missing(Record(gather(stage, target, questions, until)))):
                return
    stage.note(f"not settled after {stage.plan.settle_seconds} s")


def is_quiet(stage: Stage, questions: Questions, until: datetime) -> bool:
    """Whether no row that was due by `until` is open."""
    moment = until if stage.database.vendor == "postgres" else until.replace(tzinfo=None).isoformat(" ")
    final = ", ".join(f"'{status}'" for status in sorted(FINAL))
    ((number,),) = questions.ask(
        f"SELECT count(*) FROM job_executions WHERE status NOT IN ({final})"
        " AND (scheduled_for <= %s OR (scheduled_for IS NULL AND queued_at <= %s))",
        [moment, moment],
    )
    return int(number) == 0


def cuts_of(life: Life, stage: Stage) -> list[tuple[datetime, datetime | None]]:
    """Return when the host of a process was cut off while it was there."""
    if stage.network is None:
        return []
    here = stage.network.of(int(life.instance.split("-")[1]))
    return [
        (max(since, life.started_at), until)
        for host, since, until in stage.cuts
        if host == here and life.started_at < until and (life.ended_at is None or life.ended_at > since)
    ]


def gather(stage: Stage, target: Target, questions: Questions, until: datetime) -> Evidence:
    rows, leases = watch.read_audit(questions)
    for life in stage.fleet.lives:
        life.cuts = cuts_of(life, stage)
    assert stage.watcher is not None
    return Evidence(
        until=until,
        jobs=[*stage.client.jobs, *stage.flooder.jobs],
        arrivals=list(target.arrivals),
        rows=rows,
        leases=leases,
        final_jobs=watch.read_jobs(questions),
        counts=watch.read_counts(questions),
        lives=list(stage.fleet.lives),
        passes=[process.life for process in stage.fleet.passes],
        uploaded=stage.client.uploaded,
        outages=list(stage.outages),
        faults=list(stage.faults),
        probes=list(stage.watcher.probes),
        swallowed=stage.database.proxy.swallowed if isinstance(stage.database, Server) else 0,
        flooded=stage.flooded,
        web_stops=list(stage.web_stops),
        stalls=dict(stage.watcher.stalls),
        web_kills=list(stage.web_kills),
        server_errors=[*stage.client.server_errors, *stage.flooder.server_errors],
        resyncs=list(stage.client.resyncs),
        strangers=list(target.strangers),
    )
