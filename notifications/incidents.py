"""Incidents: consecutive failures of a job are one incident with few alerts.

An incident begins with a job's first failure and ends with its next success. Each failure is a notice in the
application; whether it is also mailed and posted is decided here, by what the job asked for and what was said already:

- nothing before the job's `after`-th failure in a row, which alerts;
- then every failure alerts again, or with `remind_hours` the first one after (about) so many hours since the last
  alert;
- Slack may thin the alerts out: the first, then every n-th (not together with `remind_hours`, which is thin already);
- a success ends it; a recovery is sent where the job asks for it, or where Slack got only some of the failures.

Defaults (1, no reminders, each post, no recovery notice) alert each failure once, as jobs of the older service did.
"""

from collections.abc import Sequence, Set
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection

from cronsched.lib.db import batches, limits
from cronsched.lib.db.batches import IdIn
from notifications.message import NOBODY, Alarm, Message, Recovery
from notifications.models import Incident

# Runs of one schedule end a little earlier or later each time. Counted to the second, a daily job with a reminder each
# day would be alerted every other day.
EARLY = timedelta(minutes=5)


def ongoing(job_ids: Set[UUID]) -> set[UUID]:
    """Return those of `job_ids` that have an incident."""
    return {row[0] for row in batches.read(Incident.objects.filter(IdIn("job_id", job_ids)).values_list("job_id"))}


def plan_alerts(batch: Sequence[Message], *, now: datetime, post_every: int) -> list[Message]:
    """Return `batch` with the mails and posts that incidents do not call for taken out, and recoveries added.

    Reads and writes the incidents of the whole batch in three statements at most; locks them until the commit.
    """
    job_ids = {message.alarm.job_id for message in batch if message.alarm}
    if not job_ids:
        return list(batch)
    incidents = Incident.objects.select_for_update().in_bulk(job_ids)
    known = set(incidents)
    settled: list[Message] = []
    touched: set[UUID] = set()
    for message in batch:
        if (alarm := message.alarm) is None:
            settled.append(message)
        elif alarm.failing:
            touched.add(alarm.job_id)
            settled.append(_failed(message, alarm, incidents, now=now, post_every=post_every))
        else:
            settled.append(message)
            if ended := incidents.pop(alarm.job_id, None):
                settled.extend(_recovered(alarm, ended, post_every=post_every))
    _save(incidents, known=known, touched=touched)
    return settled


def _failed(
    message: Message, alarm: Alarm, incidents: dict[UUID, Incident], *, now: datetime, post_every: int
) -> Message:
    incident = incidents.setdefault(alarm.job_id, Incident(job_id=alarm.job_id, failing_since=now))
    incident.failures += 1
    incident.last_failure_at = now
    if not _alerts(incident, alarm, now):
        return replace(message, mail=None, slack=None)
    posts = incident.alerts % post_every == 0 or alarm.remind_hours > 0
    incident.alerts += 1
    incident.alerted_at = now
    return replace(message, thread=incident.thread, slack=message.slack if posts else None)


def _alerts(incident: Incident, alarm: Alarm, now: datetime) -> bool:
    if incident.failures < alarm.after:
        return False
    if incident.alerted_at is None or not alarm.remind_hours:
        return True
    return now - incident.alerted_at >= timedelta(hours=alarm.remind_hours) - EARLY


def _recovered(alarm: Alarm, incident: Incident, *, post_every: int) -> list[Message]:
    if incident.alerted_at is None or alarm.recovered is None or not (alarm.tell_recovery or post_every > 1):
        return []
    message = alarm.recovered(Recovery(incident.failures, incident.failing_since))
    if not alarm.tell_recovery:
        message = replace(message, audience=NOBODY, and_admins=False, mail=None)
    return [replace(message, thread=incident.thread)]


def _save(incidents: dict[UUID, Incident], *, known: set[UUID], touched: set[UUID]) -> None:
    changed = [incidents[job_id] for job_id in sorted(touched & incidents.keys())]
    limits.check_all(changed)
    # MariaDB finds the clashing key by itself and must not be told.
    has_target = connection.features.supports_update_conflicts_with_target
    Incident.objects.bulk_create(
        changed,
        update_conflicts=True,
        update_fields=["thread", "failures", "failing_since", "last_failure_at", "alerted_at", "alerts"],
        unique_fields=["job"] if has_target else None,
    )
    if ended := known - incidents.keys():
        Incident.objects.filter(pk__in=ended).delete()
