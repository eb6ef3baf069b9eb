"""The chores of the leader for jobs. A longer chore has a module of its own here; the others live in the package of
their subject, and are only listed here.
"""

from cronsched.lib.chores import CronChore, IntervalChore
from jobs import owners, services
from jobs.chores import heartbeat, prune_history, sweep
from jobs.dispatch import replay
from jobs.end_dates import renewal
from jobs.end_dates.reminders import maintain_end_dates
from jobs.github import rate_limits, tracking
from jobs.notices import digests
from jobs.notices.digests import DAILY, WEEKLY
from jobs.targets import checks

CHORES = [
    IntervalChore("sweep", 10, lambda now, may_act: sweep.sweep(now=now, may_act=may_act), at_once=True),
    IntervalChore("replay", 2, lambda now, may_act: replay.replay_dead_senders(now=now), at_once=True),
    # How often the leader looks for GitHub runs that are due to be polled, and for targets that are still unchecked.
    IntervalChore("follow", 2, lambda now, may_act: tracking.follow(now=now, may_act=may_act), executor="targets"),
    IntervalChore(
        "check_targets", 10, lambda now, may_act: checks.check_due(now=now, may_act=may_act), executor="targets"
    ),
    IntervalChore(
        "heartbeat",
        heartbeat.EVERY_SECONDS,
        lambda now, may_act: heartbeat.beat(now=now),
        executor="targets",
        at_once=True,
    ),
    IntervalChore("resume_paused", 10, lambda now, may_act: services.resume_what_has_run_out(now=now, may_act=may_act)),
    CronChore("end_dates", "0 9 * * mon", lambda now, may_act: maintain_end_dates(now=now)),
    CronChore(
        "prune_history", "15 3 * * *", lambda now, may_act: prune_history.prune_history(now=now, may_act=may_act)
    ),
    CronChore("forget_buckets", "25 3 * * *", lambda now, may_act: rate_limits.forget_idle(now=now)),
    CronChore("reminders", "0 8 * * *", lambda now, may_act: renewal.remind(now=now, may_act=may_act)),
    CronChore("daily_digests", "5 8 * * *", lambda now, may_act: digests.send(DAILY, now=now, may_act=may_act)),
    CronChore("weekly_reports", "10 8 * * mon", lambda now, may_act: digests.send(WEEKLY, now=now, may_act=may_act)),
    CronChore("jobs_without_owner", "20 9 * * mon", lambda now, may_act: owners.tell_teams(now=now)),
    CronChore("recount", "45 9 * * *", lambda now, may_act: prune_history.recount(now=now)),
]
