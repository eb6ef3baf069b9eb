"""What the leader does besides sending, each with an id and a trigger of its own.

Chores are APScheduler's jobs; nothing of the users' is. One that takes longer than its interval is not started a
second time, and what was not started meanwhile is not made up for: every chore looks at the whole of its work each
time. Rare ones are different: a Monday morning without a leader is made up for, because the lease row remembers when
each was done last.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger
from django.conf import settings

from jobs import cron


@dataclass(frozen=True, slots=True)
class Chore:
    """Something to do again and again. `executor` names the threads it runs in: what must be punctual has its own."""

    id: str
    trigger: Callable[[], BaseTrigger]
    run: Callable[[], Any]
    executor: str = "chores"
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class RareChore:
    """Something to do at the times of `expression`, in the scheduler's zone."""

    id: str
    expression: str
    run: Callable[[datetime], Any]

    def trigger(self) -> BaseTrigger:
        # Weekdays by name: APScheduler counts them from Monday.
        return CronTrigger.from_crontab(self.expression, timezone=settings.SCHEDULER_TIMEZONE)

    def is_owed(self, done_at: datetime, now: datetime) -> bool:
        due_at = cron.previous_fire_time(self.expression, settings.SCHEDULER_TIMEZONE, at=now)
        return due_at is not None and done_at < due_at


def every_second() -> BaseTrigger:
    """Whole seconds, so that a fire time at second 0 is claimed right after it."""
    return CronTrigger(second="*", timezone=UTC)


def every(seconds: float) -> Callable[[], BaseTrigger]:
    return lambda: IntervalTrigger(seconds=seconds, timezone=UTC)
