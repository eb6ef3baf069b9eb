"""Notifications: one row per account there becomes one notice with marks here.

Rows of the same words about the same run, within a second, were one notice. Where most accounts have it, it comes in
as a notice to everybody: who has read it gets a mark that says so, and who had an account then but has no row gets one
that says deleted. Where few have it, each keeps a notice of its own. Either way everybody sees what was there.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from cronsched.lib.portions import portions
from jobs.importing.legacy import values
from jobs.importing.legacy.accounts import USERS
from jobs.importing.legacy.definitions import JOBS
from jobs.importing.legacy.history import EXECUTIONS
from jobs.importing.legacy.source import Row
from jobs.importing.legacy.state import ImportState, existing
from jobs.importing.legacy.tables import LegacyNotification
from jobs.models import JobExecution
from notifications.models import HourlyCount, Level, Mark, Notification

NOTIFICATIONS = "notifications"
SAME_NOTICE = timedelta(seconds=1)
MAX_TITLE = 255
EVENTS = {
    "New Job Created": "job_created",
    "Job Updated": "job_updated",
    "Job Enabled": "job_enabled",
    "Job Disabled": "job_disabled",
    "Job Deleted": "job_deleted",
    "Job Completed": "run_succeeded",
    "Job Failed": "run_failed",
    "Job auto-paused (end date passed)": "job_auto_paused",
    "Job ending soon": "job_ending_soon",
}
OTHER_EVENT = "imported"
# Looked up for each of a million rows.
LEVELS = frozenset(Level.values)


class Words(NamedTuple):
    """What rows of one notice have in common."""

    title: str
    message: str
    type: str
    job_id: UUID | None
    execution_id: UUID | None


class Copy(NamedTuple):
    """One account's row."""

    id: UUID
    user_id: UUID
    created_at: datetime
    read_at: datetime | None


@dataclass
class Group:
    """The rows of one notice."""

    words: Words
    began_at: datetime
    copies: dict[UUID, Copy] = field(default_factory=dict)


@dataclass
class Written:
    """What a batch of groups becomes."""

    notices: list[Notification] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    hours: Counter[datetime] = field(default_factory=Counter)


def import_notifications(state: ImportState) -> None:
    audience = Audience(state.joined)
    for chunk in portions(_groups(state), state.options.batch, weight=lambda group: len(group.copies)):
        groups = _without_unknown_runs(state, chunk)
        there = existing(Notification, [key for group in groups for key in _keys(group)])
        with state.transaction():
            _write(state, [group for group in groups if not _is_here(state, group, there)], audience)


def _keys(group: Group) -> Iterator[UUID]:
    return (copy.id for copy in group.copies.values())


def _is_here(state: ImportState, group: Group, there: set[UUID]) -> bool:
    count = state.report.table(NOTIFICATIONS)
    is_here = any(key in there for key in _keys(group))
    if is_here:
        count.present += len(group.copies)
    else:
        count.imported += len(group.copies)
    return is_here


def _write(state: ImportState, groups: list[Group], audience: "Audience") -> None:
    written = Written()
    for group in groups:
        _add(group, audience, written)
    state.insert(written.notices)
    state.insert(written.marks)
    if not state.options.dry_run:
        HourlyCount.objects.bulk_create(HourlyCount(hour=hour, notices=n) for hour, n in written.hours.items())


# --- From rows to notices --------------------------------------------------------------------------------------------


def _groups(state: ImportState) -> Iterator[Group]:
    """Yield the notices whose rows are complete, in the order of their time."""
    going: dict[Words, Group] = {}
    for row in state.source.rows(LegacyNotification, "created_at", "id"):
        found = _copy(state, row)
        if found is None:
            continue
        words, copy = found
        group = going.get(words)
        if group and (abs(copy.created_at - group.began_at) > SAME_NOTICE or copy.user_id in group.copies):
            yield going.pop(words)
            group = None
        if group is None:
            yield from _over(going, copy.created_at)
            group = going[words] = Group(words, copy.created_at)
        group.copies[copy.user_id] = copy
    yield from going.values()


def _over(going: dict[Words, Group], now: datetime) -> Iterator[Group]:
    over = [words for words, group in going.items() if abs(now - group.began_at) > SAME_NOTICE]
    return iter([going.pop(words) for words in over])


def _copy(state: ImportState, row: Row) -> tuple[Words, Copy] | None:
    state.begin_row(NOTIFICATIONS)
    key = values.identity(NOTIFICATIONS, row["id"])
    user_id = state.accounts.get(values.identity(USERS, row["user_id"]) or UUID(int=0))
    created_at = values.instant(row["created_at"])
    if key is None or user_id is None:
        state.leave_out(NOTIFICATIONS, row["id"], "", "It belongs to no account.", row["user_id"])
        return None
    if created_at is None:
        state.leave_out(NOTIFICATIONS, key, "", "Its creation time cannot be read.", row["created_at"])
        return None
    if state.options.since and created_at < state.options.since:
        return None
    if created_at < state.joined[user_id]:
        state.leave_out(
            NOTIFICATIONS, key, "", "It is older than its account here, which would not see it.", created_at
        )
        return None
    read_at = values.instant(row["read_at"])
    is_read = values.flag(row["is_read"], read_at is not None)
    return _words(state, row), Copy(key, user_id, created_at, (read_at or created_at) if is_read else None)


def _words(state: ImportState, row: Row) -> Words:
    level = (values.text(row["type"]) or "").lower()
    job_id = values.identity(JOBS, row["related_job_id"])
    execution_id = values.identity(EXECUTIONS, row["related_execution_id"])
    return Words(
        (values.text(row["title"]) or "")[:MAX_TITLE],
        values.text(row["message"]) or "",
        level if level in LEVELS else Level.INFO.value,
        job_id if job_id in state.jobs else None,
        execution_id,
    )


def _without_unknown_runs(state: ImportState, groups: list[Group]) -> list[Group]:
    """Blank references to executions that did not come in."""
    if state.options.dry_run:
        return groups
    named = {group.words.execution_id for group in groups} - {None}
    known = existing(JobExecution, [key for key in named if key])
    for group in groups:
        if group.words.execution_id not in known:
            group.words = group.words._replace(execution_id=None)
    return groups


# --- From notices to rows here ---------------------------------------------------------------------------------------


class Audience:
    """Who sees a notice to everybody: the accounts that existed when it was written."""

    def __init__(self, joined: dict[UUID, datetime]) -> None:
        self._by_age = sorted((created_at, key) for key, created_at in joined.items())
        self._times = [created_at for created_at, _ in self._by_age]

    def at(self, moment: datetime) -> list[UUID]:
        return [key for _, key in self._by_age[: bisect_right(self._times, moment)]]


def _add(group: Group, audience: Audience, written: Written) -> None:
    copies = group.copies.values()
    first = min(copies, key=lambda copy: copy.id.bytes)
    # By the youngest row: each of their accounts existed then.
    written_at = max(copy.created_at for copy in copies)
    everybody = audience.at(written_at)
    missing = [key for key in everybody if key not in group.copies]
    seeing = len(everybody) - len(missing)
    if seeing < 2 or len(missing) >= seeing:
        for copy in copies:
            _add_own(group.words, copy, written)
        return
    written.notices.append(_notice(group.words, first.id, None, written_at))
    written.hours[written_at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)] += 1
    written.marks += [_mark(first.id, copy.user_id, written_at, copy.read_at) for copy in copies if copy.read_at]
    written.marks += [_mark(first.id, key, written_at, None) for key in missing]


def _add_own(words: Words, copy: Copy, written: Written) -> None:
    written.notices.append(_notice(words, copy.id, copy.user_id, copy.created_at))
    if copy.read_at:
        written.marks.append(_mark(copy.id, copy.user_id, copy.created_at, copy.read_at))


def _notice(words: Words, key: UUID, user_id: UUID | None, created_at: datetime) -> Notification:
    return Notification(
        id=key,
        user_id=user_id,
        event=EVENTS.get(words.title, OTHER_EVENT),
        title=words.title,
        message=words.message,
        type=words.type,
        related_job_id=words.job_id,
        related_execution_id=words.execution_id,
        created_at=created_at,
    )


def _mark(key: UUID, user_id: UUID, created_at: datetime, read_at: datetime | None) -> Mark:
    return Mark(
        notification_id=key, user_id=user_id, created_at=created_at, read_at=read_at, is_deleted=read_at is None
    )
