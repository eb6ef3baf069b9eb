"""Reads what is needed to tell why a job ran or did not: its definitions as they were, pauses, leaders, executions."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db.models import F, Q
from django.db.models.functions import Left

from audit import terms
from audit.models import AuditEntry
from audit.services import SYSTEM_NAME
from cronsched.lib.db import batches
from jobs.calendar import end_zone
from jobs.definitions import revisions
from jobs.history.outcomes import NOT_BAD
from jobs.history.why import (
    LAST_PASS,
    MINUTE,
    Answer,
    Definition,
    Facts,
    Finding,
    Hold,
    Run,
    Verdict,
    uncomputable,
    why,
    why_at,
)
from jobs.history.why_words import sentence, zone_of
from jobs.models import LEASE_TTL, ExecutionType, GitHubRun, Job, JobExecution, JobPause, Status, Tracking

# The fields on which the times of a job depend, by their names in the audit trail.
FIELDS = ("cron_expression", "timezone", "end_date", "is_active", "spread_seconds")
# How many changes back one that touched the schedule is searched.
LOOK_BACK = 50
ERROR_LENGTH = 300
CREATED = f"{revisions.OBJECT}.created"
PAUSE_RUNS_OUT = "The pause runs out."
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Explanation(NamedTuple):
    """A finding with its sentence and the execution it is about."""

    found: Finding
    execution_id: UUID | None
    sentence: str


def explain(
    job: Job, *, start: datetime, end: datetime, limit: int, now: datetime
) -> tuple[Answer, Sequence[Explanation]]:
    """Return why `job` ran or did not, for each time from `start` on and before `end`; the newest `limit` only."""
    facts = read(job, start=start, end=end, now=now)
    answer = why(facts, start=start, end=end, limit=limit)
    if not answer.counts and (reason := uncomputable(facts)):
        # No time is named: that is the finding.
        found = Finding(start, Verdict.UNSCHEDULABLE, reason=reason, definition=facts.today)
        answer = Answer({Verdict.UNSCHEDULABLE: 1}, [found])
    return answer, _explanations(job, facts, answer.findings)


def explain_at(job: Job, moment: datetime, *, now: datetime) -> Explanation:
    """Return why `job` ran or did not in the minute of `moment`."""
    start = moment.replace(second=0, microsecond=0)
    facts = read(job, start=start, end=start + MINUTE, now=now)
    return _explanations(job, facts, [why_at(facts, moment)])[0]


def read(job: Job, *, start: datetime, end: datetime, now: datetime) -> Facts:
    """Return all that is known of `job` from `start` on and before `end`.

    `job` is read before its executions: a time that is claimed in between then has its row.
    """
    entries = _entries(job, start)
    created = next((entry.actor_name for entry in entries if entry.action == CREATED), "")
    pauses = _pauses(job, start, end, now)
    return Facts(
        now=now,
        created_at=job.created_at,
        created_by=created,
        definitions=_with_resumption(_definitions(job, entries), pauses),
        end_zone=end_zone(),
        runs=_runs(job, start, end),
        conclusions=_conclusions(job, start, end),
        holds=[Hold(Verdict.PAUSED, *pause) for pause in pauses],
        gaps=terms.gaps(start, end + LAST_PASS, now=now, silent_after=LEASE_TTL.total_seconds()),
        next_fire_at=job.next_fire_at,
        schedule_error=job.schedule_error,
        grace_seconds=job.misfire_grace_seconds,
    )


# --- Definitions as they were ----------------------------------------------------------------------------------------


def _entries(job: Job, start: datetime) -> list[AuditEntry]:
    """Return the job's changes since `start`, and some from before it, newest first."""
    entries = AuditEntry.objects.of_object(revisions.OBJECT, str(job.pk)).filter(revision__isnull=False)
    entries = entries.order_by("-revision")
    return [*entries.filter(at__gte=start), *entries.filter(at__lt=start)[:LOOK_BACK]]


def _definitions(job: Job, newest_first: Iterable[AuditEntry]) -> list[Definition]:
    """Return what the job's definition said, oldest first, by undoing its changes one after the other."""
    values: dict[str, Any] = {name: getattr(job, name) for name in FIELDS}
    found = []
    for entry in newest_first:
        touched = {name: before for name, (before, _) in entry.changes.items() if name in FIELDS}
        if not touched:
            continue
        found.append(_definition(values, entry.at, entry.actor_name, entry.reason))
        if entry.action == CREATED:
            return found[::-1]
        values |= touched
    return [_definition(values, LONG_AGO, "", ""), *reversed(found)]


def _definition(values: Mapping[str, Any], since: datetime, by: str, reason: str) -> Definition:
    end_date = values["end_date"]
    return Definition(
        since,
        values["cron_expression"],
        values["timezone"] or settings.SCHEDULER_TIMEZONE,
        end_date if isinstance(end_date, date) else date.fromisoformat(end_date),
        values["is_active"],
        values["spread_seconds"],
        by,
        reason,
    )


def _with_resumption(definitions: list[Definition], pauses: Sequence["_Pause"]) -> list[Definition]:
    """Add the definition of a job whose pause will run out."""
    last = definitions[-1]
    until = next((pause.end for pause in pauses if pause.end is not None and pause.end > last.since), None)
    if last.is_active or until is None:
        return definitions
    return [*definitions, last._replace(since=until, is_active=True, by=SYSTEM_NAME, reason=PAUSE_RUNS_OUT)]


class _Pause(NamedTuple):
    start: datetime
    end: datetime | None
    by: str
    reason: str


def _pauses(job: Job, start: datetime, end: datetime, now: datetime) -> list[_Pause]:
    """Return the pauses, oldest first. One that should be over and is not lasts until a leader ends it."""
    found = JobPause.objects.filter(Q(ended_at=None) | Q(ended_at__gte=start), job=job, began_at__lt=end)
    rows = found.order_by("began_at", "id").values_list("began_at", "ended_at", "until", "by_name", "reason")
    return [
        _Pause(began, ended or (until if until and until > now else None), by, reason)
        for began, ended, until, by, reason in rows
    ]


# --- Executions ------------------------------------------------------------------------------------------------------


def _runs(job: Job, start: datetime, end: datetime) -> list[tuple[Any, ...]]:
    rows = JobExecution.objects.filter(job=job, scheduled_for__isnull=False).values_list(*Run._fields)
    inside = rows.filter(scheduled_for__gte=start, scheduled_for__lt=end).order_by()
    # A row that stands for many missed times bears the last of them: it may lie beyond the end.
    beyond = rows.filter(scheduled_for__gte=end).order_by("scheduled_for")[:1]
    return batches.read(inside) + batches.read(beyond)


def _conclusions(job: Job, start: datetime, end: datetime) -> dict[datetime, str]:
    """Return the conclusions of the GitHub runs that ended badly, blank for those that go on."""
    goes_on = Q(conclusion="", tracking=Tracking.FOLLOWED)
    badly = Q(conclusion__gt="") & ~Q(conclusion__in=NOT_BAD)
    runs = GitHubRun.objects.filter(
        goes_on | badly,
        execution__job=job,
        execution__scheduled_for__gte=start,
        execution__scheduled_for__lt=end,
        execution__execution_type=ExecutionType.GITHUB_ACTIONS,
    )
    return dict(batches.read(runs.order_by().values_list("execution__scheduled_for", "conclusion")))


# --- Sentences -------------------------------------------------------------------------------------------------------


def _explanations(job: Job, facts: Facts, findings: Sequence[Finding]) -> list[Explanation]:
    times = [found.run.scheduled_for for found in findings if found.run is not None]
    ids, errors = _details(job, min(times), max(times)) if times else ({}, {})
    zone = zone_of(facts.today.zone_name)
    explanations = []
    for found in findings:
        at = found.run.scheduled_for if found.run else None
        error = errors.get(at, "") if at else ""
        explanations.append(Explanation(found, ids.get(at) if at else None, sentence(found, zone, error=error)))
    return explanations


def _details(job: Job, first: datetime, last: datetime) -> tuple[dict[datetime, UUID], dict[datetime, str]]:
    """Return the ids of the executions of these times, and what those that failed say of it."""
    rows = JobExecution.objects.filter(job=job, scheduled_for__gte=first, scheduled_for__lte=last).order_by()
    failed = rows.filter(status=Status.FAILED).exclude(error_message=None)
    errors = failed.values_list("scheduled_for", Left(F("error_message"), ERROR_LENGTH))
    return dict(batches.read(rows.values_list("scheduled_for", "id"))), dict(errors)
