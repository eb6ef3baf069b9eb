"""Answer everything about a cron expression: is it valid, what does it say, when does it fire.

The reference is crontab(5) as Debian's cron behaves, also on the nights when clocks change. Nothing else in the
project reads an expression, so validation, preview and the real schedule cannot disagree. No Django, no settings: the
zone is an argument.

`reading` turns text into a `Schedule`, `wall` searches the clock on the wall, `zones` knows where that clock jumps,
`firing` puts the three together and `words` says it in English. `dialects` knows how other schedulers write it, and
`clock_changes` what happens on the nights when clocks change.
"""

from jobs.cron.clock_changes import clock_change_notes, coming_clock_changes
from jobs.cron.firing import count_fire_times, fire_times_between, next_fire_time, previous_fire_time
from jobs.cron.reading import FIVE_FIELDS, MAX_LENGTH, NICKNAMES, REQUIRED, parse
from jobs.cron.schedule import CronError, Schedule
from jobs.cron.words import describe
from jobs.cron.zones import ZoneError, zone

__all__ = [
    "FIVE_FIELDS",
    "MAX_LENGTH",
    "NICKNAMES",
    "REQUIRED",
    "CronError",
    "Schedule",
    "ZoneError",
    "clock_change_notes",
    "coming_clock_changes",
    "count_fire_times",
    "describe",
    "fire_times_between",
    "next_fire_time",
    "parse",
    "previous_fire_time",
    "zone",
]
