"""The leader's entries in APScheduler: its own, and one for each chore. None is a user's job.

An entry that takes longer than its interval is not started twice, and skipped intervals are not made up for: each pass
covers all of its work. Chores with a cron expression are made up for after a time without a leader, because the lease
row remembers when each was last done.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger
from django.conf import settings

from cronsched.lib.chores import CronChore
from jobs import cron


@dataclass(frozen=True, slots=True)
class Entry:
    """`executor` names its thread pool: what must be punctual has its own."""

    id: str
    trigger: Callable[[], BaseTrigger]
    run: Callable[[], Any]
    executor: str = "chores"
    at_once: bool = False


def every_second() -> BaseTrigger:
    """Whole seconds, so that a fire time at second 0 is claimed right after it."""
    return CronTrigger(second="*", timezone=UTC)


def every(seconds: float) -> Callable[[], BaseTrigger]:
    return every_second if seconds == 1 else lambda: IntervalTrigger(seconds=seconds, timezone=UTC)


def at_times_of(chore: CronChore) -> Callable[[], BaseTrigger]:
    # APScheduler counts weekdays from Monday, so that expressions name them.
    return lambda: CronTrigger.from_crontab(chore.expression, timezone=settings.SCHEDULER_TIMEZONE)


def is_due(chore: CronChore, *, done_at: datetime, now: datetime) -> bool:
    """Whether a fire time of the chore has come since it was done last."""
    due_at = cron.previous_fire_time(chore.expression, settings.SCHEDULER_TIMEZONE, at=now)
    return due_at is not None and done_at < due_at
