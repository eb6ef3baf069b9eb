"""What a schedule does on the nights when the clock of its zone changes, in sentences."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from jobs.cron.schedule import Schedule
from jobs.cron.wall import walls
from jobs.cron.zones import Span, spans_onward

# So far ahead a preview tells of clock changes, even where it shows fewer days.
NOTED_AHEAD = timedelta(days=366)
# More local times than these are not listed one by one.
MAX_TIMES = 3


def clock_change_notes(schedule: Schedule, zone: ZoneInfo, *, after: datetime, until: datetime) -> list[str]:
    """Return a sentence for each clock change between two aware instants that moves, drops or doubles runs."""
    if not schedule.is_fixed_time and len(schedule.hours) == 24:
        # Runs in every hour there is.
        return []
    start, stop = (moment.astimezone(UTC).replace(tzinfo=None) for moment in (after, until))
    notes = []
    for span in spans_onward(zone, start):
        if span.starts > stop:
            break
        if span.starts <= start or span.wall_starts == span.wall_reached:
            continue
        is_gap = span.wall_starts > span.wall_reached
        if note := _gap_note(schedule, span) if is_gap else _fold_note(schedule, span):
            notes.append(note)
    return notes


def coming_clock_changes(schedule: Schedule, zone: ZoneInfo, shown: Sequence[datetime], *, now: datetime) -> list[str]:
    """Return the sentences for a preview of the runs `shown`, at least for a year."""
    return clock_change_notes(schedule, zone, after=now, until=max([now + NOTED_AHEAD, *shown]))


def _gap_note(schedule: Schedule, span: Span) -> str | None:
    times = list(walls(schedule, span.wall_reached, span.wall_starts))
    if not times:
        return None
    do, day = ("does" if len(times) == 1 else "do"), f"{times[0]:%Y-%m-%d}"
    runs = f"runs at {span.wall_starts:%H:%M}" if schedule.is_fixed_time else "there is no run for it"
    once = ", once" if schedule.is_fixed_time and len(times) > 1 else ""
    return f"{_listed(times)} {do} not exist on {day} (the clock is put forward): {runs}{once}."


def _fold_note(schedule: Schedule, span: Span) -> str | None:
    times = list(walls(schedule, span.wall_starts, span.wall_reached))
    if not times:
        return None
    comes, day = ("comes" if len(times) == 1 else "come"), f"{times[0]:%Y-%m-%d}"
    runs = "runs the first time only" if schedule.is_fixed_time else "runs both times"
    return f"{_listed(times)} {comes} twice on {day} (the clock is put back): {runs}."


def _listed(times: list[datetime]) -> str:
    if len(times) > MAX_TIMES:
        return f"{times[0]:%H:%M} to {times[-1]:%H:%M}"
    *earlier, last = (f"{time:%H:%M}" for time in times)
    return f"{', '.join(earlier)} and {last}" if earlier else last
