"""Reminders of end dates by mail, and the renewals they lead to.

A reminder's link is signed, names one job, one end date and the address it was mailed to, and asks for no sign-in: who
reads the team's mail may renew the team's job. It works once, also where the same end date was set again after the
renewal. Opening it only shows a page, because mail scanners open links; the page's button renews.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from uuid import UUID

from django.conf import settings
from django.core import signing
from django.db import transaction

from accounts.models import User
from audit.services import record
from cronsched.lib.db import batches
from cronsched.lib.db.deadlocks import retried
from cronsched.lib.db.outages import piecewise
from cronsched.lib.errors import DomainError, NotFound
from jobs.definitions import error_texts, revisions, validation
from jobs.models import Job, JobRenewal
from jobs.notices import events
from jobs.schedule.reschedule import reschedule
from notifications.message import Message
from notifications.services import mail_is_configured, not_yet_sent, notify
from taxonomy.models import JobCategory

logger = logging.getLogger(__name__)

# Days a renewal may add.
EXTENSIONS = (30, 90, 180)
# How many days before the end date people are reminded.
REMINDERS = (30, 14, 7, 1)
MAX_REASON = 500
PORTION = 200

LINK_SALT = "jobs.renewal.link"
# Longer than from the first reminder to the end.
LINK_AGE = timedelta(days=60)

INVALID_LINK = "This link is not valid. Copy it from the mail as a whole, or renew the job in the application."
EXPIRED_LINK = "This link is too old. Renew the job in the application."
GONE = "This job does not exist any more."
USED_LINK = "The end date of this job was changed since this mail was sent; the link has done its work."


# --- Renewing --------------------------------------------------------------------------------------------------------


@retried
def renew(
    job_id: UUID,
    *,
    days: object,
    reason: object,
    now: datetime,
    by: User | None = None,
    address: str = "",
    link_for: date | None = None,
) -> JobRenewal:
    """Move a job's end date on by `days` and record who wanted it and why.

    It counts from the end date or, where that has passed, from today; a job that was paused stays so. `by` is the
    account that asks; or a link was used, `address` being its mailbox and `link_for` the end date it names. Raises
    `DomainError`, changing nothing.
    """
    with transaction.atomic():
        job = batches.locked(Job.objects.filter(pk=job_id).select_related("category"), skip=False).first()
        if job is None:
            raise NotFound("Job not found", f"No job found with ID: {job_id}")
        if by is not None and not job.may_be_changed_by(by):
            raise error_texts.not_yours("update")
        if link_for is not None and _is_used(job, link_for):
            # Checked again with the row locked: a button may be pressed twice at once.
            raise NotFound(USED_LINK)
        old, new = job.end_date, _new_end_date(job, _checked_days(days), now)
        renewal = JobRenewal(
            job=job,
            old_end_date=old,
            new_end_date=new,
            reason=_checked_reason(reason),
            renewed_by=by,
            renewed_by_address=address,
            created_at=now,
        )
        before = revisions.definition_of(job)
        job.end_date, job.revision = new, job.revision + 1
        reschedule(job, now=now)
        job.save()
        changes = revisions.differences(before, revisions.definition_of(job))
        record(revisions.entry(job, "renewed", changes, reason=renewal.reason), by=by, now=now)
        renewal.save(force_insert=True)
        who = address or (by and (by.email or by.username)) or "Unknown"
        notify([events.job_renewed(job, by=who, old_end_date=old, reason=renewal.reason)], now=now)
    return renewal


def extended(end_date: date, days: int, *, today: date) -> date:
    """Return the end date after a renewal by `days`."""
    return max(end_date, today) + timedelta(days=days)


def latest_end_date(category: JobCategory, *, today: date) -> date | None:
    """Return up to when a job of the category may be extended today, None for no limit."""
    longest = category.max_extension_days
    return None if longest is None else today + timedelta(days=longest)


def _new_end_date(job: Job, days: int, now: datetime) -> date:
    today = validation.local_date(now)
    new = extended(job.end_date, days, today=today)
    latest = latest_end_date(job.category, today=today)
    if latest is not None and new > latest:
        raise DomainError("Extension too long", limit_in_words(job.category, latest), field="days")
    return new


def limit_in_words(category: JobCategory, latest: date) -> str:
    return f"Jobs of the category {category.name} may be extended until {latest} at most."


def _checked_days(days: object) -> int:
    if isinstance(days, bool) or not isinstance(days, int) or days not in EXTENSIONS:
        raise DomainError("Invalid days", "days must be one of: 30, 90, 180.", field="days")
    return days


def _checked_reason(reason: object) -> str:
    if not isinstance(reason, str) or not reason.strip():
        raise DomainError("Invalid reason", "A reason is required.", field="reason")
    text = reason.strip()
    if len(text) > MAX_REASON:
        raise DomainError("Invalid reason", f"reason must be at most {MAX_REASON} characters.", field="reason")
    return text


# --- The signed link -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Invitation:
    """What a valid link stands for."""

    job: Job
    address: str


def link(job: Job, address: str) -> str:
    """Return the link of the page on which a reader of the mailbox `address` may renew `job`."""
    token = signing.dumps([str(job.pk), str(job.end_date), address], salt=LINK_SALT)
    return f"{settings.PUBLIC_BASE_URL.rstrip('/')}/links/renew/{token}"


def open_link(token: str) -> Invitation:
    """Return what the link stands for. Raises `NotFound` with a text for the page where it stands for nothing."""
    try:
        job_id, end_date, address = signing.loads(token, salt=LINK_SALT, max_age=LINK_AGE)
    except signing.SignatureExpired:
        raise NotFound(EXPIRED_LINK) from None
    except signing.BadSignature:
        raise NotFound(INVALID_LINK) from None
    job = Job.objects.select_related("category", "pic_team").filter(pk=job_id).first()
    if job is None:
        raise NotFound(GONE)
    if _is_used(job, date.fromisoformat(end_date)):
        raise NotFound(USED_LINK)
    return Invitation(job, address)


def _is_used(job: Job, end_date: date) -> bool:
    """Return whether a link that names `end_date` has done its work: also where that date was set again since."""
    return job.end_date != end_date or job.renewals.filter(old_end_date=end_date).exists()


# --- Reminders -------------------------------------------------------------------------------------------------------


def remind(*, now: datetime, may_act: Callable[[], bool] = lambda: True) -> int:
    """Queue the reminders that are due, to owner and team; return how many messages were new.

    Each of `REMINDERS` is due from its day on until the next one is, so a day without a leader loses none; each is
    sent once for an end date. Without mail none is used up.
    """
    if not mail_is_configured():
        return 0
    today = validation.local_date(now)
    ending = Job.objects.active().filter(end_date__gte=today, end_date__lte=today + timedelta(days=REMINDERS[0]))
    ids = list(ending.order_by("end_date", "pk").values_list("pk", flat=True))
    total = 0
    for start in range(0, len(ids), PORTION):
        if not may_act():
            break
        total += sum(piecewise(ids[start : start + PORTION], partial(_remind_of, today=today, now=now), _left_out))
    return total


def _remind_of(ids: Sequence[UUID], *, today: date, now: datetime) -> int:
    jobs = (
        Job.objects.select_related("category", "pic_team", "created_by").filter(pk__in=ids).order_by("end_date", "pk")
    )
    new = not_yet_sent(message for job in jobs.order_by("end_date", "pk") for message in _reminders(job, today, now))
    notify(new, now=now)
    return len(new)


def _left_out(job_id: UUID, error: Exception) -> int:
    logger.error("The reminder of the end of job %s cannot be stored", job_id, exc_info=error)
    return 0


def _reminders(job: Job, today: date, now: datetime) -> list[Message]:
    left = (job.end_date - today).days
    due = min(days for days in REMINDERS if left <= days)
    return [
        events.end_date_reminder(job, left, due=due, to=address, renew_url=link(job, address), now=now)
        for address in _readers(job)
    ]


def _readers(job: Job) -> list[str]:
    owner = [job.created_by.email] if job.created_by and job.created_by.is_active else []
    return list({address.lower(): address for address in [*owner, *job.pic_team.emails]}.values())
