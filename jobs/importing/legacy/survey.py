"""What the operator has to decide before anything is written: asked, never guessed."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from django.conf import settings

from jobs import cron
from jobs.importing.legacy import values
from jobs.importing.legacy.definitions import JOBS
from jobs.importing.legacy.state import ImportState
from jobs.importing.legacy.tables import LegacyJob, LegacyTeam
from jobs.importing.weekdays import EITHER_DAY, Weekdays, fire_times_there, translated
from jobs.models import Job
from taxonomy.models import slugify

# The older scheduler and this one must never run at the same time.
QUIET = timedelta(minutes=5)
COMPARED = 5
OTHER_TIMES = "Kept as written it fires at other times than it did there."
ASK_WEEKDAYS = (
    "{changing} of {jobs} jobs change day: the older service counted weekdays from 0, Monday, and crontab counts from "
    "0, Sunday. Say --weekdays as-fired to keep the days on which they fire today, or --weekdays as-written to keep "
    "the text. Both are listed below."
)
ASK_TEAM = "{count} jobs have no team: name one with --default-team SLUG."
ASK_END_DATE = "{count} jobs have no end date: give one with --default-end-date YYYY-MM-DD."
UNKNOWN_TEAM = "--default-team {slug}: there is no such team, neither there nor here."
STILL_FIRES = (
    "The older scheduler fired {ago} ago, at {moment:%Y-%m-%d %H:%M:%S}Z: stop it and wait for five minutes, "
    "or say --force where it cannot fire any more."
)


def ask(state: ImportState) -> None:
    """Put what has to be answered first into the report."""
    state.report.questions += [*_weekdays(state), *_blanks(state), *_default_team(state), *_scheduler(state)]


def _weekdays(state: ImportState) -> Iterator[str]:
    known = set(Job.objects.values_list("pk", flat=True))
    changing = total = 0
    for row in state.source.rows(LegacyJob):
        total += 1
        key = values.identity(JOBS, row["id"])
        expression = " ".join((values.text(row["cron_expression"]) or "").split())
        if key in known or not changes_day(expression):
            continue
        changing += 1
        if state.options.weekdays is not Weekdays.AS_FIRED:
            state.note(JOBS, key, values.text(row["name"]), OTHER_TIMES, both_times(state, expression))
    if changing and state.options.weekdays is None:
        yield ASK_WEEKDAYS.format(changing=changing, jobs=total)


def changes_day(expression: str) -> bool:
    """Whether an expression of the older service fires at other times here, unless it is written anew."""
    translation = translated(expression, Weekdays.AS_FIRED)
    return translation.expression != expression or (translation.reason or "").startswith(EITHER_DAY)


def both_times(state: ImportState, expression: str) -> str:
    """Return the next fire times there and here of an expression that is kept as it is written."""
    zone = ZoneInfo(settings.SCHEDULER_TIMEZONE)
    there = fire_times_there(expression, zone, after=state.now, limit=COMPARED)
    try:
        here = list(islice(cron.fire_times_between(expression, zone, after=state.now, until=None), COMPARED))
    except cron.CronError:
        here = []
    listed = [", ".join(f"{moment.astimezone(zone):%a %d %b %H:%M}" for moment in times) for times in (there, here)]
    return f"{expression} there: {listed[0]}; here: {listed[1] or 'never'}"


def _blanks(state: ImportState) -> Iterator[str]:
    known = set(Job.objects.values_list("pk", flat=True))
    rows = [row for row in state.source.rows(LegacyJob) if values.identity(JOBS, row["id"]) not in known]
    teams = sum(not slugify(values.text(row["pic_team"]) or "") for row in rows)
    dates = sum(values.day(row["end_date"]) is None for row in rows)
    if teams and not state.options.default_team:
        yield ASK_TEAM.format(count=teams)
    if dates and state.options.default_end_date is None:
        yield ASK_END_DATE.format(count=dates)


def _default_team(state: ImportState) -> Iterator[str]:
    slug = state.options.default_team
    if not slug:
        return
    there = {values.text(row["slug"]) for row in state.source.rows(LegacyTeam)}
    if slug not in there and state.rules.teams.find(slug) is None:
        yield UNKNOWN_TEAM.format(slug=slug)


def _scheduler(state: ImportState) -> Iterator[str]:
    fired_at = state.source.last_fired_at()
    if fired_at is None or state.options.force:
        return
    ago = state.now - fired_at
    if ago < QUIET:
        seconds = max(0, int(ago.total_seconds()))
        yield STILL_FIRES.format(ago=f"{seconds} s", moment=fired_at)
