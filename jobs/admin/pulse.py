"""The scheduler's pulse: in the foot of the side-bar of every page, in colour and words."""

from datetime import datetime
from typing import Any, NamedTuple

from django.http import HttpRequest
from django.urls import reverse

from accounts.models import User
from cronsched.lib.clock import database_now
from jobs.admin.texts import span
from jobs.models import NEVER_SENT_STATUSES, JobExecution, Status, TriggerType
from jobs.scheduler import leadership

# A leader renews its lease every 5 s; a renewal older than this is shown in amber.
SLOW_SECONDS = 10
LATE_SECONDS = 30


class Pulse(NamedTuple):
    """`colour` is one of the theme's: success, warning or danger."""

    colour: str
    title: str
    text: str
    link: str


def context(request: HttpRequest) -> dict[str, Any]:
    """Add the pulse to what every page of the console is shown with; not to the page for signing in."""
    if not (isinstance(request.user, User) and request.user.is_active):
        return {}
    return {"pulse": read(database_now())}


def read(now: datetime) -> Pulse:
    status = leadership.read_status(now=now)
    link = reverse("admin:jobs_schedulerlease_changelist")
    if not status.running:
        return Pulse("danger", "No scheduler is running", "Nothing fires. Start manage.py runscheduler.", link)
    seen = (now - status.renewed_at).total_seconds() if status.renewed_at else 0.0
    late = _late()
    text = f"seen {span(seen)} ago" + (f", {late:.1f} s late" if late is not None else "")
    colour = "warning" if seen > SLOW_SECONDS or (late or 0) > LATE_SECONDS else "success"
    return Pulse(colour, "Scheduler runs", text, link)


def _late() -> float | None:
    """Return by how much the newest scheduled execution that was sent was late."""
    unsent = (*NEVER_SENT_STATUSES, Status.QUEUED)
    newest = JobExecution.objects.filter(trigger_type=TriggerType.SCHEDULED).newest_first()[:20]
    rows = newest.only("scheduled_for", "started_at", "status")
    return next((row.lateness_seconds for row in rows if row.status not in unsent), None)
