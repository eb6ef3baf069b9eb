"""Keep the pace GitHub asks for: one lane per credential, shared by all processes through its row.

GitHub wants a second between two calls that create something, and no more than so many a minute and an hour; whoever
calls faster is refused, and whoever goes on all the same is banned. A dispatch therefore takes a turn before its row
becomes `running`. What has to wait learns when its turn will be: that is the plan, and it is judged anew at that time,
because others may have taken turns and GitHub may have asked to be left alone meanwhile.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Q

from cronsched.lib.clock import uptime
from cronsched.lib.db import batches
from cronsched.lib.db.batches import Column, Kind
from jobs.github.api import RATE_LIMIT_WAIT
from jobs.models import GitHubLane

LONGEST_BLOCK = timedelta(hours=1)
NEW_LANE = (Column("name", Kind.TEXT), Column("sent", Kind.JSON), Column("refusals", Kind.INTEGER))
# A planned turn has lost the digits that a database does not keep.
TICK = 0.001


class Pace(NamedTuple):
    """Seconds between two turns, and at most so many turns within so many seconds."""

    gap: float
    limits: tuple[tuple[int, float], ...]

    @property
    def memory(self) -> int:
        """How many turns have to be remembered."""
        return max([1, *(number for number, _ in self.limits)])

    def next_turn(self, taken: Sequence[float], at: float) -> float:
        """Return the first instant from `at` on for another turn after those `taken`, oldest first."""
        turn = max(at, taken[-1] + self.gap) if taken else at
        for number, span in self.limits:
            if len(taken) >= number:
                turn = max(turn, taken[-number] + span)
        return turn


def pace() -> Pace:
    limits = ((settings.GITHUB_DISPATCHES_PER_MINUTE, 60.0), (settings.GITHUB_DISPATCHES_PER_HOUR, 3600.0))
    return Pace(settings.GITHUB_DISPATCH_GAP_MS / 1000, limits)


def take(asked: Sequence[tuple[UUID, str]], *, now: datetime) -> dict[UUID, datetime]:
    """Take a turn for each of `asked` (execution, lane), in their order; return when those may leave that must wait.

    What is not in the answer may leave now. Call it in the transaction that lets them leave: it holds the lanes until
    that ends, so that no two processes take the same turn, and a transaction that fails takes none.
    """
    if not asked:
        return {}
    lanes = _held({lane for _, lane in asked})
    rule = pace()
    # Turns of those that wait are planned, not taken.
    planned = {name: list(lane.sent) for name, lane in lanes.items()}
    waiting: dict[UUID, datetime] = {}
    left = set()
    for execution_id, name in asked:
        lane = lanes[name]
        earliest = max(now, lane.blocked_until) if lane.blocked_until else now
        turn = rule.next_turn(planned[name], earliest.timestamp())
        planned[name].append(turn)
        if turn - now.timestamp() > TICK:
            waiting[execution_id] = datetime.fromtimestamp(turn, tz=UTC)
        else:
            lane.sent = [*lane.sent, turn][-rule.memory :]
            left.add(name)
    for name in sorted(left):
        lanes[name].save(update_fields=["sent"])
    return waiting


def patiently(attempt: Callable[[datetime], datetime | None], *, now: datetime, patience: timedelta) -> datetime | None:
    """Call `attempt` with the time until it returns None, for "done", instead of when its turn will be.

    Waits in between. Returns None when done; otherwise when the turn will be, which is beyond all `patience`.
    """
    began = uptime()
    ends_at = now + patience
    turn = attempt(now)
    while turn is not None and turn <= ends_at:
        passed = timedelta(seconds=uptime() - began)
        Event().wait(max(0.0, (turn - now - passed).total_seconds()))
        turn = attempt(now + timedelta(seconds=uptime() - began))
    return turn


def block(asked: Mapping[str, timedelta], *, now: datetime) -> None:
    """Let nothing leave in these lanes for as long as GitHub `asked`. Call it inside a transaction.

    Where GitHub says that it wants less but not how long, each further time in a row doubles the wait.
    """
    for name, lane in _held(asked).items():
        if lane.blocked_until and lane.blocked_until > now:
            # Several were out when the first was refused; that is one refusal.
            continue
        wait = asked[name]
        if wait == RATE_LIMIT_WAIT:
            wait *= 2 ** min(lane.refusals, 10)
        lane.blocked_until = now + min(wait, LONGEST_BLOCK)
        lane.refusals += 1
        lane.save(update_fields=["blocked_until", "refusals"])


def unblock(lanes: Iterable[str]) -> None:
    """Take note that GitHub accepted something in these lanes."""
    GitHubLane.objects.filter(name__in=list(lanes), refusals__gt=0).update(refusals=0)


def blocked(lanes: Iterable[str], *, now: datetime) -> dict[str, datetime]:
    """Return until when those of `lanes` are blocked that are."""
    rows = GitHubLane.objects.filter(name__in=list(lanes), blocked_until__gt=now)
    return {row.name: row.blocked_until for row in rows if row.blocked_until}


def _held(names: Iterable[str]) -> dict[str, GitHubLane]:
    """Return the lanes, made where they are new, and held until the transaction ends."""
    wanted = sorted(names)
    rows = GitHubLane.objects.filter(name__in=wanted)
    lanes: dict[str, GitHubLane] = {}
    while len(lanes) < len(wanted):
        if new := sorted(set(wanted) - set(rows.values_list("name", flat=True))):
            table = GitHubLane._meta.db_table
            batches.insert_missing(connection, table, NEW_LANE, [(name, [], 0) for name in new], key="name")
        # In one order, so that two transactions never wait for each other in a ring. One that was just being
        # forgotten is made anew.
        lanes = {lane.name: lane for lane in batches.locked(rows.order_by("name"), skip=False)}
    return lanes


def forget_idle(*, now: datetime) -> int:
    """Delete lanes that nothing has left for a day: tokens of single runs would gather otherwise. Return how many."""
    recent = (now - timedelta(days=1)).timestamp()
    unblocked = GitHubLane.objects.filter(Q(blocked_until=None) | Q(blocked_until__lt=now))
    idle = [lane.name for lane in unblocked if not lane.sent or lane.sent[-1] < recent]
    return unblocked.filter(name__in=idle).delete()[0]
