"""The leader's chores for the audit trail."""

from audit import retention
from cronsched.lib.chores import CronChore

CHORES = [
    # Past midnight in UTC by the margin within which entries of the last day may still be committed.
    CronChore("count_audit_days", "50 * * * *", lambda now, may_act: retention.count_days(now)),
    CronChore("prune_audit", "45 3 * * *", lambda now, may_act: retention.prune(now, may_act)),
]
