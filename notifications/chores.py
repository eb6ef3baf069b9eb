"""The leader's chores for notices, mails and posts."""

from datetime import datetime

from cronsched.lib.chores import CronChore, IntervalChore, MayAct
from notifications import delivery, retention


def deliver(now: datetime, may_act: MayAct) -> None:
    if may_act():
        delivery.deliver_due(now=now)


CHORES = [
    IntervalChore("deliver", 1, deliver),
    CronChore("tidy_notices", "20 * * * *", lambda now, may_act: retention.apply(now=now, may_act=may_act)),
]
