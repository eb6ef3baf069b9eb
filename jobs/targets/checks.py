"""Check targets before the night in which they have to work: no workflow is started, no webhook is called.

Findings are stored on the job. Its owner is notified of new ones; an inconclusive one (GitHub was busy, a host was down
for the moment) is only shown.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet

from cronsched.lib.db.outages import one_by_one
from cronsched.lib.errors import TooManyRequests
from cronsched.lib.ids import uuid7
from jobs import cron, dispatch
from jobs.dispatch import blocking_requests, executors
from jobs.dispatch.executors import Request
from jobs.executors.base import Finding
from jobs.executors.webhook import WebhookRequest
from jobs.github import rate_limits
from jobs.models import Job
from jobs.notices import events
from jobs.schedule.scheduled_job import ScheduledJob
from notifications.services import notify

logger = logging.getLogger(__name__)

# In the scheduler's zone; a night's checks begin then and go on until all are done.
NIGHTLY = "30 3 * * *"
# Seconds for all of one check; the caller waits for it.
TIMEOUT = timedelta(seconds=10)
# Jobs that one pass checks. A job takes about four calls to GitHub, which grants a token 5,000 an hour; most of them
# are for dispatches and runs.
WEBHOOKS = 100
WORKFLOWS = 2
WIDTH = 8


class Task(NamedTuple):
    """A job to check, and when its definition was last changed, which identifies the definition that is checked."""

    job_id: UUID
    updated_at: datetime
    request: Request

    @property
    def subject(self) -> object:
        """What the findings depend on. A webhook is only connected to: one check holds for all URLs of an origin."""
        if isinstance(self.request, WebhookRequest):
            parts = urlsplit(self.request.url)
            return parts.scheme, parts.netloc.rpartition("@")[2].lower()
        return self.job_id


def check(job_id: UUID, *, now: datetime) -> list[dict[str, Any]]:
    """Check the target of one job and return the findings, which stand on the job as well. Network; takes seconds.

    Raises `Job.DoesNotExist`, and `TooManyRequests` while GitHub wants to be left alone or too many requests wait for
    targets already.
    """
    tasks = _tasks(Job.objects.filter(pk=job_id))
    if not tasks:
        raise Job.DoesNotExist
    (task,) = tasks
    if until := _blocked(tasks, now):
        seconds = max(1, int((until - now).total_seconds()))
        raise TooManyRequests("GitHub asked to be left alone for a while.", retry_after=seconds)
    with blocking_requests.slot():
        findings = executors.check(task.request, now=now, timeout=TIMEOUT)
    _keep(task, findings, now)
    return [finding_facts(finding) for finding in findings]


def check_due(*, now: datetime, may_act: Callable[[], bool] = lambda: True) -> int:
    """Check one portion of the active jobs that were not checked since last night began; return how many."""
    if not settings.CHECK_TARGETS or not may_act():
        return 0
    began_at = cron.previous_fire_time(NIGHTLY, settings.SCHEDULER_TIMEZONE, at=now)
    if began_at is None:
        return 0
    unchecked = Q(target_checked_at=None, created_at__lt=began_at) | Q(target_checked_at__lt=began_at)
    due = Job.objects.active().filter(unchecked).order_by(F("target_checked_at").asc(nulls_first=True), "id")
    is_workflow = Q(github_owner__gt="", github_repo__gt="", github_workflow_name__gt="")
    workflows = _tasks(due.filter(is_workflow)[:WORKFLOWS])
    if _blocked(workflows, now):
        workflows = []
    tasks = [*workflows, *_tasks(due.exclude(is_workflow)[:WEBHOOKS])]

    def left_out(checked: tuple[Task, list[Finding]], error: Exception) -> None:
        task = checked[0]
        logger.error("What was found at the target of job %s could not be kept", task.job_id, exc_info=error)
        # Or it would be the first of every portion, all night.
        Job.objects.filter(pk=task.job_id, updated_at=task.updated_at).update(target_checked_at=now)

    one_by_one(_checked(tasks, now), lambda checked: _keep(*checked, now), left_out)
    return len(tasks)


def finding_facts(finding: Finding) -> dict[str, Any]:
    return {"code": finding.code, "message": finding.message, "conclusive": finding.conclusive}


def _tasks(jobs: QuerySet[Job]) -> list[Task]:
    ids = list(jobs.values_list("pk", flat=True))
    found = Job.objects.filter(pk__in=ids)
    changed = dict(found.values_list("pk", "updated_at"))
    facts = [job for job in ScheduledJob.read(found) if job.id in changed]
    return [Task(job.id, changed[job.id], dispatch.prepare(uuid7(), job, fire_time=None).request) for job in facts]


def _blocked(tasks: Iterable[Task], now: datetime) -> datetime | None:
    buckets = {bucket for task in tasks if (bucket := executors.bucket(task.request))}
    return max(rate_limits.blocked(buckets, now=now).values(), default=None) if buckets else None


def _checked(tasks: Sequence[Task], now: datetime) -> list[tuple[Task, list[Finding]]]:
    subjects = {task.subject: task.request for task in tasks}
    if not subjects:
        return []

    def look(request: Request) -> list[Finding]:
        try:
            return executors.check(request, now=now, timeout=TIMEOUT)
        except Exception:
            # Our own bug must not keep the other targets from being checked, night after night.
            logger.exception("A target could not be checked")
            return [Finding("internal_error", "The target could not be checked.", conclusive=False)]

    with ThreadPoolExecutor(min(WIDTH, len(subjects)), thread_name_prefix="checks") as pool:
        found = dict(zip(subjects, pool.map(look, subjects.values()), strict=True))
    return [(task, found[task.subject]) for task in tasks]


def _keep(task: Task, findings: Sequence[Finding], now: datetime) -> None:
    """Store the findings on the job and notify of new ones; does nothing where the job was changed meanwhile."""
    with transaction.atomic():
        unchanged = Job.objects.filter(pk=task.job_id, updated_at=task.updated_at)
        before = unchanged.values_list("target_findings", flat=True).first()
        facts = [finding_facts(finding) for finding in findings]
        if not unchanged.update(target_findings=facts, target_checked_at=now):
            return
        known = {finding["code"] for finding in before or []}
        new = [finding.message for finding in findings if finding.conclusive and finding.code not in known]
        if new:
            job = Job.objects.select_related("category", "pic_team").get(pk=task.job_id)
            notify([events.target_check(job, finding=" ".join(new), now=now)], now=now)
