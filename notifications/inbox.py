"""One account's view of the notices: what it sees, what of that is unread, and what it did.

Notices to everybody are one row each, so "read" and "deleted" are worked out:

    visible   to everybody and not older than the account, or to the account; outside the spans it cleared; without
              a mark that says deleted
    read      before the account's watermark, or with a mark

A use of "read all" moves the watermark. It stops a little before the present (`SETTLED`), because a transaction that
began earlier may commit a notice later; what is younger gets single marks. So a notice that was not visible yet stays
unread. "Delete read" clears the span before the watermark as a whole and deletes the marks after it.

Nothing here counts notices one by one over a long time: whole hours come from `HourlyCount`, only the broken hours at
the ends of a span are counted. The number of statements depends on nothing but the account's own cleared spans, of
which there are at most `MAX_CLEARED`.
"""

import functools
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from heapq import merge
from itertools import islice
from typing import Any, NamedTuple, ParamSpec, TypeVar
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import BigIntegerField, DateTimeField, Exists, OuterRef, Q, Subquery, Sum, UUIDField

from accounts.models import User
from cronsched.lib.db.prepared import Param, PreparedQuery
from cronsched.lib.errors import Forbidden, NotFound
from cronsched.lib.ids import known_id
from cronsched.lib.input.ranges import DateRange
from notifications.models import HourlyCount, Inbox, Mark, Notification, ReadAll

# A transaction that writes notices is over after this long, clocks of different hosts included.
SETTLED = timedelta(seconds=30)
# More spans than this are not kept; what is cleared beyond is marked notice by notice.
MAX_CLEARED = 50
# From here on a page is reached by hours instead of by walking over all rows before it.
FAR_DOWN = 500
BATCH = 500
# So often an act looks again for what it may mark.
ATTEMPTS = 5

UNKNOWN = "Notification not found"
NOT_YOURS_TO_READ = "Forbidden: Cannot access other users notifications"
NOT_YOURS_TO_DELETE = "Forbidden: Cannot delete other users notifications"

HOUR = timedelta(hours=1)
EVER = datetime.min.replace(tzinfo=UTC)
# No notice is younger; an hour can still be added to it.
NEVER = datetime(9999, 1, 1, tzinfo=UTC)

P = ParamSpec("P")
R = TypeVar("R")


class Span(NamedTuple):
    """From `start` (inside) to `end` (outside)."""

    start: datetime
    end: datetime

    def within(self, field: str = "created_at") -> Q:
        return Q(**{f"{field}__gte": self.start, f"{field}__lt": self.end})


@dataclass(frozen=True, slots=True)
class Item:
    """A notice as the account sees it."""

    notice: Notification
    read_at: datetime | None


_INBOX = PreparedQuery(lambda: Inbox.objects.filter(pk=Param("user", UUIDField())))


class Reader:
    """Reads for one account; holds its few own facts for the time of one request."""

    def __init__(self, user: User) -> None:
        self._user = user
        inbox = _INBOX.first(user=user.pk)
        self._read_up_to = (inbox.read_up_to if inbox else None) or EVER
        self._cleared = _parsed(inbox.cleared) if inbox else []

    # --- Lists and counts ---

    def count(self, asked: DateRange, *, unread: bool) -> int:
        """Return how many notices of the range the account sees."""
        return self._count(self._spans(asked, unread=unread), unread=unread)

    def page(self, asked: DateRange, *, unread: bool, offset: int, limit: int) -> list[Item]:
        """Return `limit` of the notices, newest first, after the first `offset` of them."""
        found: list[UUID] = []
        spans = self._spans(asked, unread=unread)
        for span in reversed(spans):
            if offset and len(spans) > 1:
                there = self._count([span], unread=unread)
                if there <= offset:
                    offset -= there
                    continue
            if offset > FAR_DOWN:
                span, offset = self._further_down(span, offset, unread=unread)
            found += self._keys(span, unread=unread, offset=offset, limit=limit - len(found))
            offset = 0
            if len(found) >= limit:
                break
        return self.items(found)

    def items(self, ids: Sequence[UUID]) -> list[Item]:
        """Return the notices of these ids, in their order, with when the account read them."""
        read_all = ReadAll.objects.filter(user=self._user, up_to__gt=OuterRef("created_at")).order_by("up_to")
        mark = Mark.objects.filter(user=self._user, notification=OuterRef("pk"))
        rows = Notification.objects.annotate(
            marked_at=Subquery(mark.values("read_at")[:1]), all_read_at=Subquery(read_all.values("read_at")[:1])
        ).in_bulk(ids)
        return [Item(row, self._read_at(row)) for row_id in ids if (row := rows.get(row_id))]

    def sees(self, notice: Notification) -> bool:
        """Whether the account sees a notice that is addressed to it or to everybody."""
        if notice.created_at < self._user.created_at and notice.user_id is None:
            return False
        if any(span.start <= notice.created_at < span.end for span in self._cleared):
            return False
        return not Mark.objects.filter(user=self._user, notification=notice, is_deleted=True).exists()

    def _read_at(self, row: Any) -> datetime | None:
        if row.marked_at is not None:
            return row.marked_at
        if row.created_at >= self._read_up_to:
            return None
        return row.all_read_at or self._read_up_to

    # --- What acts need to know ---

    def unread_since(self, moment: datetime) -> list[tuple[datetime, UUID]]:
        """Return time and id of every unread notice from `moment` on."""
        spans = self._spans(DateRange(start=moment), unread=True)
        return [key for span in spans for kind in self._kinds(span, unread=True) for key in kind]

    def read_spans(self, asked: DateRange) -> list[Span]:
        """Return where all that the account sees in the range has been read."""
        return self._spans(DateRange(asked.start, min(asked.end or NEVER, self._read_up_to)), unread=False)

    def count_in(self, spans: Sequence[Span]) -> int:
        return self._count(spans, unread=False)

    def visible_in(self, spans: Sequence[Span]) -> list[tuple[datetime, UUID]]:
        """Return time and id of every visible notice in `spans`."""
        return [key for span in spans for kind in self._kinds(span, unread=False) for key in kind]

    # --- Spans ---

    def _spans(self, asked: DateRange, *, unread: bool) -> list[Span]:
        """Return the disjoint spans, ascending, in which the account sees what is not deleted by a mark."""
        start = max(asked.start or EVER, self._user.created_at, self._read_up_to if unread else EVER)
        return self._outside_cleared(Span(start, min(asked.end or NEVER, NEVER)))

    def _outside_cleared(self, whole: Span) -> list[Span]:
        spans = []
        start = whole.start
        for hole in self._cleared:
            spans.append(Span(start, min(hole.start, whole.end)))
            start = max(start, hole.end)
        spans.append(Span(start, whole.end))
        return [span for span in spans if span.start < span.end]

    # --- Counting ---

    def _count(self, spans: Sequence[Span], *, unread: bool) -> int:
        if not spans:
            return 0
        pieces = [piece for span in spans for piece in _pieces(span)]
        counting = _counting(len(spans), tuple(piece.is_tallied for piece in pieces), unread)
        bounds = _bounds("span", spans) | _bounds("piece", [piece.span for piece in pieces])
        found = counting.first(user=self._user.pk, **bounds)
        # None where the account has just been deleted.
        return found[0] if found else 0

    def _further_down(self, span: Span, offset: int, *, unread: bool) -> tuple[Span, int]:
        """Return the part of `span` below some full hour, and what is left of `offset` there.

        The hour is chosen by what the hours hold at most, so never too low; then the notices above it are counted.
        """
        above = Notification.objects.filter(span.within(), user=self._user).count()
        edge = None
        for hour, notices in _hours(span):
            above += notices
            if above > offset:
                break
            edge = hour if hour > span.start else hour + HOUR
        if edge is None or not span.start < edge < span.end:
            return span, offset
        return Span(span.start, edge), offset - self._count([Span(edge, span.end)], unread=unread)

    # --- Rows ---

    def _keys(self, span: Span, *, unread: bool, offset: int, limit: int) -> list[UUID]:
        """Return ids, newest first."""
        kinds = self._kinds(span, unread=unread)
        newest_first = merge(*(kind[: offset + limit] for kind in kinds), reverse=True)
        return [pk for _, pk in islice(newest_first, offset, offset + limit)]

    def _kinds(self, span: Span, *, unread: bool) -> Iterator[Any]:
        """Yield the visible notices to everybody and those to the account, as (time, id), newest first.

        Apart, because each is then read in the order of an index; no database does so for both at once.
        """
        mark = Mark.objects.filter(user=self._user, notification=OuterRef("pk"))
        gone = Exists(mark if unread else mark.filter(is_deleted=True))
        visible = Notification.objects.filter(span.within()).filter(~gone).order_by("-created_at", "-id")
        keys = visible.values_list("created_at", "id")
        yield keys.filter(user__isnull=True)
        yield keys.filter(user=self._user)


# --- What an account does --------------------------------------------------------------------------------------------


def _looking_again(act: Callable[P, R]) -> Callable[P, R]:
    """Wrap `act`, one transaction, so that it is repeated where notices changed between its query and its marks.

    Some were pruned meanwhile, or marked by the same account's other request: the next query leaves them out. Where the
    account itself is gone, repeating does not help.
    """

    @functools.wraps(act)
    def retry_on_conflict(*args: P.args, **kwargs: P.kwargs) -> R:
        for _ in range(ATTEMPTS - 1):
            try:
                return act(*args, **kwargs)
            except IntegrityError:
                continue
        return act(*args, **kwargs)

    return retry_on_conflict


@_looking_again
def read_all(user: User, *, now: datetime) -> int:
    """Mark everything the account sees as read; return how many notices were unread."""
    with transaction.atomic():
        inbox = _locked(user)
        reader = Reader(user)
        settled = max(now - SETTLED, inbox.read_up_to or EVER)
        before = reader.count(DateRange(end=settled), unread=True)
        marked = _mark_read(user, reader.unread_since(settled), now)
        if before:
            ReadAll.objects.create(user=user, up_to=settled, read_at=now)
        inbox.read_up_to = settled
        inbox.save(update_fields=["read_up_to"])
    return before + marked


def _mark_read(user: User, notices: Iterable[tuple[datetime, UUID]], now: datetime) -> int:
    marks = [Mark(user=user, notification_id=pk, created_at=created_at, read_at=now) for created_at, pk in notices]
    Mark.objects.bulk_create(marks, batch_size=BATCH)
    return len(marks)


def read_one(user: User, text: str, *, now: datetime) -> Item:
    """Mark one notice as read and return it; read before, it keeps its time. Raises `NotFound` and `Forbidden`."""
    notice = _seen(user, text, NOT_YOURS_TO_READ)
    reader = Reader(user)
    items = reader.items([notice.pk])
    if not items:
        raise NotFound(UNKNOWN)
    item = items[0]
    if item.read_at is None:
        item = Item(notice, _mark(user, notice, {"read_at": now}).read_at)
    return item


def delete_one(user: User, text: str) -> None:
    """Take one notice, read or not, out of the account's sight. Raises `NotFound` and `Forbidden`."""
    notice = _seen(user, text, NOT_YOURS_TO_DELETE)
    if not _mark(user, notice, {"is_deleted": True}).is_deleted:
        Mark.objects.filter(user=user, notification=notice).update(is_deleted=True)


def _mark(user: User, notice: Notification, values: dict[str, Any]) -> Mark:
    """Return the mark at this notice, made with `values` where there is none. Raises `NotFound` if it was pruned."""
    try:
        with transaction.atomic():
            values = {"created_at": notice.created_at, **values}
            return Mark.objects.get_or_create(user=user, notification=notice, defaults=values)[0]
    except IntegrityError:
        if Notification.objects.filter(pk=notice.pk).exists():
            raise
        raise NotFound(UNKNOWN) from None


@_looking_again
def delete_read(user: User, asked: DateRange) -> int:
    """Take all read notices of the range out of the account's sight; return how many."""
    with transaction.atomic():
        inbox = _locked(user)
        reader = Reader(user)
        younger = Mark.objects.filter(user=user, is_deleted=False, created_at__gte=inbox.read_up_to or EVER)
        deleted = younger.filter(**asked.conditions("created_at")).update(is_deleted=True)
        if read := reader.read_spans(asked):
            deleted += reader.count_in(read)
            _clear(inbox, reader, read, Span(asked.start or EVER, read[-1].end))
    return deleted


def _clear(inbox: Inbox, reader: Reader, read: Sequence[Span], whole: Span) -> None:
    oldest = _oldest_notice()
    cleared = [span for span in _joined([*_parsed(inbox.cleared), whole]) if span.end > oldest]
    if len(cleared) > MAX_CLEARED:
        _mark_deleted(inbox.user_id, reader.visible_in(read))
        return
    inbox.cleared = [[span.start.isoformat(), span.end.isoformat()] for span in cleared]
    inbox.save(update_fields=["cleared"])


def _oldest_notice() -> datetime:
    """Return (about) when the oldest notice was written: spans before it hide nothing any more."""
    return Notification.objects.order_by("pk").values_list("created_at", flat=True).first() or EVER


def _mark_deleted(user_id: UUID, notices: Sequence[tuple[datetime, UUID]]) -> None:
    for start in range(0, len(notices), BATCH):
        portion = notices[start : start + BATCH]
        ids = [pk for _, pk in portion]
        marked = set(Mark.objects.filter(user=user_id, notification__in=ids).values_list("notification", flat=True))
        Mark.objects.filter(user=user_id, notification__in=marked).update(is_deleted=True)
        Mark.objects.bulk_create(
            Mark(user_id=user_id, notification_id=pk, created_at=created_at, is_deleted=True)
            for created_at, pk in portion
            if pk not in marked
        )


def _locked(user: User) -> Inbox:
    """Return the account's row, locked until the transaction ends: its spans are read, changed and written."""
    inbox, _ = Inbox.objects.select_for_update().get_or_create(user=user)
    return inbox


def _seen(user: User, text: str, forbidden: str) -> Notification:
    pk = known_id(text)
    notice = Notification.objects.filter(pk=pk).first() if pk else None
    if notice is not None and notice.user_id not in (None, user.pk):
        raise Forbidden(forbidden)
    if notice is None or not Reader(user).sees(notice):
        raise NotFound(UNKNOWN)
    return notice


# --- Cleared spans ---------------------------------------------------------------------------------------------------


def _parsed(cleared: list[list[str]]) -> list[Span]:
    return [Span(*map(datetime.fromisoformat, pair)) for pair in cleared]


def _joined(spans: Iterable[Span]) -> list[Span]:
    """Return the same time as disjoint spans, ascending."""
    joined: list[Span] = []
    for span in sorted(spans):
        if joined and span.start <= joined[-1].end:
            joined[-1] = Span(joined[-1].start, max(joined[-1].end, span.end))
        else:
            joined.append(span)
    return joined


# --- SQL -------------------------------------------------------------------------------------------------------------


class _Count(Subquery):
    """How many rows a query has, as a term of a sum."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) counted)"
    output_field = BigIntegerField()


class _Sum(Subquery):
    """The sum of the `notices` of a query, as a term of a sum."""

    template = "(SELECT COALESCE(SUM(counted.notices), 0) FROM (%(subquery)s) counted)"
    output_field = BigIntegerField()


class Piece(NamedTuple):
    """A part of a span. Its notices to everybody are counted by hourly counts, or else row by row."""

    span: Span
    is_tallied: bool


def _pieces(span: Span) -> Iterator[Piece]:
    """Cut `span` into its whole hours, which are tallied, and the rest."""
    first, last = _full_hour_from(span.start), _floor(span.end)
    if first >= last:
        yield Piece(span, is_tallied=False)
        return
    yield Piece(Span(first, last), is_tallied=True)
    if span.start < first:
        yield Piece(Span(span.start, first), is_tallied=False)
    if last < span.end:
        yield Piece(Span(last, span.end), is_tallied=False)


@functools.lru_cache(256)
def _counting(spans: int, tallied: tuple[bool, ...], unread: bool) -> PreparedQuery[tuple[int]]:
    """Return the statement that counts what an account sees in so many spans, cut into pieces of these kinds."""

    def build() -> Any:
        user: Any = Param("user", UUIDField())
        inside = functools.reduce(operator.or_, (_places("span", n).within() for n in range(spans)))
        own = _Count(Notification.objects.filter(inside, user=user).order_by().values("pk"))
        marks = Mark.objects.filter(inside, user=user)
        if not unread:
            marks = marks.filter(is_deleted=True)
        broadcasts = [_broadcasts(Piece(_places("piece", n), is_tallied)) for n, is_tallied in enumerate(tallied)]
        total: Any = functools.reduce(operator.add, [own, *broadcasts]) - _Count(marks.values("pk"))
        return User.objects.filter(pk=user).values_list(total)

    return PreparedQuery(build)


def _places(kind: str, number: int) -> Span:
    start: Any = Param(f"{kind}{number}_start", DateTimeField())
    end: Any = Param(f"{kind}{number}_end", DateTimeField())
    return Span(start, end)


def _bounds(kind: str, spans: Sequence[Span]) -> dict[str, datetime]:
    """Return what belongs in the places of `spans`."""
    starts = {f"{kind}{number}_start": span.start for number, span in enumerate(spans)}
    return starts | {f"{kind}{number}_end": span.end for number, span in enumerate(spans)}


def _broadcasts(piece: Piece) -> Subquery:
    """Return the term that counts the notices to everybody in `piece`."""
    if piece.is_tallied:
        return _Sum(HourlyCount.objects.filter(piece.span.within("hour")).values("notices"))
    rows = Notification.objects.filter(piece.span.within(), user__isnull=True)
    return _Count(rows.order_by().values("created_at"))


def _hours(span: Span) -> Iterator[tuple[datetime, int]]:
    """Yield the hours that touch `span` with their notices to everybody, newest first."""
    hours = HourlyCount.objects.filter(Span(_floor(span.start), span.end).within("hour"))
    summed = hours.values("hour").annotate(total=Sum("notices")).order_by("-hour")
    yield from summed.values_list("hour", "total").iterator()


def _floor(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _full_hour_from(moment: datetime) -> datetime:
    floor = _floor(moment)
    return floor if floor == moment else floor + HOUR
