"""`manage.py` with protections taken out, to prove that the checker notices when they are missing.

python -m jobs.tests.chaos.sabotaged both-lead,no-lock,no-unique runscheduler ...
"""

import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock, Thread
from typing import Any
from uuid import UUID

import django

# Two leaders that look once a second must both have looked before either writes.
PAUSE_SECONDS = 1.5
SENDERS = 32


def both_lead() -> None:
    """Let every process believe that it leads, for ever."""
    from jobs.scheduler import lease
    from jobs.scheduler.lease import LeaseSnapshot, Term

    def take_over(seen: LeaseSnapshot, *, holder: str, **_: Any) -> Term:
        return Term(holder, seen.fence + 1, float("inf"))

    def renew(term: Term, **_: Any) -> Term:
        return term

    lease.take_over = take_over
    lease.renew = renew


def no_lock() -> None:
    """Claim jobs that were read some time ago, without looking again."""
    from django.db import transaction

    from jobs.models import Job
    from jobs.schedule.scheduled_job import ScheduledJob
    from jobs.scheduler import claim, producer

    def claim_due(*, now: Any, limit: int, admit: Any, sender: UUID, taking: Any, **_: Any) -> claim.Claimed:
        due = ScheduledJob.read(Job.objects.due(now)[:limit])
        if due:
            time.sleep(PAUSE_SECONDS)
        with transaction.atomic(durable=True):
            return claim._claim(due, now=now, admit=admit, sender=sender, taking=taking)

    setattr(producer, "claim_due", claim_due)  # noqa: B010 - an import of theirs


def no_unique() -> None:
    """Insert rows without asking whether there is one; the harness drops the constraint."""
    from cronsched.lib.db import batches

    insert = batches.insert

    def insert_all(*arguments: Any, unless_exists: Sequence[str] = (), **keywords: Any) -> int:
        return insert(*arguments, **keywords)

    batches.insert = insert_all


def send_first() -> None:
    """Send what is claimed and commit some time later."""
    from jobs.dispatch import Prepared, execute
    from jobs.executors.base import Outcome
    from jobs.scheduler import claim, pool

    outcomes: dict[UUID, Outcome] = {}
    claim_now = claim._claim
    lock = Lock()

    def claim_and_send(*arguments: Any, **keywords: Any) -> claim.Claimed:
        claimed = claim_now(*arguments, **keywords)
        if claimed.prepared:
            with ThreadPoolExecutor(SENDERS) as threads:
                found = list(threads.map(execute, claimed.prepared))
            ids = [prepared.execution_id for prepared in claimed.prepared]
            with lock:
                outcomes.update(zip(ids, found, strict=True))
            time.sleep(PAUSE_SECONDS)
        return claimed

    def submit(prepared: Prepared, done: Callable[[Outcome], None]) -> None:
        with lock:
            known = outcomes.pop(prepared.execution_id, None)
        Thread(target=lambda: done(known or execute(prepared))).start()

    claim._claim = claim_and_send
    setattr(pool, "submit", submit)  # noqa: B010 - an import of theirs


def all_is_well() -> None:
    """Call every outcome a success."""
    from dataclasses import replace

    from jobs.dispatch import Prepared, submit
    from jobs.executors.base import Outcome
    from jobs.scheduler import pool

    def submit_well(prepared: Prepared, done: Callable[[Outcome], None]) -> None:
        def call_it_a_success(outcome: Outcome) -> None:
            done(replace(outcome, status="success", error_message=None, retryable=False))

        submit(prepared, call_it_a_success)

    setattr(pool, "submit", submit_well)  # noqa: B010 - an import of theirs


SABOTAGES: dict[str, Callable[[], None]] = {
    "both-lead": both_lead,
    "no-lock": no_lock,
    "no-unique": no_unique,
    "send-first": send_first,
    "all-is-well": all_is_well,
}


def main(names: str, arguments: Sequence[str]) -> None:
    """Take out what `names` say and run the management command."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cronsched.settings")
    django.setup()
    for name in names.split(","):
        SABOTAGES[name]()
    from django.core.management import execute_from_command_line

    execute_from_command_line(["manage.py", *arguments])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
