"""The scheduler's process: stands by, leads, hands over.

Runner   lives as long as the process: what sends and records survives a change of leader, because what is in flight
         must be recorded whichever process leads. Standby or not, it replays the journals of this host's dead senders
Leader   lives as long as a term: owns APScheduler with the chores, and stops when the term is no longer trusted
"""

import logging
import os
import socket
import time
from datetime import datetime, timedelta
from functools import partial
from threading import Event
from typing import Any
from uuid import uuid4

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from django.conf import settings
from django.db import connection
from django.db.models import F

from cronsched.lib.chores import CronChore, IntervalChore, catalogue
from cronsched.lib.clock import uptime, utc_text
from cronsched.lib.db.outages import UNREACHABLE, first_line
from jobs.chores.reconcile import Reconciler
from jobs.chores.sweep import sweep, sweep_dead_senders
from jobs.dispatch.replay import replay_dead_senders
from jobs.models import HOUR, Job, SchedulerLease, SenderKind
from jobs.schedule.scheduled_job import DEADLINE_MARGIN
from jobs.scheduler import lease
from jobs.scheduler.backends import celery
from jobs.scheduler.clock_steps import STEP, Sample, bring_back
from jobs.scheduler.entries import Entry, at_times_of, every, every_second, is_due
from jobs.scheduler.leadership import ask_for_reconcile
from jobs.scheduler.lease import LeaseSnapshot, Term
from jobs.scheduler.outage_log import LogOutageOnce
from jobs.scheduler.senders import BEAT_SECONDS
from jobs.scheduler.sending import SendingProcess
from notifications import delivery

logger = logging.getLogger(__name__)

# How often the main thread checks that its term is still trusted and that the host's clock was not set.
WATCH_SECONDS = 0.5
CLOCK_JUMP_SECONDS = 2.0
# Thread pools. What must be punctual has a thread of its own, and so has what reads whole tables: each thread has a
# connection, and each connection a cache. Chores with a cron expression run one at a time, because each changes the one
# list of what was done. Waiting for GitHub and for hosts must not delay the delivery of notices.
THREADS = {"claim": 1, "lease": 1, "reconcile": 1, "chores": 2, "cron": 1, "targets": 2}
# With those that record, help, beat and wait for the lease.
DATABASE_THREADS = sum(THREADS.values()) + 4
# The main thread has not used its connection since it took the lease. A restart of the server may have ended it; the
# second try uses a new one.
HAND_OVER_ATTEMPTS = 2
# No job may ask for more.
LONGEST_REQUEST_SECONDS = HOUR + DEADLINE_MARGIN.total_seconds()


def instance_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


class Runner:
    """One scheduler. `instance` is how it is called in the lease and in the log."""

    def __init__(self, *, instance: str | None = None, drain_timeout: float | None = None) -> None:
        # Two processes of one name must not take each other's lease for their own.
        self._holder = f"{instance or instance_name()} {uuid4().hex[:8]}"
        self._drain_timeout = settings.DRAIN_TIMEOUT_SECONDS if drain_timeout is None else drain_timeout
        # A single pass waits as long as the longest request may take.
        self._pass_timeout = LONGEST_REQUEST_SECONDS if drain_timeout is None else drain_timeout
        self._process = SendingProcess(SenderKind.STANDBY)
        self._clock = self._process.clock

    def run(self, stop: Event) -> None:
        """Lead or stand by until `stop` is set, then hand over and let what is in flight finish.

        While the database is away, the process stays and waits for it.
        """
        if not settings.SCHEDULER_ENABLED:
            logger.info("SCHEDULER_ENABLED is false: waiting idle")
            stop.wait()
            return
        if settings.EXECUTION_BACKEND == "CELERY":
            self._process.producer.workers = celery.workers()
        self._process.start(stop)
        logger.info("Scheduler %s stands by", self._holder)
        while not stop.is_set():
            term = self._await_term(stop)
            if term is not None:
                self._process.heartbeat.show_as(SenderKind.LOCAL)
                Leader(term, self._process).lead(stop)
                self._process.heartbeat.show_as(SenderKind.STANDBY)
        self._process.end(timeout=self._drain_timeout)

    def once(self) -> None:
        """Do one pass without leading, wait for what it sent, and return.

        Safe beside a leader: the rows themselves say who may send. Raises the database's error where it is away.
        """
        if not settings.SCHEDULER_ENABLED:
            logger.info("SCHEDULER_ENABLED is false: nothing to do")
            return
        self._process.backend.start()
        try:
            now = self._clock.sample()
            replay_dead_senders(now=now)
            Reconciler().reconcile(now=now, chores=0)
            sweep(now=now, may_act=lambda: True)
            self._process.producer.run_pass(lambda: True)
        finally:
            # Requests in flight are waited for even after an error.
            self._process.drain(timeout=self._pass_timeout)
        delivery.deliver_now(now=self._clock.now())

    def _await_term(self, stop: Event) -> Term | None:
        """Stand by until the lease is ours; None when `stop` came first."""
        seen: LeaseSnapshot | None = None
        term: Term | None = None

        def try_to_lead() -> None:
            nonlocal seen, term
            seen = lease.snapshot(seen, uptime=uptime)
            asked_at = uptime()
            term = lease.take_over(seen, holder=self._holder, uptime=asked_at, now=self._clock.sample())
            if term is None and seen.holder and seen.help_wanted:
                self._process.help_wanted.set()
            else:
                self._process.help_wanted.clear()

        stand_by = LogOutageOnce("stand by", try_to_lead)
        while True:
            stand_by()
            self._process.replay()
            if term is not None:
                logger.info("Scheduler %s leads (fence %d)", self._holder, term.fence)
                return term
            if stop.wait(lease.LOOK_SECONDS):
                return None


class Leader:
    """One term. All its work runs in APScheduler's threads; the main thread only watches the lease."""

    def __init__(self, term: Term, process: SendingProcess) -> None:
        self._term: Term | None = term
        self._producer = process.producer
        self._heartbeat = process.heartbeat
        # The value in the lease row, which an earlier leader may have left set.
        self._help_wanted: bool | None = None
        self._clock = process.clock
        self._write_lock = process.backend.lock
        self._ended = Event()
        self._sample: Sample | None = None
        self._reconciler = Reconciler()
        self._scheduler = BackgroundScheduler(
            executors={name: ThreadPoolExecutor(threads) for name, threads in THREADS.items()},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            logger=_quiet_logger(),
        )

    def lead(self, stop: Event) -> None:
        """Do the chores until `stop` is set or the term is lost. Hands the lease over at once where it still can."""
        self._producer.ask_for_help = self._ask_for_help
        self._add_entries()
        self._scheduler.start()
        try:
            self._watch(stop)
        finally:
            self._ended.set()
            self._hand_over()
            self._scheduler.shutdown(wait=False)

    def may_act(self) -> bool:
        """Whether this process may claim and start; asked before each batch."""
        term = self._term
        return not self._ended.is_set() and term is not None and term.is_trusted(uptime())

    def _watch(self, stop: Event) -> None:
        before = _clock_offset()
        while not stop.wait(WATCH_SECONDS):
            if not self.may_act():
                logger.warning("The lease could not be renewed in time: standing by")
                return
            offset = _clock_offset()
            if abs(offset - before) > CLOCK_JUMP_SECONDS:
                logger.warning("The host's clock jumped by %.0f s: planning the chores anew", offset - before)
                self._scheduler.remove_all_jobs()
                self._add_entries()
            before = offset

    def _hand_over(self) -> None:
        term = self._term
        if term is None or not term.is_trusted(uptime()):
            return
        for _ in range(HAND_OVER_ATTEMPTS):
            try:
                lease.release(term, now=self._clock.now())
                break
            except UNREACHABLE as error:
                logger.warning("The lease could not be handed over: %s", first_line(error))
                connection.close()

    # --- Entries of APScheduler

    def _add_entries(self) -> None:
        for entry in self._entries():
            self._scheduler.add_job(
                LogOutageOnce(entry.id, entry.run),
                entry.trigger(),
                id=entry.id,
                executor=entry.executor,
                **({"next_run_time": datetime.now(self._scheduler.timezone)} if entry.at_once else {}),
            )

    def _entries(self) -> list[Entry]:
        return [
            Entry("claim", every_second, self._claim, executor="claim", at_once=True),
            Entry("renew", every(lease.RENEW_SECONDS), self._renew, executor="lease"),
            Entry("dead senders", every(BEAT_SECONDS), self._settle_dead_senders),
            Entry("resync", every_second, self._answer_resync, executor="reconcile"),
            Entry(
                "reconcile", every(settings.SCHEDULER_POLL_SECONDS), self._reconcile, executor="reconcile", at_once=True
            ),
            *map(self._entry_of, catalogue()),
        ]

    def _entry_of(self, chore: CronChore | IntervalChore) -> Entry:
        if isinstance(chore, CronChore):
            return Entry(chore.id, at_times_of(chore), partial(self._do_if_due, chore), executor="cron", at_once=True)
        run = partial(self._do, chore)
        return Entry(chore.id, every(chore.seconds), run, executor=chore.executor, at_once=chore.at_once)

    def _claim(self) -> None:
        self._producer.run_pass(self.may_act)

    def _ask_for_help(self, wanted: bool) -> None:
        """Publish in the lease row whether rows wait for which this process has no place."""
        term = self._term
        if term is not None and wanted is not self._help_wanted:
            with self._write_lock:
                lease.publish(term, help_wanted=wanted)
            self._help_wanted = wanted

    def _settle_dead_senders(self) -> None:
        if self._heartbeat.may_judge and self.may_act():
            sweep_dead_senders(now=self._clock.now(), may_act=self.may_act)

    def _renew(self) -> None:
        term = self._term
        if term is None:
            return
        with self._write_lock:
            asked_at = uptime()
            now = self._clock.sample()
            self._term = lease.renew(term, uptime=asked_at, now=now)
        self._notice_step(Sample(now, asked_at))
        if self._term is None:
            # A renewal that was still on its way when this process gave the lease up lost it to nobody.
            if not self._ended.is_set():
                logger.warning("Another process took the lease: standing by")
            return
        passed = {"last_pass_at": self._producer.last_pass_at} if self._producer.last_pass_at else {}
        workers = self._producer.workers
        alone = bool(workers and workers.trouble)
        lease.publish(term, scheduled_jobs=Job.objects.scheduled().count(), sends_alone=alone, **passed)

    def _notice_step(self, sample: Sample) -> None:
        """Correct stored instants where the database's clock was set back."""
        step = self._sample.step_to(sample) if self._sample else timedelta()
        self._sample = sample
        if step < -STEP and self.may_act():
            moved = bring_back(by=-step, now=sample.now)
            logger.warning("The database's clock was set back by %.0f s: %d rows moved", -step.total_seconds(), moved)
            # Fire times are repaired in the thread that reconciles.
            ask_for_reconcile()

    def _answer_resync(self) -> None:
        """Reconcile where a resync was requested since the last one."""
        if SchedulerLease.objects.filter(pk=1, resync_requested__gt=F("resync_answered")).exists():
            self._reconcile()

    def _reconcile(self) -> None:
        term = self._term
        if term is None or not self.may_act():
            return
        # Read before the work begins: a request that comes while it runs is answered by the next one.
        asked = _of_lease("resync_requested", default=0)
        now, chores = self._clock.now(), len(self._scheduler.get_jobs())
        summary = self._reconciler.reconcile(now=now, chores=chores)
        lease.publish(
            term,
            last_reconcile_at=now,
            last_reconcile={"ran_at": utc_text(now), **summary._asdict()},
            resync_answered=asked,
            scheduled_jobs=summary.scheduled_now - chores,
        )

    def _do(self, chore: IntervalChore) -> None:
        chore.run(self._clock.now(), self.may_act)

    def _do_if_due(self, chore: CronChore) -> None:
        term = self._term
        if term is None or not self.may_act():
            return
        now = self._clock.now()
        before = _chores_done().get(chore.id)
        done_at = datetime.fromisoformat(before) if before is not None else None
        # Nothing is made up for by the first leader, or where the clock ran ahead when the chore was last done.
        is_new = done_at is None or done_at > now
        if done_at is not None and not is_new and not is_due(chore, done_at=done_at, now=now):
            return
        if not is_new:
            logger.info("%s: %s", chore.id, chore.run(now, self.may_act))
        # Read again: another leader may have written during a long chore.
        lease.publish(term, chores_done={**_chores_done(), chore.id: now.isoformat()})


def _chores_done() -> dict[str, str]:
    """Return when each chore with a cron expression was last done by any leader."""
    return dict(_of_lease("chores_done", default={}))


def _of_lease(field: str, *, default: Any) -> Any:
    """Return a field of the lease's row, which is gone where an older state of the database was put back."""
    return SchedulerLease.objects.filter(pk=1).values_list(field, flat=True).first() or default


def _clock_offset() -> float:
    """Return the difference between the host's clock and the monotonic one."""
    return time.time() - uptime()


def _quiet_logger() -> logging.Logger:
    # It would warn each second during a long pass that this second's pass is skipped, which is intended.
    quiet = logging.getLogger(f"{__name__}.apscheduler")
    quiet.setLevel(logging.ERROR)
    return quiet
