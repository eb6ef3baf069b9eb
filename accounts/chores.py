"""The leader's chores for accounts."""

from accounts import idempotency, services
from cronsched.lib.chores import CronChore

CHORES = [
    CronChore("prune_accounts", "35 3 * * *", lambda now, may_act: services.prune(now)),
    CronChore("prune_answers", "40 * * * *", lambda now, may_act: idempotency.prune(now)),
]
